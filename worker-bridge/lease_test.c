#include "worker-bridge/lease.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW_MS = 1000000 };
static struct store_bench bench;
static struct store *store;

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	bench.maintains = true;
	store_bench_open(&bench);
	store = bench.store;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_bench_close(&bench);
	return 0;
}

static struct rows *begin(void)
{
	while (store_advance(store, 0)) {
	}
	return rows_create(store_view(store));
}

static enum verdict commit(struct rows *rows)
{
	struct txn *txn = txn_create();
	rows_add(rows, txn);
	rows_destroy(&rows);
	return txn_execute(&txn, store);
}

/* A look, and where it is free or mine a transaction with it. */
static enum lease_look take(struct lease *lease, uint64_t now_ms, bool *moved)
{
	struct rows *rows = begin();
	enum lease_look look = lease_take(lease, rows, now_ms, moved);
	if (look == LEASE_MINE)
		lease_put(lease, rows, now_ms);
	if (look == LEASE_MINE)
		assert_int_equal(commit(rows), VERDICT_OK);
	else
		rows_destroy(&rows);
	lease->entered = look == LEASE_MINE;
	return look;
}

static void of_two_one_holds_it(void **state)
{
	struct lease a, b;
	bool moved;
	(void)state;
	lease_init(&a, "test/lease", 7, 0, 1);
	lease_init(&b, "test/lease", 7, 1, 2);
	assert_int_equal(take(&a, NOW_MS, &moved), LEASE_MINE);
	assert_int_equal(a.fence, 1);
	assert_int_equal(take(&b, NOW_MS + 1, &moved), LEASE_OTHERS);
	assert_true(moved && !b.mine);
	assert_int_equal(take(&a, NOW_MS + 9000, &moved), LEASE_MINE); /* and longer */
	assert_false(moved);
	assert_int_equal(take(&b, NOW_MS + 11000, &moved), LEASE_OTHERS);
	assert_int_equal(take(&b, NOW_MS + 19001, &moved), LEASE_MINE);
	assert_int_equal(b.fence, 2);
	assert_int_equal(take(&a, NOW_MS + 19002, &moved), LEASE_OTHERS);
	assert_true(moved && !a.entered);
}

/* Both have read it free: only one of the transactions becomes. */
static void who_was_slower_fails(void **state)
{
	struct lease a, b;
	bool moved;
	(void)state;
	lease_init(&a, "test/lease", 7, 0, 1);
	lease_init(&b, "test/lease", 7, 1, 2);
	struct rows *first = begin(), *second = begin();
	assert_int_equal(lease_take(&a, first, NOW_MS, &moved), LEASE_MINE);
	assert_int_equal(lease_take(&b, second, NOW_MS, &moved), LEASE_MINE);
	lease_put(&a, first, NOW_MS);
	lease_put(&b, second, NOW_MS);
	assert_int_equal(commit(second), VERDICT_OK);
	assert_int_equal(commit(first), VERDICT_KV_CONFLICT);
}

static void the_dead_hold_nothing(void **state)
{
	struct lease a, next, other;
	bool moved;
	(void)state;
	lease_init(&a, "test/lease", 7, 0, 1);
	lease_init(&next, "test/lease", 7, 0, 2);  /* the slot's next process */
	lease_init(&other, "test/lease", 8, 1, 1); /* under another supervisor */
	assert_int_equal(take(&a, NOW_MS, &moved), LEASE_MINE);
	assert_int_equal(take(&next, NOW_MS + 1, &moved), LEASE_MINE);
	assert_int_equal(next.fence, 2);
	assert_int_equal(take(&other, NOW_MS + 2, &moved), LEASE_MINE);
	assert_int_equal(other.fence, 3);
}

static void a_clock_that_was_set_back_holds_nobody_up(void **state)
{
	struct lease a, b;
	bool moved;
	(void)state;
	lease_init(&a, "test/lease", 7, 0, 1);
	lease_init(&b, "test/lease", 7, 1, 2);
	assert_int_equal(take(&a, NOW_MS, &moved), LEASE_MINE);
	assert_int_equal(take(&b, NOW_MS - CLOCK_STEP_MS - 1, &moved), LEASE_MINE);
}

static void what_nobody_can_read_is_somebodys(void **state)
{
	struct lease a;
	bool moved;
	(void)state;
	struct rows *rows = begin();
	rows_put(rows, "test/lease", SPAN("{\"holder\":7}"));
	assert_int_equal(commit(rows), VERDICT_OK);
	lease_init(&a, "test/lease", 7, 0, 1);
	a.entered = true;
	assert_int_equal(take(&a, NOW_MS, &moved), LEASE_UNREADABLE);
	assert_true(moved && !a.entered && !a.mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(of_two_one_holds_it, setup, teardown),
	        cmocka_unit_test_setup_teardown(who_was_slower_fails, setup, teardown),
	        cmocka_unit_test_setup_teardown(the_dead_hold_nothing, setup, teardown),
	        cmocka_unit_test_setup_teardown(a_clock_that_was_set_back_holds_nobody_up, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(what_nobody_can_read_is_somebodys, setup, teardown),
	};
	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
