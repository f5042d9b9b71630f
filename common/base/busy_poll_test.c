#include "common/base/busy_poll.h"
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static unsigned rounds;

static void on_prepare(uv_prepare_t *prepare)
{
	(void)prepare;
	rounds++;
}

static void on_timer(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

/* How often the loop goes round in 20 ms. */
static unsigned rounds_with(uint64_t poll_ns, uint64_t again_ns)
{
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t timer;
	struct busy_poll poll;
	uv_loop_init(&loop);
	uv_prepare_init(&loop, &prepare);
	uv_prepare_start(&prepare, on_prepare);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_timer, 20, 0);
	busy_poll_init(&poll, &loop);
	busy_poll_for(&poll, poll_ns);
	busy_poll_for(&poll, again_ns);
	rounds = 0;
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_false(clock_monotonic_ns() < poll.due_ns);
	uv_close((uv_handle_t *)&poll.idle, NULL);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_close((uv_handle_t *)&prepare, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return rounds;
}

static void test_no_time_sleeps(void **state)
{
	(void)state;
	assert_in_range(rounds_with(0, 0), 1, 3);
}

static void test_the_loop_goes_round_until_it_is_due(void **state)
{
	(void)state;
	assert_true(rounds_with(2000000, 0) > 3);
}

static void test_the_longer_time_counts(void **state)
{
	(void)state;
	assert_true(rounds_with(10000000, 1) >
	            3); /* ends after the later of both: see rounds_with() */
}

/* A loop that has nothing else ends: polling keeps nothing alive. */
static void test_it_keeps_no_loop_alive(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct busy_poll poll;
	uv_loop_init(&loop);
	busy_poll_init(&poll, &loop);
	busy_poll_for(&poll, 60000000000ull);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	uv_close((uv_handle_t *)&poll.idle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_no_time_sleeps),
	        cmocka_unit_test(test_the_loop_goes_round_until_it_is_due),
	        cmocka_unit_test(test_the_longer_time_counts),
	        cmocka_unit_test(test_it_keeps_no_loop_alive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
