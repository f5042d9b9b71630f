/* Time and randomness. `at_ms` is wall clock (Unix), `due_ms` monotonic. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_monotonic_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

static inline uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock_wall_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000;
}

/* The wall clock may be set while we run (an RTC that was wrong until NTP answered); the monotonic
 * one is not. Smaller differences between them are slewing, or workers that looked at different
 * moments. */
enum { CLOCK_STEP_MS = 1000 };
struct clock_watch {
	uint64_t wall_ms, due_ms; /* of the last look, due_ms monotonic; 0: there was none */
};
/* By how much the wall clock was set since the last look, which this one follows: above 0 forth,
 * below back; 0: it was not, or by less than CLOCK_STEP_MS. Pure. */
int64_t clock_watch_step(struct clock_watch *watch, uint64_t wall_ms, uint64_t monotonic_ms);
/* A time of the old reckoning in the new one; 0 (not yet, never) stays. */
uint64_t clock_moved_ms(uint64_t at_ms, int64_t step_ms);

/* Unpredictable bytes (OpenSSL); aborts when there are none. */
void clock_random(void *into, size_t len);

/* Uniform in [0, below); below > 0. Not for secrets. */
uint64_t clock_random_below(uint64_t below);
