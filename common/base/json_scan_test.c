#include "common/base/json_scan.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { DEPTH = 512 };

/* In a block of exactly the promised size. The caller frees *body and out->sizes. */
static const char *split(const char *text, size_t len, size_t depth, uint8_t **body,
                         struct json_split *out)
{
	*body = malloc(len + 1);
	assert_non_null(*body);
	memcpy(*body, text, len);
	return json_split(*body, len, depth, out);
}

static bool is_valid(const char *text, size_t len, size_t depth)
{
	uint8_t *body;
	struct json_split out;
	const char *reason = split(text, len, depth, &body, &out);
	size_t sum = 0;
	for (uint32_t i = 0; i < out.count; i++) {
		sum += out.sizes[i];
		assert_int_equal(out.bytes.at[sum - 1], ',');
	}
	assert_int_equal(sum, out.bytes.len);
	assert_true(reason == NULL || (out.count == 0 && out.sizes == NULL && *reason != '\0'));
	free(out.sizes);
	free(body);
	return reason == NULL;
}

static void test_valid(void **state)
{
	(void)state;
	static const char *const rows[] = {
	        "0",
	        "-0",
	        "1",
	        "-1",
	        "10",
	        "0.0",
	        "1.5e3",
	        "1E+3",
	        "1e-3",
	        "0e0",
	        "true",
	        "false",
	        "null",
	        "\"\"",
	        "\"a\"",
	        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	        "\"\\u00e1\"",
	        "\"\\uD834\\uDD1E\"",
	        "\"\xc3\xbc\"",
	        "\"\xe2\x82\xac\"",
	        "\"\xf0\x9d\x84\x9e\"",
	        "\"\xf4\x8f\xbf\xbf\"",
	        "\"\x7f\"",
	        "{}",
	        "[]",
	        "[[]]",
	        "[{}]",
	        "{\"a\":[]}",
	        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"e\"}",
	        " \t\r\n1 \t\r\n",
	        " [ 1 , 2 ] ",
	        "{ \"a\" : 1 , \"a\" : 2 }",
	        "\xef\xbb\xbf{}",
	        "[\"]\"]",
	        "{\"\":0}",
	        "\"0123456789abcdef0123456789abcdef\"",
	        "123456789012345678901234567890",
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (!is_valid(rows[i], strlen(rows[i]), DEPTH))
			fail_msg("refused: %s", rows[i]);
}

static void test_invalid(void **state)
{
	(void)state;
	static const char *const rows[] = {
	        "",
	        " ",
	        "\xef\xbb\xbf",
	        "\xef\xbb",
	        "01",
	        "-",
	        "-a",
	        "+1",
	        ".5",
	        "1.",
	        "1.e3",
	        "1e",
	        "1e+",
	        "0x1",
	        "1a",
	        "1 2",
	        "--1",
	        "Infinity",
	        "NaN",
	        "tru",
	        "truex",
	        "True",
	        "nul",
	        "\"",
	        "\"a",
	        "\"\\",
	        "\"\\\"",
	        "\"\\x\"",
	        "\"\\u\"",
	        "\"\\u12\"",
	        "\"\\u12g4\"",
	        "\"\\u123\"",
	        "\"\n\"",
	        "\"\t\"",
	        "\"\x1f\"",
	        "'a'",
	        "\"\x80\"",
	        "\"\xc0\xaf\"",
	        "\"\xc1\x81\"",
	        "\"\xc3\"",
	        "\"\xc3(\"",
	        "\"\xe0\x80\x80\"",
	        "\"\xe2\x82\"",
	        "\"\xed\xa0\x80\"",
	        "\"\xf0\x80\x80\x80\"",
	        "\"\xf4\x90\x80\x80\"",
	        "\"\xf5\x80\x80\x80\"",
	        "\"\xff\"",
	        "[",
	        "]",
	        "[1",
	        "[1,",
	        "[1,]",
	        "[,1]",
	        "[,]",
	        "[1 2]",
	        "[1}",
	        "{",
	        "}",
	        "{\"a\"",
	        "{\"a\":",
	        "{\"a\":1",
	        "{\"a\":1,",
	        "{\"a\":1,}",
	        "{,}",
	        "{1:2}",
	        "{a:1}",
	        "{\"a\" 1}",
	        "{\"a\":1]",
	        "{\"a\":,}",
	        "[]]",
	        "{}}",
	        "[][]",
	        "{}{}",
	        "1,",
	        ",1",
	        "// c\n1",
	        "[1]x",
	        "\v1",
	        "1\f",
	        "[\"a]",
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (is_valid(rows[i], strlen(rows[i]), DEPTH))
			fail_msg("accepted: %s", rows[i]);
	assert_false(is_valid("1\0", 2, DEPTH));
	assert_false(is_valid("\"\0\"", 3, DEPTH));
	assert_false(is_valid("\"\\\0\"", 4, DEPTH));
}

static void test_stored_form(void **state)
{
	(void)state;
	static const struct {
		const char *text, *stored;
		uint32_t count;
	} rows[] = {
	        {"1", "1,", 1},
	        {" {\"a\": 1} ", "{\"a\": 1},", 1},
	        {"[]", "", 0},
	        {" [ ] ", "", 0},
	        {"[1]", "1,", 1},
	        {"[1,2,3]", "1,2,3,", 3},
	        {"[ 1 ,\n 2 , \"a b\" ]", "1,2,\"a b\",", 3},
	        {"[[1, 2], [3]]", "[1, 2],[3],", 2},
	        {"[[]]", "[],", 1},
	        {"[\"x,y]\", {\"a\": [ 1 ]}]", "\"x,y]\",{\"a\": [ 1 ]},", 2},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t *body;
		struct json_split out;
		assert_null(split(rows[i].text, strlen(rows[i].text), DEPTH, &body, &out));
		assert_int_equal(out.count, rows[i].count);
		assert_true(span_equal(out.bytes, span_str(rows[i].stored)));
		free(out.sizes);
		free(body);
	}
}

static void test_depth(void **state)
{
	(void)state;
	char text[64];
	for (size_t depth = 1; depth < 10; depth++) {
		/* {"a":{"a":1}}: no array, nothing is flattened */
		size_t len = 0;
		for (size_t i = 0; i < depth; i++)
			len += (size_t)snprintf(text + len, sizeof text - len, "{\"a\":");
		text[len++] = '1';
		for (size_t i = 0; i < depth; i++)
			text[len++] = '}';
		assert_true(is_valid(text, len, depth));
		assert_false(is_valid(text, len, depth - 1));
	}
	size_t deep = 200000;
	char *brackets = malloc(2 * deep);
	assert_non_null(brackets);
	memset(brackets, '[', deep);
	memset(brackets + deep, ']', deep);
	assert_false(is_valid(brackets, 2 * deep, DEPTH));
	assert_false(is_valid(brackets, 2 * deep, SIZE_MAX));
	assert_false(is_valid(brackets, deep, DEPTH));
	free(brackets);
}

/* The same value for a parser that is not ours: the stored form is the array's inside. */
static void compare(const char *text, size_t len)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
	uint8_t *body;
	struct json_split out;
	json_t *theirs = json_loadb(text, len, flags, NULL);
	const char *reason = split(text, len, DEPTH, &body, &out);
	if ((reason == NULL) != (theirs != NULL))
		fail_msg("'%.*s': ours %s, theirs %s", (int)len, text,
		         reason != NULL ? reason : "valid", theirs != NULL ? "valid" : "not");
	if (theirs != NULL) {
		char *wrapped = malloc(out.bytes.len + 2);
		assert_non_null(wrapped);
		size_t inner = out.bytes.len > 0 ? out.bytes.len - 1 : 0;
		wrapped[0] = '[';
		if (inner > 0)
			memcpy(wrapped + 1, out.bytes.at, inner);
		wrapped[inner + 1] = ']';
		json_t *ours = json_loadb(wrapped, inner + 2, flags, NULL);
		json_t *expected = json_is_array(theirs) ? json_incref(theirs) : json_array();
		if (!json_is_array(theirs))
			json_array_append(expected, theirs);
		assert_true(json_equal(ours, expected));
		assert_int_equal(json_array_size(expected), out.count);
		json_decref(ours);
		json_decref(expected);
		free(wrapped);
	}
	json_decref(theirs);
	free(out.sizes);
	free(body);
}

static void test_against_jansson(void **state)
{
	(void)state;
	static const char *const tokens[] = {
	        "{",
	        "}",
	        "[",
	        "]",
	        ",",
	        ":",
	        "{\"k\":",
	        "\"a\"",
	        "\"\\n\"",
	        "\"\\u00e1\"",
	        "1",
	        "-0",
	        "0.5",
	        "1e-2",
	        "01",
	        "-",
	        "true",
	        "fals",
	        "null",
	        " ",
	        "\n",
	        "\"\xc3\xbc\"",
	        "\"\xff\"",
	        "\"\x01\"",
	        "\"",
	        "\\",
	        "\"0123456789abcdefghij\xe2\x82\xac\"",
	        "[1,2]",
	        "{\"a\":1}",
	        "[",
	        "]",
	        ",",
	        "{\"k\":",
	        "}",
	};
	srand(3);
	for (int i = 0; i < 200000; i++) {
		char text[512];
		size_t len = 0;
		for (int n = 1 + rand() % 10; n > 0; n--) {
			const char *token =
			        tokens[(size_t)rand() % (sizeof tokens / sizeof *tokens)];
			memcpy(text + len, token, strlen(token));
			len += strlen(token);
		}
		if (rand() % 3 == 0 && len < sizeof text - 2) { /* often enough an array of them */
			memmove(text + 1, text, len);
			text[0] = '[';
			text[len + 1] = ']';
			len += 2;
		}
		compare(text, len);
	}
}

static void test_truncations(void **state)
{
	(void)state;
	static const char text[] =
	        "{\"a\":[1,-2.5e3,true,null,\"x\\u00e1\xe2\x82\xac\\n\"],\"b\":{}}";
	for (size_t len = 0; len < sizeof text - 1; len++)
		assert_false(is_valid(text, len, DEPTH));
	assert_true(is_valid(text, sizeof text - 1, DEPTH));
}

static void test_faults_have_a_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
		size_t at;
	} rows[] = {
	        {"", "no JSON value", 0},
	        {"  ", "no JSON value", 2},
	        {"{\"a\":1", "unexpected end", 6},
	        {"{\"a\":1  ", "unexpected end", 8},
	        {"{\"a\" 1}", "colon expected", 5},
	        {"[1, 2 3]", "comma expected", 6},
	        {"[ 1 ,\n 2, x]", "not a JSON value", 10},
	        {"1 2", "something behind the JSON value", 2},
	        {"\"a\x80\"", "invalid UTF-8", 2},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t *body;
		struct json_split out;
		const char *reason = split(rows[i].text, strlen(rows[i].text), DEPTH, &body, &out);
		assert_string_equal(reason, rows[i].reason);
		assert_int_equal(out.fault_at, rows[i].at);
		free(body);
	}
}

