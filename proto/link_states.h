/* How the link of a node that follows another is (worker-link/link_step.h): the gauge
 * cluster_state, and its name wherever it is shown. */
#pragma once

#define LINK_STATES(S)                                                                             \
	S(NONE, "none")            /* just begun */                                                \
	S(ASKING, "asking")        /* who it is that is followed, and whether it fits */           \
	S(FETCHING, "fetching")    /* a snapshot comes */                                          \
	S(OPENING, "opening")      /* the store, when nobody has the former one open */            \
	S(JOINING, "joining")      /* the store is there; the log was never reached yet */         \
	S(CATCHING, "catching-up") /* records come, of a while ago */                              \
	S(LIVE, "live")            /* as they are written */                                       \
	S(ISOLATED, "isolated")    /* the other node is not reached; what is here is served */     \
	S(RENEWING, "renewing")    /* this node's log leads nowhere: as ASKING, while it serves */ \
	S(REFETCHING, "refetching") /* as FETCHING, while it serves */

#define LINK_STATE_ENUM(NAME, text) LINK_##NAME,
enum link_state { LINK_STATES(LINK_STATE_ENUM) LINK_STATES_COUNT };
#undef LINK_STATE_ENUM

/* "catching-up"; "none" of what is no state. */
static inline const char *link_state_text(unsigned long long state)
{
#define LINK_STATE_TEXT(NAME, text) text,
	static const char *const texts[] = {LINK_STATES(LINK_STATE_TEXT)};
#undef LINK_STATE_TEXT
	return texts[state < sizeof texts / sizeof *texts ? state : 0];
}
