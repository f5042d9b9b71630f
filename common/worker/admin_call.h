/* What ringsidectl asks of a worker: COMMAND METHOD PATH [BODY], a call as over HTTP, looked up in
 * the worker's one table of calls. The handler sees call->local. */
#pragma once

#include "common/worker/call.h"

/* Answers the supervisor, now or later, exactly once: what a 2xx answers, {} for none, else the
 * reason. A worker that drains refuses. */
void admin_call_take(struct worker *worker, struct calls *calls, bool draining,
                     const struct proto_worker_command *m);
