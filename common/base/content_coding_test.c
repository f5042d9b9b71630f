#include "common/base/content_coding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void lists_of_the_setting(void **state)
{
	static const struct {
		const char *list;
		bool fits;
		unsigned codings;
	} rows[] = {
	        {"zstd, br,gzip", true, (1 << CODING_COUNT) - 1},
	        {"ZSTD", true, 1 << CODING_ZSTD},
	        {"off", true, 0},
	        {"zstd, deflate", false, 0},
	        {"zstd, off", false, 0},
	        {"", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned codings;
		assert_int_equal(content_coding_list(rows[i].list, &codings), rows[i].fits);
		if (rows[i].fits)
			assert_int_equal(codings, rows[i].codings);
	}
}

static void names(void **state)
{
	(void)state;
	for (enum content_coding i = 0; i < CODING_COUNT; i++)
		assert_int_equal(content_coding_find(span_str(content_coding_name(i))), i);
	assert_int_equal(content_coding_find(SPAN("x-gzip")), CODING_GZIP);
	assert_int_equal(content_coding_find(SPAN("identity")), CODING_COUNT);
	assert_string_equal(content_coding_name(CODING_IDENTITY), "identity");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(lists_of_the_setting),
	        cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
