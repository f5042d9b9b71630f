/* What people decide about markets in review: POST /v1/markets/DUELID/retry and /resolve. */
#pragma once

#include "common/worker/call.h"

/* For the house; answers. `resolve`: with an outcome, else again from the step that failed. */
void decision_calls_take(struct call *call, const char *duel_id, bool resolve);
