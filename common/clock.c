#include "common/clock.h"
#include "common/check.h"

#include <openssl/rand.h>

void clock_random(void *into, size_t len)
{
	check(RAND_bytes(into, (int)len) == 1);
}

uint64_t clock_random_below(uint64_t below)
{
	uint64_t n;
	clock_random(&n, sizeof n);
	return n % below;
}
