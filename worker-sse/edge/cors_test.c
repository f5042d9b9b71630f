/* What pages of other origins are told. */
#include "worker-sse/edge/cors_preflight.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/edge_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void who_is_let_in_and_how(void **state)
{
	static const struct {
		const char *dev, *setting, *origin, *allowed; /* allowed NULL: nobody */
		bool credentials, varies, embeds;
	} rows[] = {{"false", "*", NULL, "*", false, false, true},
	            {"false", "*", "https://a.example", "*", false, false, true},
	            {"false", "https://a.example", NULL, NULL, false, true, true},
	            {"false", "https://a.example", "https://a.example", "https://a.example", true,
	             true, true},
	            {"false", "https://a.example:443,http://b.example", "https://a.example",
	             "https://a.example", true, true, true},
	            {"false", "https://a.example,HTTP://B.example", "http://b.example",
	             "http://b.example", true, true, true},
	            {"false", "https://a.example", "https://b.example", NULL, false, true, true},
	            {"false", "https://a.example", "http://a.example", NULL, false, true, true},
	            {"false", "https://a.example", "null", NULL, false, true, true},
	            {"false", "https://a.example,null", "null", "null", false, true, true},
	            {"true", "*", "https://a.example", NULL, false, false, false},
	            {"true", "https://a.example", "https://a.example", "https://a.example", true,
	             true, true},
	            {"true", "https://a.example", "https://b.example", NULL, false, true, true}};
	char reason[SETTINGS_REASON_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct settings settings;
		struct cors cors = {0};
		char line[128];
		settings_init(&settings);
		assert_true(settings_set(&settings, SPAN("dev"), span_str(rows[i].dev), reason));
		assert_true(settings_set(&settings, SPAN("http.allowed_origin"),
		                         span_str(rows[i].setting), reason));
		cors_init(&cors, &settings);
		struct span lines = cors_headers(&cors, span_str(rows[i].origin));
		char *text = xmemdup_text(lines.at, lines.len);
		snprintf(line, sizeof line, "access-control-allow-origin: %s\r\n",
		         rows[i].allowed != NULL ? rows[i].allowed : "");
		assert_int_equal(strstr(text, line) != NULL, rows[i].allowed != NULL);
		assert_int_equal(strstr(text, "access-control-") != NULL, rows[i].allowed != NULL);
		assert_int_equal(strstr(text, "access-control-allow-credentials: true\r\n") != NULL,
		                 rows[i].credentials);
		assert_int_equal(strstr(text, "vary: origin\r\n") != NULL, rows[i].varies);
		assert_non_null(strstr(text, "x-content-type-options: nosniff\r\n"));
		assert_non_null(strstr(text, "referrer-policy: no-referrer\r\n"));
		assert_non_null(strstr(
		        text, rows[i].embeds ? "cross-origin-resource-policy: cross-origin\r\n"
		                             : "cross-origin-resource-policy: same-origin\r\n"));
		assert_string_equal(text + strlen(text) - 2, "\r\n");
		free(text);
		cors_finish(&cors);
		settings_finish(&settings);
	}
}

static const char *answer_of(struct edge_bench *bench, struct wire_memory *memory,
                             const char *request)
{
	edge_bench_route()->preflight = cors_preflight;
	edge_bench_connect(bench, memory);
	wire_memory_give_text(memory, request);
	edge_bench_turn(bench, memory);
	return (const char *)memory->out;
}

static void a_preflight_is_told_what_it_may(void **state)
{
	static const struct {
		const char *request, *status;
		bool offers;
	} rows[] = {
	        {"OPTIONS /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 ", false},
	        {"OPTIONS /v1/x/whep HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 ", true},
	        {"OPTIONS /whep HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 ", false},
	        {"OPTIONS /v1/whep/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 ", false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct edge_bench *bench = edge_bench_create(NULL);
		struct wire_memory memory = {0};
		const char *out = answer_of(bench, &memory, rows[i].request);
		if (strncmp(out, rows[i].status, strlen(rows[i].status)) != 0)
			fail_msg("%s: %s", rows[i].request, out);
		assert_int_equal(strstr(out, "accept-post: application/sdp\r\n") != NULL,
		                 rows[i].offers);
		assert_non_null(strstr(out, "access-control-allow-methods: GET, POST, PUT, PATCH, "
		                            "DELETE, HEAD, OPTIONS\r\n"));
		assert_non_null(strstr(out, "access-control-max-age: 86400\r\n"));
		edge_close(&bench->edge);
		edge_bench_turn(bench, &memory);
		wire_memory_finish(&memory);
		edge_bench_destroy(bench);
	}
}

static void a_preflight_of_a_foreign_page_is_told_nothing(void **state)
{
	static const char *const settings[] = {"http.allowed_origin=http://friend.example", NULL};
	static const struct {
		const char *origin;
		bool told;
	} rows[] = {{"http://friend.example", true}, {"http://foe.example", false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct edge_bench *bench = edge_bench_create(settings);
		struct wire_memory memory = {0};
		char request[256];
		snprintf(request, sizeof request,
		         "OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\n\r\n",
		         rows[i].origin);
		const char *out = answer_of(bench, &memory, request);
		assert_memory_equal(out, "HTTP/1.1 204 ", 13);
		assert_non_null(strstr(out, "\r\nallow: "));
		assert_int_equal(strstr(out, "access-control-") != NULL, rows[i].told);
		edge_close(&bench->edge);
		edge_bench_turn(bench, &memory);
		wire_memory_finish(&memory);
		edge_bench_destroy(bench);
	}
}

/* Every header that a client may have to send: those of the product, and those that are forwarded
 * for somebody else. */
static void a_preflight_names_the_headers_of_clients(void **state)
{
#define TITLE(H, member, NAME, title, max) title,
	static const char *const names[] = {FORWARDED_HEADERS(TITLE, ) "if-none-match",
	                                    "last-event-id",
	                                    "stream-seq",
	                                    "stream-closed",
	                                    "producer-id",
	                                    "stream-fork-sub-offset"};
#undef TITLE
	struct edge_bench *bench = edge_bench_create(NULL);
	struct wire_memory memory = {0};
	const char *out =
	        answer_of(bench, &memory, "OPTIONS / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	const char *line = strstr(out, "access-control-allow-headers: ");
	(void)state;
	assert_non_null(line);
	struct span list = span_of(line + 30, strcspn(line, "\r") - 30);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct span left = list, element;
		bool named = false;
		while (list_next(&left, &element))
			named |= span_equal_nocase(element, span_str(names[i]));
		if (!named)
			fail_msg("%s", names[i]);
	}
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_is_let_in_and_how),
	        cmocka_unit_test(a_preflight_of_a_foreign_page_is_told_nothing),
	        cmocka_unit_test(a_preflight_is_told_what_it_may),
	        cmocka_unit_test(a_preflight_names_the_headers_of_clients),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
