/* The life of a browser session: what may happen in which state, and what a judgement means for it.
 * Pure. The table is shown in docs/capture.md. */
#pragma once

#include "common/base/machine.h"
#include "worker-capture/ladder.h"
#include "worker-capture/session.h"

enum { SESSION_STATES = SESSION_RELEASED + 1 };

enum session_life_event {
	SESSION_LIFE_RUNS,         /* judged: its page runs */
	SESSION_LIFE_STEPS,        /* judged: a step of the ladder is under way, or its back-off */
	SESSION_LIFE_STARTS,       /* judged: it starts, and has never been live */
	SESSION_LIFE_STARTS_AGAIN, /* judged: it starts, and has been live */
	SESSION_LIFE_GIVES_UP,     /* judged: no step is left */
	SESSION_LIFE_CLOSE,        /* somebody wants its end */
	SESSION_LIFE_EMPTY,        /* no browser of it is left, and nobody is being called */
	SESSION_LIFE_EVENTS,
};

extern const struct machine session_life;

/* What was judged: `ladder` after its step for `reason`. */
enum session_life_event session_life_judged(const struct ladder *ladder, enum health_reason reason,
                                            bool been_live);
/* Is it watched over: judged, and helped when something is wrong? */
bool session_life_is_kept(enum session_state state);
/* Is it on its way out? */
bool session_life_is_ending(enum session_state state);
