#include "common/store/stream_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *canonical_of(const char *name)
{
	static char out[STREAM_NAME_ROOM + 1];
	assert_true(stream_name_text(span_str(name), out, sizeof out));
	return out;
}

static void test_one_canonical_form(void **state)
{
	static const char *const rows[][2] = {{"/v1/stream/a", "/v1/stream/a"},
	                                      {"a|b", "a%7Cb"},
	                                      {"a%7cb", "a%7Cb"},
	                                      {"a%7Cb", "a%7Cb"},
	                                      {"%61%2e%7E", "a.~"},
	                                      {"a b", "a%20b"},
	                                      {"a+b", "a+b"},
	                                      {"a%2Bb", "a+b"},
	                                      {"a%2fb", "a%2Fb"},
	                                      {"a%", "a%25"},
	                                      {"a%4", "a%254"},
	                                      {"a%zz", "a%25zz"},
	                                      {"%25", "%25"},
	                                      {"%2541", "%2541"},
	                                      {"[1]^`{}\"<>\\", "%5B1%5D%5E%60%7B%7D%22%3C%3E%5C"},
	                                      {"\xc3\xa9", "%C3%A9"},
	                                      {"%c3%A9", "%C3%A9"},
	                                      {"%00", "%00"},
	                                      {"a:@!$&'()*,;=b", "a:@!$&'()*,;=b"},
	                                      {"%3A%40", ":@"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_string_equal(canonical_of(rows[i][0]), rows[i][1]);
		assert_string_equal(canonical_of(rows[i][1]), rows[i][1]); /* it is its own */
		assert_true(stream_name_is_canonical(span_str(rows[i][1])));
		assert_int_equal(stream_name_is_canonical(span_str(rows[i][0])),
		                 strcmp(rows[i][0], rows[i][1]) == 0);
		assert_true(stream_name_equal(span_str(rows[i][0]), span_str(rows[i][1])));
	}
	assert_false(stream_name_equal(SPAN("a/b"), SPAN("a%2Fb")));
	assert_false(stream_name_equal(SPAN("%2541"), SPAN("A")));
}

static bool spelled(const char *name, const char *as)
{
	uint8_t out[STREAM_NAME_ROOM];
	struct span spelling;
	for (unsigned n = 0; stream_name_spelling(n, span_str(name), out, &spelling); n++)
		if (span_equal(spelling, span_str(as)))
			return true;
	return false;
}

static void test_usual_spellings(void **state)
{
	static const char *const names[] = {"a|b:c[1] \"x\"^(d)",
	                                    "a%7Cb%3Ac%5B1%5D%20%22x%22%5E(d)"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_true(spelled(names[i], "a%7Cb:c%5B1%5D%20%22x%22%5E(d)")); /* canonical */
		assert_true(spelled(names[i], "a|b:c[1]%20\"x\"^(d)"));           /* curl */
		assert_true(spelled(names[i], "a|b:c[1]%20%22x%22^(d)"));   /* a browser of then */
		assert_true(spelled(names[i], "a|b:c[1]%20%22x%22%5E(d)")); /* a browser of now */
		assert_true(spelled(names[i],
		                    "a%7Cb%3Ac%5B1%5D%20%22x%22%5E(d)")); /* encodeURIComponent */
		assert_true(spelled(names[i],
		                    "a%7Cb%3Ac%5B1%5D%20%22x%22%5E%28d%29")); /* Python's quote */
		assert_true(spelled(names[i], "a%7cb:c%5b1%5d%20%22x%22%5e(d)"));
		assert_true(spelled(names[i], "a%7cb%3ac%5b1%5d%20%22x%22%5e%28d%29"));
	}
	assert_true(spelled("feeds/arena-1.x_y~z", "feeds/arena-1.x_y~z"));
	struct span spelling;
	uint8_t out[STREAM_NAME_ROOM];
	assert_false(stream_name_spelling(1, SPAN("feeds/arena-1.x_y~z"), out,
	                                  &spelling)); /* nearly every name has one */
}

static void test_every_byte_has_one_form(void **state)
{
	(void)state;
	for (unsigned c = 1; c < 256; c++) {
		char raw[2] = {(char)c, '\0'}, escape[4], lower[4];
		snprintf(escape, sizeof escape, "%%%02X", c);
		snprintf(lower, sizeof lower, "%%%02x", c);
		char kept[8];
		strcpy(kept, canonical_of(escape));
		assert_string_equal(kept, canonical_of(lower));
		if (c != '/')
			assert_string_equal(kept, canonical_of(raw));
		assert_true(stream_name_is_canonical(span_str(kept)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_canonical_form),
	                                   cmocka_unit_test(test_usual_spellings),
	                                   cmocka_unit_test(test_every_byte_has_one_form)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
