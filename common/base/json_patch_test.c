#include "common/base/json_patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct json_patch_limits roomy = {.operations = 10000, .values = 100000, .depth = 200};

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	if (value == NULL)
		fail_msg("%s: %s", text, error.text);
	return value;
}

static void expect_diff(const char *before, const char *after, const char *operations)
{
	json_t *a = parse(before), *b = parse(after);
	json_t *patch = json_patch_diff(a, b);
	char *text = json_dumps(patch, JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text, operations);
	char reason[JSON_PATCH_REASON_ROOM];
	assert_int_equal(json_patch_apply(&a, patch, &roomy, reason), JSON_PATCH_OK);
	assert_true(json_equal(a, b));
	free(text);
	json_decref(patch);
	json_decref(a);
	json_decref(b);
}

static void test_diff(void **state)
{
	(void)state;
	expect_diff("{\"a\":1}", "{\"a\":1}", "[]");
	expect_diff("{\"a\":1,\"b\":{\"c\":true}}", "{\"a\":2,\"b\":{\"c\":true}}",
	            "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]");
	expect_diff("{\"a\":1,\"b\":2}", "{\"b\":2}", "[{\"op\":\"remove\",\"path\":\"/a\"}]");
	expect_diff("{\"a\":1}", "{\"a\":null}",
	            "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]");
	expect_diff("{}", "{\"a\":null}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]");
	expect_diff("{}", "{\"\":1}", "[{\"op\":\"add\",\"path\":\"/\",\"value\":1}]");
	expect_diff("{\"a/b\":1,\"m~n\":1,\"~1\":0,\"long enough to be worth a patch\":\"of its "
	            "own, not a copy of all\"}",
	            "{\"a/b\":2,\"m~n\":2,\"~1\":0,\"long enough to be worth a patch\":\"of its "
	            "own, not a copy of all\"}",
	            "[{\"op\":\"replace\",\"path\":\"/a~1b\",\"value\":2},"
	            "{\"op\":\"replace\",\"path\":\"/m~0n\",\"value\":2}]");
	expect_diff("[1,2,3]", "[1,9,2,3]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":9}]");
	expect_diff("[1,2,3]", "[2,3]", "[{\"op\":\"remove\",\"path\":\"/0\"}]");
	expect_diff("[{\"x\":1},{\"x\":2}]", "[{\"x\":1},{\"x\":3}]",
	            "[{\"op\":\"replace\",\"path\":\"/1/x\",\"value\":3}]");
	expect_diff("1", "\"one\"", "[{\"op\":\"replace\",\"path\":\"\",\"value\":\"one\"}]");
	expect_diff("1", "1.0", "[{\"op\":\"replace\",\"path\":\"\",\"value\":1.0}]");
}

/* More operations than the thing itself is long: the whole, at once. */
static void test_whole(void **state)
{
	(void)state;
	expect_diff("[1,2,3,4,5,6]", "[0,0,0,0,0,0]",
	            "[{\"op\":\"replace\",\"path\":\"\",\"value\":[0,0,0,0,0,0]}]");
}

struct row {
	const char *document, *patch;
	enum json_patch_result result;
	const char *after; /* or the reason */
};

