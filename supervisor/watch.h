/* Does a worker still turn its loop? Pure: time is a parameter (monotonic ms).
 *
 * A worker is silent for limits.hang_ms: abort it, for a core that says where it hung; it is still
 * there limits.grace_ms later: kill it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct watch {
	uint64_t heard_ms;   /* last sign of life */
	uint64_t aborted_ms; /* 0: not aborted */
	bool killed;
};

struct watch_limits {
	uint64_t hang_ms, grace_ms;
};

enum watch_verdict {
	WATCH_FINE,
	WATCH_LATE,  /* silent for a quarter of hang_ms: give it nothing new */
	WATCH_ABORT, /* send SIGABRT; said once */
	WATCH_DYING, /* aborted, or killed: wait */
	WATCH_KILL,  /* send SIGKILL; said once */
};

/* A process was started. */
void watch_begin(struct watch *watch, uint64_t now_ms);
void watch_heard(struct watch *watch, uint64_t now_ms);
enum watch_verdict watch_step(struct watch *watch, const struct watch_limits *limits,
                              uint64_t now_ms);

/* The supervisor itself did not run for gap_ms: nobody's silence counts for that time. */
void watch_forgive(struct watch *watch, uint64_t gap_ms);

/* When watch_step() may say something new. */
uint64_t watch_due(const struct watch *watch, const struct watch_limits *limits, uint64_t now_ms);
