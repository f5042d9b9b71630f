/* ringside-duel: two chess engines fight duels, for a Ringside to show. An example of a game behind
 * Ringside: all it needs of it is the source API (source.h).
 *
 *     cycle       who fights next; the clock of Ringside announces it
 *     positions   both sit at the board
 *     (wait for FIGHTING)
 *     batch       with every move: scene, damage, contestant
 *     death, forfeit or result                          how it ended */
#include "scripts/duel/match.h"
#include "scripts/duel/source.h"
#include "scripts/duel/wait.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char usage[] =
        "usage: ringside-duel [OPTION]...\n"
        "Lets two chess engines fight duels and posts them to a Ringside.\n\n"
        "  --engine1=ORDER  --engine2=ORDER   "
        "COMMAND[,id=ID][,name=NAME][,resign=CENTIPAWNS][,depth=PLIES][,UCI OPTION=VALUE]...\n"
        "  --movetime=TIME   longest think for a move (200ms)\n"
        "  --pace=TIME       least time a move takes, so that people can follow (900ms)\n"
        "  --clock=TIME      each side's time for the game (100s)\n"
        "  --engine-timeout=TIME    for an engine to start, or to be ready for a game (60s)\n"
        "  --engine-restarts=COUNT  of an engine that ended in the middle of a game (3)\n"
        "  --games=COUNT     ends after so many; 0: never (0)\n"
        "  --announcement=TIME  how long bets are open; else as Ringside is set up\n"
        "  --url=URL         of Ringside (http://127.0.0.1:4437)\n"
        "  --feed=NAME       a feed that Ringside schedules (arena)\n"
        "  --token-file=FILE the source token, alone or as \"source\" of a JSON object\n"
        "TIME is a number with ms, s or m.\n";

struct options {
	struct engine_order orders[2];
	const char *url, *feed, *token_file;
	uint64_t movetime_ms, pace_ms, clock_ms, announcement_ms, patience_ms;
	unsigned long games, restarts_max; /* restarts of one engine in one game */
};

/* What we remember of earlier games of this run. */
struct record {
	unsigned wins[2], draws;
};

enum play_result {
	PLAY_ENDED,
	PLAY_OVERTAKEN /* Ringside ended the duel, or lost it */,
	PLAY_STOPPED
};

struct play {
	const struct options *options;
	struct source *source;
	struct engine *engines[2];
	unsigned long restarts[2]; /* in this game */
	struct record record;
	char duel_id[64];
	struct match match;
};

/* ---- options ---- */

static bool read_time(const char *text, uint64_t *ms)
{
	char *end;
	double value = strtod(text, &end);
	double unit = strcmp(end, "ms") == 0  ? 1
	              : strcmp(end, "s") == 0 ? 1000
	              : strcmp(end, "m") == 0 ? 60000
	                                      : 0;
	if (end == text || unit == 0 || !(value >= 0) || value * unit > 86400000)
		return false;
	*ms = (uint64_t)(value * unit);
	return true;
}

static void refuse(const char *option, const char *reason)
{
	fprintf(stderr, "ringside-duel: --%s: %s\n", option, reason);
	exit(2);
}

static void set_time(const char *option, uint64_t *ms)
{
	if (!read_time(optarg, ms))
		refuse(option, "must be a time of at most a day: 200ms, 1.5s, 2m");
}

static void set_engine(const char *option, struct engine_order *order)
{
	char reason[160];
	if (!engine_order_read(order, optarg, reason))
		refuse(option, reason);
}

