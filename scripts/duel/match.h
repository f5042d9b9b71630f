/* One game as a duel: what the board means for the contestants' health, and what viewers are told.
 * Pure, but for the JSON that it makes. Side 0 is agent1, side 1 agent2. */
#pragma once

#include "scripts/duel/board.h"
#include "scripts/duel/engine.h"

#include <jansson.h>

enum { MATCH_HP_MAX = 100, MATCH_RECENT_MOVES = 24 };

struct match {
	const struct engine_order *orders[2];
	int white; /* which side has the white pieces */
	struct board_game game;
	uint64_t clock_ms[2];         /* left */
	struct engine_score score[2]; /* each side's last word, from its own point of view */
	unsigned hopeless[2];         /* moves in a row at which it saw itself lost */
	int hp[2];
	char last_move[6], last_san[BOARD_SAN_MAX];
	char recent[MATCH_RECENT_MOVES][BOARD_SAN_MAX]; /* ring, by ply */
	const char *end; /* how it ended: "checkmate", "resignation", ...; NULL: it goes on */
	int winner;      /* a side; -1: a draw, or not yet known */
	bool forfeited;  /* won because the other gave up, ran out of time or broke down */
};

void match_init(struct match *match, const struct engine_order *first,
                const struct engine_order *second, int white, uint64_t clock_ms);

/* Whose turn it is. */
int match_turn(const struct match *match);

/* Side `side` played this, used so much time, and thinks so of it. Moves hp, and may end the match.
 */
void match_play(struct match *match, struct board_move move, uint64_t used_ms,
                struct engine_score score);

/* The side gave up, or may not go on. */
void match_forfeit(struct match *match, int side, const char *how);

/* What happened since hp were `before`, as facts of the source API, the scene among them and, when
 * it is over, the end. `running`: the clock of whose turn it is goes, since now_ms. A new reference
 * to an array. */
json_t *match_facts(const struct match *match, const char *duel_id, const int before[2],
                    bool running, uint64_t now_ms);
