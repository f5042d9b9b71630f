/* The game of feed "arena": it begins duels, says what happens in them, repeats each post until it
 * is answered, dies at any moment, and comes back as another that knows nothing. */
#pragma once

#include <stdbool.h>

enum { GAME_DUELS_MAX = 32 };

void game_begin(unsigned duels);
/* Dies, in this moment. */
void game_die(void);
/* It has played them all; whatever it was told about the last. */
bool game_over(void);

/* The duel that bets may be made on, as far as it knows; "": none. */
const char *game_duel(void);
/* Has it ever said that this duel ended so? `winner` "": nobody's. */
bool game_said(const char *duel_id, const char *outcome, const char *winner);
