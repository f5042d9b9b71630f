/* Asking another worker: the other half of calls (common/worker/call.h).
 *
 * A question goes to a party, the slot-th of a role that answers us (proto/roles.h). With a
 * generation it is for that process alone, the owner of what is asked about (a viewer, a
 * connection): its successor, which has no such thing, is never asked in its place, neither here
 * nor, should the question get there all the same, there. Generation 0: whoever is in that place.
 *
 * What was sent has one outcome, told later and once. Loop thread only. */
#pragma once

#include "common/base/wheel.h"
#include "common/worker/worker.h"

enum ask_outcome {
	ASK_SENT,     /* from asks_send() alone: the outcome follows */
	ASK_ANSWERED, /* with a reply */
	ASK_UNFIT,    /* a field is longer than proto/messages.h allows: not asked */
	ASK_ABSENT, /* no link to that process now, and it is not known to have ended: not asked */
	ASK_STALE,  /* a later one is in that place: what was its own is gone. Not asked */
	ASK_FULL,   /* call.queue_bytes wait to be sent to it: not asked */
	ASK_GONE,   /* it has gone before it answered: it may have done what was asked */
	ASK_LATE,   /* no answer within call.timeout: likewise */
};

struct asks;

/* `from` and `reply` are set with ASK_ANSWERED only, and live until it returns. */
typedef void ask_on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                            const struct proto_call_reply *reply);

/* The wheel is the caller's, with its time; both live as long. */
struct asks *asks_create(struct worker *worker, struct wheel *wheel);
/* Nothing may be under way. */
void asks_destroy(struct asks **asks);

/* `call` but its id and generation, which are set here; everything is copied. `on_outcome` NULL:
 * nobody waits for it. ASK_SENT: *id (may be NULL) is for asks_forget(). Else *id is 0 and
 * on_outcome is not called. */
enum ask_outcome asks_send(struct asks *asks, const struct party *to, const struct proto_call *call,
                           ask_on_outcome *on_outcome, void *arg, uint64_t *id);
/* Whoever asked is gone: it is not told. A number that is no longer waited for does no harm. */
void asks_forget(struct asks *asks, uint64_t id);

/* The worker's on_peer_gone(), and on_call_reply(). */
void asks_peer_gone(struct asks *asks, const struct party *gone);
void asks_take(struct asks *asks, const struct party *from, const struct proto_call_reply *reply);
