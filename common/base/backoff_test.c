#include "common/base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct backoff usual = {.min_ms = 1000, .max_ms = 60000, .asked_ms_max = 3600000};

static void delays_double_up_to_the_longest(void **state)
{
	(void)state;
	assert_int_equal(backoff_ms(&usual, 1, 0, 20), 1000);
	assert_int_equal(backoff_ms(&usual, 2, 0, 20), 2000);
	assert_int_equal(backoff_ms(&usual, 6, 0, 20), 32000);
	assert_int_equal(backoff_ms(&usual, 7, 0, 20), 60000);
	assert_int_equal(backoff_ms(&usual, UINT64_MAX, 0, 20), 60000);
	assert_int_equal(backoff_ms(&usual, 1, 0, 0), 800);
	assert_int_equal(backoff_ms(&usual, 1, 0, BACKOFF_DICE - 1), 1200);
}

static void nothing_doubles_beyond_its_longest(void **state)
{
	(void)state;
	assert_int_equal(backoff_doubled_ms(500, 3000, 0), 500);
	assert_int_equal(backoff_doubled_ms(500, 3000, 1), 500);
	assert_int_equal(backoff_doubled_ms(500, 3000, 3), 2000);
	assert_int_equal(backoff_doubled_ms(500, 3000, 4), 3000);
	assert_int_equal(backoff_doubled_ms(500, 3000, UINT64_MAX), 3000);
	assert_int_equal(backoff_doubled_ms(500, 100, 1), 100);
	assert_int_equal(backoff_doubled_ms(0, 0, 5), 0);
}

static void what_was_asked_for_is_the_least_and_bounded(void **state)
{
	static const struct backoff deaf = {.min_ms = 1000, .max_ms = 60000};
	(void)state;
	for (unsigned dice = 0; dice < BACKOFF_DICE; dice++) {
		assert_in_range(backoff_ms(&usual, 1, 8000, dice), 8000, 9600);
		assert_in_range(backoff_ms(&usual, 1, UINT64_MAX, dice), 3600000, 4320000);
		assert_in_range(backoff_ms(&usual, 7, 8000, dice), 48000,
		                72000); /* sooner than it would be anyway */
		assert_int_equal(backoff_ms(&deaf, 3, 8000, dice), backoff_ms(&deaf, 3, 0, dice));
	}
}

static void none_is_longer_than_the_longest(void **state)
{
	static const struct backoff all[] = {{1000, 60000, 3600000},
	                                     {1000, 60000, 0},
	                                     {10, 86400000, 86400000},
	                                     {1, 1, 1},
	                                     {7, 11, 10}};
	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (unsigned dice = 0; dice < BACKOFF_DICE; dice++)
			for (uint64_t failures = 1; failures < 40; failures++) {
				assert_true(backoff_ms(&all[i], failures, 0, dice) <=
				            backoff_longest_ms(&all[i]));
				assert_true(backoff_ms(&all[i], failures, UINT64_MAX, dice) <=
				            backoff_longest_ms(&all[i]));
			}
}

/* An hour's Retry-After, after the clock was set back by half an hour: the wait is over, as it
 * would be by now for all that is known; not after an hour and a half. */
static void a_wait_that_has_not_begun_is_over(void **state)
{
	enum { HOUR = 3600000 };
	(void)state;
	assert_true(backoff_over(5000, 9000, HOUR, 9000));
	assert_false(backoff_over(5000, 9000, HOUR, 8999));
	assert_false(
	        backoff_over(5000, 9000, HOUR, 4000)); /* another process's look at the clock */
	assert_true(backoff_over(5000, 9000, HOUR, 3999));
	assert_true(backoff_over(5 * HOUR, 6 * HOUR, HOUR, 5 * HOUR - HOUR / 2));
	assert_true(backoff_over(0, 0, HOUR, 1));
	assert_false(backoff_over(0, 6 * HOUR, HOUR, 5 * HOUR)); /* written by a release before */
	assert_true(backoff_over(0, 6 * HOUR, HOUR, 5 * HOUR - 1001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(delays_double_up_to_the_longest),
	        cmocka_unit_test(nothing_doubles_beyond_its_longest),
	        cmocka_unit_test(what_was_asked_for_is_the_least_and_bounded),
	        cmocka_unit_test(none_is_longer_than_the_longest),
	        cmocka_unit_test(a_wait_that_has_not_begun_is_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
