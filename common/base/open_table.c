#include "common/base/open_table.h"
#include "common/base/check.h"

#include <stdlib.h>

enum { SLOTS_MIN = 16 };

static void put(struct open_table *table, uint64_t hash, void *thing)
{
	size_t at = open_table_first(hash);
	while (table->slots[at & table->mask].thing != NULL)
		at++;
	table->slots[at & table->mask] = (struct open_slot){hash, thing};
}

static void resize(struct open_table *table, size_t slots)
{
	struct open_table old = *table;
	table->slots = xcalloc(slots, sizeof *table->slots);
	table->mask = slots - 1;
	for (size_t i = 0; old.slots != NULL && i <= old.mask; i++)
		if (old.slots[i].thing != NULL)
			put(table, old.slots[i].hash, old.slots[i].thing);
	free(old.slots);
}

void open_table_add(struct open_table *table, uint64_t hash, void *thing)
{
	if (table->slots == NULL)
		resize(table, SLOTS_MIN);
	else if (table->count >= (table->mask + 1) / 4 * 3)
		resize(table, (table->mask + 1) * 2);
	put(table, hash, thing);
	table->count++;
}

/* No mark is left where it was: those behind move up, unless they would come before their place. */
void open_table_remove(struct open_table *table, uint64_t hash, const void *thing)
{
	size_t mask = table->mask, hole = open_table_first(hash) & mask;
	while (table->slots[hole].thing != thing) {
		check(table->slots[hole].thing != NULL);
		hole = (hole + 1) & mask;
	}
	for (size_t at = (hole + 1) & mask; table->slots[at].thing != NULL; at = (at + 1) & mask) {
		size_t home = open_table_first(table->slots[at].hash) & mask;
		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		table->slots[hole] = table->slots[at];
		hole = at;
	}
	table->slots[hole] = (struct open_slot){0};
	table->count--;
	if (table->mask + 1 > SLOTS_MIN && table->count < (table->mask + 1) / 8)
		resize(table, (table->mask + 1) / 2);
}

void open_table_finish(struct open_table *table)
{
	free(table->slots);
	*table = (struct open_table){0};
}
