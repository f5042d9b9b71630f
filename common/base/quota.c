#include "common/base/quota.h"

#include <stddef.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { COUNT_BITS = 24 };
static const uint64_t count_mask = (1u << COUNT_BITS) - 1;

uint64_t quota_key(const void *client, uint64_t len, uint64_t purpose)
{
	uint64_t key = XXH3_64bits_withSeed(client, (size_t)len, purpose);
	return key != 0 ? key : 1;
}

static struct quota_cell *cell_at(struct quota *quota, uint64_t key, size_t probe)
{
	return &quota->cells[(key + probe) % QUOTA_CELLS];
}

/* The key's cell, claimed if need be. NULL: every place is taken. */
static struct quota_cell *find(struct quota *quota, uint64_t key, bool claim)
{
	for (size_t i = 0; i < QUOTA_PROBES; i++)
		if (atomic_load(&cell_at(quota, key, i)->key) == key)
			return cell_at(quota, key, i);
	for (size_t i = 0; claim && i < QUOTA_PROBES; i++) {
		struct quota_cell *cell = cell_at(quota, key, i);
		uint64_t nobody = 0;
		if (atomic_compare_exchange_strong(&cell->key, &nobody, key) || nobody == key)
			return cell;
	}
	return NULL;
}

/* A place whose window is over, or else the one whose window began first. */
static struct quota_cell *take_over(struct quota *quota, uint64_t key)
{
	struct quota_cell *oldest = NULL;
	for (size_t i = 0; i < QUOTA_PROBES; i++) {
		struct quota_cell *cell = cell_at(quota, key, i);
		if (atomic_load(&cell->owner) == 0 &&
		    (oldest == NULL || atomic_load(&cell->used) < atomic_load(&oldest->used)))
			oldest = cell;
	}
	if (oldest != NULL) {
		atomic_store(&oldest->used, 0);
		atomic_store(&oldest->key, key);
	}
	return oldest;
}

bool quota_take(struct quota *quota, uint64_t key, uint64_t now_ms, uint64_t window_ms,
                uint32_t max, uint64_t *again_ms)
{
	struct quota_cell *cell = find(quota, key, true);
	if (cell == NULL)
		cell = take_over(quota, key);
	if (cell == NULL)
		return true; /* all places are holdings: nothing to count with */
	uint64_t used = atomic_load(&cell->used), next;
	do {
		uint64_t began_ms = used >> COUNT_BITS, count = used & count_mask;
		/* Another worker's turn may have begun a moment later than ours. */
		bool over = count == 0 || now_ms >= began_ms + window_ms;
		if (!over && count >= max) {
			*again_ms = began_ms + window_ms - now_ms;
			return false;
		}
		next = over ? now_ms << COUNT_BITS | 1 : used + 1;
	} while (!atomic_compare_exchange_weak(&cell->used, &used, next));
	return true;
}

/* Each worker counts in a cell of its own, so that its death costs only its own. */
static uint64_t key_of_owner(uint64_t key, uint32_t owner)
{
	uint64_t own = XXH3_64bits_withSeed(&key, sizeof key, owner + 1);
	return own != 0 ? own : 1;
}

bool quota_hold(struct quota *quota, uint64_t key, uint32_t owner, uint32_t workers, uint32_t max)
{
	struct quota_cell *mine = find(quota, key_of_owner(key, owner), true);
	if (mine == NULL)
		return false;
	atomic_store(&mine->owner, owner + 1);
	uint64_t held = atomic_fetch_add(&mine->used, 1) + 1;
	for (uint32_t i = 0; i < workers; i++) {
		struct quota_cell *other =
		        i != owner ? find(quota, key_of_owner(key, i), false) : NULL;
		held += other != NULL ? atomic_load(&other->used) : 0;
	}
	if (held <= max)
		return true;
	quota_release(quota, key, owner);
	return false;
}

void quota_release(struct quota *quota, uint64_t key, uint32_t owner)
{
	struct quota_cell *mine = find(quota, key_of_owner(key, owner), false);
	if (mine == NULL || atomic_fetch_sub(&mine->used, 1) != 1)
		return;
	atomic_store(&mine->owner, 0);
	atomic_store(&mine->key, 0); /* only its worker claims it, and that is us */
}

void quota_forget(struct quota *quota, uint32_t owner)
{
	for (size_t i = 0; i < QUOTA_CELLS; i++) {
		struct quota_cell *cell = &quota->cells[i];
		if (atomic_load(&cell->owner) != owner + 1)
			continue;
		atomic_store(&cell->used, 0);
		atomic_store(&cell->owner, 0);
		atomic_store(&cell->key, 0);
	}
}
