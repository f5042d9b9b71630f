/* All destinations of the feed's picture: those of capture.outputs, and what is added, removed,
 * paused and resumed while it runs. Every change is durable before it is acknowledged and before it
 * is done: rows as in common/domain/output_row.h, found again at the next start.
 *
 * Who was paused or removed at run time stays so as long as its text in capture.outputs is the
 * same. One added at run time hides one of the same name there. */
#pragma once

#include "worker-capture/capture.h"
#include "worker-capture/output.h"

struct outputs;

enum outputs_result {
	OUTPUTS_DONE,
	OUTPUTS_UNCHANGED, /* it was so already */
	OUTPUTS_TAKEN,     /* the name goes elsewhere */
	OUTPUTS_FULL,      /* capture.outputs_max */
	OUTPUTS_MISSING,   /* no output of that name */
	OUTPUTS_BUSY,      /* another change of it is being written */
	OUTPUTS_CLOSED,    /* there is no picture to send */
	OUTPUTS_UNSTORED,  /* it could not be made durable, and is not done */
};

/* Called once, maybe at once. The reason is for people, "" with the first two; it lives until done
 * returns. */
struct outputs_answer {
	void (*done)(void *arg, enum outputs_result result, const char *reason);
	void *arg;
};

/* Starts those of capture.outputs (capture.outputs_max at most) and of the store for `session`;
 * NULL: there is no session, and none can be added. The two settings are those of now. */
struct outputs *outputs_create(struct capture *capture, struct session *session);
void outputs_add(struct outputs *outputs, const struct output_target *target, bool paused,
                 const struct outputs_answer *answer);
void outputs_remove(struct outputs *outputs, const char *name, const struct outputs_answer *answer);
void outputs_pause(struct outputs *outputs, const char *name, bool paused,
                   const struct outputs_answer *answer);
/* An array of descriptions, or one; NULL: no output of that name. */
json_t *outputs_describe(const struct outputs *outputs);
json_t *outputs_describe_one(const struct outputs *outputs, const char *name);
/* Ends all and calls back once they are gone. NULL is fine: it calls back at once. */
void outputs_close(struct outputs *outputs, void (*on_closed)(void *arg), void *arg);
