/* A market as it is shown to people and programs: its record, and what follows from it. */
#pragma once

#include "worker-bridge/market.h"

/* New reference. */
json_t *market_shown(const struct market *market);
