/* For tests: accounts of the chain as the programs write them. */
#pragma once

#include "worker-bridge/solana_market.h"

enum { SOLANA_MADE_ROOM = 600 };

size_t solana_made_duel(const struct solana_duel *duel, uint8_t bytes[SOLANA_MADE_ROOM]);
size_t solana_made_market(const struct solana_market *market, uint8_t bytes[SOLANA_MADE_ROOM]);
size_t solana_made_config(const struct solana_oracle_config *config,
                          uint8_t bytes[SOLANA_MADE_ROOM]);
