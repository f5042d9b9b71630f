/* Who bets on the duels of the game: each has an account, makes one bet after the other, and
 * repeats it until it is answered; and what they were told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BETTORS_MAX = 5, BETTOR_BETS_MAX = 512 };

struct bettor_bet {
	unsigned bettor, side;
	char duel[64];
	uint64_t amount, number; /* number: of a bet that was taken */
	unsigned status;         /* 0: not answered yet */
	/* Refused, but it was asked before and not answered then: that may have been taken later.
	 */
	bool doubted;
};

void bettors_begin(void);
/* They begin no more bets. */
void bettors_stop(void);
/* What they asked has been answered. */
bool bettors_done(void);

size_t bettors_bets(const struct bettor_bet **bets);
/* Of an account, as it was told; "": none yet. */
const char *bettors_account(unsigned bettor);
