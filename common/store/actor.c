#include "common/store/actor.h"
#include "common/base/check.h"
#include "common/base/clock.h"

void actor_init(struct actor *actor, const struct actor_type *type, struct store *store,
                struct counters_slot *counters)
{
	check(type->tries_max > 0);
	*actor = (struct actor){.type = type, .store = store, .counters = counters};
}

static void end(struct actor *actor, enum actor_end how)
{
	actor->state = ACTOR_IDLE;
	actor->tries = 0;
	actor->type->end(actor, how);
}

static void on_written(void *owner, enum verdict verdict);

static void decide(struct actor *actor)
{
	struct actor_change change = {rows_create(store_view(actor->store)), txn_create()};
	actor->state = ACTOR_DECIDING;
	actor->tries++;
	enum actor_decision decision = actor->type->decide(actor, &change);
	rows_alert(change.rows, actor->counters);
	if (decision == ACTOR_WRITE) {
		rows_add(change.rows, change.txn);
		actor->state = ACTOR_WRITING;
		txn_submit(&change.txn, actor->store, on_written, actor);
	}
	txn_destroy(&change.txn);
	rows_destroy(&change.rows);
	switch (decision) {
	case ACTOR_REST:
		end(actor, ACTOR_RESTED);
		break;
	case ACTOR_STOP:
		end(actor, ACTOR_STOPPED);
		break;
	case ACTOR_WRITE:
		break;
	}
}

/* By now the view has what was faster: a refusal is told when what it was judged by is durable, and
 * store_collect() goes there first. */
static void on_conflict(struct actor *actor)
{
	if (actor->tries >= actor->type->tries_max) {
		end(actor, ACTOR_OVERTAKEN);
		return;
	}
	if (actor->type->undo != NULL)
		actor->type->undo(actor);
	decide(actor);
}

static void on_written(void *owner, enum verdict verdict)
{
	struct actor *actor = owner;
	actor->verdict = verdict;
	if (actor->gone != NULL) {
		actor->state = ACTOR_IDLE;
		actor->gone(actor);
	} else if (verdict == VERDICT_OK) {
		end(actor, ACTOR_DURABLE);
	} else if (verdict == VERDICT_KV_CONFLICT) {
		on_conflict(actor);
	} else {
		actor->due_ms = clock_monotonic_ms() + actor->type->pause_ms;
		end(actor, ACTOR_FAILED);
	}
}

bool actor_turn(struct actor *actor)
{
	check(actor->gone == NULL && actor->state != ACTOR_DECIDING);
	if (actor->state == ACTOR_WRITING || clock_monotonic_ms() < actor->due_ms)
		return false;
	decide(actor);
	return true;
}

bool actor_busy(const struct actor *actor)
{
	return actor->state != ACTOR_IDLE;
}

void actor_leave(struct actor *actor, void (*gone)(struct actor *actor))
{
	check(actor->gone == NULL && actor->state != ACTOR_DECIDING);
	if (actor->state == ACTOR_IDLE)
		gone(actor);
	else
		actor->gone = gone;
}
