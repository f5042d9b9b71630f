#include "common/clock.h"
#include "common/check.h"

#include <openssl/rand.h>

void clock_random(void *into, size_t len)
{
	check(RAND_bytes(into, (int)len) == 1);
}

/* splitmix64 (Steele, Lea, Flood 2014), seeded once for each thread. */
uint64_t clock_random_below(uint64_t below)
{
	static _Thread_local uint64_t state;
	if (state == 0)
		clock_random(&state, sizeof state);
	uint64_t z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % below;
}
