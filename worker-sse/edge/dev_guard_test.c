#include "worker-sse/edge/dev_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static unsigned visit(const char *host, const char *origin)
{
	const char *reason;
	char base[256] = "http://";
	strcat(base, host != NULL ? host : "127.0.0.1:4437");
	const struct dev_visit v = {.host = span_str(host),
	                            .origin = span_str(origin),
	                            .browser = true,
	                            .base_url = span_str(base),
	                            .public_url = "https://duels.example/x",
	                            .listed = origin != NULL &&
	                                      strcmp(origin, "https://friend.example") == 0};
	unsigned status = dev_guard(&v, &reason);
	assert_true((status == 0) == (reason == NULL));
	return status;
}

static void test_only_this_machines_names(void **state)
{
	static const char *const good[] = {"localhost",          "LOCALHOST:4437", "localhost.:1",
	                                   "arena.localhost:80", "127.0.0.1",      "127.0.0.1:4437",
	                                   "127.3.2.1",          "[::1]",          "[::1]:4437",
	                                   "duels.example"};
	static const char *const bad[] = {"evil.example",
	                                  "evil.example:4437",
	                                  "localhost.evil.example",
	                                  "127.0.0.1.evil.example",
	                                  "127.evil.example",
	                                  "notlocalhost",
	                                  "evil",
	                                  "10.0.0.1",
	                                  "0.0.0.0",
	                                  "127.1",
	                                  "[::2]",
	                                  "[::1].evil.example",
	                                  "1270.0.0.1",
	                                  "duels.example:81",
	                                  "[::1",
	                                  "::1"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(visit(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(visit(bad[i], NULL), 421);
	assert_int_equal(visit(NULL, NULL), 0); /* HTTP/1.0 */
}

static void test_only_own_and_configured_origins(void **state)
{
	static const char *const good[] = {"http://127.0.0.1:4437", "http://localhost:4437",
	                                   "http://[::1]:4437", "HTTP://LOCALHOST:4437",
	                                   "https://friend.example"};
	static const char *const bad[] = {"http://127.0.0.1:4438",
	                                  "http://127.0.0.1",
	                                  "https://127.0.0.1:4437",
	                                  "null",
	                                  "",
	                                  "http://evil.example",
	                                  "http://evil.example:4437",
	                                  "http://localhost.evil.example:4437",
	                                  "file://",
	                                  "http://",
	                                  "friend.example",
	                                  "http://friend.example"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(visit("127.0.0.1:4437", good[i]), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(visit("127.0.0.1:4437", bad[i]), 403);
	assert_int_equal(visit("localhost", "http://127.0.0.1:80"), 0);
	assert_int_equal(visit("duels.example", "http://duels.example"), 0);
	assert_int_equal(visit("duels.example", "http://127.0.0.1"), 403);
	assert_int_equal(visit("duels.example", "http://duels.example:80"), 0);
	assert_int_equal(visit("duels.example", "http://duels.example:81"), 403);
}

static void test_who_is_no_browser_and_what_is_a_preflight(void **state)
{
	const char *reason;
	struct dev_visit v = {.host = SPAN("x"), .public_url = "", .base_url = SPAN("http://x")};
	(void)state;
	assert_int_equal(dev_guard(&v, &reason), 0);
	v.browser = true;
	assert_int_equal(dev_guard(&v, &reason), 421);
	v.browser = false;
	v.origin = SPAN("http://x");
	assert_int_equal(dev_guard(&v, &reason), 421);
	v.host = SPAN("127.0.0.1");
	v.origin = SPAN("http://evil.example");
	assert_int_equal(dev_guard(&v, &reason), 403);
	v.preflight = true;
	assert_int_equal(dev_guard(&v, &reason), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_only_this_machines_names),
	        cmocka_unit_test(test_only_own_and_configured_origins),
	        cmocka_unit_test(test_who_is_no_browser_and_what_is_a_preflight)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
