/* What /ops shows, as it changes: Server-Sent Events `ops`, one every two seconds, each a JSON
 * object with the workers (state, start, processor time, memory) and sums of a few counters; all of
 * them are at /metrics. */
#pragma once

#include "worker-sse/edge/request.h"

/* Takes the request over. */
void ops_events_start(struct request *request);
