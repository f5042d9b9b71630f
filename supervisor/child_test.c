#include "supervisor/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t due_ms;

static enum child_action decide(struct child_facts facts, uint64_t now_ms)
{
	return child_decide(&facts, now_ms, &due_ms);
}

static void test_wanted_is_started(void **state)
{
	(void)state;
	assert_int_equal(decide((struct child_facts){.state = CHILD_ABSENT, .wanted = true}, 5),
	                 CHILD_START);
	assert_int_equal(decide((struct child_facts){.state = CHILD_ABSENT}, 5), CHILD_WAIT);
	assert_true(due_ms == UINT64_MAX);
	assert_int_equal(decide((struct child_facts){.state = CHILD_ABSENT,
	                                             .wanted = true,
	                                             .stopping = true},
	                        5),
	                 CHILD_WAIT);
}

static void test_restart_waits_for_its_time(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_STOPPED, .wanted = true, .start_due_ms = 100};
	assert_int_equal(decide(f, 99), CHILD_WAIT);
	assert_int_equal(due_ms, 100);
	assert_int_equal(decide(f, 100), CHILD_START);
	f.stopping = true;
	assert_int_equal(decide(f, 100), CHILD_RELEASE);
}

static void test_unwanted_is_drained_after_handshakes_settled(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_READY, .settle_due_ms = 100};
	assert_int_equal(decide(f, 99), CHILD_WAIT);
	assert_int_equal(due_ms, 100);
	assert_int_equal(decide(f, 100), CHILD_DRAIN);
	f.wanted = true;
	assert_int_equal(decide(f, 100), CHILD_WAIT);
}

static void test_socket_with_a_queue_is_not_closed(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_STOPPED, .queue_waits = true, .start_due_ms = 100};
	assert_int_equal(decide(f, 99), CHILD_WAIT);
	assert_int_equal(decide(f, 100), CHILD_START);
	f.queue_waits = false;
	assert_int_equal(decide(f, 0), CHILD_RELEASE);
}

static void test_recycle_waits_for_its_turn(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_READY, .wanted = true, .recycle = true};
	assert_int_equal(decide(f, 1), CHILD_WAIT);
	f.may_recycle = true;
	assert_int_equal(decide(f, 1), CHILD_DRAIN);
	f.state = CHILD_STARTING;
	f.kill_due_ms = 50;
	assert_int_equal(decide(f, 1), CHILD_WAIT);
}

static void test_failed_stays_until_told(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_FAILED, .wanted = true};
	assert_int_equal(decide(f, 1000000), CHILD_WAIT);
	assert_true(due_ms == UINT64_MAX);
	f.recycle = true;
	assert_int_equal(decide(f, 1), CHILD_START);
	f.wanted = false;
	assert_int_equal(decide(f, 1), CHILD_RELEASE);
}

static void test_deadlines_kill(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_DRAINING, .kill_due_ms = 100};
	assert_int_equal(decide(f, 99), CHILD_WAIT);
	assert_int_equal(due_ms, 100);
	assert_int_equal(decide(f, 100), CHILD_KILL);
	f.kill_due_ms = UINT64_MAX;
	assert_int_equal(decide(f, 100), CHILD_WAIT);
	f = (struct child_facts){.state = CHILD_STARTING, .wanted = true, .kill_due_ms = 100};
	assert_int_equal(decide(f, 100), CHILD_KILL);
}

static void test_stopping_takes_turns(void **state)
{
	(void)state;
	struct child_facts f = {.state = CHILD_READY, .wanted = true, .stopping = true};
	assert_int_equal(decide(f, 1), CHILD_WAIT);
	f.leave = true;
	assert_int_equal(decide(f, 1), CHILD_DRAIN);
	f.state = CHILD_STARTING;
	assert_int_equal(decide(f, 1), CHILD_DRAIN);
	f.state = CHILD_FAILED;
	assert_int_equal(decide(f, 1), CHILD_RELEASE);
}

static void test_rates(void **state)
{
	(void)state;
	static struct counters_slot slot;
	static struct child child = {.counters = &slot};
	counter_set(&slot, requests_total, 1000);
	child_rates_update(&child, 5000);
	assert_true(child.rates.requests_s == 0);
	counter_add(&slot, requests_total, 300);
	child_rates_update(&child, 7000);
	assert_true(child.rates.requests_s == 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_wanted_is_started),
	        cmocka_unit_test(test_restart_waits_for_its_time),
	        cmocka_unit_test(test_unwanted_is_drained_after_handshakes_settled),
	        cmocka_unit_test(test_socket_with_a_queue_is_not_closed),
	        cmocka_unit_test(test_recycle_waits_for_its_turn),
	        cmocka_unit_test(test_failed_stays_until_told),
	        cmocka_unit_test(test_deadlines_kill),
	        cmocka_unit_test(test_stopping_takes_turns),
	        cmocka_unit_test(test_rates),
	};
	return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
