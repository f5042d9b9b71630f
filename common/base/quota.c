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

/* ---- rates ---- */

static struct quota_rate *rate_at(struct quota *quota, uint64_t key, size_t probe)
{
	return &quota->rates[(key + probe) % QUOTA_CELLS];
}

static struct quota_rate *find_rate(struct quota *quota, uint64_t key)
{
	for (size_t i = 0; i < QUOTA_PROBES; i++)
		if (atomic_load(&rate_at(quota, key, i)->key) == key)
			return rate_at(quota, key, i);
	return NULL;
}

/* A free place, or else the one whose window ends first: most likely it is over. Somebody else may
 * be counting there at this moment; then the new one begins with one too many. */
static struct quota_rate *claim_rate(struct quota *quota, uint64_t key)
{
	struct quota_rate *first = rate_at(quota, key, 0);
	for (size_t i = 0; i < QUOTA_PROBES; i++) {
		struct quota_rate *rate = rate_at(quota, key, i);
		uint64_t nobody = 0;
		if (atomic_compare_exchange_strong(&rate->key, &nobody, key) || nobody == key)
			return rate;
		if (atomic_load(&rate->used) < atomic_load(&first->used))
			first = rate;
	}
	atomic_store(&first->used, 0);
	atomic_store(&first->key, key);
	return first;
}

/* Its takes that count; *again_ms is until when. */
static uint64_t takes_of(uint64_t used, uint64_t now_ms, uint64_t *again_ms)
{
	uint64_t end_ms = used >> COUNT_BITS;
	*again_ms = end_ms > now_ms ? end_ms - now_ms : 0;
	return *again_ms > 0 ? used & count_mask : 0;
}

bool quota_take(struct quota *quota, uint64_t key, uint64_t now_ms, uint64_t window_ms,
                uint32_t max, uint64_t *again_ms)
{
	struct quota_rate *rate = find_rate(quota, key);
	if (rate == NULL)
		rate = claim_rate(quota, key);
	uint64_t used = atomic_load(&rate->used), next;
	do {
		uint64_t takes = takes_of(used, now_ms, again_ms);
		if (takes >= max)
			return false;
		next = takes == 0 ? (now_ms + window_ms) << COUNT_BITS | 1 : used + 1;
	} while (!atomic_compare_exchange_weak(&rate->used, &used, next));
	return true;
}

bool quota_left(struct quota *quota, uint64_t key, uint64_t now_ms, uint32_t max,
                uint64_t *again_ms)
{
	struct quota_rate *rate = find_rate(quota, key);
	return rate == NULL || takes_of(atomic_load(&rate->used), now_ms, again_ms) < max;
}

/* ---- holdings ---- */

/* The key's place, claimed if need be. NULL: it has none. */
static struct quota_holding *find_holding(struct quota *quota, uint64_t key, bool claim)
{
	for (size_t i = 0; i < QUOTA_PROBES; i++) {
		struct quota_holding *holding = &quota->holdings[(key + i) % QUOTA_CELLS];
		if (atomic_load(&holding->key) == key)
			return holding;
	}
	for (size_t i = 0; claim && i < QUOTA_PROBES; i++) {
		struct quota_holding *holding = &quota->holdings[(key + i) % QUOTA_CELLS];
		uint64_t nobody = 0;
		if (atomic_compare_exchange_strong(&holding->key, &nobody, key))
			return holding;
	}
	return NULL;
}

/* Each worker counts in a place of its own, so that its death costs only its own. */
static uint64_t key_of_owner(uint64_t key, uint32_t owner)
{
	uint64_t own = XXH3_64bits_withSeed(&key, sizeof key, owner + 1);
	return own != 0 ? own : 1;
}

uint32_t quota_hold(struct quota *quota, uint64_t key, uint32_t owner, uint32_t workers,
                    uint32_t max)
{
	struct quota_holding *mine = find_holding(quota, key_of_owner(key, owner), true);
	if (mine == NULL)
		return QUOTA_NO_PLACE;
	uint32_t place = (uint32_t)(mine - quota->holdings) + 1;
	atomic_store(&mine->owner, owner + 1);
	uint64_t held = atomic_fetch_add(&mine->count, 1) + 1;
	for (uint32_t i = 0; i < workers; i++) {
		struct quota_holding *other =
		        i != owner ? find_holding(quota, key_of_owner(key, i), false) : NULL;
		held += other != NULL ? atomic_load(&other->count) : 0;
	}
	if (held <= max)
		return place;
	quota_release(quota, place);
	return QUOTA_USED_UP;
}

void quota_release(struct quota *quota, uint32_t place)
{
	struct quota_holding *mine = &quota->holdings[place - 1];
	if (atomic_fetch_sub(&mine->count, 1) != 1)
		return;
	atomic_store(&mine->owner, 0);
	atomic_store(&mine->key, 0); /* only its worker claims it, and that is us */
}

void quota_forget(struct quota *quota, uint32_t owner)
{
	for (size_t i = 0; i < QUOTA_CELLS; i++) {
		struct quota_holding *holding = &quota->holdings[i];
		if (atomic_load(&holding->owner) != owner + 1)
			continue;
		atomic_store(&holding->count, 0);
		atomic_store(&holding->owner, 0);
		atomic_store(&holding->key, 0);
	}
}
