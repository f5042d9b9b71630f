/* A table of things by a 64-bit hash: open addressing, a slot has its hash beside the pointer, so
 * that a look-up reads one cache line of the table and touches no thing but the one it wants. With
 * uthash it is a chain of handles within the things, each step of which is a miss of its own once
 * there are many.
 *
 * Hashes may collide: the caller compares. Not ordered; who wants an order keeps a list. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct open_slot {
	uint64_t hash;
	void *thing; /* NULL: free */
};

struct open_table {
	struct open_slot *slots; /* at most three quarters full */
	size_t mask;             /* slots - 1; a power of two */
	size_t count;
};

/* Takes it in; the caller knows that it is not there. Doubles when full, in one go. */
void open_table_add(struct open_table *table, uint64_t hash, void *thing);

/* Takes this very thing out; it is there. */
void open_table_remove(struct open_table *table, uint64_t hash, const void *thing);

/* Frees the slots; the table is empty and may be used again. */
void open_table_finish(struct open_table *table);

/* A walk over the things of one hash: begin at open_table_first(), go on with *at + 1. NULL: no
 * more. */
static inline void *open_table_from(const struct open_table *table, uint64_t hash, size_t *at)
{
	if (table->slots == NULL)
		return NULL;
	for (;; (*at)++) {
		const struct open_slot *slot = &table->slots[*at & table->mask];
		if (slot->thing == NULL || slot->hash == hash)
			return slot->thing;
	}
}

static inline size_t open_table_first(uint64_t hash)
{
	return (size_t)(hash >> 32); /* a product's low bits are poor */
}

/* The one thing of a hash that names just one. */
static inline void *open_table_only(const struct open_table *table, uint64_t hash)
{
	size_t at = open_table_first(hash);
	return open_table_from(table, hash, &at);
}

/* Numbers that we give ourselves: no two have the same hash. */
static inline uint64_t open_table_number(uint64_t number)
{
	return number * 0x9e3779b97f4a7c15u;
}

/* The slot will be wanted in a moment. */
static inline void open_table_prefetch(const struct open_table *table, uint64_t hash)
{
	if (table->slots != NULL)
		__builtin_prefetch(&table->slots[open_table_first(hash) & table->mask]);
}
