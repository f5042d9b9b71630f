/* The rules of chess (FIDE Laws, articles 1 to 5 and 9): which moves are legal, and when it is
 * over. Pure: plain values, nothing is allocated. Squares are 0 (a1) to 63 (h8). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BOARD_MOVES_MAX = 256, /* no position has more; 218 is the most that is known */
	BOARD_FEN_MAX = 96,
	BOARD_SAN_MAX = 12,
	BOARD_PLIES_MAX =
	        1024, /* of one game; the fifty-move rule alone does not bound it so well */
};

enum board_castling {
	BOARD_WHITE_SHORT = 1,
	BOARD_WHITE_LONG = 2,
	BOARD_BLACK_SHORT = 4,
	BOARD_BLACK_LONG = 8
};

struct board {
	char square[64]; /* "PNBRQK" are White's, "pnbrqk" Black's, '\0' is empty */
	bool white;      /* to move */
	unsigned castling;
	int en_passant;      /* the square behind a pawn that has just made two steps, or -1 */
	unsigned half_moves; /* since a pawn moved or something was taken */
	unsigned full_moves; /* 1 first */
};

struct board_move {
	uint8_t from, to;
	char promotion; /* 'q', 'r', 'b', 'n', or '\0' */
};

#define BOARD_ENDS(E)                                                                              \
	E(NONE, "")                                                                                \
	E(CHECKMATE, "checkmate")                                                                  \
	E(STALEMATE, "stalemate")                                                                  \
	E(MATERIAL, "insufficient_material")                                                       \
	E(FIFTY, "fifty_moves")                                                                    \
	E(REPETITION, "threefold_repetition")
#define BOARD_END_ENUM(NAME, text) BOARD_##NAME,
enum board_end { BOARD_ENDS(BOARD_END_ENUM) };
#undef BOARD_END_ENUM
const char *board_end_name(enum board_end end);

/* The position, and all that led to it since the start. */
struct board_game {
	struct board board;
	char first[BOARD_FEN_MAX];          /* where it began */
	uint64_t keys[BOARD_PLIES_MAX + 1]; /* of every position, the first one included */
	struct board_move moves[BOARD_PLIES_MAX];
	size_t plies;
};

void board_init(struct board *board);
/* False: no such position. Both kings must be there, and who is not to move must not be in check.
 */
bool board_read(struct board *board, const char *fen);
void board_fen(const struct board *board, char out[BOARD_FEN_MAX]);

/* Is the side whose turn it is in check? */
bool board_check(const struct board *board);
/* Leaves of the tree of legal moves: the usual test of move generators. */
uint64_t board_perft(const struct board *board, unsigned depth);

/* "e2e4", "e7e8q", as UCI has it. Reading: false when it is not a legal move here. */
bool board_move_read(const struct board *board, const char *text, struct board_move *move);
void board_move_text(struct board_move move, char out[6]);
/* "Nbd7", "exd8=Q+", "O-O#", as players write it. */
void board_san(const struct board *board, struct board_move move, char out[BOARD_SAN_MAX]);

/* Pawns 1, knights and bishops 3, rooks 5, queens 9: what one side has; 39 at the start. */
unsigned board_material(const struct board *board, bool white);

void board_game_init(struct board_game *game);
/* The move must be legal and the game not yet BOARD_PLIES_MAX long. */
void board_game_play(struct board_game *game, struct board_move move);
/* Is it over by the rules? Repetition and fifty moves end it without a claim. A game as long as it
 * may be here counts as one of fifty idle moves. */
enum board_end board_game_end(const struct board_game *game);
