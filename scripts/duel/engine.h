/* A chess engine: a child process that speaks UCI over pipes. It ends with us, however we end. */
#pragma once

#include "scripts/duel/board.h"

struct engine;

enum { ENGINE_TEXT_MAX = 96, ENGINE_OPTIONS_MAX = 16 };

/* "COMMAND[,id=ID][,name=NAME][,resign=CENTIPAWNS][,depth=PLIES][,UCI OPTION=VALUE]..." */
struct engine_order {
	char command[256];
	char id[ENGINE_TEXT_MAX], name[ENGINE_TEXT_MAX];
	int resign; /* gives up when so far behind for long; 0: plays until mate */
	int depth;  /* searches no deeper; 0: as deep as its time allows */
	size_t count;
	struct {
		char name[ENGINE_TEXT_MAX], value[ENGINE_TEXT_MAX];
	} options[ENGINE_OPTIONS_MAX];
};

/* False: `reason` says what is wrong with it. Without an id the command's name is it, without a
 * name the id. */
bool engine_order_read(struct engine_order *order, const char *text, char reason[160]);

/* Starts it and waits until it is ready: patience_ms at most for each of its answers, here and in
 * engine_new_game(). NULL: said why on stderr, or we shall end. The order must outlive it. Looked
 * for in PATH and /usr/games, where Debian has its games. What it writes on stderr comes out on
 * ours. */
struct engine *engine_start(const struct engine_order *order, uint64_t patience_ms);
void engine_stop(struct engine **engine);

/* What it calls itself, and who wrote it; "" when it does not say. */
const char *engine_product(const struct engine *engine);
const char *engine_author(const struct engine *engine);

/* Tells it that another game begins. False: it is gone or does not answer; said so on stderr. */
bool engine_new_game(struct engine *engine);

struct engine_score {
	bool known;
	int centipawns; /* for whose turn it is; +-ENGINE_MATE and less: mate in (ENGINE_MATE - n)
	                   moves */
};
enum { ENGINE_MATE = 30000 };

enum engine_result {
	ENGINE_MOVED,
	ENGINE_LATE,    /* no move at due_ms: think of it as stuck, and stop it */
	ENGINE_GONE,    /* it ended */
	ENGINE_ILLEGAL, /* the move it gave may not be played */
	ENGINE_STOPPED, /* we are to end (wait.h) */
};

/* Lets it think for think_ms about the position and waits for its move until due_ms. When there is
 * none, stderr has which engine it was, what it had been told and how long ago. */
enum engine_result engine_move(struct engine *engine, const struct board_game *game,
                               uint64_t think_ms, uint64_t due_ms, struct board_move *move,
                               struct engine_score *score);
