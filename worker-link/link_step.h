/* What the link does next, by what has happened. Pure: no clock, no socket, no file.
 *
 * A node that follows another has its store from a snapshot and its log from a stream of records.
 * The caller reports events; link_step() changes the state and says what to do, and that, when it
 * is done, is another event. */
#pragma once

#include "proto/link_states.h"

#include <stdbool.h>
#include <stdint.h>

#define LINK_EVENTS(E)                                                                             \
	E(EMPTY, "empty")         /* at the start there is no copy here */                         \
	E(COPY, "copy")           /* there is one, or a snapshot that came */                      \
	E(FITS, "fits")           /* the other node is one that can be followed */                 \
	E(CAME, "came")           /* the snapshot, whole */                                        \
	E(OPEN, "open")           /* the store is */                                               \
	E(BUSY, "busy")           /* others have the former one open */                            \
	E(CONNECTED, "connected") /* the stream of records has begun */                            \
	E(AT_END, "at-end")       /* all that the other had a moment ago is here */                \
	E(BEHIND, "behind")       /* for longer than cluster.ready_lag it was not so */            \
	E(LOST, "lost")           /* the request failed, or the stream ended */                    \
	E(PARTED, "parted")       /* the other has no such log (any more): it wrapped, or differs */

#define LINK_ACTIONS(A)                                                                            \
	A(NOTHING)                                                                                 \
	A(ASK) /* GET status */                                                                    \
	A(ASK_LATER)                                                                               \
	A(FETCH) /* GET snapshot */                                                                \
	A(OPEN)  /* the store */                                                                   \
	A(OPEN_LATER)                                                                              \
	A(FOLLOW) /* GET log from the tail on */                                                   \
	A(FOLLOW_LATER)                                                                            \
	A(RESTART) /* everybody lets go of the store; this process ends and begins again */

#define LINK_EVENT_ENUM(NAME, ...) LINK_ON_##NAME,
#define LINK_DO_ENUM(NAME, ...)    LINK_DO_##NAME,
enum link_event { LINK_EVENTS(LINK_EVENT_ENUM) LINK_EVENTS_COUNT };
enum link_action { LINK_ACTIONS(LINK_DO_ENUM) LINK_ACTIONS_COUNT };
#undef LINK_EVENT_ENUM
#undef LINK_DO_ENUM

/* Changes *state. What cannot happen in a state changes nothing and asks for nothing: a stream that
 * was given up may still say something. */
enum link_action link_step(enum link_state *state, enum link_event event);

/* "catching-up", ... */
const char *link_state_name(enum link_state state);
const char *link_event_name(enum link_event event);

/* May others have the store open? */
bool link_state_serves(enum link_state state);
/* Is what is served here as new as it gets, as far as this node can know? */
bool link_state_ready(enum link_state state, bool was_live);
