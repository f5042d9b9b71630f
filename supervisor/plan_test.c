#include "supervisor/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct plan plan_for(const char *sse_workers, unsigned cpus, bool replacing)
{
	struct settings settings = {.sse_workers = (char *)(uintptr_t)sse_workers,
	                            .bridge_workers = 1};
	return plan_make(&settings, cpus, replacing);
}

static void test_auto_is_one_per_cpu(void **state)
{
	(void)state;
	assert_int_equal(plan_for("auto", 1, false).sse, 1);
	assert_int_equal(plan_for("auto", 12, false).sse, 12);
	assert_int_equal(plan_for("auto", 0, false).sse, 1);
	assert_int_equal(plan_for("auto", 5000, false).sse, PLAN_SSE_MAX);
}

static void test_a_number_is_taken_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(plan_for("3", 12, false).sse, 3);
	assert_int_equal(plan_for("256", 1, false).sse, 256);
}

static void test_other_roles(void **state)
{
	(void)state;
	struct plan plan = plan_for("auto", 2, false);
	assert_int_equal(plan.bridge, 1);
	assert_int_equal(plan.capture, 0);
}

static void test_a_single_worker_is_replaced_with_company(void **state)
{
	(void)state;
	assert_int_equal(plan_for("1", 8, true).sse, 2);
	assert_int_equal(plan_for("2", 8, true).sse, 2);
	assert_int_equal(plan_for("256", 8, true).sse, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_auto_is_one_per_cpu),
	        cmocka_unit_test(test_a_number_is_taken_as_it_is),
	        cmocka_unit_test(test_other_roles),
	        cmocka_unit_test(test_a_single_worker_is_replaced_with_company),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
