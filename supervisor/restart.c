#include "supervisor/restart.h"
#include "common/base/backoff.h"

#include <string.h>

static uint32_t exits_within(const struct restart *restart, uint64_t window_ms, uint64_t now_ms)
{
	uint32_t kept = restart->exits < RESTART_EXITS_MAX ? restart->exits : RESTART_EXITS_MAX;
	uint32_t count = 0;
	for (uint32_t i = 0; i < kept; i++)
		count += now_ms - restart->exits_ms[i] < window_ms;
	return count;
}

void restart_ready(struct restart *restart, uint64_t now_ms)
{
	restart->ready_ms = now_ms != 0 ? now_ms : 1;
	restart->failing = false;
}

uint64_t restart_exited(struct restart *restart, const struct restart_limits *limits,
                        uint64_t now_ms, uint32_t jitter)
{
	/* A crash long after readiness is a new fault, not the old one repeating. */
	if (restart->ready_ms != 0 && now_ms - restart->ready_ms >= limits->stable_ms)
		restart->failures = 0;
	restart->failures++;
	restart->ready_ms = 0;
	restart->exits_ms[restart->exits++ % RESTART_EXITS_MAX] = now_ms;
	restart->failing = exits_within(restart, limits->window_ms, now_ms) >= limits->exits_max;
	uint64_t delay_ms = restart->failing
	                            ? limits->delay_ms_max
	                            : backoff_doubled_ms(limits->delay_ms_min, limits->delay_ms_max,
	                                                 restart->failures);
	return now_ms + delay_ms - delay_ms / 2 * jitter / RESTART_JITTER_MAX;
}

void restart_forget(struct restart *restart)
{
	memset(restart, 0, sizeof *restart);
}
