/* The steps of markets, taken by their operators (operator.h): what is due is done within the
 * transaction, or becomes an attempt that is durable before it is made, and whose outcome is after
 * it. Nothing takes effect twice: what is in doubt is read first, and then sent as it was. */
#pragma once

#include "worker-bridge/errands.h"
#include "worker-bridge/markets.h"
#include "worker-bridge/operator.h"

struct outbox {
	struct market_operator *const *operators; /* NULL ends them */
	struct markets *markets;
	/* The answer of an operator, for the line of errands. */
	void (*answered)(void *arg, struct errand *errand);
	void *arg;
};

/* Everything of this market that is due, as far as one change goes. */
void outbox_advance(struct outbox *outbox, struct market_change *change, struct listed *listed);

/* What was decided is durable, or nothing was to be written: the operators are called. How many
 * attempts were made. */
size_t outbox_send(struct outbox *outbox, uint64_t fence);
