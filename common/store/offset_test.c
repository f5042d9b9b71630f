#include "common/store/offset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_parse(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum offset_kind kind;
		uint64_t lineage, position;
	} rows[] = {
	        {"-1", OFFSET_START, 0, 0},
	        {"now", OFFSET_NOW, 0, 0},
	        {"0000000000000000_0000000000000000", OFFSET_AT, 0, 0},
	        {"0000000000000012_0000000000000345", OFFSET_AT, 12, 345},
	        {"9999999999999999_9999999999999999", OFFSET_AT, 9999999999999999,
	         9999999999999999},
	        {"", OFFSET_BAD, 0, 0},
	        {"NOW", OFFSET_BAD, 0, 0},
	        {"-2", OFFSET_BAD, 0, 0},
	        {"0", OFFSET_BAD, 0, 0},
	        {"0000000000000012_000000000000034", OFFSET_BAD, 0, 0},
	        {"0000000000000012_00000000000003456", OFFSET_BAD, 0, 0},
	        {"0000000000000012-0000000000000345", OFFSET_BAD, 0, 0},
	        {"000000000000001a_0000000000000345", OFFSET_BAD, 0, 0},
	        {"+000000000000012_0000000000000345", OFFSET_BAD, 0, 0},
	        {" 000000000000012_0000000000000345", OFFSET_BAD, 0, 0},
	        {"0000000000000012_000000000000034\xff", OFFSET_BAD, 0, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].text);
		char *exact = malloc(len != 0 ? len : 1);
		assert_non_null(exact);
		memcpy(exact, rows[i].text, len);
		struct offset o = offset_parse(span_of(exact, len));
		free(exact);
		assert_int_equal(o.kind, rows[i].kind);
		if (o.kind == OFFSET_AT) {
			assert_int_equal(o.lineage, rows[i].lineage);
			assert_int_equal(o.position, rows[i].position);
		}
	}
}

/* What is printed sorts as text as it does as a number, and reads back. */
static void test_print(void **state)
{
	(void)state;
	static const uint64_t positions[] = {0, 1, 9, 10, 99, 100, 12345678, 9999999999999999};
	char former[OFFSET_ROOM] = "";
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		char text[OFFSET_ROOM];
		struct span s = offset_print(77, positions[i], text);
		assert_int_equal(s.len, OFFSET_TEXT_LEN);
		assert_int_equal(strlen(text), OFFSET_TEXT_LEN);
		struct offset o = offset_parse(s);
		assert_int_equal(o.kind, OFFSET_AT);
		assert_int_equal(o.position, positions[i]);
		assert_int_equal(o.lineage, positions[i] != 0 ? 77 : 0);
		assert_true(strcmp(text, former) > 0);
		memcpy(former, text, sizeof former);
	}
}

static void test_cursor(void **state)
{
	(void)state;
	uint64_t at_ms = 1728432000000u + 20000 * 1000 + 19999;
	assert_int_equal(cursor_next(at_ms, (struct span){0}), 1000);
	static const char *const older[] = {"0",  "999", "abc",
	                                    "-1", "12a", "9999999999999999999999"};
	for (size_t i = 0; i < sizeof older / sizeof *older; i++)
		assert_int_equal(cursor_next(at_ms, span_str(older[i])), 1000);
	for (int i = 0; i < 1000; i++) {
		uint64_t next = cursor_next(at_ms, SPAN("1000"));
		assert_in_range(next, 1001, 1000 + 180);
		assert_true(cursor_next(at_ms, SPAN("5000")) > 5000);
	}
}

