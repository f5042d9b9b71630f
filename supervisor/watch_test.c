#include "supervisor/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct watch_limits limits = {.hang_ms = 10000, .grace_ms = 2000};

static void test_heartbeats_keep_it_alive(void **state)
{
	(void)state;
	struct watch w;
	watch_begin(&w, 1000);
	for (uint64_t now = 1000; now < 100000; now += 250) {
		assert_int_equal(watch_step(&w, &limits, now), WATCH_FINE);
		watch_heard(&w, now);
	}
}

static void test_silence_is_aborted_then_killed(void **state)
{
	(void)state;
	struct watch w;
	watch_begin(&w, 1000);
	assert_int_equal(watch_step(&w, &limits, 3499), WATCH_FINE);
	assert_int_equal(watch_due(&w, &limits, 3499), 3500);
	assert_int_equal(watch_step(&w, &limits, 3500), WATCH_LATE);
	assert_int_equal(watch_due(&w, &limits, 3500), 11000);
	assert_int_equal(watch_step(&w, &limits, 10999), WATCH_LATE);
	assert_int_equal(watch_step(&w, &limits, 11000), WATCH_ABORT);
	assert_int_equal(watch_due(&w, &limits, 11000), 13000);
	/* A heartbeat that was under way does not save it: it is dying already. */
	watch_heard(&w, 11001);
	assert_int_equal(watch_step(&w, &limits, 12999), WATCH_DYING);
	assert_int_equal(watch_step(&w, &limits, 13000), WATCH_KILL);
	assert_int_equal(watch_step(&w, &limits, 99999), WATCH_DYING);
	assert_true(watch_due(&w, &limits, 99999) == UINT64_MAX);
}

static void test_late_recovers(void **state)
{
	(void)state;
	struct watch w;
	watch_begin(&w, 0);
	assert_int_equal(watch_step(&w, &limits, 9999), WATCH_LATE);
	watch_heard(&w, 9999);
	assert_int_equal(watch_step(&w, &limits, 10000), WATCH_FINE);
}

static void test_own_pause_is_not_held_against_it(void **state)
{
	(void)state;
	struct watch w;
	watch_begin(&w, 1000);
	watch_forgive(&w, 60000);
	assert_int_equal(watch_step(&w, &limits, 61500), WATCH_FINE);
}

static void test_heartbeat_from_the_future(void **state)
{
	(void)state;
	struct watch w;
	watch_begin(&w, 5000);
	assert_int_equal(watch_step(&w, &limits, 4000), WATCH_FINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_heartbeats_keep_it_alive),
	        cmocka_unit_test(test_silence_is_aborted_then_killed),
	        cmocka_unit_test(test_late_recovers),
	        cmocka_unit_test(test_own_pause_is_not_held_against_it),
	        cmocka_unit_test(test_heartbeat_from_the_future),
	};
	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
