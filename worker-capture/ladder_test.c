#include "worker-capture/ladder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct ladder_limits limits = {.terminate_ms = 1500,
                                            .load_ms = 30000,
                                            .not_ready_ms = 300000,
                                            .recent_ms = 60000,
                                            .delay_min_ms = 500,
                                            .delay_max_ms = 4000,
                                            .stable_ms = 30000,
                                            .browsers_max = 6,
                                            .gpu_losses_max = 3};

static enum ladder_step at(struct ladder *ladder, uint64_t ms, enum health_reason reason)
{
	return ladder_next(ladder, &limits, reason, 1000000 + ms);
}

static void a_hang_climbs_from_the_script_to_the_browser(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_HANG), LADDER_TERMINATE);
	assert_int_equal(at(&l, 250, HEALTH_HANG), LADDER_NONE);
	assert_int_equal(at(&l, 1500, HEALTH_HANG), LADDER_TARGET);
	assert_int_equal(at(&l, 1600, HEALTH_STARTING), LADDER_NONE);
	assert_int_equal(at(&l, 31000, HEALTH_STARTING), LADDER_NONE);
	assert_int_equal(at(&l, 31600, HEALTH_STARTING), LADDER_BROWSER);
}

static void what_helped_ends_the_climb(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_HANG), LADDER_TERMINATE);
	assert_int_equal(at(&l, 300, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 90000, HEALTH_HANG), LADDER_TERMINATE);
}

static void a_crash_is_reloaded_and_a_second_one_gets_a_new_page(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_TARGET_CRASHED), LADDER_RELOAD);
	assert_int_equal(at(&l, 10, HEALTH_STARTING), LADDER_NONE);
	assert_int_equal(at(&l, 400, HEALTH_TARGET_CRASHED), LADDER_TARGET);
}

static void three_steps_within_a_minute_are_the_browsers_fault(void **state)
{
	struct ladder l = {0};
	(void)state;
	for (unsigned i = 0; i < LADDER_RECENT_MAX; i++) {
		assert_int_equal(at(&l, i * 5000, HEALTH_TARGET_CRASHED), LADDER_RELOAD);
		assert_int_equal(at(&l, i * 5000 + 900, HEALTH_NONE), LADDER_NONE);
	}
	assert_int_equal(at(&l, 20000, HEALTH_TARGET_CRASHED), LADDER_BROWSER);
	assert_int_equal(at(&l, 21000, HEALTH_NONE), LADDER_NONE);
	/* The new one has done nothing yet. */
	assert_int_equal(at(&l, 22000, HEALTH_TARGET_CRASHED), LADDER_RELOAD);
}

static void new_browsers_wait_longer_each_time(void **state)
{
	static const uint64_t delays_ms[] = {500, 1000, 2000, 4000, 4000};
	struct ladder l = {0};
	uint64_t ms = 0;
	(void)state;
	assert_int_equal(at(&l, ms, HEALTH_BROWSER_EXIT), LADDER_BROWSER);
	for (size_t i = 0; i < sizeof delays_ms / sizeof *delays_ms; i++) {
		ms += 10;
		assert_int_equal(at(&l, ms, HEALTH_BROWSER_FAILED), LADDER_NONE);
		assert_int_equal(at(&l, ms + delays_ms[i] - 1, HEALTH_BROWSER_FAILED), LADDER_NONE);
		ms += delays_ms[i];
		assert_int_equal(at(&l, ms, HEALTH_BROWSER_FAILED), LADDER_BROWSER);
	}
	assert_int_equal(at(&l, ms + 10, HEALTH_BROWSER_FAILED), LADDER_GIVE_UP);
}

static void a_stable_browser_forgives_the_former_ones(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_BROWSER_EXIT), LADDER_BROWSER);
	assert_int_equal(at(&l, 100, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 30100, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 30200, HEALTH_BROWSER_EXIT), LADDER_BROWSER);
	/* That one was not stable for long. */
	assert_int_equal(at(&l, 30300, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 30400, HEALTH_BROWSER_EXIT), LADDER_NONE);
	assert_int_equal(at(&l, 30900, HEALTH_BROWSER_EXIT), LADDER_BROWSER);
}

static void the_third_lost_gpu_is_one_too_many(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_GPU_LOST), LADDER_RELOAD);
	assert_int_equal(at(&l, 1000, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 100000, HEALTH_GPU_LOST), LADDER_RELOAD);
	assert_int_equal(at(&l, 101000, HEALTH_NONE), LADDER_NONE);
	assert_int_equal(at(&l, 200000, HEALTH_GPU_LOST), LADDER_BROWSER);
}

static void a_page_may_take_its_time(void **state)
{
	struct ladder l = {0};
	(void)state;
	assert_int_equal(at(&l, 0, HEALTH_STARTING), LADDER_NONE);
	assert_int_equal(at(&l, 29999, HEALTH_STARTING), LADDER_NONE);
	assert_int_equal(at(&l, 30000, HEALTH_STARTING), LADDER_RELOAD);
	l = (struct ladder){0};
	assert_int_equal(at(&l, 0, HEALTH_PAGE_NOT_READY), LADDER_NONE);
	assert_int_equal(at(&l, 299999, HEALTH_PAGE_NOT_READY), LADDER_NONE);
	assert_int_equal(at(&l, 300000, HEALTH_PAGE_NOT_READY), LADDER_RELOAD);
}

static void what_no_step_mends_gets_none(void **state)
{
	static const enum health_reason reasons[] = {HEALTH_NONE, HEALTH_DIALOG, HEALTH_FLAT_FRAME,
	                                             HEALTH_ENCODER};
	(void)state;
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		struct ladder l = {0};
		assert_int_equal(at(&l, 0, reasons[i]), LADDER_NONE);
		assert_int_equal(at(&l, 10000000, reasons[i]), LADDER_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_hang_climbs_from_the_script_to_the_browser),
	        cmocka_unit_test(what_helped_ends_the_climb),
	        cmocka_unit_test(a_crash_is_reloaded_and_a_second_one_gets_a_new_page),
	        cmocka_unit_test(three_steps_within_a_minute_are_the_browsers_fault),
	        cmocka_unit_test(new_browsers_wait_longer_each_time),
	        cmocka_unit_test(a_stable_browser_forgives_the_former_ones),
	        cmocka_unit_test(the_third_lost_gpu_is_one_too_many),
	        cmocka_unit_test(a_page_may_take_its_time),
	        cmocka_unit_test(what_no_step_mends_gets_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
