/* What a feed tells whoever takes bets: on which duel, and until when. A row of its own, written in
 * the transaction that changes it, so that a bet whose transaction needs it to be as it was read
 * cannot be taken once the feed knows better.
 *
 *     bets/FEED  {"duelId": "..." or "", "betCloseTime": Unix ms} */
#pragma once

#include "common/store/rows.h"

struct feed_bets {
	char duel_id[64]; /* "": on none */
	uint64_t close_ms;
};

/* The feed's side: true: it says something new, and has been put. A row that cannot be read is
 * marked, and left. */
bool feed_bets_tell(struct rows *rows, const char *feed, const struct feed_bets *bets);

/* The other side. The clock may be set back: then what was told counts as if it had been told by
 * the new one, until the feed says so itself. */
struct feed_bets_watch {
	struct feed_bets told;
	int64_t back_ms; /* not above 0 */
};
void feed_bets_clock_moved(struct feed_bets_watch *watch, int64_t step_ms);

/* May a bet be taken, by what the feed has told? The transaction fails if that changes meanwhile.
 * A feed that has told nothing yet leaves it to the market. */
bool feed_bets_open(struct feed_bets_watch *watch, struct rows *rows, const char *feed,
                    const char *duel_id, uint64_t now_ms);
