#include "common/base/hash.h"
#include "common/base/check.h"

#include <stdint.h>
#include <sys/random.h>
#include <xxhash.h>

static uint64_t seed;

/* Before main(): no table is older. */
__attribute__((constructor)) static void make_seed(void)
{
	check(getrandom(&seed, sizeof seed, 0) == sizeof seed);
}

uint64_t hash_keyed_wide(const void *key, size_t len)
{
	return XXH3_64bits_withSeed(key, len, seed);
}

unsigned hash_keyed(const void *key, size_t len)
{
	uint64_t h = hash_keyed_wide(key, len);
	return (unsigned)(h ^ h >> 32);
}
