#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_step_of_the_wall_clock_is_seen_once(void **state)
{
	struct clock_watch watch = {0};
	(void)state;
	assert_int_equal(clock_watch_step(&watch, 5000000, 100), 0); /* the first look */
	assert_int_equal(clock_watch_step(&watch, 5000050, 150), 0);
	assert_int_equal(clock_watch_step(&watch, 5000050 - 3600000 + 70, 220), -3600000);
	assert_int_equal(clock_watch_step(&watch, 5000050 - 3600000 + 90, 240), 0);
	assert_int_equal(clock_watch_step(&watch, 5000050 + 90, 240), 3600000);
}

static void slewing_and_standing_still_are_no_steps(void **state)
{
	struct clock_watch watch = {0};
	uint64_t wall_ms = 5000000, monotonic_ms = 100;
	(void)state;
	clock_watch_step(&watch, wall_ms, monotonic_ms);
	for (int i = 0; i < 100; i++) /* by a tenth, for long */
		assert_int_equal(clock_watch_step(&watch, wall_ms += 900, monotonic_ms += 1000), 0);
	/* Nobody looked for an hour: time has passed. */
	assert_int_equal(clock_watch_step(&watch, wall_ms + 3600000, monotonic_ms + 3600000), 0);
}

static void times_move_with_the_clock(void **state)
{
	(void)state;
	assert_int_equal(clock_moved_ms(5000, 100), 5100);
	assert_int_equal(clock_moved_ms(5000, -100), 4900);
	assert_int_equal(clock_moved_ms(0, 100), 0); /* not yet is not yet */
	assert_int_equal(clock_moved_ms(0, -100), 0);
	assert_int_equal(clock_moved_ms(5000, -9000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_step_of_the_wall_clock_is_seen_once),
	        cmocka_unit_test(slewing_and_standing_still_are_no_steps),
	        cmocka_unit_test(times_move_with_the_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
