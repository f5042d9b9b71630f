#include "common/base/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void what_is_an_origin(void **state)
{
	static const char *const rows[][2] = {
	        {"https://a.example", "https://a.example"},
	        {"HTTPS://A.Example", "https://a.example"},
	        {"https://a.example:443", "https://a.example"},
	        {"http://a.example:80", "http://a.example"},
	        {"http://a.example:443", "http://a.example:443"},
	        {"https://a.example:80", "https://a.example:80"},
	        {"http://127.0.0.1:4437", "http://127.0.0.1:4437"},
	        {"http://[::1]:80", "http://[::1]"},
	        {"http://[FE80::1]:8080", "http://[fe80::1]:8080"},
	        {"capacitor://localhost", "capacitor://localhost"},
	        {"chrome-extension://abcdef", "chrome-extension://abcdef"},
	        {"x://a:80", "x://a:80"},
	        {"null", NULL},
	        {"", NULL},
	        {"*", NULL},
	        {"a.example", NULL},
	        {"https:a.example", NULL},
	        {"https:/a.example", NULL},
	        {"https://", NULL},
	        {"https:///", NULL},
	        {"https://a.example/", NULL},
	        {"https://a.example?", NULL},
	        {"https://a.example#", NULL},
	        {"https://a.example:", NULL},
	        {"https://a.example:0", NULL},
	        {"https://a.example:0443", NULL},
	        {"https://a.example:65536", NULL},
	        {"https://a.example:44x", NULL},
	        {"https://a.example:443:443", NULL},
	        {"https://u@a.example", NULL},
	        {"https://u:p@a.example", NULL},
	        {"https://*.example", NULL},
	        {"https://a.example,https://b.example", NULL},
	        {"https://a.example https://b.example", NULL},
	        {" https://a.example", NULL},
	        {"https://a.example ", NULL},
	        {"https://a.example\r\nx: y", NULL},
	        {"http://[::1", NULL},
	        {"http://[]", NULL},
	        {"http://::1", NULL},
	        {"http://[::1]x", NULL},
	        {"http://[::1%25eth0]", NULL},
	        {"1http://a.example", NULL},
	        {"://a.example", NULL},
	        {"file://", NULL}};
	char out[ORIGIN_ROOM];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool fits = origin_read(span_str(rows[i][0]), out);
		if (fits != (rows[i][1] != NULL) || strcmp(out, fits ? rows[i][1] : "") != 0)
			fail_msg("%s: %s", rows[i][0], out);
	}
	assert_false(origin_read((struct span){0}, out));
}

static void the_longest_one_fits(void **state)
{
	char text[ORIGIN_ROOM + 1] = "https://", out[ORIGIN_ROOM];
	(void)state;
	memset(text + 8, 'a', sizeof text - 8);
	assert_true(origin_read(span_of(text, ORIGIN_ROOM - 1), out));
	assert_int_equal(strlen(out), ORIGIN_ROOM - 1);
	assert_false(origin_read(span_of(text, ORIGIN_ROOM), out));
}

static void which_are_the_same(void **state)
{
	(void)state;
	assert_true(origin_same(SPAN("https://a.example"), SPAN("HTTPS://A.EXAMPLE:443")));
	assert_false(origin_same(SPAN("https://a.example"), SPAN("http://a.example")));
	assert_false(origin_same(SPAN("https://a.example"), SPAN("https://a.example:444")));
	assert_false(origin_same(SPAN("https://a.example"), SPAN("https://a.example.")));
	assert_false(origin_same(SPAN("https://a.example"), SPAN("https://b.a.example")));
	assert_false(origin_same(SPAN("null"), SPAN("null")));
	assert_false(origin_same((struct span){0}, (struct span){0}));
}

static void an_url_has_one(void **state)
{
	static const char *const rows[][2] = {
	        {"https://a.example/base?x#y", "https://a.example"},
	        {"https://a.example", "https://a.example"},
	        {"http://a.example:8080?x=/", "http://a.example:8080"},
	        {"https://a.example#x", "https://a.example"},
	        {"https://u@a.example/", NULL},
	        {"/v1", NULL},
	        {"h", NULL},
	        {"", NULL}};
	char out[ORIGIN_ROOM];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool fits = origin_of_url(span_str(rows[i][0]), out);
		if (fits != (rows[i][1] != NULL) || strcmp(out, fits ? rows[i][1] : "") != 0)
			fail_msg("%s: %s", rows[i][0], out);
	}
}

static void a_list_is_looked_through(void **state)
{
	struct origins list;
	(void)state;
	origins_init(&list, "https://a.example,HTTP://b.example:80,null");
	assert_false(list.any);
	assert_int_equal(origins_find(&list, SPAN("https://a.example")), 1);
	assert_int_equal(origins_find(&list, SPAN("http://b.example")), 2);
	assert_int_equal(origins_find(&list, SPAN("null")), 3);
	assert_int_equal(origins_find(&list, SPAN("NULL")), 0);
	assert_int_equal(origins_find(&list, SPAN("https://b.example")), 0);
	assert_int_equal(origins_find(&list, SPAN("")), 0);
	assert_int_equal(origins_find(&list, (struct span){0}), 0);
	origins_finish(&list);
	origins_init(&list, "*");
	assert_true(list.any);
	assert_int_equal(origins_find(&list, SPAN("https://a.example")), 0);
	origins_finish(&list);
}

static void what_is_no_list(void **state)
{
	static const char *const bad[] = {"",
	                                  ",",
	                                  "https://a.example,",
	                                  "*,https://a.example",
	                                  "a",
	                                  "https://a.example, https://b.example",
	                                  "**"};
	char many[ORIGINS_MAX * 16 + 16] = "http://a";
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(origins_fault(bad[i]));
	for (size_t i = 1; i < ORIGINS_MAX; i++)
		strcat(many, ",http://a");
	assert_null(origins_fault(many));
	strcat(many, ",http://a");
	assert_string_equal(origins_fault(many), "must be 64 origins at most");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_an_origin),        cmocka_unit_test(the_longest_one_fits),
	        cmocka_unit_test(which_are_the_same),       cmocka_unit_test(an_url_has_one),
	        cmocka_unit_test(a_list_is_looked_through), cmocka_unit_test(what_is_no_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
