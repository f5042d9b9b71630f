#include "common/base/wheel.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

struct probe {
	struct wheel_node node;
	uint64_t fired_ms;
	int fired;
	uint64_t again_ms;    /* set again from within due() */
	struct probe *victim; /* cancelled from within due() */
};

static struct wheel wheel;
static uint64_t now_ms;

static void due(struct wheel_node *node)
{
	struct probe *probe = (struct probe *)(void *)node;
	probe->fired++;
	probe->fired_ms = now_ms;
	assert_null(node->previous);
	if (probe->victim != NULL)
		wheel_cancel(&probe->victim->node);
	if (probe->again_ms != 0)
		wheel_set(&wheel, node, now_ms + probe->again_ms);
}

static void begin(uint64_t at_ms)
{
	now_ms = at_ms;
	wheel_init(&wheel, now_ms);
}

static void run_to(uint64_t to_ms, uint64_t step_ms)
{
	while (now_ms < to_ms) {
		now_ms += step_ms;
		wheel_run(&wheel, now_ms);
	}
}

static void test_fires_in_time_and_never_early(void **unused)
{
	static const uint64_t after[] = {0,     1,     49,    50,     51,     999,
	                                 51150, 51200, 51250, 200000, 3600000};
	enum { COUNT = sizeof after / sizeof *after };
	static struct probe probes[COUNT];
	(void)unused;
	begin(1234567);
	for (size_t i = 0; i < COUNT; i++) {
		probes[i] = (struct probe){.node.due = due};
		wheel_set(&wheel, &probes[i].node, 1234567 + after[i]);
	}
	run_to(1234567 + 3700000, 7);
	for (size_t i = 0; i < COUNT; i++) {
		uint64_t due_ms = 1234567 + after[i];
		assert_int_equal(probes[i].fired, 1);
		assert_true(probes[i].fired_ms >= due_ms);
		assert_true(probes[i].fired_ms <= due_ms + 2 * WHEEL_TICK_MS + 7);
	}
}

static void test_a_long_pause_fires_everything_due(void **unused)
{
	struct probe soon = {.node.due = due}, late = {.node.due = due};
	(void)unused;
	begin(0);
	wheel_set(&wheel, &soon.node, 100);
	wheel_set(&wheel, &late.node, 60000000);
	run_to(50000000, 50000000);
	assert_int_equal(soon.fired, 1);
	assert_int_equal(late.fired, 0);
	wheel_cancel(&late.node);
}

static void test_moved_and_cancelled(void **unused)
{
	struct probe moved = {.node.due = due}, gone = {.node.due = due};
	(void)unused;
	begin(1000);
	wheel_set(&wheel, &moved.node, 1100);
	wheel_set(&wheel, &gone.node, 1100);
	wheel_set(&wheel, &moved.node, 2000);
	wheel_cancel(&gone.node);
	wheel_cancel(&gone.node);
	run_to(1900, 50);
	assert_int_equal(moved.fired, 0);
	run_to(2100, 50);
	assert_int_equal(moved.fired, 1);
	assert_int_equal(gone.fired, 0);
}

static void test_due_may_set_itself_again(void **unused)
{
	struct probe probe = {.node.due = due, .again_ms = 100};
	(void)unused;
	begin(0);
	wheel_set(&wheel, &probe.node, 100);
	run_to(10000, 10);
	assert_in_range(probe.fired, 60, 100);
	wheel_cancel(&probe.node);
}

/* Each of a full slot cancels its neighbour, on either side of it. */
static void test_due_may_cancel_others_of_its_tick(void **unused)
{
	enum { COUNT = 64 };
	static struct probe probes[COUNT];
	int fired = 0;
	(void)unused;
	begin(0);
	for (int i = 0; i < COUNT; i++) {
		probes[i] = (struct probe){.node.due = due, .victim = &probes[i ^ 1]};
		wheel_set(&wheel, &probes[i].node, 100);
	}
	run_to(300, 50);
	for (int i = 0; i < COUNT; i++)
		fired += probes[i].fired;
	assert_int_equal(fired, COUNT / 2);
}

/* Against the plain list of due times. */
static void test_random(void **unused)
{
	enum { COUNT = 200, STEPS = 20000 };
	static struct probe probes[COUNT];
	static uint64_t due_ms[COUNT]; /* 0: not set */
	(void)unused;
	srand(1);
	begin(5000);
	for (int i = 0; i < COUNT; i++)
		probes[i] = (struct probe){.node.due = due};
	for (int step = 0; step < STEPS; step++) {
		int i = rand() % COUNT;
		if (rand() % 3 == 0) {
			wheel_cancel(&probes[i].node);
			due_ms[i] = 0;
		} else {
			due_ms[i] = now_ms + 1 + (uint64_t)(rand() % 100000);
			wheel_set(&wheel, &probes[i].node, due_ms[i]);
		}
		run_to(now_ms + (uint64_t)(rand() % 60) + 1, 13);
		for (int k = 0; k < COUNT; k++) {
			if (probes[k].fired > 0) {
				assert_true(due_ms[k] != 0 && due_ms[k] <= now_ms);
				due_ms[k] = 0;
			}
			probes[k].fired = 0;
			assert_true(due_ms[k] == 0 || due_ms[k] + 3 * WHEEL_TICK_MS > now_ms);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_fires_in_time_and_never_early),
	        cmocka_unit_test(test_a_long_pause_fires_everything_due),
	        cmocka_unit_test(test_moved_and_cancelled),
	        cmocka_unit_test(test_due_may_set_itself_again),
	        cmocka_unit_test(test_due_may_cancel_others_of_its_tick),
	        cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