/* The cases of RFC 6902, appendix A, in our own words, and what else may come. */
static void test_apply(void **state)
{
	(void)state;
	static const struct row rows[] = {
	        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2}]", JSON_PATCH_OK,
	         "{\"a\":1,\"b\":2}"},
	        {"{\"a\":[1,3]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", JSON_PATCH_OK,
	         "{\"a\":[1,2,3]}"},
	        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":[2]}]", JSON_PATCH_OK,
	         "{\"a\":[1,[2]]}"},
	        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", JSON_PATCH_OK,
	         "{\"a\":[1,2]}"},
	        {"{\"a\":1,\"b\":2}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", JSON_PATCH_OK,
	         "{\"a\":1}"},
	        {"[1,2,3]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", JSON_PATCH_OK, "[1,3]"},
	        {"{\"a\":{\"b\":1},\"c\":{}}",
	         "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"/c/d\"}]", JSON_PATCH_OK,
	         "{\"a\":{},\"c\":{\"d\":1}}"},
	        {"[1,2,3]", "[{\"op\":\"move\",\"from\":\"/0\",\"path\":\"/2\"}]", JSON_PATCH_OK,
	         "[2,3,1]"},
	        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]", JSON_PATCH_OK,
	         "{\"a\":1}"},
	        {"{\"a\":[1]}",
	         "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},"
	         "{\"op\":\"add\",\"path\":\"/b/0\",\"value\":0}]",
	         JSON_PATCH_OK, "{\"a\":[1],\"b\":[0,1]}"},
	        {"{\"a\":10}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":10.0}]", JSON_PATCH_OK,
	         "{\"a\":10}"},
	        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
	         JSON_PATCH_OK, "{\"/\":9,\"~1\":10}"},
	        {"{}", "[{\"op\":\"add\",\"path\":\"\",\"value\":[]}]", JSON_PATCH_OK, "[]"},
	        {"{}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":3}]", JSON_PATCH_OK, "3"},
	        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":\"1\"}]",
	         JSON_PATCH_CONFLICT, "operation 0: the test failed"},
	        {"{\"a\":1}",
	         "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},"
	         "{\"op\":\"test\",\"path\":\"/zz\",\"value\":1}]",
	         JSON_PATCH_CONFLICT, "operation 1: the test failed"},
	        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b/c\",\"value\":1}]",
	         JSON_PATCH_CONFLICT,
	         "operation 0: its path leads through what is no object or array"},
	        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]",
	         JSON_PATCH_CONFLICT, "operation 0: nothing there to replace"},
	        {"[1]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":1}]", JSON_PATCH_CONFLICT,
	         "operation 0: no such place in the array"},
	        {"[1]", "[{\"op\":\"add\",\"path\":\"/01\",\"value\":1}]", JSON_PATCH_CONFLICT,
	         "operation 0: no such place in the array"},
	        {"[1]", "[{\"op\":\"remove\",\"path\":\"/-\"}]", JSON_PATCH_CONFLICT,
	         "operation 0: nothing there to remove"},
	        {"{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]",
	         JSON_PATCH_CONFLICT, "operation 0: moved into itself"},
	        {"{\"a\":{}}", "[{\"op\":\"remove\",\"path\":\"\"}]", JSON_PATCH_CONFLICT,
	         "operation 0: the whole document cannot be removed"},
	        {"{}", "{}", JSON_PATCH_MALFORMED, "a patch is an array of operations"},
	        {"{}", "[1]", JSON_PATCH_MALFORMED, "operation 0: op and path are strings"},
	        {"{}", "[{\"op\":\"spam\",\"path\":\"/a\",\"value\":1}]", JSON_PATCH_MALFORMED,
	         "operation 0: op is none of RFC 6902's"},
	        {"{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", JSON_PATCH_MALFORMED,
	         "operation 0: add needs a value"},
	        {"{}", "[{\"op\":\"copy\",\"path\":\"/a\"}]", JSON_PATCH_MALFORMED,
	         "operation 0: copy needs from"},
	        {"{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", JSON_PATCH_MALFORMED,
	         "operation 0: a path is \"\" or begins with /"},
	        {"{}", "[{\"op\":\"add\",\"path\":\"/~2\",\"value\":1}]", JSON_PATCH_MALFORMED,
	         "operation 0: ~ stands for itself only as ~0"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *document = parse(rows[i].document), *patch = parse(rows[i].patch);
		char reason[JSON_PATCH_REASON_ROOM];
		enum json_patch_result result = json_patch_apply(&document, patch, &roomy, reason);
		if (result != rows[i].result)
			fail_msg("row %zu: %d %s", i, result, reason);
		char *text = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);
		if (result == JSON_PATCH_OK)
			assert_string_equal(text, rows[i].after);
		else
			assert_string_equal(reason, rows[i].after);
		if (result != JSON_PATCH_OK)
			assert_string_equal(text, rows[i].document);
		free(text);
		json_decref(document);
		json_decref(patch);
	}
}

