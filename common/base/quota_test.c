#include "common/base/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct quota *fresh(void)
{
	return calloc(1, sizeof(struct quota));
}

static void a_rate_is_given_back_with_its_window(void **state)
{
	struct quota *q = fresh();
	uint64_t key = quota_key("a", 1, 1), other = quota_key("b", 1, 1), again = 0;
	(void)state;
	assert_true(key != other && key != quota_key("a", 1, 2));
	for (int i = 0; i < 3; i++)
		assert_true(quota_take(q, key, 1000 + (uint64_t)i, 60000, 3, &again));
	assert_false(quota_take(q, key, 2000, 60000, 3, &again));
	assert_int_equal(again, 59000);
	assert_false(quota_take(q, key, 999, 60000, 3,
	                        &again)); /* by a worker whose clock is a turn behind */
	assert_true(quota_take(q, other, 2000, 60000, 3, &again));
	assert_false(quota_take(q, key, 60999, 60000, 3, &again));
	assert_int_equal(again, 1);
	assert_true(quota_take(q, key, 61000, 60000, 3, &again));
	free(q);
}

static void a_holding_is_shared_by_the_workers(void **state)
{
	struct quota *q = fresh();
	uint64_t key = quota_key("a", 1, 1);
	(void)state;
	assert_true(quota_hold(q, key, 0, 3, 2));
	assert_true(quota_hold(q, key, 2, 3, 2));
	assert_false(quota_hold(q, key, 1, 3, 2));
	assert_false(quota_hold(q, key, 0, 3, 2));
	quota_release(q, key, 0);
	assert_true(quota_hold(q, key, 1, 3, 2));
	quota_forget(q, 2); /* it was killed */
	assert_true(quota_hold(q, key, 2, 3, 2));
	assert_false(quota_hold(q, key, 0, 3, 2));
	quota_release(q, key, 1);
	quota_release(q, key, 2);
	for (size_t i = 0; i < QUOTA_CELLS; i++)
		assert_int_equal(q->cells[i].key, 0);
	free(q);
}

static void a_full_table_still_counts(void **state)
{
	struct quota *q = fresh();
	uint64_t again;
	(void)state;
	for (uint64_t i = 0; i < 100000; i++)
		assert_true(quota_take(q, quota_key(&i, sizeof i, 1), i, 60000, 1, &again));
	uint64_t last = 99999;
	assert_false(quota_take(q, quota_key(&last, sizeof last, 1), 100000, 60000, 1, &again));
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_rate_is_given_back_with_its_window),
	        cmocka_unit_test(a_holding_is_shared_by_the_workers),
	        cmocka_unit_test(a_full_table_still_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
