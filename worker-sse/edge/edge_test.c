/* What is the edge's own: what stands on every answer, its ceilings, its way out. */
#include "worker-sse/edge/edge.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/edge_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct edge_bench *bench;
static struct wire_memory memory;

static void answer(struct request *request)
{
	reply(request, 200, NULL, 0, SPAN("hi"));
}

static void open_bench(void)
{
	bench = edge_bench_create(NULL);
	edge_bench_route()->handler = answer;
	memory = (struct wire_memory){0};
	edge_bench_connect(bench, &memory);
}

static void finish(void)
{
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
}

static const char *ask(void)
{
	wire_memory_forget(&memory);
	wire_memory_give_text(&memory, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	edge_bench_turn(bench, &memory);
	return (const char *)memory.out;
}

/* The dates of RFC 9110 5.6.7, and one with a leading zero. */
static void the_date_stands_on_every_answer(void **state)
{
	(void)state;
	open_bench();
	edge_tick(&bench->edge, 784111777000);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	edge_tick(&bench->edge, 784111777999);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
	edge_tick(&bench->edge, 784111778000);
	assert_non_null(strstr(ask(), "\r\ndate: Sun, 06 Nov 1994 08:49:38 GMT\r\n"));
	edge_tick(&bench->edge, 0); /* the clock was set back */
	assert_non_null(strstr(ask(), "\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
	assert_non_null(strstr(ask(), "\r\nx-content-type-options: nosniff\r\n"));
	finish();
}

static void ceilings_are_kept_and_shown(void **state)
{
	(void)state;
	open_bench();
	edge_set_ceilings(&bench->edge,
	                  &(struct ceilings){.body_bytes = 1000, .waiting_bytes = 2000});
	assert_int_equal(bench->edge.body_bytes_max, 1000);
	assert_int_equal(bench->edge.waiting.max, 2000);
	assert_int_equal(counter_get(&bench->counters, body_bytes_max), 1000);
	assert_int_equal(counter_get(&bench->counters, waiting_bytes_max), 2000);
	finish();
}

/* Answers of a turn leave before the loop sleeps, whoever wrote them. */
static struct request *kept;

static void keep(struct request *request)
{
	kept = request;
}

static void answers_leave_when_the_turn_ends(void **state)
{
	(void)state;
	open_bench();
	edge_bench_route()->handler = keep;
	assert_string_equal(ask(), "");
	reply(kept, 200, NULL, 0, SPAN("late"));
	edge_flush(&bench->edge);
	assert_non_null(strstr((const char *)memory.out, "\r\n\r\nlate"));
	finish();
}

static void it_is_empty_when_all_have_left(void **state)
{
	(void)state;
	open_bench();
	ask();
	assert_false(edge_is_empty(&bench->edge));
	assert_false(bench->edge.draining);
	edge_stop_accepting(&bench->edge);
	assert_true(bench->edge.draining);
	assert_false(memory.shut);
	edge_drain(&bench->edge);
	edge_bench_turn(bench, &memory);
	assert_true(memory.shut);
	wire_memory_give_end(&memory);
	edge_bench_turn(bench, &memory);
	assert_true(edge_is_empty(&bench->edge));
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_date_stands_on_every_answer),
	        cmocka_unit_test(ceilings_are_kept_and_shown),
	        cmocka_unit_test(answers_leave_when_the_turn_ends),
	        cmocka_unit_test(it_is_empty_when_all_have_left),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
