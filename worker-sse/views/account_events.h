/* What becomes of an account, as it happens: its balance, its bets and what they brought.
 *
 *     GET /v1/ledger/accounts/ID/events     for whoever may see the account
 *     GET /v1/ledger/events                 of all accounts, for operators
 *
 * A view over the stream that the bridge writes (worker-bridge/account_news.h), which nobody reads
 * in any other way. Whether it is whose account it is, the bridge says. docs/market.md. */
#pragma once

#include "worker-sse/edge/request.h"

/* /v1/ledger/accounts/...: what does not end in /events is the bridge's to answer. */
void account_events_handle(struct request *request);
void account_events_of_all(struct request *request);
