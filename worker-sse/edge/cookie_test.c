#include "worker-sse/edge/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void it_is_found_among_others(void **state)
{
	static const char *const rows[][2] = {{"ringside=v", "v"},
	                                      {"a=b; ringside=v", "v"},
	                                      {"a=b;ringside=v;c=d", "v"},
	                                      {"  ringside = v ; c=d", "v"},
	                                      {"ringside=\"v\"", "v"},
	                                      {"ringside=\"", "\""},
	                                      {"ringside=v=w", "v=w"},
	                                      {"ringside=", ""},
	                                      {"ringside=first; ringside=second", "first"},
	                                      {"a=b; c; ringside=v", "v"},
	                                      {"Ringside=v", NULL},
	                                      {"xringside=v", NULL},
	                                      {"ringsidex=v", NULL},
	                                      {"__Host-ringside=v", NULL},
	                                      {"a=ringside=v", NULL},
	                                      {"ringside", NULL},
	                                      {";;;", NULL},
	                                      {"", NULL}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct span value = cookie_find(span_str(rows[i][0]), SPAN("ringside"));
		if ((value.at != NULL) != (rows[i][1] != NULL) ||
		    (value.at != NULL && !span_equal(value, span_str(rows[i][1]))))
			fail_msg("%s: %.*s", rows[i][0], (int)value.len, value.at);
	}
	assert_null(cookie_find((struct span){0}, SPAN("ringside")).at);
}

static void how_it_is_set_and_taken_away(void **state)
{
	char *secure = cookie_text(SPAN("v"), true, 60), *bare = cookie_text(SPAN("v"), false, 61);
	(void)state;
	assert_string_equal(
	        secure, "__Host-ringside=v; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60");
	assert_string_equal(bare, "ringside=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=61");
	assert_string_equal(cookie_gone(true),
	                    "__Host-ringside=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
	assert_string_equal(cookie_gone(false),
	                    "ringside=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
	free(secure);
	free(bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_is_found_among_others),
	        cmocka_unit_test(how_it_is_set_and_taken_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
