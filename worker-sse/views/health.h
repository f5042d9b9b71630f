/* Is it alive, does all of it serve, and what does it do: /healthz, /readyz, /metrics. */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

void health_live(struct request *request);
void health_ready(struct request *request);
void health_metrics(struct request *request);

/* Puts the store's figures into this worker's counters; about once a second, so that whoever
 * answers /metrics has everybody's. */
void health_refresh(struct sse_worker *w);
