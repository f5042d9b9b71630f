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

unsigned hash_keyed(const void *key, size_t len)
{
	uint64_t h = XXH3_64bits_withSeed(key, len, seed);
	return (unsigned)(h ^ h >> 32);
}
