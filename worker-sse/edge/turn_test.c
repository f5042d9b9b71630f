#include "tests/doubles/clock_by_hand.h"
#include "worker-sse/edge/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* Somebody in line: each of its turns takes some time, and it wants some turns. */
struct waiter {
	struct turn_task task;
	struct turn *turn;
	enum turn_line line;
	unsigned wants, had;
	uint64_t takes_ms;
	char name;
};

static char order[256];

static void proceed(struct turn_task *task)
{
	struct waiter *w = (struct waiter *)task;
	order[strlen(order)] = w->name;
	w->had++;
	clock_by_hand_advance_ms(w->takes_ms);
	if (w->had < w->wants)
		turn_wait(w->turn, task, w->line);
}

struct bench {
	uv_loop_t loop;
	struct wheel wheel;
	struct turn turn;
};

static void start(struct bench *b)
{
	memset(order, 0, sizeof order);
	assert_int_equal(uv_loop_init(&b->loop), 0);
	wheel_init(&b->wheel, clock_by_hand_ms());
	turn_init(&b->turn, &b->loop, &b->wheel);
}

static void finish(struct bench *b)
{
	uv_close((uv_handle_t *)&b->turn.more, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
}

static struct waiter waiter_of(struct bench *b, char name, enum turn_line line, unsigned wants,
                               uint64_t takes_ms)
{
	return (struct waiter){.task = {.proceed = proceed},
	                       .turn = &b->turn,
	                       .line = line,
	                       .wants = wants,
	                       .takes_ms = takes_ms,
	                       .name = name};
}

static void everybody_has_a_turn_before_anybody_has_two(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	struct waiter one = waiter_of(&b, 'a', TURN_REQUESTS, 3, 0),
	              two = waiter_of(&b, 'b', TURN_REQUESTS, 3, 0);
	turn_wait(&b.turn, &one.task, TURN_REQUESTS);
	turn_wait(&b.turn, &two.task, TURN_REQUESTS);
	turn_wait(&b.turn, &one.task, TURN_REQUESTS); /* it stands there already */
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_string_equal(order, "ababab");
	assert_false(uv_is_active((uv_handle_t *)&b.turn.more));
	finish(&b);
}

/* Of requests 10 ms a turn, of answers 1 ms; the loop turns in between. */
static void a_turn_ends_and_answers_have_their_share(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	struct waiter request = waiter_of(&b, 'r', TURN_REQUESTS, 6, 6),
	              answer = waiter_of(&b, 'w', TURN_ANSWERS, 4, 1);
	turn_wait(&b.turn, &request.task, TURN_REQUESTS);
	turn_wait(&b.turn, &answer.task, TURN_ANSWERS);
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_string_equal(order, "rrw");
	uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_string_equal(order, "rrwrrw");
	assert_int_equal(b.wheel.now_ms + 13, clock_by_hand_ms()); /* told at its beginning */
	for (int i = 0; i < 4; i++)
		uv_run(&b.loop, UV_RUN_NOWAIT);
	assert_int_equal(request.had, 6);
	assert_int_equal(answer.had, 4);
	finish(&b);
}

static void what_is_begun_counts_against_the_turn(void **state)
{
	struct bench b;
	(void)state;
	start(&b);
	uint64_t now_ns = clock_by_hand_ms() * 1000000;
	turn_begin(&b.turn);
	turn_note(&b.turn, now_ns);
	turn_note(&b.turn, now_ns + 9999999);
	assert_false(b.turn.over);
	turn_note(&b.turn, now_ns + 10000000);
	assert_true(b.turn.over);
	turn_begin(&b.turn);
	assert_false(b.turn.over);
	struct waiter one = waiter_of(&b, 'a', TURN_REQUESTS, 1, 0);
	turn_wait(&b.turn, &one.task, TURN_REQUESTS);
	turn_begin(&b.turn);
	assert_true(b.turn.over); /* others wait: behind them */
	uv_run(&b.loop, UV_RUN_NOWAIT);
	finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(everybody_has_a_turn_before_anybody_has_two),
	        cmocka_unit_test(a_turn_ends_and_answers_have_their_share),
	        cmocka_unit_test(what_is_begun_counts_against_the_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