/* A document that doubles, and one that deepens, with every operation. */
static void test_limits(void **state)
{
	(void)state;
	json_t *document = parse("{\"a\":[1,2,3,4]}");
	json_t *doubling = json_array(), *deepening = json_array();
	for (int i = 0; i < 40; i++) {
		json_array_append_new(doubling,
		                      parse("{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}"));
		json_array_append_new(deepening,
		                      parse("{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}"));
		json_array_append_new(deepening,
		                      parse("{\"op\":\"add\",\"path\":\"/a\",\"value\":{}}"));
		json_array_append_new(deepening,
		                      parse("{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a/a\"}"));
	}
	const struct json_patch_limits limits = {.operations = 200, .values = 10000, .depth = 20};
	char reason[JSON_PATCH_REASON_ROOM];
	assert_int_equal(json_patch_apply(&document, doubling, &limits, reason), JSON_PATCH_LIMIT);
	assert_int_equal(json_patch_apply(&document, deepening, &limits, reason), JSON_PATCH_LIMIT);
	const struct json_patch_limits few = {.operations = 39, .values = 10000, .depth = 20};
	assert_int_equal(json_patch_apply(&document, doubling, &few, reason), JSON_PATCH_LIMIT);
	assert_string_equal(reason, "more than 39 operations");
	assert_int_equal(json_patch_count(document), 6);
	json_decref(document);
	json_decref(doubling);
	json_decref(deepening);
}

/* ---- property: what the diff says, done, gives the other ---- */

static uint32_t seed = 20251121;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static json_t *random_value(unsigned depth)
{
	static const char *const keys[] = {"a", "b", "c/d", "e~f", "~1", "", "0", "-", "\xc3\xbc"};
	switch (draw(depth > 4 ? 6 : 9)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(draw(2));
	case 2:
		return json_integer(draw(4));
	case 3:
		return json_real(draw(4) / 4.0);
	case 4:
	case 5:
		return json_string(keys[draw(9)]);
	case 6: {
		json_t *array = json_array();
		for (uint32_t i = draw(7); i > 0; i--)
			json_array_append_new(array, random_value(depth + 1));
		return array;
	}
	default: {
		json_t *object = json_object();
		for (uint32_t i = draw(7); i > 0; i--)
			json_object_set_new(object, keys[draw(9)], random_value(depth + 1));
		return object;
	}
	}
}

/* A copy with a few changes somewhere, which is what a diff mostly meets. */
static json_t *mutated(const json_t *value, unsigned depth)
{
	if (draw(8) == 0)
		return random_value(depth);
	if (json_is_array(value)) {
		json_t *array = json_array(), *member;
		size_t i;
		json_array_foreach (value, i, member) {
			if (draw(12) == 0)
				json_array_append_new(array, random_value(depth + 1));
			if (draw(12) != 0)
				json_array_append_new(array, mutated(member, depth + 1));
		}
		return array;
	}
	if (json_is_object(value)) {
		json_t *object = json_object(), *member;
		const char *key;
		json_object_foreach ((json_t *)value, key, member)
			if (draw(12) != 0)
				json_object_set_new(object, key, mutated(member, depth + 1));
		if (draw(6) == 0)
			json_object_set_new(object, "new", random_value(depth + 1));
		return object;
	}
	return json_deep_copy(value);
}

static void test_property(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		json_t *a = random_value(0);
		json_t *b = round % 4 == 0 ? random_value(0) : mutated(a, 0);
		json_t *patch = json_patch_diff(a, b);
		char reason[JSON_PATCH_REASON_ROOM];
		assert_int_equal(json_array_size(patch) == 0, json_equal(a, b));
		enum json_patch_result result = json_patch_apply(&a, patch, &roomy, reason);
		if (result != JSON_PATCH_OK || !json_equal(a, b))
			fail_msg("round %d: %s", round, reason);
		json_decref(patch);
		json_decref(a);
		json_decref(b);
	}
}

/* Deeper than the diff looks. */
static void test_deep(void **state)
{
	(void)state;
	json_t *a = json_integer(1), *b = json_integer(2);
	for (int i = 0; i < JSON_PATCH_DEPTH + 40; i++) {
		json_t *outer_a = json_object(), *outer_b = json_object();
		json_object_set_new(outer_a, "in", a);
		json_object_set_new(outer_b, "in", b);
		a = outer_a;
		b = outer_b;
	}
	json_t *patch = json_patch_diff(a, b);
	char reason[JSON_PATCH_REASON_ROOM];
	assert_int_equal(json_patch_apply(&a, patch, &roomy, reason), JSON_PATCH_OK);
	assert_true(json_equal(a, b));
	json_decref(patch);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_diff),     cmocka_unit_test(test_whole),
	        cmocka_unit_test(test_apply),    cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_property), cmocka_unit_test(test_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
