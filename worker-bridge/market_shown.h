/* A market as it is shown to people and programs: its record, and what follows from it. */
#pragma once

#include "worker-bridge/market.h"

/* New references. */
json_t *market_shown(const struct market *market);
/* How it ended, and what was staked on each side when its bets closed; null where that is not yet
 * known. */
json_t *market_result(const struct market *market);
/* {"A": what is staked on agent1, "B": on agent2}; after the close: when its bets closed. */
json_t *market_pools(const struct market *market);
