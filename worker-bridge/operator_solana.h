/* The solana operator: each step of a market is a transaction of two programs on a chain, an oracle
 * and a market that follows it (solana_market.h), by a JSON-RPC node at solana.rpc_url.
 *
 * An attempt is a transaction that is signed and durable before it is sent, and known by its
 * signature; the same bytes are sent until they are finalized, or until no block may hold them any
 * more. Only then, and only where the accounts do not show the effect, another is signed. A resolve
 * is taken in two parts: propose, and finalize once nobody may dispute it any more. docs/market.md
 * tells who has to be allowed what. */
#pragma once

#include "common/base/counters.h"
#include "common/base/settings.h"
#include "worker-bridge/operator.h"

#include <uv.h>

/* Without solana.* in the settings its markets wait, and say for what. */
struct market_operator *operator_solana_create(uv_loop_t *loop,
                                               const struct settings_source *settings,
                                               struct counters_slot *counters);
