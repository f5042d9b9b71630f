#include "common/store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum colour { RED, GREEN };
static const char *const colours[] = {"red", "green"};

struct thing {
	char name[5], note[5];
	uint64_t size;
	uint32_t small;
	int side;
	int64_t rank;
	double weight;
	bool open;
	enum colour colour;
	int untouched;
};

static const struct record_field fields[] = {
        {RECORD_MEMBER("name", struct thing, name), RECORD_NEEDED},
        {RECORD_MEMBER("note", struct thing, note), .text = "none", .sparse = true},
        {RECORD_MEMBER("size", struct thing, size), .max = 1000},
        {RECORD_MEMBER("small", struct thing, small), .since = 2, .standard = 7},
        {RECORD_MEMBER("side", struct thing, side), .min = -1, .max = 1},
        {.name = "rank",
         .kind = RECORD_MAYBE,
         RECORD_PLACE(struct thing, rank),
         .standard = RECORD_NULL},
        {RECORD_MEMBER("weight", struct thing, weight)},
        {RECORD_MEMBER("open", struct thing, open), .standard = true},
        {RECORD_ENUM("colour", struct thing, colour, colours), .standard = GREEN},
        {.name = "more", .kind = RECORD_OBJECT},
        {.name = "long", .kind = RECORD_STRING, .sparse = true},
        {.name = "list", .kind = RECORD_ARRAY, .sparse = true},
};
static const struct record record = {RECORD_FIELDS(fields), .format_name = "v", .format = 2};

static enum row_found read(const char *text, struct thing *into)
{
	json_t *row =
	        text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
	assert_true(text == NULL || row != NULL);
	enum row_found found = record_read(&record, row, into);
	json_decref(row);
	return found;
}

static void what_is_written_reads_back(void **state)
{
	static const struct thing things[] = {
	        {"abcd", "none", 1000, UINT32_MAX, -1, RECORD_NULL, 0.1, false, RED, 3},
	        {"", "x", 0, 0, 1, INT64_MAX, -1e300, true, GREEN, 3}};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct thing back = {.untouched = 3};
		json_t *row = json_object();
		record_write(&record, &things[i], row);
		assert_int_equal(record_read(&record, row, &back), ROW_PRESENT);
		assert_memory_equal(back.name, things[i].name, sizeof back.name);
		assert_string_equal(back.note, things[i].note);
		assert_int_equal(back.size, things[i].size);
		assert_int_equal(back.small, things[i].small);
		assert_int_equal(back.side, things[i].side);
		assert_true(back.rank == things[i].rank && back.weight == things[i].weight);
		assert_int_equal(back.open, things[i].open);
		assert_int_equal(back.colour, things[i].colour);
		assert_int_equal(back.untouched, 3);
		json_decref(row);
	}
}

static void members_are_written_in_the_tables_order(void **state)
{
	const struct thing thing = {"n", "none", 1, 2, 0, RECORD_NULL, 0.5, true, RED, 0};
	(void)state;
	json_t *row = json_object();
	record_write(&record, &thing, row);
	char *text = json_dumps(row, JSON_COMPACT);
	assert_string_equal(
	        text, "{\"v\":2,\"name\":\"n\",\"size\":1,\"small\":2,\"side\":0,\"rank\":null,"
	              "\"weight\":0.5,\"open\":true,\"colour\":\"red\"}");
	free(text);
	json_decref(row);
}

static void absent_unreadable_and_present_are_three_answers(void **state)
{
	struct thing thing;
	(void)state;
	assert_int_equal(read(NULL, &thing), ROW_ABSENT);
	assert_int_equal(read("{\"v\":1,\"name\":\"\"}", &thing), ROW_PRESENT);
	assert_int_equal(read("{\"v\":1}", &thing), ROW_UNREADABLE);
	assert_int_equal(read("[]", &thing), ROW_UNREADABLE);
	assert_int_equal(read("null", &thing), ROW_UNREADABLE);
	assert_int_equal(read("7", NULL), ROW_UNREADABLE);
}

static void what_is_missing_has_its_default(void **state)
{
	struct thing thing;
	(void)state;
	memset(&thing, 0x55, sizeof thing);
	assert_int_equal(
	        read("{\"v\":1,\"name\":\"x\",\"long\":\"as it is\",\"unknown\":[1]}", &thing),
	        ROW_PRESENT);
	assert_string_equal(thing.note, "none");
	assert_int_equal(thing.size, 0);
	assert_int_equal(thing.small, 7);
	assert_int_equal(thing.side, 0);
	assert_true(thing.rank == RECORD_NULL && thing.weight == 0 && thing.open);
	assert_int_equal(thing.colour, GREEN);
	assert_int_equal(thing.untouched, 0x55555555);
}

