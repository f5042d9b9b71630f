#include "common/domain/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void test_matches(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *path;
		bool matches;
	} rows[] = {
	        {"a/*/c", "a/b/c", true}, {"a/*/c", "a/b/b/c", false}, {"a*c", "abc", true},
	        {"a*c", "a/c", false},    {"a/**", "a", true},         {"a/**", "a/", true},
	        {"a/**", "a/b/c", true},  {"a/**", "ab", false},       {"**/c", "c", true},
	        {"**/c", "a/b/c", true},  {"a/**/d", "a/d", true},     {"**", "", true},
	        {"*", "", false},         {"a/*", "a/", false},        {"x**", "x/y", false},
	        {"a//b", "a//b", true},   {"a//*", "a//b", true},      {"a/", "a", false},
	        {"*", "**", true},        {"a%2Fb", "a/b", false},     {"a/*", "a/b%2Fc", true},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (glob_matches(span_str(rows[i].pattern), span_str(rows[i].path)) !=
		    rows[i].matches)
			fail_msg("'%s' '%s'", rows[i].pattern, rows[i].path);
}

static void test_covers(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *other;
		bool covers;
	} rows[] = {
	        {"**", "**", true},        {"**", "a/*/b", true},     {"*", "**", false},
	        {"*", "*", true},          {"*", "a*", true},         {"a*", "*", false},
	        {"a*", "ab*", true},       {"a*c", "a*b*c", true},    {"a*b*c", "a*c", false},
	        {"a/**", "a/*", true},     {"a/**", "a/**", true},    {"a/**", "a/**/b", true},
	        {"a/**", "*/b", false},    {"a/*", "a/**", false},    {"**/c", "a/**/c", true},
	        {"**/c", "**", false},     {"a/**/d", "a/*/d", true}, {"a/*/d", "a/**/d", false},
	        {"a/**", "a", true},       {"x**", "x*", true},       {"*/*", "**/*", false},
	        {"a/*/**", "a/**", false}, {"a/**/**", "a/**", true}, {"a/b", "a/*", false},
	        {"a/*", "a/b", true},      {"*a*", "*a", true},       {"*a", "*a*", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (glob_covers(span_str(rows[i].pattern), span_str(rows[i].other)) !=
		    rows[i].covers)
			fail_msg("'%s' '%s'", rows[i].pattern, rows[i].other);
}

static unsigned next(unsigned *seed)
{
	return *seed = *seed * 1103515245 + 12345, *seed >> 16;
}

/* Two segments of at most two letters are all that tells short patterns apart. */
static void draw(unsigned *seed, const char *const *parts, unsigned count, char out[32])
{
	unsigned segments = 1 + next(seed) % 3;
	*out = '\0';
	for (unsigned i = 0; i < segments; i++)
		snprintf(out + strlen(out), 32 - strlen(out), "%s%s", i > 0 ? "/" : "",
		         parts[next(seed) % count]);
}

static void test_what_covers_matches_whatever_the_other_does(void **state)
{
	(void)state;
	static const char *const parts[] = {"a", "b",  "ab", "",   "ba", "aa",
	                                    "*", "**", "a*", "*b", "a*b"};
	unsigned seed = 7, covered = 0, both = 0;
	for (unsigned n = 0; n < 200000; n++) {
		char pattern[32], other[32], path[32];
		draw(&seed, parts, 11, pattern);
		draw(&seed, parts, 11, other);
		if (!glob_covers(span_str(pattern), span_str(other)))
			continue;
		covered++;
		for (unsigned i = 0; i < 20; i++) {
			draw(&seed, parts, 6, path);
			if (!glob_matches(span_str(other), span_str(path)))
				continue;
			both++;
			if (!glob_matches(span_str(pattern), span_str(path)))
				fail_msg("'%s' covers '%s' but not '%s'", pattern, other, path);
		}
	}
	assert_true(covered > 1000 && both > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_matches),
	        cmocka_unit_test(test_covers),
	        cmocka_unit_test(test_what_covers_matches_whatever_the_other_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
