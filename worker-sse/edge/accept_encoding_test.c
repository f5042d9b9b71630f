#include "worker-sse/edge/accept_encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ALL = (1 << CODING_COUNT) - 1, GZIP = 1 << CODING_GZIP };

static void what_a_client_likes_best(void **state)
{
	static const struct {
		const char *accept;
		unsigned have;
		const char *chosen;
	} rows[] = {
	        {"", ALL, "identity"},
	        {"gzip", ALL, "gzip"},
	        {"gzip, deflate, br, zstd", ALL, "zstd"},
	        {"gzip, deflate, br", ALL, "br"},
	        {"gzip, deflate, br, zstd", GZIP, "gzip"},
	        {"gzip, deflate, br, zstd", 0, "identity"},
	        {"deflate, compress", ALL, "identity"},
	        {"x-gzip", ALL, "gzip"},
	        {"GZip", ALL, "gzip"},
	        {"gzip;q=1.0, zstd;q=0.5", ALL, "gzip"},
	        {"gzip;q=0.001", ALL, "gzip"},
	        {"gzip;q=0", ALL, "identity"},
	        {"zstd;q=0, *", ALL, "br"},
	        {"*", ALL, "zstd"},
	        {"*;q=0", ALL, "identity"},
	        {"*;q=0, gzip", ALL, "gzip"},
	        {"identity, gzip;q=0.5", ALL, "identity"},
	        {"identity;q=0.5, gzip;q=0.5", ALL, "gzip"},
	        {"identity;q=0, gzip;q=0.1", ALL, "gzip"},
	        {"gzip ; q=0.5 , br\t;\tQ=0.7", ALL, "br"},
	        /* Malformed elements are nobody's wish; the others stand. */
	        {"gzip;q=2, br", ALL, "br"},
	        {"gzip;q=1.001", ALL, "identity"},
	        {"gzip;q=0.0001", ALL, "identity"},
	        {"gzip;q=-1", ALL, "identity"},
	        {"gzip;q=.5", ALL, "identity"},
	        {"gzip;q=", ALL, "identity"},
	        {"gzip;", ALL, "identity"},
	        {"gzip;level=9", ALL, "identity"},
	        {";q=1, ,, gzip", ALL, "gzip"},
	        {"gz ip", ALL, "identity"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		enum content_coding got =
		        accept_encoding_choose(span_str(rows[i].accept), rows[i].have);
		if (strcmp(content_coding_name(got), rows[i].chosen) != 0)
			fail_msg("%s: %s", rows[i].accept, content_coding_name(got));
	}
	assert_int_equal(accept_encoding_choose((struct span){0}, ALL), CODING_IDENTITY);
}

static void what_is_worth_it(void **state)
{
	static const char *const yes[] = {"text/plain",
	                                  "text/html; charset=utf-8",
	                                  "application/json",
	                                  "APPLICATION/JSON ;x=y",
	                                  "application/vnd.duel+json",
	                                  "image/svg+xml",
	                                  "application/x-ndjson"},
	                         *const no[] = {"",
	                                        "image/jpeg",
	                                        "application/octet-stream",
	                                        "video/mp4",
	                                        "application/zip",
	                                        "text",
	                                        "application/jsonx",
	                                        "application/gzip; text/plain"};
	(void)state;
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		assert_true(accept_encoding_worth(span_str(yes[i])));
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		assert_false(accept_encoding_worth(span_str(no[i])));
}

static void tags_of_variants_differ(void **state)
{
	char out[ACCEPT_ENCODING_ETAG_ROOM];
	(void)state;
	assert_true(span_equal(accept_encoding_etag(SPAN("\"a:1\""), CODING_IDENTITY, out),
	                       SPAN("\"a:1\"")));
	assert_true(span_equal(accept_encoding_etag(SPAN("\"a:1\""), CODING_ZSTD, out),
	                       SPAN("\"a:1-zstd\"")));
	assert_true(span_equal(accept_encoding_etag(SPAN("\"a:1\""), CODING_GZIP, out),
	                       SPAN("\"a:1-gzip\"")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_a_client_likes_best),
	        cmocka_unit_test(what_is_worth_it),
	        cmocka_unit_test(tags_of_variants_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
