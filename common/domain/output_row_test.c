#include "common/domain/output_row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As 0.1.0 wrote them. */
static void rows_have_their_bytes(void **state)
{
	static const struct {
		struct output_row row;
		const char *text;
	} rows[] = {
	        {{.added = true, .url = "rtmp://host/live"},
	         "{\"added\":true,\"own\":false,\"url\":\"rtmp://host/live\",\"paused\":false,"
	         "\"removed\":false}"},
	        {{.added = true, .own = true, .url = "hls:/srv/a", .hls = "/srv/a", .paused = true},
	         "{\"added\":true,\"own\":true,\"url\":\"hls:/srv/a\",\"hls\":\"/srv/a\","
	         "\"paused\":true,\"removed\":false}"},
	        {{.own = true, .digest = "0123456789abcdef", .removed = true},
	         "{\"added\":false,\"own\":true,\"digest\":\"0123456789abcdef\",\"paused\":false,"
	         "\"removed\":true}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct output_row back = {0};
		char *text = output_row_text(&rows[i].row);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(output_row_read(&back, span_str(text)), ROW_PRESENT);
		assert_memory_equal(&back, &rows[i].row, sizeof back);
		free(text);
	}
}

static void what_a_row_needs(void **state)
{
	static const char *const good[] = {"{\"added\":true,\"url\":\"x\"}",
	                                   "{\"added\":false,\"digest\":\"x\",\"later\":1}"};
	static const char *const bad[] = {
	        "",
	        "{}",
	        "[]",
	        "{\"added\":true}",
	        "{\"added\":true,\"digest\":\"x\"}",
	        "{\"added\":false,\"url\":\"x\"}",
	        "{\"added\":1,\"url\":\"x\"}",
	        "{\"added\":true,\"url\":null}",
	        "{\"added\":true,\"url\":\"x\",\"paused\":0}",
	        "{\"added\":true,\"url\":\"x\",\"hls\":true}",
	        "{\"added\":false,\"digest\":\"01234567890123456\"}",
	        "{\"added\":true,\"added\":true,\"url\":\"x\"}",
	};
	struct output_row row;
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(output_row_read(&row, span_str(good[i])), ROW_PRESENT);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(output_row_read(&row, span_str(bad[i])), ROW_UNREADABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rows_have_their_bytes),
	        cmocka_unit_test(what_a_row_needs),
	};
	return cmocka_run_group_tests_name("output_row", tests, NULL, NULL);
}
