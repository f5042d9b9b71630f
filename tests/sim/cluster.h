/* A cluster of Solana with the two programs of a market, in memory: slots that become confirmed and
 * final, transactions that are dropped, expire or are taken back by a fork, a node that is silent,
 * behind or asked too often; in place of worker-bridge/solana_rpc.h. It takes the very bytes that
 * the operator signed. */
#pragma once

#include "worker-bridge/solana_market.h"

/* `finalized`: nothing counts before it is final, so that of two transactions that do the same the
 * second is never sent while the first may land. */
void cluster_begin(bool finalized);
/* From now on every question is answered and every transaction lands. */
void cluster_calm(void);

/* Settings of the operator that acts on it. */
extern const char cluster_key[], cluster_oracle[], cluster_market[];

/* As it is when everything has become final; false: it has none. Notices what took effect by two
 * transactions. */
bool cluster_duel(const char *duel_key, struct solana_duel *duel, struct solana_market *market);
