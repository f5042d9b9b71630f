/* What a feed has counted of one contestant, from its terminal frames: before a duel, against the
 * opponent of that duel (standings.h counts it, struct duel keeps it while the duel goes on). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct duel_count {
	bool known; /* false: nobody knows (it is being counted anew), and the rest is 0 */
	uint64_t wins, losses, draws;
	int64_t streak; /* above 0: wins in a row; below: losses; 0 behind a draw, or none yet */
	uint64_t rank;  /* from 1 on among all of the feed; 0: has ended no duel yet */
	uint64_t rival_wins, rival_losses, rival_draws; /* against this opponent */
};
