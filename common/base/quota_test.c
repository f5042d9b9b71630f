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

static bool held(uint32_t place)
{
	return place != QUOTA_USED_UP && place != QUOTA_NO_PLACE;
}

static void a_look_takes_nothing(void **state)
{
	struct quota *q = fresh();
	uint64_t key = quota_key("a", 1, 1), again = 0;
	(void)state;
	assert_true(quota_left(q, key, 1000, 1, &again));
	assert_int_equal(q->rates[key % QUOTA_CELLS].key, 0);
	assert_true(quota_take(q, key, 1000, 60000, 1, &again));
	assert_false(quota_left(q, key, 2000, 1, &again));
	assert_int_equal(again, 59000);
	assert_true(quota_left(q, key, 2000, 2, &again));
	assert_true(quota_left(q, key, 61000, 1, &again));
	free(q);
}

/* Windows of a second come and go by the thousand; they are no reason to forget one of a minute. */
static void what_is_over_gives_way_first(void **state)
{
	struct quota *q = fresh();
	uint64_t key = quota_key("slow", 4, 1), again, now_ms = 1000;
	(void)state;
	assert_true(quota_take(q, key, now_ms, 60000, 1, &again));
	for (uint64_t i = 0; i < 20 * QUOTA_CELLS; i++, now_ms = 1000 + i / 100)
		assert_true(quota_take(q, quota_key(&i, sizeof i, 2), now_ms, 1000, 1, &again));
	assert_true(now_ms < 61000);
	assert_false(quota_take(q, key, now_ms, 60000, 1, &again));
	free(q);
}

/* Whoever asks from very many addresses keeps nobody from following. */
static void rates_take_no_place_of_holdings(void **state)
{
	struct quota *q = fresh();
	uint64_t again;
	(void)state;
	for (uint64_t i = 0; i < 8 * QUOTA_CELLS; i++)
		quota_take(q, quota_key(&i, sizeof i, 1), i, 60000, 1, &again);
	for (uint64_t i = 0; i < QUOTA_CELLS / 4; i++)
		assert_true(held(quota_hold(q, quota_key(&i, sizeof i, 2), 0, 1, 1)));
	free(q);
}

static void a_full_table_of_holdings_says_so(void **state)
{
	struct quota *q = fresh();
	uint64_t i = 0;
	uint32_t place;
	(void)state;
	while (held(place = quota_hold(q, quota_key(&i, sizeof i, 1), 0, 1, 1)))
		i++;
	assert_int_equal(place, QUOTA_NO_PLACE);
	assert_true(i > QUOTA_CELLS / 4);
	free(q);
}

static void a_holding_is_shared_by_the_workers(void **state)
{
	struct quota *q = fresh();
	uint64_t key = quota_key("a", 1, 1);
	(void)state;
	uint32_t first = quota_hold(q, key, 0, 3, 2);
	assert_true(held(first));
	assert_true(held(quota_hold(q, key, 2, 3, 2)));
	assert_int_equal(quota_hold(q, key, 1, 3, 2), QUOTA_USED_UP);
	assert_int_equal(quota_hold(q, key, 0, 3, 2), QUOTA_USED_UP);
	quota_release(q, first);
	uint32_t second = quota_hold(q, key, 1, 3, 2);
	assert_true(held(second));
	quota_forget(q, 2); /* it was killed */
	uint32_t third = quota_hold(q, key, 2, 3, 2);
	assert_true(held(third));
	assert_int_equal(quota_hold(q, key, 0, 3, 2), QUOTA_USED_UP);
	quota_release(q, second);
	quota_release(q, third);
	for (size_t i = 0; i < QUOTA_CELLS; i++)
		assert_int_equal(q->holdings[i].key, 0);
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
	        cmocka_unit_test(a_look_takes_nothing),
	        cmocka_unit_test(what_is_over_gives_way_first),
	        cmocka_unit_test(rates_take_no_place_of_holdings),
	        cmocka_unit_test(a_full_table_of_holdings_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
