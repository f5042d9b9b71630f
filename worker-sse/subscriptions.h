/* The reserved subscription APIs under /v1/stream/__ds/. */
#pragma once

#include "worker-sse/request.h"

void subscriptions_handle(struct request *request);
