/* The reserved subscription APIs under /v1/stream/__ds/. */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

void subscriptions_handle(struct request *request);

/* Makes the signing key and the token secret when the store has none yet. */
void subscriptions_start(struct sse_worker *w);
