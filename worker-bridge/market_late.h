/* A market as spectators see it: as it stood feeds.spectator_delay ago. Made of what the market's
 * row says now, less what had not happened then, and of the line of its odds that was told to
 * spectators last (spectator.h):
 *
 *     late/FEED/DUELID          that line, as it stands in the stream feeds/FEED/odds */
#pragma once

#include "worker-bridge/market.h"

/* "late/FEED/DUELID" */
enum { MARKET_LATE_KEY_ROOM = MARKET_KEY_ROOM };
void market_late_key(const char *feed, const char *duel_id, char key[MARKET_LATE_KEY_ROOM]);

/* As it was at until_ms, Unix ms; `told`: the line, NULL: none yet. False: there was no market. The
 * operator's attempts are nobody's business but the house's. Pure. */
bool market_late(struct market *market, const json_t *told, uint64_t until_ms);
