#include "common/base/busy_poll.h"
#include "tests/doubles/clock_by_hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>

static void never(uv_timer_t *timer)
{
	(void)timer;
	fail();
}

/* A loop that would sleep for an hour; its clock is not ours, which goes by hand. */
struct bench {
	uv_loop_t loop;
	uv_timer_t timer;
	struct busy_poll poll;
};

static void start(struct bench *b)
{
	uv_loop_init(&b->loop);
	uv_timer_init(&b->loop, &b->timer);
	uv_timer_start(&b->timer, never, 3600000, 0);
	busy_poll_init(&b->poll, &b->loop);
}

static void finish(struct bench *b)
{
	uv_close((uv_handle_t *)&b->poll.idle, NULL);
	uv_close((uv_handle_t *)&b->timer, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
}

static bool polls(const struct bench *b)
{
	return uv_is_active((const uv_handle_t *)&b->poll.idle);
}

static void test_no_time_sleeps(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	busy_poll_for(&b.poll, 0);
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_false(polls(&b));
	finish(&b);
}

static void test_the_loop_goes_round_until_it_is_due(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	busy_poll_for(&b.poll, 2000000);
	for (int i = 0; i < 100; i++)
		uv_run(&b.loop, UV_RUN_ONCE); /* sleeps for an hour where it should not */
	assert_true(polls(&b));
	clock_by_hand_advance_ms(2);
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_false(polls(&b));
	finish(&b);
}

static void test_the_longer_time_counts(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	busy_poll_for(&b.poll, 10000000);
	busy_poll_for(&b.poll, 1);
	clock_by_hand_advance_ms(9);
	uv_run(&b.loop, UV_RUN_ONCE);
	assert_true(polls(&b));
	clock_by_hand_advance_ms(1);
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_false(polls(&b));
	finish(&b);
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
