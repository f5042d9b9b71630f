#include "scripts/duel/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Numbers that many move generators agree on. */
static void counts_of_known_positions(void **state)
{
	(void)state;
	static const struct {
		const char *fen;
		unsigned depth;
		uint64_t leaves;
	} rows[] = {
	        {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", 4, 197281},
	        {"r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1", 3, 97862},
	        {"8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", 5, 674624},
	        {"r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1", 4, 422333},
	        {"rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8", 3, 62379},
	        {"r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10", 3,
	         89890},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct board board;
		assert_true(board_read(&board, rows[i].fen));
		assert_int_equal(board_perft(&board, rows[i].depth), rows[i].leaves);
	}
}

static void play(struct board_game *game, const char *moves)
{
	char text[6];
	for (; *moves != '\0'; moves += strspn(moves, " ")) {
		struct board_move move;
		size_t len = strcspn(moves, " ");
		assert_in_range(len, 4, 5);
		memcpy(text, moves, len);
		text[len] = '\0';
		assert_true(board_move_read(&game->board, text, &move));
		board_game_play(game, move);
		moves += len;
	}
}

static enum board_end end_of(const char *moves)
{
	static struct board_game game;
	board_game_init(&game);
	play(&game, moves);
	return board_game_end(&game);
}

static void ends(void **state)
{
	(void)state;
	assert_int_equal(end_of("e2e4 e7e5"), BOARD_NONE);
	assert_int_equal(end_of("f2f3 e7e5 g2g4 d8h4"), BOARD_CHECKMATE);
	assert_int_equal(
	        end_of("e2e3 a7a5 d1h5 a8a6 h5a5 h7h5 h2h4 a6h6 a5c7 f7f6 c7d7 e8f7 d7b7 d8d3 "
	               "b7b8 d3h7 b8c8 f7g6 c8e6"),
	        BOARD_STALEMATE);
	assert_int_equal(end_of("g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1"), BOARD_NONE);
	assert_int_equal(end_of("g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1 f6g8"), BOARD_REPETITION);
}

/* The same squares, but the right to castle is gone: another position (article 9.2.3). */
static void castling_rights_make_positions_differ(void **state)
{
	(void)state;
	assert_int_equal(end_of("e2e4 e7e5 e1e2 e8e7 e2e1 e7e8 e1e2 e8e7 e2e1 e7e8 e1e2"),
	                 BOARD_NONE);
	assert_int_equal(end_of("e2e4 e7e5 e1e2 e8e7 e2e1 e7e8 e1e2 e8e7 e2e1 e7e8 e1e2 e8e7"),
	                 BOARD_REPETITION);
}

static enum board_end end_at(const char *fen)
{
	static struct board_game game;
	board_game_init(&game);
	assert_true(board_read(&game.board, fen));
	return board_game_end(&game);
}

static void material_and_fifty_moves(void **state)
{
	(void)state;
	assert_int_equal(end_at("8/8/4k3/8/8/3K4/8/8 w - - 0 1"), BOARD_MATERIAL);
	assert_int_equal(end_at("8/8/4k3/8/8/3KN3/8/8 w - - 0 1"), BOARD_MATERIAL);
	assert_int_equal(end_at("8/8/4k3/2b5/8/3KB3/8/8 w - - 0 1"), BOARD_MATERIAL);
	assert_int_equal(end_at("8/8/4k3/3b4/8/3KB3/8/8 w - - 0 1"), BOARD_NONE);
	assert_int_equal(end_at("8/8/4k3/8/4N3/3KN3/8/8 w - - 0 1"), BOARD_NONE);
	assert_int_equal(end_at("8/8/4k3/8/8/3KP3/8/8 w - - 0 1"), BOARD_NONE);
	assert_int_equal(end_at("8/8/4k3/8/8/3K3R/8/8 w - - 99 80"), BOARD_NONE);
	assert_int_equal(end_at("8/8/4k3/8/8/3K3R/8/8 w - - 100 80"), BOARD_FIFTY);
}

static void positions_as_text(void **state)
{
	(void)state;
	static const char *const good[] = {
	        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
	        "r3k2r/8/8/2pP4/8/8/8/R3K2R w KQkq c6 0 7",
	        "8/8/4k3/8/8/3K4/8/8 b - - 12 60",
	};
	static const char *const bad[] = {
	        "",
	        "8/8/8/8/8/8/8/8 w - - 0 1",
	        "9/8/8/8/8/8/8/8 w - - 0 1",
	        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR x KQkq - 0 1",
	        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNRR w KQkq - 0 1",
	        "4k3/4R3/8/8/8/8/8/4K3 w - - 0 1", /* the king could be taken */
	        "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP w KQkq - 0 1",
	};
	struct board board;
	char fen[BOARD_FEN_MAX];
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(board_read(&board, good[i]));
		board_fen(&board, fen);
		assert_string_equal(fen, good[i]);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(board_read(&board, bad[i]));
}

static void moves_as_text(void **state)
{
	(void)state;
	static const struct {
		const char *fen, *move, *san;
	} rows[] = {
	        {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "g1f3", "Nf3"},
	        {"r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "e1g1", "O-O"},
	        {"r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1", "e8c8", "O-O-O"},
	        {"3r3k/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7d8q", "exd8=Q+"},
	        {"4k3/8/8/2pP4/8/8/8/4K3 w - c6 0 1", "d5c6", "dxc6"},
	        {"4k3/8/8/8/8/8/8/RN2K2R w - - 0 1", "a1a5", "Ra5"},
	        {"4k3/8/8/R7/8/8/8/R3K3 w - - 0 1", "a1a3", "R1a3"},
	        {"4k3/8/8/8/8/2N5/8/4K1N1 w - - 0 1", "c3e2", "Nce2"},
	        {"6k1/8/8/8/4Q2Q/8/8/K6Q w - - 0 1", "h4e1", "Qh4e1"},
	        {"6k1/5ppp/8/8/8/8/8/R3K3 w - - 0 1", "a1a8", "Ra8#"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct board board;
		struct board_move move;
		char san[BOARD_SAN_MAX];
		assert_true(board_read(&board, rows[i].fen));
		if (!board_move_read(&board, rows[i].move, &move))
			fail_msg("%s is refused", rows[i].move);
		board_san(&board, move, san);
		if (strcmp(san, rows[i].san) != 0)
			fail_msg("%s is called %s, not %s", rows[i].move, san, rows[i].san);
	}
}

static void illegal_moves_are_refused(void **state)
{
	(void)state;
	struct board board;
	struct board_move move;
	static const char *const bad[] = {"",     "e2",    "e2e5", "e7e5",
	                                  "e1g1", "e2e4q", "0000", "e2e4 "};
	board_init(&board);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(board_move_read(&board, bad[i], &move));
	assert_true(board_read(&board, "4k3/8/8/8/1b6/8/3N4/4K3 w - - 0 1"));
	assert_false(board_move_read(&board, "d2f3", &move)); /* pinned */
}

static void material_is_counted(void **state)
{
	(void)state;
	struct board board;
	board_init(&board);
	assert_int_equal(board_material(&board, true), 39);
	assert_int_equal(board_material(&board, false), 39);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(counts_of_known_positions),
	        cmocka_unit_test(ends),
	        cmocka_unit_test(castling_rights_make_positions_differ),
	        cmocka_unit_test(material_and_fifty_moves),
	        cmocka_unit_test(positions_as_text),
	        cmocka_unit_test(moves_as_text),
	        cmocka_unit_test(illegal_moves_are_refused),
	        cmocka_unit_test(material_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
