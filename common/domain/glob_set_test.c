#include "common/domain/glob_set.h"
#include "common/domain/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static size_t find(const char *const *texts, size_t count, const char *path)
{
	struct span patterns[16] = {0};
	for (size_t i = 0; i < count; i++)
		patterns[i] = span_str(texts[i]);
	struct glob_set *set = glob_set_create(patterns, count);
	size_t found = glob_set_find(set, span_str(path));
	glob_set_destroy(&set);
	assert_null(set);
	return found;
}

static void test_finds_the_one_that_matches(void **state)
{
	(void)state;
	static const char *const texts[] = {"a/b",  "a/*/c",    "x/**", "**/z",
	                                    "a*/q", "a/b/**/e", "y//y"};
	static const struct {
		const char *path;
		size_t found;
	} rows[] = {
	        {"a/b", 0},        {"a/x/c", 1},    {"x", 2},       {"x/y/y", 2},
	        {"z", 3},          {"q/q/z", 3},    {"abc/q", 4},   {"a/b/e", 5},
	        {"a/b/c/d/e", 5},  {"y//y", 6},     {"", SIZE_MAX}, {"a/b/", SIZE_MAX},
	        {"y/y", SIZE_MAX}, {"a", SIZE_MAX},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (find(texts, sizeof texts / sizeof *texts, rows[i].path) != rows[i].found)
			fail_msg("'%s'", rows[i].path);
	assert_true(find(NULL, 0, "a") == SIZE_MAX);
	assert_true(find((const char *const[]){"**"}, 1, "") == 0);
}

static unsigned next(unsigned *seed)
{
	return *seed = *seed * 1103515245 + 12345, *seed >> 16;
}

static void draw(unsigned *seed, const char *const *parts, unsigned count, char out[40])
{
	unsigned segments = 1 + next(seed) % 5;
	*out = '\0';
	for (unsigned i = 0; i < segments; i++)
		snprintf(out + strlen(out), 40 - strlen(out), "%s%s", i > 0 ? "/" : "",
		         parts[next(seed) % count]);
}

/* All at once say what each says by itself. */
static void test_says_what_each_says(void **state)
{
	(void)state;
	static const char *const parts[] = {"a", "b", "ab", "", "aa", "**", "**", "*", "a*", "*b"};
	unsigned seed = 3, matched = 0, missed = 0;
	for (unsigned n = 0; n < 20000; n++) {
		char texts[12][40], path[40];
		struct span patterns[12];
		size_t count = 1 + next(&seed) % 12;
		for (size_t i = 0; i < count; i++) {
			draw(&seed, parts, 10, texts[i]);
			patterns[i] = span_str(texts[i]);
		}
		struct glob_set *set = glob_set_create(patterns, count);
		for (unsigned m = 0; m < 20; m++) {
			draw(&seed, parts, 5, path);
			size_t found = glob_set_find(set, span_str(path));
			bool any = false;
			for (size_t i = 0; i < count; i++)
				any = any || glob_matches(patterns[i], span_str(path));
			if (any != (found != SIZE_MAX) ||
			    (any && !glob_matches(patterns[found], span_str(path))))
				fail_msg("'%s' of %zu, the first '%s'", path, count, texts[0]);
			matched += any;
			missed += !any;
		}
		glob_set_destroy(&set);
	}
	assert_true(matched > 10000 && missed > 10000);
}

/* As many segments as there may be, each of them come to at once. */
static void test_the_largest(void **state)
{
	(void)state;
	static char text[3 * GLOB_SET_SEGMENTS_MAX];
	size_t len = 0;
	for (size_t i = 0; i < GLOB_SET_SEGMENTS_MAX - 1; i++)
		len += (size_t)sprintf(text + len, "%s", i % 2 == 0 ? "**/" : "*/");
	text[len++] = 'x';
	struct span pattern = span_of(text, len);
	assert_int_equal(glob_segments(pattern), GLOB_SET_SEGMENTS_MAX);
	struct glob_set *set = glob_set_create(&pattern, 1);
	static char path[2 * GLOB_SET_SEGMENTS_MAX + 2];
	for (size_t i = 0; i < GLOB_SET_SEGMENTS_MAX; i++)
		memcpy(path + 2 * i, "a/", 2);
	path[2 * GLOB_SET_SEGMENTS_MAX - 2] = 'x';
	assert_true(glob_set_find(set, span_of(path, 2 * GLOB_SET_SEGMENTS_MAX - 1)) == 0);
	path[2 * GLOB_SET_SEGMENTS_MAX - 2] = 'y';
	assert_true(glob_set_find(set, span_of(path, 2 * GLOB_SET_SEGMENTS_MAX - 1)) == SIZE_MAX);
	glob_set_destroy(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_finds_the_one_that_matches),
	        cmocka_unit_test(test_says_what_each_says),
	        cmocka_unit_test(test_the_largest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
