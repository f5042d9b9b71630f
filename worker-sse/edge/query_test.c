#include "worker-sse/edge/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* "name=value;name=value" of all parameters. */
static const char *parameters(const char *text, char out[256])
{
	struct span query = span_str(text), name, value;
	*out = '\0';
	while (query_next(&query, &name, &value))
		snprintf(out + strlen(out), 256 - strlen(out), "%.*s=%.*s;", (int)name.len,
		         (const char *)name.at, (int)value.len, (const char *)value.at);
	return out;
}

static void parameters_are_found(void **state)
{
	char out[256];
	struct span value = {0};
	(void)state;
	assert_string_equal(parameters("a=1&b=&c&=d&&e=f=g", out), "a=1;b=;c=;=d;=;e=f=g;");
	assert_string_equal(parameters("", out), "");
	assert_int_equal(query_find(SPAN("a=1&b=2&a=3"), "a", &value), 2);
	assert_true(span_equal(value, SPAN("1")));
	assert_int_equal(query_find(SPAN("ab=1"), "a", &value), 0);
	assert_int_equal(query_find((struct span){0}, "a", &value), 0);
}

static void lists_are_split_at_commas(void **state)
{
	static const struct {
		const char *list, *elements, *last;
	} rows[] = {{"a, b ,\tc", "a|b|c|", "c"},
	            {"", "", ""},
	            {"a", "a|", "a"},
	            {", ,a,,", "||a||", "a"},
	            {" 10.0.0.1 , 10.0.0.2", "10.0.0.1|10.0.0.2|", "10.0.0.2"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct span list = span_str(rows[i].list), element;
		char out[128] = "";
		while (list_next(&list, &element))
			snprintf(out + strlen(out), sizeof out - strlen(out), "%.*s|",
			         (int)element.len, (const char *)element.at);
		assert_string_equal(out, rows[i].elements);
		struct span last = list_last(span_str(rows[i].list));
		assert_true(span_equal(last, span_str(rows[i].last)));
	}
}

static void values_are_decoded(void **state)
{
	static const struct {
		const char *in, *percent, *query; /* NULL: malformed */
	} rows[] = {{"a%20b", "a b", "a b"},
	            {"a+b", "a+b", "a b"},
	            {"%2B+%2b",
	             "++"
	             "+",
	             "+ +"},
	            {"%", NULL, NULL},
	            {"%4", NULL, NULL},
	            {"%4g", NULL, NULL},
	            {"a%e2%82%ac", "a\xe2\x82\xac", "a\xe2\x82\xac"},
	            {"", "", ""}};
	uint8_t out[64];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = percent_decode(span_str(rows[i].in), out);
		if (rows[i].percent == NULL)
			assert_true(len == SIZE_MAX);
		else
			assert_true(span_equal(span_of(out, len), span_str(rows[i].percent)));
		len = query_decode(span_str(rows[i].in), out);
		if (rows[i].query == NULL)
			assert_true(len == SIZE_MAX);
		else
			assert_true(span_equal(span_of(out, len), span_str(rows[i].query)));
	}
}

static void what_is_taken_out_is_gone(void **state)
{
	static const char *const rows[][2] = {{"ticket=x", ""},
	                                      {"ticket=x&a=b", "a=b"},
	                                      {"a=b&ticket=x", "a=b"},
	                                      {"a=b&ticket=x&c", "a=b&c"},
	                                      {"ticket=x&ticket=y&a=ticket", "a=ticket"},
	                                      {"a&ticket&b=", "a&b="},
	                                      {"tickets=x&xticket=y", "tickets=x&xticket=y"},
	                                      {"&&a=b", "&&a=b"},
	                                      {"", ""}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[64];
		strcpy(text, rows[i][0]);
		size_t len = query_remove((uint8_t *)text, strlen(text), "ticket");
		text[len] = '\0';
		assert_string_equal(text, rows[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(parameters_are_found),
	        cmocka_unit_test(lists_are_split_at_commas),
	        cmocka_unit_test(values_are_decoded),
	        cmocka_unit_test(what_is_taken_out_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
