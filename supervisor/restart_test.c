#include "supervisor/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct restart_limits limits = {.delay_ms_min = 100,
                                             .delay_ms_max = 30000,
                                             .stable_ms = 60000,
                                             .exits_max = 64,
                                             .window_ms = 1000};

static void test_delay_doubles_to_its_maximum(void **state)
{
	(void)state;
	static const uint64_t want[] = {100,  200,   400,   800,   1600, 3200,
	                                6400, 12800, 25600, 30000, 30000};
	struct restart r = {0};
	uint64_t now = 1;
	for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
		uint64_t due = restart_exited(&r, &limits, now, 0);
		assert_int_equal(due - now, want[i]);
		now = due;
	}
}

static void test_jitter_takes_at_most_half(void **state)
{
	(void)state;
	for (uint32_t jitter = 0; jitter <= RESTART_JITTER_MAX; jitter += 50) {
		struct restart r = {0};
		uint64_t delay = restart_exited(&r, &limits, 5000, jitter) - 5000;
		assert_in_range(delay, 50, 100);
		assert_int_equal(delay, 100 - 50 * jitter / RESTART_JITTER_MAX);
	}
}

static void test_stable_readiness_begins_anew(void **state)
{
	(void)state;
	struct restart r = {0};
	uint64_t now = 1;
	for (int i = 0; i < 5; i++)
		now = restart_exited(&r, &limits, now, 0);
	restart_ready(&r, now);
	uint64_t due = restart_exited(&r, &limits, now + 59999, 0);
	assert_int_equal(due - (now + 59999), 3200);
	now = due;
	restart_ready(&r, now);
	due = restart_exited(&r, &limits, now + 60000, 0);
	assert_int_equal(due - (now + 60000), 100);
}

static void test_readiness_before_an_older_exit_does_not_count(void **state)
{
	(void)state;
	struct restart r = {0};
	restart_ready(&r, 1);
	restart_exited(&r, &limits, 10, 0);
	/* Never ready since: time alone proves nothing. */
	assert_int_equal(restart_exited(&r, &limits, 1000000, 0), 1000000 + 200);
}

static void test_too_many_exits_are_retried_at_the_longest_delay(void **state)
{
	(void)state;
	struct restart_limits few = limits;
	few.exits_max = 3;
	struct restart r = {0};
	restart_exited(&r, &few, 5000, 0);
	restart_exited(&r, &few, 5100, 0);
	assert_false(r.failing);
	assert_int_equal(restart_exited(&r, &few, 5999, 0), 5999 + 30000);
	assert_true(r.failing);
	restart_ready(&r, 36000);
	assert_false(r.failing);
	restart_forget(&r);
	assert_int_equal(restart_exited(&r, &few, 6000, 0), 6100);
}

static void test_intensity_looks_at_the_window_only(void **state)
{
	(void)state;
	struct restart_limits few = limits;
	few.exits_max = 3;
	struct restart r = {0};
	for (uint64_t now = 1; now < 100 * 500; now += 500)
		restart_exited(&r, &few, now, 0);
	assert_false(r.failing);
}

static void test_limit_of_one_is_failing_at_once(void **state)
{
	(void)state;
	struct restart_limits one = limits;
	one.exits_max = 1;
	struct restart r = {0};
	assert_int_equal(restart_exited(&r, &one, 7, 0), 7 + 30000);
	assert_true(r.failing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_delay_doubles_to_its_maximum),
	        cmocka_unit_test(test_jitter_takes_at_most_half),
	        cmocka_unit_test(test_stable_readiness_begins_anew),
	        cmocka_unit_test(test_readiness_before_an_older_exit_does_not_count),
	        cmocka_unit_test(test_too_many_exits_are_retried_at_the_longest_delay),
	        cmocka_unit_test(test_intensity_looks_at_the_window_only),
	        cmocka_unit_test(test_limit_of_one_is_failing_at_once),
	};
	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