static void a_member_is_needed_since_its_format(void **state)
{
	struct thing thing;
	(void)state;
	assert_int_equal(read("{\"v\":1,\"name\":\"x\"}", &thing), ROW_PRESENT);
	assert_int_equal(read("{\"v\":2,\"name\":\"x\"}", &thing), ROW_UNREADABLE);
	assert_int_equal(read("{\"v\":2,\"name\":\"x\",\"small\":1}", &thing), ROW_PRESENT);
	static const char *const formats[] = {"3", "0", "-1", "\"2\"", "2.0", "null", "4294967297"};
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		char text[80];
		snprintf(text, sizeof text, "{\"v\":%s,\"name\":\"x\",\"small\":1}", formats[i]);
		assert_int_equal(read(text, &thing), ROW_UNREADABLE);
	}
	assert_int_equal(read("{\"name\":\"x\",\"small\":1}", &thing), ROW_UNREADABLE);
}

/* Each value in turn, of a row that is good without it; nothing of it is taken. */
static void what_does_not_fit_is_never_a_default(void **state)
{
	static const struct {
		const char *name, *values[8];
	} rows[] = {
	        {"name", {"5", "null", "\"abcde\"", "\"a\\u0000\"", "{}"}},
	        {"note", {"5", "null", "\"abcde\"", "false"}},
	        {"size", {"-1", "1001", "1.0", "\"1\"", "null", "true"}},
	        {"small", {"-1", "4294967296", "\"1\"", "null"}},
	        {"side", {"-2", "2", "0.5", "null"}},
	        {"rank", {"1.5", "\"1\"", "true"}},
	        {"weight", {"\"1\"", "null", "[]"}},
	        {"open", {"1", "\"true\"", "null"}},
	        {"colour", {"0", "\"blue\"", "\"\"", "null"}},
	        {"more", {"[]", "\"\"", "null"}},
	        {"long", {"{}", "1", "\"a\\u0000\""}},
	        {"list", {"{}", "\"\"", "null"}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t j = 0; rows[i].values[j] != NULL; j++) {
			struct thing thing = {.untouched = 1}, before = thing;
			json_t *row = json_loads("{\"v\":1,\"name\":\"x\",\"size\":5}", 0, NULL);
			json_object_set_new(row, rows[i].name,
			                    json_loads(rows[i].values[j],
			                               JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
			assert_int_equal(record_read(&record, row, NULL), ROW_UNREADABLE);
			assert_int_equal(record_read(&record, row, &thing), ROW_UNREADABLE);
			assert_memory_equal(&thing, &before, sizeof thing);
			json_decref(row);
		}
}

static void a_text_that_was_cut_within_a_letter_is_left_out(void **state)
{
	const struct thing thing = {.name = "x", .note = "\xc3"};
	(void)state;
	json_t *row = json_object();
	record_write(&record, &thing, row);
	assert_null(json_object_get(row, "note"));
	assert_int_equal(record_read(&record, row, NULL), ROW_PRESENT);
	json_decref(row);
}

static void a_row_that_stays_json_gets_the_defaults(void **state)
{
	json_t *row = json_loads("{\"v\":1,\"name\":\"x\",\"open\":false}", 0, NULL);
	(void)state;
	record_complete(&record, row);
	char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(
	        text,
	        "{\"colour\":\"green\",\"more\":{},\"name\":\"x\",\"open\":false,\"rank\":null,"
	        "\"side\":0,\"size\":0,\"small\":7,\"v\":1,\"weight\":0.0}");
	free(text);
	json_decref(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_written_reads_back),
	        cmocka_unit_test(members_are_written_in_the_tables_order),
	        cmocka_unit_test(absent_unreadable_and_present_are_three_answers),
	        cmocka_unit_test(what_is_missing_has_its_default),
	        cmocka_unit_test(a_member_is_needed_since_its_format),
	        cmocka_unit_test(what_does_not_fit_is_never_a_default),
	        cmocka_unit_test(a_text_that_was_cut_within_a_letter_is_left_out),
	        cmocka_unit_test(a_row_that_stays_json_gets_the_defaults),
	};
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
