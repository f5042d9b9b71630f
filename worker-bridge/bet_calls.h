/* What is asked of bets over HTTP: GET and POST /v1/markets/DUELID/bets, and an account's own. */
#pragma once

#include "common/worker/call.h"
#include "worker-bridge/market.h"

/* Answers. */
void bet_calls_place(struct call *call, const char *duel_id);
/* Of one account, the newest first, a page of them: ?before=N&limit=N. */
void bet_calls_list_own(struct call *call, const char *account);
void bet_calls_list(struct call *call, const struct market *market);
