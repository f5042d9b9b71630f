/* Which step brings a page back, and when. Pure: reasons and time in, one step out.
 *
 *     terminate execution -> reload -> new page -> new browser, with back-off
 *
 * Each reason enters at the lowest step that has been seen to help; while it lasts beyond a step's
 * patience, the next step follows. Three steps within a minute are a browser's fault, whatever they
 * were for. New browsers come after a growing delay; it shrinks to the least again once a browser
 * has been healthy for a while. */
#pragma once

#include "worker-capture/health.h"

enum ladder_step {
	LADDER_NONE, /* nothing to do, or wait */
	LADDER_TERMINATE,
	LADDER_RELOAD,
	LADDER_TARGET,
	LADDER_BROWSER,
	LADDER_GIVE_UP,
};
const char *ladder_step_name(enum ladder_step step);

enum { LADDER_RECENT_MAX = 3 };

struct ladder_limits {
	uint64_t terminate_ms; /* patience with each step before the next */
	uint64_t load_ms;
	uint64_t not_ready_ms; /* how long a page may say that it is not ready */
	uint64_t recent_ms;    /* LADDER_RECENT_MAX steps in a page within this: a new browser */
	uint64_t delay_min_ms, delay_max_ms;
	uint64_t stable_ms;      /* healthy this long: the delay and the count begin anew */
	uint64_t browsers_max;   /* in a row without a stable one, then give up; 0: never */
	uint64_t gpu_losses_max; /* of one browser; then it gets no more reloads for it */
};

/* Zero-initialised. */
struct ladder {
	enum ladder_step step; /* the last one, NONE since all was well */
	uint64_t step_ms;
	uint64_t recent_ms[LADDER_RECENT_MAX];
	enum health_reason reason;
	uint64_t reason_ms;      /* the reason is this one since */
	uint64_t healthy_ms;     /* healthy since, 0: is not */
	uint64_t browsers;       /* in a row */
	uint64_t browser_due_ms; /* a new one may be started then, 0: none is waited for */
	uint64_t gpu_losses;
};

/* Call it whenever something changed and a few times a second. The caller takes the step before it
 * calls again; after LADDER_BROWSER the old browser is gone and a new one on its way.
 */
enum ladder_step ladder_next(struct ladder *ladder, const struct ladder_limits *limits,
                             enum health_reason reason, uint64_t now_ms);
