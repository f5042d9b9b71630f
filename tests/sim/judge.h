/* Whether everything in the log of a run is as it must be, by arithmetic of its own. Ends the run
 * by world_broken() where it is not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who keeps the markets of this run: "ledger", "webhook" or "solana"; what a fee is. */
struct judge_run {
	const char *operator;
	uint64_t fee_ppm, grant;
};

struct judge_counts {
	uint64_t duels, won, drawn, cancelled, bets, paid;
};

/* Nothing is under way any more: every duel that has ended has been settled. */
bool judge_settled(void);
/* All that can be said at the end. */
void judge_all(const struct judge_run *run, struct judge_counts *counts);
