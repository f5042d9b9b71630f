/* What is asked of markets over HTTP (inbox.h has its handler). */
#pragma once

#include "common/store/row.h"
#include "common/worker/call.h"
#include "worker-bridge/market.h"

/* The market as its row is now, alerted where it cannot be read. *feed_at: of its feed, or of the
 * last that was looked at. */
/* A market as who asks may see it: as it is, or as it was (market_late.h). False: not yet. */
bool market_calls_seen(const struct call *call, struct market *market);

enum row_found market_calls_stored(const struct call *call, const char *duel_id, struct market *m,
                                   const char **feed_at);
