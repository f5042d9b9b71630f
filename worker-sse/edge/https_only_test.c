#include "worker-sse/edge/https_only.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct settings settings(uint64_t port, const char *public_url)
{
	return (struct settings){.http_redirect_port = port,
	                         .http_public_url = (char *)(uintptr_t)public_url};
}

static void where_it_goes(void **state)
{
	static const struct {
		uint64_t port;
		const char *public_url, *host, *path, *query, *location;
	} rows[] = {
	        {443, "", "example.org", "/", "", "https://example.org/"},
	        {443, "", "example.org:80", "/v1/events", "stream=a&offset=-1",
	         "https://example.org/v1/events?stream=a&offset=-1"},
	        {8443, "", "example.org:8080", "/x", "", "https://example.org:8443/x"},
	        {443, "", "[2001:db8::1]:80", "/", "", "https://[2001:db8::1]/"},
	        {8443, "", "[2001:db8::1]", "/", "", "https://[2001:db8::1]:8443/"},
	        {443, "https://live.example.org/", "10.0.0.7", "/a", "",
	         "https://live.example.org/a"},
	        {443, "https://live.example.org:444", "", "/a", "",
	         "https://live.example.org:444/a"},
	        /* A public address that is not TLS says nothing of where TLS is. */
	        {443, "http://live.example.org", "h", "/a", "", "https://h/a"},
	        /* Nobody says where, or says what is no host. */
	        {443, "", "", "/a", "", NULL},
	        {443, "", "evil.org/@", "/a", "", NULL},
	        {443, "", "a b", "/a", "", NULL},
	        {443, "", ":80", "/a", "", NULL},
	        {443, "", "a\r\nset-cookie: x", "/a", "", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char location[HTTPS_LOCATION_ROOM];
		struct settings s = settings(rows[i].port, rows[i].public_url);
		struct https_visit visit = {.path = span_str(rows[i].path),
		                            .query = span_str(rows[i].query),
		                            .host = *rows[i].host != '\0' ? span_str(rows[i].host)
		                                                          : (struct span){0}};
		enum https_answer answer = https_only(&visit, &s, location);
		assert_int_equal(answer, rows[i].location != NULL ? HTTPS_GOES : HTTPS_NOWHERE);
		if (rows[i].location != NULL)
			assert_string_equal(location, rows[i].location);
	}
}

static void what_stays(void **state)
{
	char location[HTTPS_LOCATION_ROOM];
	struct settings on = settings(443, ""), off = settings(0, "");
	struct https_visit visit = {.path = SPAN("/v1/events"), .host = SPAN("h")};
	(void)state;
	assert_int_equal(https_only(&visit, &on, location), HTTPS_GOES);
	assert_int_equal(https_only(&visit, &off, location), HTTPS_STAYS);
	visit.over_tls = true;
	assert_int_equal(https_only(&visit, &on, location), HTTPS_STAYS);
	visit.over_tls = false, visit.local = true;
	assert_int_equal(https_only(&visit, &on, location), HTTPS_STAYS);
	visit.local = false;
	static const char *const stay[] = {"/healthz", "/readyz",
	                                   "/.well-known/acme-challenge/abc"};
	for (size_t i = 0; i < sizeof stay / sizeof *stay; i++) {
		visit.path = span_str(stay[i]);
		assert_int_equal(https_only(&visit, &on, location), HTTPS_STAYS);
	}
	visit.path = SPAN("/healthz/");
	assert_int_equal(https_only(&visit, &on, location), HTTPS_GOES);
}

static void too_long_for_a_location(void **state)
{
	static uint8_t path[HTTPS_LOCATION_ROOM];
	char location[HTTPS_LOCATION_ROOM];
	struct settings on = settings(443, "");
	struct https_visit visit = {.path = span_of(path, sizeof path - sizeof "https://h?"),
	                            .host = SPAN("h")};
	(void)state;
	memset(path, 'a', sizeof path);
	assert_int_equal(https_only(&visit, &on, location), HTTPS_GOES);
	assert_int_equal(strlen(location), visit.path.len + 9);
	visit.path.len++;
	assert_int_equal(https_only(&visit, &on, location), HTTPS_NOWHERE);
}

static void hsts(void **state)
{
	char line[HTTPS_HSTS_ROOM];
	struct settings s = {0};
	(void)state;
	https_hsts(&s, line);
	assert_string_equal(line, "");
	s.tls_hsts_max_age_ms = 31536000000;
	https_hsts(&s, line);
	assert_string_equal(line, "strict-transport-security: max-age=31536000\r\n");
	s.tls_hsts_subdomains = true;
	https_hsts(&s, line);
	assert_string_equal(line,
	                    "strict-transport-security: max-age=31536000; includeSubDomains\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(where_it_goes),
	        cmocka_unit_test(what_stays),
	        cmocka_unit_test(too_long_for_a_location),
	        cmocka_unit_test(hsts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
