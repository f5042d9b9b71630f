#include "common/base/js_text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What JSON.stringify of V8 says. */
static void numbers_as_in_javascript(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
	        {0, "0"},
	        {-0.0, "0"},
	        {1, "1"},
	        {-1, "-1"},
	        {10, "10"},
	        {0.1, "0.1"},
	        {7.2, "7.2"},
	        {10.5, "10.5"},
	        {-12.25, "-12.25"},
	        {100, "100"},
	        {123456789012.0, "123456789012"},
	        {1e15, "1000000000000000"},
	        {1e20, "100000000000000000000"},
	        {1e21, "1e+21"},
	        {1.5e300, "1.5e+300"},
	        {0.000001, "0.000001"},
	        {1e-7, "1e-7"},
	        {1.25e-7, "1.25e-7"},
	        {0.1 + 0.2, "0.30000000000000004"},
	        {1.0 / 3, "0.3333333333333333"},
	        {5e-324, "5e-324"},
	        {1.7976931348623157e308, "1.7976931348623157e+308"},
	        {9007199254740993.0, "9007199254740992"},
	        {123.456, "123.456"},
	        {0.00012, "0.00012"},
	        {4.35, "4.35"},
	        {1e2, "100"},
	        {12345678901234567890.0, "12345678901234567000"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[JS_NUMBER_ROOM];
		js_number(rows[i].value, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void every_number_reads_back(void **state)
{
	uint64_t x = 88172645463325252u;
	(void)state;
	for (int i = 0; i < 200000; i++) {
		char text[JS_NUMBER_ROOM];
		double value;
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&value, &x, sizeof value);
		if (!isfinite(value))
			continue;
		js_number(value, text);
		assert_true(strtod(text, NULL) == value);
		assert_true(strlen(text) < 26);
	}
}

static void trees_keep_their_order(void **state)
{
	const char *text =
	        "{\"z\":[1,2.5,\"\\u00e4\\\"\\n\",null,true,{}],\"a\":{\"b\":0.1},\"\":[]}";
	json_t *tree = json_loads(text, 0, NULL);
	char *out = js_text(tree);
	(void)state;
	assert_string_equal(
	        out, "{\"z\":[1,2.5,\"\xc3\xa4\\\"\\n\",null,true,{}],\"a\":{\"b\":0.1},\"\":[]}");
	free(out);
	json_decref(tree);
}

/* Names in the order of UTF-16, as sort() of JavaScript has them. */
static void one_text_for_all_spellings(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
	        {"{}", "{}"},
	        {" { \"b\" : 1.0 , \"a\" : [ { \"z\" : 0, \"y\" : -0.0 } ] } ",
	         "{\"a\":[{\"y\":0,\"z\":0}],\"b\":1}"},
	        {"{\"\\ue000\":1,\"\\ud83d\\ude00\":2,\"\\u00e9\":3,\"ab\":4,\"a\":5,\"\":6}",
	         "{\"\":6,\"a\":5,\"ab\":4,\"\xc3\xa9\":3,\"\xf0\x9f\x98\x80\":2,\"\xee\x80\x80\":"
	         "1}"},
	        {"[9007199254740993,1e21,\"\\u0041\\n\"]", "[9007199254740992,1e+21,\"A\\n\"]"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *tree = json_loads(rows[i][0], 0, NULL);
		assert_non_null(tree);
		char *text = js_text_canonical(tree);
		assert_string_equal(text, rows[i][1]);
		free(text);
		json_decref(tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers_as_in_javascript),
	        cmocka_unit_test(every_number_reads_back),
	        cmocka_unit_test(trees_keep_their_order),
	        cmocka_unit_test(one_text_for_all_spellings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
