/* A call that waits for the disk: it runs in the book's next transaction, and is answered when that
 * is durable. Whatever else it needs stands behind it in a struct of its own:
 *
 *     struct opening { struct asked asked; char id[...]; };
 *     struct opening *o = asked_create(call, run, sizeof *o);
 *     asked_submit(&o->asked);
 *
 * run() says what is to be answered by asked_answer(); it may be called again, after another's
 * change came first. */
#pragma once

#include "common/worker/call.h"
#include "worker-bridge/errands.h"

struct asked {
	struct errand errand; /* first */
	struct call *call;
	unsigned status;
	const char *reason; /* of a refusal, constant; NULL: `answer` */
	json_t *answer;
};

/* `bytes`: of the struct that begins with one; the rest is 0. */
void *asked_create(struct call *call, void (*run)(struct errand *, struct market_change *),
                   size_t bytes);
/* Takes `body`. */
void asked_answer(struct asked *asked, unsigned status, const char *reason, json_t *body);
/* Ends it, at once (503: too many wait) or later. */
void asked_submit(struct asked *asked);