static void set_count(const char *option, unsigned long *count)
{
	char *end;
	errno = 0;
	*count = strtoul(optarg, &end, 10);
	if (end == optarg || *end != '\0' || *optarg == '-' || errno != 0)
		refuse(option, "must be a count");
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {{"engine1", 1, NULL, '1'},
	                                      {"engine2", 1, NULL, '2'},
	                                      {"movetime", 1, NULL, 'm'},
	                                      {"pace", 1, NULL, 'p'},
	                                      {"clock", 1, NULL, 'c'},
	                                      {"games", 1, NULL, 'g'},
	                                      {"url", 1, NULL, 'u'},
	                                      {"feed", 1, NULL, 'f'},
	                                      {"token-file", 1, NULL, 't'},
	                                      {"announcement", 1, NULL, 'a'},
	                                      {"engine-timeout", 1, NULL, 'T'},
	                                      {"engine-restarts", 1, NULL, 'R'},
	                                      {"help", 0, NULL, 'h'},
	                                      {0}};
	char reason[160];
	*o = (struct options){.url = "http://127.0.0.1:4437",
	                      .feed = "arena",
	                      .movetime_ms = 200,
	                      .pace_ms = 900,
	                      .clock_ms = 100000,
	                      .patience_ms = 60000,
	                      .restarts_max = 3};
	engine_order_read(&o->orders[0], "stockfish,name=Stockfish,resign=1500,Skill Level=9",
	                  reason);
	/* It aborts when its search says more at once than its front end reads at once, 4 KiB: in
	 * simple endings it gets through 60 depths in 2 ms, two lines each, and on a busy machine
	 * none is read meanwhile. */
	engine_order_read(&o->orders[1], "gnuchess --uci,name=GNU Chess,depth=14", reason);
	int option;
	while ((option = getopt_long(argc, argv, "h", names, NULL)) != -1) {
		switch (option) {
		case '1':
			set_engine("engine1", &o->orders[0]);
			break;
		case '2':
			set_engine("engine2", &o->orders[1]);
			break;
		case 'm':
			set_time("movetime", &o->movetime_ms);
			break;
		case 'p':
			set_time("pace", &o->pace_ms);
			break;
		case 'c':
			set_time("clock", &o->clock_ms);
			break;
		case 'a':
			set_time("announcement", &o->announcement_ms);
			break;
		case 'T':
			set_time("engine-timeout", &o->patience_ms);
			break;
		case 'R':
			set_count("engine-restarts", &o->restarts_max);
			break;
		case 'g':
			set_count("games", &o->games);
			break;
		case 'u':
			o->url = optarg;
			break;
		case 'f':
			o->feed = optarg;
			break;
		case 't':
			o->token_file = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
	if (strcmp(o->orders[0].id, o->orders[1].id) == 0)
		refuse("engine2", "has the same id as engine1: give it another one with id=");
	if (o->clock_ms < 1000 || o->movetime_ms < 1)
		refuse("clock", "must be at least 1s, and movetime at least 1ms");
}

/* ---- before the fight ---- */

static void make_uuid(char out[37])
{
	uint8_t b[16];
	if (getrandom(b, sizeof b, 0) != sizeof b)
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562 §5.4 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	         b[13], b[14], b[15]);
}

static json_t *contestant(const struct play *play, int side)
{
	const struct engine_order *order = &play->options->orders[side];
	const char *author = engine_author(play->engines[side]),
	           *product = engine_product(play->engines[side]);
	const unsigned *wins = play->record.wins;
	return json_pack("{s:s, s:s, s:s#, s:s#, s:i, s:i, s:i, s:i, s:i, s:i}", "id", order->id,
	                 "name", order->name, "provider", author, (int)strnlen(author, 64), "model",
	                 product, (int)strnlen(product, 64), "hp", MATCH_HP_MAX, "maxHp",
	                 MATCH_HP_MAX, "wins", wins[side], "losses", wins[!side], "headToHeadWins",
	                 wins[side], "headToHeadLosses", wins[!side]);
}

static bool has_ended(const json_t *duel)
{
	const char *outcome = json_string_value(json_object_get(duel, "outcome"));
	return outcome != NULL && *outcome != '\0';
}

/* A duel that was left behind by somebody who posted before us can not be finished. */
static enum source_result close_old_duel(struct play *play, const json_t *state)
{
	const json_t *duel = json_object_get(state, "duel");
	const char *id = json_string_value(json_object_get(duel, "duelId"));
	if (id == NULL || has_ended(duel))
		return SOURCE_OK;
	fprintf(stderr, "ringside-duel: %s was left unfinished; it is cancelled\n", id);
	json_t *body = json_pack("{s:s, s:s}", "duelId", id, "reason", "game_restarted");
	enum source_result result = source_post(play->source, "abort", body, NULL);
	return result == SOURCE_REFUSED ? SOURCE_OK : result; /* it has ended meanwhile */
}

static enum source_result announce(struct play *play)
{
	char cycle[37];
	make_uuid(cycle);
	snprintf(play->duel_id, sizeof play->duel_id, "streaming-%s", cycle);
	json_t *body = json_pack("{s:s, s:o, s:o}", "cycleId", cycle, "agent1", contestant(play, 0),
	                         "agent2", contestant(play, 1));
	if (play->options->announcement_ms != 0)
		json_object_set_new(body, "announcementMs",
		                    json_integer((json_int_t)play->options->announcement_ms));
	return source_post(play->source, "cycle", body, NULL);
}

static bool is_ours(const struct play *play, const json_t *duel)
{
	const char *id = json_string_value(json_object_get(duel, "duelId"));
	return id != NULL && strcmp(id, play->duel_id) == 0;
}

/* Until our duel is in that phase; NULL: in any. Overtaken: it came and went. */
static enum play_result await_phase(struct play *play, const char *phase)
{
	bool seen = false;
	for (;;) {
		json_t *state;
		enum source_result result = source_state(play->source, &state);
		if (result != SOURCE_OK)
			return result == SOURCE_STOPPED ? PLAY_STOPPED : PLAY_OVERTAKEN;
		const json_t *duel = json_object_get(state, "duel");
		const char *now = json_string_value(json_object_get(duel, "phase"));
		bool ours = is_ours(play, duel),
		     there = ours && now != NULL && (phase == NULL || strcmp(now, phase) == 0);
		bool over = (seen && !ours) || (ours && has_ended(duel));
		bool another = (uint64_t)json_integer_value(json_object_get(state, "sourceEpoch")) >
		               source_epoch(play->source);
		seen |= ours;
		json_decref(state);
		if (there)
			return PLAY_ENDED;
		if (over || another)
			return PLAY_OVERTAKEN;
		if (wait_for_ms(100) == WAIT_STOPPED)
			return PLAY_STOPPED;
	}
}

static enum play_result outcome_of(enum source_result result)
{
	return result == SOURCE_OK        ? PLAY_ENDED
	       : result == SOURCE_STOPPED ? PLAY_STOPPED
	                                  : PLAY_OVERTAKEN;
}

static enum play_result post_facts(struct play *play, const int before[2], bool running)
{
	json_t *body = json_pack(
	        "{s:o}", "facts",
	        match_facts(&play->match, play->duel_id, before, running, wait_wall_ms()));
	return outcome_of(source_post(play->source, "batch", body, NULL));
}

static enum play_result sit_down(struct play *play)
{
	json_t *body = json_pack("{s:s, s:[i,i,i], s:[i,i,i]}", "duelId", play->duel_id, "agent1",
	                         -4, 0, 0, "agent2", 4, 0, 0);
	enum play_result result = outcome_of(source_post(play->source, "positions", body, NULL));
	return result == PLAY_ENDED ? post_facts(play, play->match.hp, false) : result;
}

/* ---- the fight ---- */

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static const char *fault_name(enum engine_result result)
{
	return result == ENGINE_LATE      ? "flag_fall"
	       : result == ENGINE_ILLEGAL ? "illegal_move"
	                                  : "engine_failure";
}

/* Another one in its place, as arbiters do with machines that break down: its clock goes on
 * meanwhile. */
static bool restart_engine(struct play *play, int side)
{
	if (play->restarts[side] >= play->options->restarts_max)
		return false;
	play->restarts[side]++;
	engine_stop(&play->engines[side]);
	play->engines[side] =
	        engine_start(&play->options->orders[side], play->options->patience_ms);
	return play->engines[side] != NULL && engine_new_game(play->engines[side]);
}

static enum engine_result think(struct play *play, int side, uint64_t due_ms,
                                struct board_move *move, struct engine_score *score)
{
	const struct match *match = &play->match;
	uint64_t think_ms = min(play->options->movetime_ms, match->clock_ms[side] / 30 + 1);
	for (;;) {
		enum engine_result result = engine_move(play->engines[side], &match->game, think_ms,
		                                        due_ms, move, score);
		if (result != ENGINE_GONE)
			return result;
		if (!restart_engine(play, side))
			return wait_stopped() ? ENGINE_STOPPED : ENGINE_GONE;
	}
}

/* One move. The clock goes from the moment it is somebody's turn until the move is on the board:
 * who answers faster than people can follow waits, less and less as its time runs out. */
static enum play_result play_move(struct play *play)
{
	struct match *match = &play->match;
	int side = match_turn(match);
	uint64_t from_ms = wait_now_ms(), left_ms = match->clock_ms[side];
	uint64_t shown_ms = from_ms + min(play->options->pace_ms, left_ms / 40);
	struct board_move move;
	struct engine_score score;
	const int before[2] = {match->hp[0], match->hp[1]};
	enum engine_result result = think(play, side, from_ms + left_ms, &move, &score);
	if (result == ENGINE_STOPPED)
		return PLAY_STOPPED;
	if (result == ENGINE_MOVED) {
		if (wait_until(-1, shown_ms) == WAIT_STOPPED)
			return PLAY_STOPPED;
		match_play(match, move, wait_now_ms() - from_ms, score);
	} else {
		match->clock_ms[side] = result == ENGINE_LATE ? 0 : left_ms;
		match_forfeit(match, side, fault_name(result));
		engine_stop(&play->engines[side]); /* the next game gets another one */
	}
	return post_facts(play, before, match->end == NULL);
}

static uint64_t quiet_ms(const struct play *play)
{
	return min(source_silence_ms(play->source) / 8, 5000);
}

/* Engines may think long, or have to be started again: Ringside is told that we live. */
static void say_alive(void *arg)
{
	const struct play *play = arg;
	source_alive(play->source, quiet_ms(play));
}

static enum play_result fight(struct play *play)
{
	if (quiet_ms(play) > 0)
		wait_beat(say_alive, play, quiet_ms(play));
	enum play_result result = post_facts(play, play->match.hp, true);
	while (result == PLAY_ENDED && play->match.end == NULL)
		result = play_move(play);
	wait_beat(NULL, NULL, 0);
	return result;
}

/* ---- games ---- */

static bool ready_engines(struct play *play)
{
	for (int side = 0; side < 2; side++) {
		if (play->engines[side] != NULL && engine_new_game(play->engines[side]))
			continue;
		engine_stop(&play->engines[side]);
		play->engines[side] =
		        engine_start(&play->options->orders[side], play->options->patience_ms);
		if (play->engines[side] == NULL || !engine_new_game(play->engines[side]))
			return false;
	}
	return true;
}

static void report(const struct play *play, unsigned long number)
{
	const struct match *m = &play->match;
	printf("game %lu: %s (white) - %s: %s, %s, %zu moves\n", number, m->orders[m->white]->name,
	       m->orders[!m->white]->name,
	       m->winner < 0           ? "1/2"
	       : m->winner == m->white ? "1-0"
	                               : "0-1",
	       m->end, (m->game.plies + 1) / 2);
	fflush(stdout);
}

static enum play_result play_game(struct play *play, unsigned long number)
{
	match_init(&play->match, &play->options->orders[0], &play->options->orders[1],
	           number % 2 == 0, play->options->clock_ms);
	play->restarts[0] = play->restarts[1] = 0;
	enum play_result result = outcome_of(announce(play));
	if (result == PLAY_ENDED)
		result = await_phase(play, NULL);
	if (result == PLAY_ENDED)
		result = sit_down(play);
	if (result == PLAY_ENDED)
		result = await_phase(play, "FIGHTING");
	if (result == PLAY_ENDED)
		result = fight(play);
	if (result != PLAY_ENDED)
		return result;
	if (play->match.winner >= 0)
		play->record.wins[play->match.winner]++;
	else
		play->record.draws++;
	report(play, number);
	return PLAY_ENDED;
}

/* Nobody is kept waiting for a game that does not go on. */
static void leave(struct play *play)
{
	json_t *state = NULL;
	if (*play->duel_id == '\0' || play->match.end != NULL ||
	    source_state(play->source, &state) != SOURCE_OK)
		return;
	if (is_ours(play, json_object_get(state, "duel")))
		source_post(
		        play->source, "abort",
		        json_pack("{s:s, s:s}", "duelId", play->duel_id, "reason", "game_stopped"),
		        NULL);
	json_decref(state);
}

/* A post was refused or the duel ended without us. Is the feed still ours? */
static bool recover(struct play *play)
{
	json_t *state;
	uint64_t epoch = source_epoch(play->source);
	if (source_state(play->source, &state) != SOURCE_OK)
		return false;
	uint64_t now = (uint64_t)json_integer_value(json_object_get(state, "sourceEpoch"));
	json_decref(state);
	if (now > epoch) {
		fprintf(stderr, "ringside-duel: another source has taken the feed over\n");
		return false;
	}
	fprintf(stderr, "ringside-duel: %s was ended by Ringside\n", play->duel_id);
	if (source_begin(play->source, &state) != SOURCE_OK)
		return false;
	bool ok = close_old_duel(play, state) == SOURCE_OK;
	json_decref(state);
	return ok;
}

static bool open_feed(struct play *play)
{
	json_t *state;
	if (source_begin(play->source, &state) != SOURCE_OK)
		return false;
	const char *mode = json_string_value(json_object_get(state, "mode"));
	bool scheduled = mode != NULL && strcmp(mode, "scheduled") == 0;
	if (!scheduled)
		fprintf(stderr, "ringside-duel: feed %s is not one that Ringside schedules\n",
		        play->options->feed);
	bool ok = scheduled && close_old_duel(play, state) == SOURCE_OK;
	json_decref(state);
	return ok;
}

static bool play_games(struct play *play)
{
	if (!open_feed(play))
		return wait_stopped();
	for (unsigned long number = 1; play->options->games == 0 || number <= play->options->games;
	     number++) {
		if (!ready_engines(play))
			return wait_stopped();
		switch (play_game(play, number)) {
		case PLAY_ENDED:
			break;
		case PLAY_OVERTAKEN:
			if (!recover(play))
				return wait_stopped();
			break;
		case PLAY_STOPPED:
			leave(play);
			return true;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct options options;
	static struct play play;
	read_options(&options, argc, argv);
	wait_init();
	play = (struct play){.options = &options,
	                     .source =
	                             source_create(options.url, options.feed, options.token_file)};
	bool ok = play_games(&play);
	for (int side = 0; side < 2; side++)
		engine_stop(&play.engines[side]);
	source_destroy(&play.source);
	return ok ? 0 : 1;
}
