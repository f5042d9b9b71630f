/* What is told of accounts: each change of one, with its balance after it, in a stream of which
 * each owner reads only his own (worker-sse/views/account_events.h).
 *
 *     {"account": ID, "at": Unix ms, "type": "bet", "balance": 99, "bet": {...}}
 *
 * type: opened, bet, paid (a bet was settled), top_up, named, closed, reopened. */
#pragma once

#include "worker-bridge/market_change.h"

/* Not below /v1/stream/: whoever may read streams may not read this one. */
#define ACCOUNT_NEWS_STREAM "/v1/ledger/changes"

/* In the change, behind what was put to the account's row. Takes `more`: members at the end, or
 * NULL. */
void account_news_tell(struct market_change *change, const char *account, const char *type,
                       json_t *more);

/* That the bets first to last of this market have been settled in this change. */
void account_news_settled(struct market_change *change, const struct market *market, uint64_t first,
                          uint64_t last);