static void test_etags(void **state)
{
	(void)state;
	struct stream stream = {.id = 255};
	char text[96], other[96];
	struct span tag = etag_print(&stream, 16, 32, false, text);
	assert_true(span_equal(tag, SPAN("\"ff-10-20\"")));
	assert_false(span_equal(tag, etag_print(&stream, 16, 32, true, other)));
	static const struct {
		const char *list;
		bool matches;
	} rows[] = {
	        {"\"ff-10-20\"", true},
	        {"W/\"ff-10-20\"", true},
	        {"*", true},
	        {"\"a\", \"ff-10-20\"", true},
	        {"\"a\",\t W/\"ff-10-20\" , \"b\"", true},
	        {" \"ff-10-20\" ", true},
	        {"", false},
	        {",", false},
	        {", ,", false},
	        {"ff-10-20", false},
	        {"\"ff-10-2\"", false},
	        {"\"ff-10-20c\"", false},
	        {"w/\"ff-10-20\"", false},
	        {"W/", false},
	        {"\"FF-10-20\"", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (etag_matches(span_str(rows[i].list), tag) != rows[i].matches)
			fail_msg("'%s'", rows[i].list);
}

static void test_timestamps(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
		bool valid;
	} rows[] = {
	        {"1970-01-01T00:00:00Z", 0, true},
	        {"2024-02-29T12:34:56.789Z", 1709210096789, true},
	        {"2024-02-29t12:34:56.7z", 1709210096700, true},
	        {"2024-02-29T12:34:56.7891234Z", 1709210096789, true},
	        {"2024-02-29T14:34:56+02:00", 1709210096000, true},
	        {"2024-02-29T10:04:56-02:30", 1709210096000, true},
	        {"1969-12-31T23:59:59.999Z", -1, true},
	        {"2016-12-31T23:59:60Z", 1483228800000, true},
	        {"9999-12-31T23:59:59Z", 253402300799000, true},
	        {"2023-02-29T00:00:00Z", 0, false},
	        {"2024-04-31T00:00:00Z", 0, false},
	        {"2024-13-01T00:00:00Z", 0, false},
	        {"2024-00-01T00:00:00Z", 0, false},
	        {"2024-01-00T00:00:00Z", 0, false},
	        {"2024-01-01T24:00:00Z", 0, false},
	        {"2024-01-01T00:60:00Z", 0, false},
	        {"2024-01-01T00:00:61Z", 0, false},
	        {"2024-01-01T00:00:00", 0, false},
	        {"2024-01-01T00:00:00.Z", 0, false},
	        {"2024-01-01T00:00:00+0200", 0, false},
	        {"2024-01-01T00:00:00+24:00", 0, false},
	        {"2024-01-01T00:00:00ZZ", 0, false},
	        {"2024-01-01", 0, false},
	        {"24-01-01T00:00:00Z", 0, false},
	        {" 2024-01-01T00:00:00Z", 0, false},
	        {"", 0, false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int64_t ms;
		if (timestamp_parse(span_str(rows[i].text), &ms) != rows[i].valid)
			fail_msg("%s", rows[i].text);
		if (rows[i].valid)
			assert_int_equal(ms, rows[i].ms);
	}
}

static void test_timestamps_print(void **state)
{
	(void)state;
	static const int64_t times[] = {0, 1, 999, 1709210096789, -1, -1000, 253402300799999};
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		char text[40];
		int64_t back;
		assert_true(timestamp_parse(timestamp_print(times[i], text), &back));
		assert_int_equal(back, times[i]);
	}
	char text[40];
	assert_true(
	        span_equal(timestamp_print(1709210096789, text), SPAN("2024-02-29T12:34:56.789Z")));
}

static void test_numbers(void **state)
{
	(void)state;
	uint64_t n;
	assert_true(number_parse(SPAN("0"), 10, &n) && n == 0);
	assert_true(number_parse(SPAN("007"), 10, &n) && n == 7);
	assert_true(number_parse(SPAN("999999999999999999"), UINT64_MAX, &n));
	static const char *const bad[] = {"",
	                                  "11",
	                                  "-1",
	                                  "+1",
	                                  "1.0",
	                                  " 1",
	                                  "1 ",
	                                  "0x1",
	                                  "1000000000000000000",
	                                  "99999999999999999999999"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(number_parse(span_str(bad[i]), 10, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_parse),      cmocka_unit_test(test_print),
	        cmocka_unit_test(test_cursor),     cmocka_unit_test(test_etags),
	        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_timestamps_print),
	        cmocka_unit_test(test_numbers),
	};
	return cmocka_run_group_tests_name("offset", tests, NULL, NULL);
}
