#include "common/worker/slices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct slices slices;
static char said[64];

struct job {
	struct slices_job job; /* first */
	char name;
	unsigned left;
	struct job *removes;
	bool adds_itself;
};

static bool run(struct slices_job *slices_job)
{
	struct job *job = (struct job *)slices_job;
	const char text[] = {job->name, '\0'};
	strcat(said, text);
	if (job->removes != NULL)
		slices_remove(&slices, &job->removes->job);
	if (job->adds_itself)
		slices_add(&slices, slices_job);
	return --job->left > 0;
}

static void on_check(uv_check_t *check)
{
	(void)check;
	strcat(said, ".");
}

static int setup(void **state)
{
	static uv_loop_t loop;
	*state = &loop;
	said[0] = '\0';
	uv_loop_init(&loop);
	slices_start(&slices, &loop);
	return 0;
}

static int teardown(void **state)
{
	uv_loop_t *loop = *state;
	uv_close((uv_handle_t *)&slices.turn, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	return uv_loop_close(loop);
}

static void test_one_slice_a_turn_in_their_order(void **state)
{
	struct job a = {.job.run = run, .name = 'a', .left = 3};
	struct job b = {.job.run = run, .name = 'b', .left = 2};
	struct job c = {.job.run = run, .name = 'c', .left = 1};
	uv_check_t others;
	uv_check_init(*state, &others);
	uv_check_start(&others, on_check);
	uv_unref((uv_handle_t *)&others);
	slices_add(&slices, &a.job);
	slices_add(&slices, &b.job);
	slices_add(&slices, &c.job);
	uv_run(*state, UV_RUN_DEFAULT); /* ends: with nobody in line the loop may sleep */
	assert_memory_equal(said, "a.b.c.a.b.a.", 12);
	uv_close((uv_handle_t *)&others, NULL);
	uv_run(*state, UV_RUN_DEFAULT);
}

static void test_who_leaves_the_line_gets_no_turn(void **state)
{
	struct job b = {.job.run = run, .name = 'b', .left = 9};
	struct job a = {.job.run = run, .name = 'a', .left = 2, .removes = &b};
	struct job c = {.job.run = run, .name = 'c', .left = 1};
	slices_add(&slices, &a.job);
	slices_add(&slices, &b.job);
	slices_add(&slices, &c.job);
	uv_run(*state, UV_RUN_DEFAULT);
	assert_string_equal(said, "aca");
	slices_remove(&slices, &b.job);
	b.left = 1;
	slices_add(&slices, &b.job);
	uv_run(*state, UV_RUN_DEFAULT);
	assert_string_equal(said, "acab");
}

static void test_who_is_in_line_keeps_its_place(void **state)
{
	struct job a = {.job.run = run, .name = 'a', .left = 1};
	struct job b = {.job.run = run, .name = 'b', .left = 1};
	slices_add(&slices, &a.job);
	slices_add(&slices, &b.job);
	slices_add(&slices, &a.job);
	slices_add(&slices, &b.job);
	uv_run(*state, UV_RUN_DEFAULT); /* ends: the line is no ring */
	assert_string_equal(said, "ab");
}

static void test_who_adds_itself_and_has_more_to_do_is_in_line_once(void **state)
{
	struct job a = {.job.run = run, .name = 'a', .left = 2, .adds_itself = true};
	struct job b = {.job.run = run, .name = 'b', .left = 2};
	slices_add(&slices, &a.job);
	slices_add(&slices, &b.job);
	for (int i = 0; i < 4; i++)
		uv_run(*state, UV_RUN_NOWAIT);
	slices_remove(&slices, &a.job);
	assert_string_equal(said, "abab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_one_slice_a_turn_in_their_order),
	        T(test_who_leaves_the_line_gets_no_turn),
	        T(test_who_is_in_line_keeps_its_place),
	        T(test_who_adds_itself_and_has_more_to_do_is_in_line_once),
#undef T
	};
	return cmocka_run_group_tests_name("slices", tests, NULL, NULL);
}
