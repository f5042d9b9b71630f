/* When one worker may be started again. Pure: no clock, no fork, no log, no randomness.
 *
 * The caller reports what happened and when (monotonic ms) and does what the answer says. One
 * `struct restart` per worker, zero-initialised. Only exits nobody asked for are reported: a
 * drained worker's is none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	RESTART_EXITS_MAX = 64, /* worker.restart_limit cannot be higher */
	RESTART_JITTER_MAX = 1000,
};

struct restart {
	uint32_t failures; /* exits in a row that were not preceded by stable_ms of readiness */
	uint64_t ready_ms; /* 0 while not ready */
	bool failing; /* the last exits were too many in too short a time, and it is not ready since
	               */
	uint64_t exits_ms[RESTART_EXITS_MAX]; /* the latest, a ring */
	uint32_t exits;                       /* ever; the ring's next place is exits % max */
};

struct restart_limits {
	uint64_t delay_ms_min, delay_ms_max; /* doubles from min to max */
	uint64_t stable_ms; /* ready this long: the next exit counts as the first */
	uint32_t exits_max; /* this many exits within window_ms: it is failing, */
	uint64_t window_ms; /* and delay_ms_max lies between attempts */
};

/* The worker serves. */
void restart_ready(struct restart *restart, uint64_t now_ms);

/* The worker died. Returns when it may be started again: always some day, because what makes it
 * fail may pass (a full disk, a poisonous client). `jitter` is uniform in [0, RESTART_JITTER_MAX];
 * it takes up to half of the delay away, so that workers that died together do not come back
 * together. */
uint64_t restart_exited(struct restart *restart, const struct restart_limits *limits,
                        uint64_t now_ms, uint32_t jitter);

/* People, or a new configuration, give it another chance. */
void restart_forget(struct restart *restart);
