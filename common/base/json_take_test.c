#include "common/base/json_take.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What is valid for others: as it reads back, and what was lost. */
static void what_is_valid_is_taken(void **state)
{
	static const struct {
		const char *text, *back;
		unsigned losses;
	} rows[] = {
	        {"{\"a\":1}", "{\"a\":1}", 0},
	        {"{\"a\":9223372036854775807}", "{\"a\":9223372036854775807}", 0},
	        {"{\"a\":10000000000000000000,\"b\":1}", "{\"a\":1e19,\"b\":1}", 0},
	        {"[-9223372036854775809]", "[-9.2233720368547758e18]", 0},
	        {"[1e999,-1e999,2]", "[null,null,2]", JSON_LOSS_NUMBER},
	        {"[1e-999,10000000000000000000]", "[0.0,1e19]", 0},
	        {"{\"t\":\"a\\u0000b\"}", "{\"t\":\"a\\u0000b\"}", 0},
	        {"{\"a\\u0000\" : 1,\"b\":2}", "{\"a\\uFFFD\":1,\"b\":2}", JSON_LOSS_NUL},
	        {"[\"\\ud800\",\"x\\udc00y\",\"\\ud83d\\ude00\",\"\\ud800\\ud800\"]",
	         "[\"\\uFFFD\",\"x\\uFFFDy\",\"\\uD83D\\uDE00\",\"\\uFFFD\\uFFFD\"]",
	         JSON_LOSS_SURROGATE},
	        {"[\"\\\\ud800 \\\" 10000000000000000000\",\"\\ud800\"]",
	         "[\"\\\\ud800 \\\" 10000000000000000000\",\"\\uFFFD\"]", JSON_LOSS_SURROGATE},
	        {"10000000000000000000", "1e19", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned losses = 99;
		json_t *value = json_take(span_str(rows[i].text),
		                          JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
		                          &losses, NULL);
		if (value == NULL)
			fail_msg("%s is lost", rows[i].text);
		char *back = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
		assert_string_equal(back, rows[i].back);
		assert_int_equal(losses, rows[i].losses);
		assert_int_equal(*json_loss_text(losses) == '\0', losses == 0);
		free(back);
		json_decref(value);
	}
}

/* A text that ends early is another: nothing that was cut is taken for the whole. */
static void without_allow_nul_no_text_ends_early(void **state)
{
	unsigned losses;
	json_t *value = json_take(SPAN("[\"a\\u0000b\"]"), 0, &losses, NULL);
	(void)state;
	assert_string_equal(json_string_value(json_array_get(value, 0)), "a\xef\xbf\xbd"
	                                                                 "b");
	assert_int_equal(losses, JSON_LOSS_NUL);
	json_decref(value);
}

static void what_is_no_json_stays_none(void **state)
{
	static const char *const texts[] = {"",
	                                    "{",
	                                    "[01]",
	                                    "[1e]",
	                                    "[10000000000000000000e]",
	                                    "[--1]",
	                                    "{\"a\":}",
	                                    "[\"\\ud8\"]",
	                                    "[\"\\ud800]",
	                                    "{\"a\":1,\"a\":10000000000000000000}",
	                                    "[1e999",
	                                    "[\"\xff\\ud800\"]",
	                                    "[00000000000000000000001]",
	                                    "[-]",
	                                    "[1e999e]",
	                                    "[01e999]",
	                                    "[1.e999]",
	                                    "[1e999-1]",
	                                    "[1e9999.5]"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		json_error_t error;
		if (json_take(span_str(texts[i]), JSON_REJECT_DUPLICATES, NULL, &error) != NULL)
			fail_msg("%s was taken", texts[i]);
	}
}

static void texts_that_c_would_cut_are_found(void **state)
{
	json_t *value = json_take(SPAN("{\"scene\":{\"a\":[\"x\\u0000\"]},\"b\":[{\"c\":\"y\"}]}"),
	                          JSON_ALLOW_NUL, NULL, NULL);
	(void)state;
	assert_true(json_has_nul(value, NULL));
	assert_false(json_has_nul(value, "scene"));
	assert_true(json_has_nul(value, "b"));
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_valid_is_taken),
	        cmocka_unit_test(without_allow_nul_no_text_ends_early),
	        cmocka_unit_test(what_is_no_json_stays_none),
	        cmocka_unit_test(texts_that_c_would_cut_are_found),
	};
	return cmocka_run_group_tests_name("json_take", tests, NULL, NULL);
}
