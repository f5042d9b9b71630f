/* Whoever is due first comes first, whatever the order in which they came. */
#include "worker-sse/views/connection_due.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct connection_due due(uint64_t due_ms, uint64_t generation)
{
	return (struct connection_due){due_ms, generation, {0}};
}

static void put(struct connection_dues *dues, uint64_t due_ms, uint64_t generation)
{
	const struct connection_due one = due(due_ms, generation);
	connection_dues_put(dues, &one);
}

static uint64_t take(struct connection_dues *dues)
{
	uint64_t generation = connection_dues_first(dues)->generation;
	connection_dues_pop(dues);
	return generation;
}

static void who_is_due_first_comes_first(void **state)
{
	struct connection_dues dues = {0};
	(void)state;
	assert_null(connection_dues_first(&dues));
	put(&dues, 30, 3);
	put(&dues, 10, 1);
	put(&dues, 40, 4);
	put(&dues, 20, 2);
	assert_int_equal(take(&dues), 1);
	put(&dues, 5, 0);
	for (uint64_t i = 0; i < 5; i++)
		if (i != 1)
			assert_int_equal(take(&dues), i);
	assert_null(connection_dues_first(&dues));
	assert_null(dues.heap);
}

/* None is lost, none comes twice; the room shrinks with what is left. */
static void thousands_come_and_go_in_any_order(void **state)
{
	enum { COUNT = 3000 };
	static bool there[COUNT];
	struct connection_dues dues = {0};
	uint64_t last_ms = 0, random = 1;
	(void)state;
	for (uint64_t i = 0; i < COUNT; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		put(&dues, random >> 54, i); /* many at one time */
	}
	size_t most = dues.room;
	for (size_t left = COUNT; left > 0; left--) {
		const struct connection_due first = *connection_dues_first(&dues);
		connection_dues_pop(&dues);
		assert_true(first.due_ms >= last_ms);
		assert_false(there[first.generation]);
		there[first.generation] = true;
		last_ms = first.due_ms;
		assert_int_equal(dues.count, left - 1);
		assert_true(dues.count == 0 || dues.room <= 8 || dues.room <= 4 * dues.count + 4);
	}
	assert_true(most >= COUNT);
	assert_int_equal(dues.room, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_is_due_first_comes_first),
	        cmocka_unit_test(thousands_come_and_go_in_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
