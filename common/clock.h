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

/* Unpredictable bytes (OpenSSL); aborts when there are none. */
void clock_random(void *into, size_t len);

/* Uniform in [0, below); below > 0. Not for secrets. */
uint64_t clock_random_below(uint64_t below);
