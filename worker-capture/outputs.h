/* All destinations of the feed's picture: those of capture.outputs, and what is added and removed while
 * it runs. */
#pragma once

#include "worker-capture/output.h"

struct outputs;

/* Starts those of capture.outputs for `session`; NULL: there is no session, and none can be added. */
struct outputs *outputs_create(uv_loop_t *loop, const struct settings *settings,
                               struct counters_slot *counters, struct session *session);
/* "NAME=URL". False: the reason says why not. */
bool outputs_add(struct outputs *outputs, const char *text, char reason[256]);
/* False: there is none of that name. */
bool outputs_remove(struct outputs *outputs, const char *name);
/* An array of descriptions. */
json_t *outputs_describe(const struct outputs *outputs);
/* Ends all and calls back once they are gone. NULL is fine: it calls back at once. */
void outputs_close(struct outputs *outputs, void (*on_closed)(void *arg), void *arg);
