/* An actor: whoever owns rows of the store, and changes them in one loop that is written here once:
 * load, decide, one transaction, adopt or begin again.
 *
 *     actor_turn -> decide -> REST, nothing is to be written        -> end(ACTOR_RESTED)
 *                          -> STOP, a row it needs is unreadable    -> end(ACTOR_STOPPED)
 *                          -> WRITE, one transaction -> durable     -> end(ACTOR_DURABLE)
 *                               -> a row was not as it was read     -> undo, and decide again by
 *                                  what is there now; too often     -> end(ACTOR_OVERTAKEN)
 *                               -> refused                          -> end(ACTOR_FAILED)
 *
 * Rows are read and put by `rows` (rows.h): they are compared when they are written, and one that
 * cannot be read is told to people after each decision, and never written over. The struct is the
 * owner's, in its own; all is called on the loop thread. */
#pragma once

#include "common/store/rows.h"

/* A decision in the making. What is put and published becomes durable together, or not at all. */
struct actor_change {
	struct rows *rows;
	struct txn *txn;
};

enum actor_decision {
	ACTOR_REST,  /* what was put and published is dropped */
	ACTOR_STOP,  /* the same; a row that has been marked stands in the way */
	ACTOR_WRITE, /* also with nothing put: then it is durable */
};

enum actor_end {
	ACTOR_DURABLE,
	ACTOR_RESTED,
	ACTOR_STOPPED,
	ACTOR_OVERTAKEN, /* others were faster, tries_max times */
	ACTOR_FAILED,    /* actor->verdict says why; nothing was written */
};

struct actor;

struct actor_type {
	/* Judges what is there and says what is to become. Changes nothing that undo() does not
	 * take back, and sends nothing: that is end()'s. */
	enum actor_decision (*decide)(struct actor *actor, struct actor_change *change);
	/* What was decided has not become; decide() follows at once. NULL: there is nothing to take
	 * back. */
	void (*undo)(struct actor *actor);
	/* Exactly once for each actor_turn() that was true. The actor is idle by then: it may have
	 * another turn, leave, or be freed. */
	void (*end)(struct actor *actor, enum actor_end end);
	unsigned tries_max; /* decisions until it is ACTOR_OVERTAKEN; 1: a conflict ends it */
	uint64_t pause_ms;  /* after ACTOR_FAILED there is no turn for so long */
};

struct actor {
	const struct actor_type *type;
	struct store *store;
	struct counters_slot *counters; /* rows_unreadable; may be NULL */
	enum { ACTOR_IDLE, ACTOR_DECIDING, ACTOR_WRITING } state;
	unsigned tries;
	enum verdict verdict;
	uint64_t due_ms; /* monotonic: no turn before */
	void (*gone)(struct actor *actor);
};

void actor_init(struct actor *actor, const struct actor_type *type, struct store *store,
                struct counters_slot *counters);

/* False: not now. A transaction is under way, whose end() will come, or one failed so lately that
 * it is too early (due_ms). The view should be as new as it can be (store_advance()). */
bool actor_turn(struct actor *actor);

bool actor_busy(const struct actor *actor);

/* The owner goes. What is under way ends by itself, without end(); then, or now, gone() is called,
 * which may free the actor. No turn after it. */
void actor_leave(struct actor *actor, void (*gone)(struct actor *actor));
