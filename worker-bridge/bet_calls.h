/* What is asked of bets over HTTP: GET and POST /v1/markets/DUELID/bets. */
#pragma once

#include "common/worker/call.h"
#include "worker-bridge/market.h"

/* Answers. */
void bet_calls_place(struct call *call, const char *duel_id);
void bet_calls_list(struct call *call, const struct market *market);
