#include "scripts/duel/match.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MATERIAL_AT_START = 39, HOPELESS_MOVES = 5 };

void match_init(struct match *match, const struct engine_order *first,
                const struct engine_order *second, int white, uint64_t clock_ms)
{
	*match = (struct match){.orders = {first, second},
	                        .white = white,
	                        .clock_ms = {clock_ms, clock_ms},
	                        .hp = {MATCH_HP_MAX, MATCH_HP_MAX},
	                        .winner = -1};
	board_game_init(&match->game);
}

int match_turn(const struct match *match)
{
	return match->game.board.white ? match->white : !match->white;
}

/* To win, 0 to 1, by what both engines last said; 0.5 before that. */
static double chance(const struct match *match, int side)
{
	double centipawns = 0, voices = 0;
	for (int i = 0; i < 2; i++)
		if (match->score[i].known) {
			centipawns += i == side ? match->score[i].centipawns
			                        : -match->score[i].centipawns;
			voices++;
		}
	return voices > 0 ? 1 / (1 + pow(10, -centipawns / voices / 400)) : 0.5;
}

/* Half of the health is the army, half the prospects; who stands no worse than at the start has all
 * of it, and nobody is dead before the mate. */
static void update_hp(struct match *match)
{
	for (int side = 0; side < 2; side++) {
		double army = board_material(&match->game.board, match->white == side) /
		              (double)MATERIAL_AT_START;
		double prospects = 2 * chance(match, side);
		double hp = MATCH_HP_MAX / 2.0 * (fmin(army, 1) + fmin(prospects, 1));
		match->hp[side] = hp < 1 ? 1 : (int)lround(hp);
	}
}

/* It gives up when it has seen no hope for a while and the other one agrees. */
static void consider_resigning(struct match *match, int side)
{
	int limit = match->orders[side]->resign;
	const struct engine_score *own = &match->score[side], *other = &match->score[!side];
	bool lost = limit > 0 && own->known && own->centipawns <= -limit && other->known &&
	            other->centipawns >= limit / 2;
	match->hopeless[side] = lost ? match->hopeless[side] + 1 : 0;
	if (match->hopeless[side] >= HOPELESS_MOVES)
		match_forfeit(match, side, "resignation");
}

void match_play(struct match *match, struct board_move move, uint64_t used_ms,
                struct engine_score score)
{
	int side = match_turn(match);
	board_move_text(move, match->last_move);
	board_san(&match->game.board, move, match->last_san);
	memcpy(match->recent[match->game.plies % MATCH_RECENT_MOVES], match->last_san,
	       BOARD_SAN_MAX);
	match->clock_ms[side] -= used_ms < match->clock_ms[side] ? used_ms : match->clock_ms[side];
	if (score.known)
		match->score[side] = score;
	board_game_play(&match->game, move);
	update_hp(match);
	enum board_end end = board_game_end(&match->game);
	if (end == BOARD_NONE) {
		consider_resigning(match, side);
		return;
	}
	match->end = board_end_name(end);
	match->winner = end == BOARD_CHECKMATE ? side : -1;
	if (end == BOARD_CHECKMATE)
		match->hp[!side] = 0;
}

void match_forfeit(struct match *match, int side, const char *how)
{
	match->end = how;
	match->winner = !side;
	match->forfeited = true;
}

/* ---- as facts ---- */

static json_t *recent_moves(const struct match *match)
{
	json_t *moves = json_array();
	size_t plies = match->game.plies;
	for (size_t i = plies > MATCH_RECENT_MOVES ? plies - MATCH_RECENT_MOVES : 0; i < plies; i++)
		json_array_append_new(moves, json_string(match->recent[i % MATCH_RECENT_MOVES]));
	return moves;
}

static json_t *scene_of(const struct match *match, bool running, uint64_t now_ms)
{
	char fen[BOARD_FEN_MAX];
	board_fen(&match->game.board, fen);
	const char *end = match->end;
	return json_pack(
	        "{s:s, s:s, s:s*, s:s*, s:I, s:s, s:s, s:s, s:b, s:{s:I, s:I}, s:b, s:I, "
	        "s:f, s:o, s:s*}",
	        "game", "chess", "fen", fen, "lastMove",
	        *match->last_move != '\0' ? match->last_move : NULL, "san",
	        *match->last_san != '\0' ? match->last_san : NULL, "ply",
	        (json_int_t)match->game.plies, "white", match->orders[match->white]->id, "black",
	        match->orders[!match->white]->id, "turn", match->orders[match_turn(match)]->id,
	        "check", (int)board_check(&match->game.board), "clocks", "agent1",
	        (json_int_t)match->clock_ms[0], "agent2", (json_int_t)match->clock_ms[1], "running",
	        (int)running, "at", (json_int_t)now_ms, "chance",
	        round(chance(match, 0) * 1000) / 1000, "moves", recent_moves(match), "end", end);
}

static void put(json_t *facts, json_t *fact)
{
	json_array_append_new(facts, fact);
}

static void put_health(json_t *facts, const struct match *match, const char *duel_id,
                       const int before[2], int side)
{
	const char *id = match->orders[side]->id, *other = match->orders[!side]->id;
	int lost = before[side] - match->hp[side];
	if (lost > 0)
		put(facts,
		    json_pack("{s:s, s:s, s:s, s:i, s:i}", "type", "damage", "duelId", duel_id,
		              "attackerId", other, "amount", lost, "targetHp", match->hp[side]));
	else if (lost < 0)
		put(facts, json_pack("{s:s, s:s, s:s, s:i}", "type", "contestant", "duelId",
		                     duel_id, "id", id, "hp", match->hp[side]));
}

static void put_end(json_t *facts, const struct match *match, const char *duel_id)
{
	if (match->winner < 0) {
		put(facts, json_pack("{s:s, s:s, s:s, s:s}", "type", "result", "duelId", duel_id,
		                     "outcome", "draw", "detail", match->end));
		return;
	}
	const char *loser = match->orders[!match->winner]->id;
	if (match->forfeited)
		put(facts, json_pack("{s:s, s:s, s:s, s:s}", "type", "forfeit", "duelId", duel_id,
		                     "id", loser, "detail", match->end));
	else
		put(facts, json_pack("{s:s, s:s, s:[s], s:s}", "type", "death", "duelId", duel_id,
		                     "ids", loser, "detail", match->end));
}

json_t *match_facts(const struct match *match, const char *duel_id, const int before[2],
                    bool running, uint64_t now_ms)
{
	json_t *facts = json_array();
	put(facts, json_pack("{s:s, s:s, s:o}", "type", "scene", "duelId", duel_id, "scene",
	                     scene_of(match, running, now_ms)));
	for (int side = 0; side < 2; side++)
		put_health(facts, match, duel_id, before, side);
	if (match->end != NULL)
		put_end(facts, match, duel_id);
	return facts;
}
