#include "common/base/clock.h"
#include "common/base/check.h"

#include <openssl/rand.h>
#include <stdbool.h>

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

int64_t clock_watch_step(struct clock_watch *watch, uint64_t wall_ms, uint64_t monotonic_ms)
{
	int64_t step_ms =
	        (int64_t)(wall_ms - watch->wall_ms) - (int64_t)(monotonic_ms - watch->due_ms);
	bool first = watch->wall_ms == 0;
	*watch = (struct clock_watch){wall_ms, monotonic_ms};
	return first || (step_ms > -CLOCK_STEP_MS && step_ms < CLOCK_STEP_MS) ? 0 : step_ms;
}

uint64_t clock_moved_ms(uint64_t at_ms, int64_t step_ms)
{
	if (at_ms == 0 || step_ms >= 0)
		return at_ms == 0 ? 0 : at_ms + (uint64_t)step_ms;
	return at_ms > (uint64_t)-step_ms ? at_ms - (uint64_t)-step_ms : 1;
}
