#include "supervisor/outage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct outage_facts serving = {.serves = true, .failed = true}, starting = {0},
                                 failing = {.failed = true};

static void test_it_counts_from_the_first_failure(void **state)
{
	(void)state;
	struct outage o = {0};
	assert_false(outage_step(&o, &failing, 1000, 5000));
	assert_false(outage_step(&o, &failing, 1000, 5999));
	assert_true(outage_step(&o, &failing, 1000, 6000));
}

static void test_who_serves_ends_it(void **state)
{
	(void)state;
	struct outage o = {0};
	outage_step(&o, &failing, 1000, 5000);
	assert_false(outage_step(&o, &serving, 1000, 5900));
	assert_false(outage_step(&o, &failing, 1000, 6000));
	assert_true(outage_step(&o, &failing, 1000, 7000));
}

static void test_a_slow_first_start_is_none(void **state)
{
	(void)state;
	struct outage o = {0};
	assert_false(outage_step(&o, &starting, 1000, 5000));
	assert_false(outage_step(&o, &starting, 1000, 500000));
}

static void test_another_attempt_does_not_end_it(void **state)
{
	(void)state;
	struct outage o = {0};
	outage_step(&o, &failing, 1000, 5000);
	assert_true(outage_step(&o, &starting, 1000, 6000));
}

static void test_never(void **state)
{
	(void)state;
	struct outage o = {0};
	outage_step(&o, &failing, 0, 5000);
	assert_false(outage_step(&o, &failing, 0, UINT64_MAX));
}

static void test_a_pause_does_not_count(void **state)
{
	(void)state;
	struct outage o = {0};
	outage_forgive(&o, 700);
	outage_step(&o, &failing, 1000, 5000);
	outage_forgive(&o, 100000);
	assert_false(outage_step(&o, &failing, 1000, 105999));
	assert_true(outage_step(&o, &failing, 1000, 106000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_it_counts_from_the_first_failure),
	        cmocka_unit_test(test_who_serves_ends_it),
	        cmocka_unit_test(test_a_slow_first_start_is_none),
	        cmocka_unit_test(test_another_attempt_does_not_end_it),
	        cmocka_unit_test(test_never),
	        cmocka_unit_test(test_a_pause_does_not_count),
	};
	return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
