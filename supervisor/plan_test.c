#include "supervisor/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct plan plan_for(const char *sse_workers, unsigned cpus, bool replacing)
{
	struct settings settings = {.sse_workers = (char *)(uintptr_t)sse_workers,
	                            .bridge_workers = 1};
	return plan_make(&settings, cpus, replacing, true);
}

static void test_auto_is_one_per_cpu(void **state)
{
	(void)state;
	assert_int_equal(plan_for("auto", 1, false).counts[ROLE_INDEX_SSE], 1);
	assert_int_equal(plan_for("auto", 12, false).counts[ROLE_INDEX_SSE], 12);
	assert_int_equal(plan_for("auto", 0, false).counts[ROLE_INDEX_SSE], 1);
	assert_int_equal(plan_for("auto", 5000, false).counts[ROLE_INDEX_SSE], PLAN_LISTENING_MAX);
}

static void test_a_number_is_taken_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(plan_for("3", 12, false).counts[ROLE_INDEX_SSE], 3);
	assert_int_equal(plan_for("256", 1, false).counts[ROLE_INDEX_SSE], 256);
}

static void test_other_roles(void **state)
{
	(void)state;
	struct plan plan = plan_for("auto", 2, false);
	assert_int_equal(plan.counts[ROLE_INDEX_BRIDGE], 1);
	assert_int_equal(plan.counts[ROLE_INDEX_CAPTURE], 0);
	assert_int_equal(plan_total(&plan), 3);
}

/* Whatever the settings allow has its place. */
static void test_no_more_than_there_are_places(void **state)
{
	(void)state;
	struct settings settings = {.sse_workers = (char *)(uintptr_t) "5000",
	                            .bridge_workers = 1,
	                            .capture_workers = 1};
	struct plan plan = plan_make(&settings, 4, true, true);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		assert_in_range(plan.counts[i], 0, roles[i].slots);
}

static void test_a_single_worker_is_replaced_with_company(void **state)
{
	(void)state;
	assert_int_equal(plan_for("1", 8, true).counts[ROLE_INDEX_SSE], 2);
	assert_int_equal(plan_for("2", 8, true).counts[ROLE_INDEX_SSE], 2);
	assert_int_equal(plan_for("256", 8, true).counts[ROLE_INDEX_SSE], 256);
}

/* First its store, then who serves it; what decides by itself runs where the log is written. */
static void test_a_node_that_follows(void **state)
{
	(void)state;
	struct settings settings = {
	        .sse_workers = (char *)(uintptr_t) "3", .bridge_workers = 1, .capture_workers = 1};
	assert_int_equal(plan_make(&settings, 4, false, false).counts[ROLE_INDEX_LINK], 0);
	settings.cluster_follow = (char *)(uintptr_t) "http://127.0.0.1:1";
	struct plan plan = plan_make(&settings, 4, false, false);
	assert_int_equal(plan.counts[ROLE_INDEX_LINK], 1);
	assert_int_equal(plan_total(&plan), 1);
	plan = plan_make(&settings, 4, false, true);
	assert_int_equal(plan.counts[ROLE_INDEX_LINK], 1);
	assert_int_equal(plan.counts[ROLE_INDEX_SSE], 3);
	assert_int_equal(plan_total(&plan), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_auto_is_one_per_cpu),
	        cmocka_unit_test(test_a_number_is_taken_as_it_is),
	        cmocka_unit_test(test_other_roles),
	        cmocka_unit_test(test_no_more_than_there_are_places),
	        cmocka_unit_test(test_a_single_worker_is_replaced_with_company),
	        cmocka_unit_test(test_a_node_that_follows),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