static void keep_member(void *arg, struct span key, struct span value)
{
	char *text = arg;
	sprintf(text + strlen(text), "%.*s=%.*s;", (int)key.len, (const char *)key.at,
	        (int)value.len, (const char *)value.at);
}

static void test_members(void **state)
{
	static const struct {
		const char *text, *members, *reason;
	} rows[] = {
	        {"{}", "", NULL},
	        {" { \"a\" : 1.50 , \"b\\\"\":[1, {\"c\":2}],\"a\":\"x\"} ",
	         "a=1.50;b\\\"=[1, {\"c\":2}];a=\"x\";", NULL},
	        {"[1]", "", "an object is expected"},
	        {"", "", "an object is expected"},
	        {"{\"a\":1", "a=1;", "comma expected"},
	        {"{\"a\":1,}", "a=1;", "object key expected"},
	        {"{\"a\" 1}", "", "colon expected"},
	        {"{\"a\":1}x", "a=1;", "something behind the JSON value"},
	        {"{\"a\":[[[1]]]}", "", "nested deeper than limits.json_depth"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char members[128] = "";
		size_t len = strlen(rows[i].text);
		char *exact = malloc(len + 1);
		memcpy(exact, rows[i].text, len);
		const char *reason = json_members(span_of(exact, len), 2, keep_member, members);
		assert_string_equal(members, rows[i].members);
		assert_int_equal(reason == NULL, rows[i].reason == NULL);
		if (reason != NULL)
			assert_string_equal(reason, rows[i].reason);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_valid),           cmocka_unit_test(test_invalid),
	        cmocka_unit_test(test_stored_form),     cmocka_unit_test(test_depth),
	        cmocka_unit_test(test_truncations),     cmocka_unit_test(test_faults_have_a_place),
	        cmocka_unit_test(test_against_jansson), cmocka_unit_test(test_members),
	};
	return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
