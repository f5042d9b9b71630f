/* Work for the markets that comes from outside, bets, decisions and the answers of operators, in
 * line: it runs within somebody's transaction, and is told when that is durable. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct market_change;

struct errand {
	struct errand *next;
	/* Judges and changes; may be called again, after another's change came first. */
	void (*run)(struct errand *errand, struct market_change *change);
	/* What run() did is durable; or it is not, and never will be. Frees the errand. */
	void (*finish)(struct errand *errand, bool durable);
};

struct errands {
	struct errand *queue, **queue_last, *running, **running_last;
	size_t queued; /* in the queue */
};

void errands_init(struct errands *errands);
void errands_add(struct errands *errands, struct errand *errand);
/* The next one is run; false: there is none. */
bool errands_run(struct errands *errands, struct market_change *change);
/* Those that were run. */
void errands_finish(struct errands *errands, bool durable);
/* Those that were run are to be run again, before the others. */
void errands_undo(struct errands *errands);
/* Those that wait will not be run. */
void errands_refuse(struct errands *errands);
