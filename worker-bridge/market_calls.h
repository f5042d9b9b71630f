/* What is asked of markets over HTTP (inbox.h has its handler). */
#pragma once

#include "common/store/row.h"
#include "common/worker/call.h"
#include "worker-bridge/market.h"

/* The market as its row is now, alerted where it cannot be read. *feed_at: of its feed, or of the
 * last that was looked at. */
enum row_found market_calls_stored(const struct call *call, const char *duel_id, struct market *m,
                                   const char **feed_at);
