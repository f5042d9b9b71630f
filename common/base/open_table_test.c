#include "common/base/open_table.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <cmocka.h>

enum { THINGS = 3000 };

struct thing {
	uint64_t hash;
	bool in;
};

static void same(const struct open_table *table, const struct thing *things)
{
	size_t count = 0;
	for (size_t i = 0; i < THINGS; i++) {
		size_t at = open_table_first(things[i].hash);
		const void *found;
		while ((found = open_table_from(table, things[i].hash, &at)) != NULL &&
		       found != &things[i])
			at++;
		assert_int_equal(found == &things[i], things[i].in);
		count += things[i].in;
	}
	assert_int_equal(table->count, count);
}

/* Many take turns in coming and going, a third of them with hashes that others have, too, some
 * around the end of the slots. */
static void test_what_is_in_is_found_and_nothing_else(void **state)
{
	(void)state;
	struct open_table table = {0};
	struct thing *things = xcalloc(THINGS, sizeof *things);
	uint64_t random = 1;
	for (size_t i = 0; i < THINGS; i++) {
		things[i].hash = open_table_number(i);
		if (i % 3 == 0)
			things[i].hash = (uint64_t)(i % 5) << 32;
		if (i % 7 == 0)
			things[i].hash = UINT64_MAX - i;
	}
	assert_null(open_table_only(&table, 1));
	for (int turn = 0; turn < 20000; turn++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		size_t limit = turn < 8000 ? THINGS : 50; /* grows, then stays small */
		struct thing *thing = &things[(random >> 33) % limit];
		if (thing->in)
			open_table_remove(&table, thing->hash, thing);
		else
			open_table_add(&table, thing->hash, thing);
		thing->in = !thing->in;
		if (turn % 500 == 0)
			same(&table, things);
	}
	for (size_t i = 0; i < THINGS; i++)
		if (things[i].in) {
			open_table_remove(&table, things[i].hash, &things[i]);
			things[i].in = false;
		}
	same(&table, things);
	assert_true(table.mask < 64); /* what many took is given back */
	open_table_finish(&table);
	free(things);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_is_in_is_found_and_nothing_else),
	};
	return cmocka_run_group_tests_name("open_table", tests, NULL, NULL);
}
