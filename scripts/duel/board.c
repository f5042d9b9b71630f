#include "scripts/duel/board.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *board_end_name(enum board_end end)
{
#define BOARD_END_NAME(NAME, text) text,
	static const char *const names[] = {BOARD_ENDS(BOARD_END_NAME)};
#undef BOARD_END_NAME
	return names[end];
}

static int file_of(int square)
{
	return square & 7;
}

static int rank_of(int square)
{
	return square >> 3;
}

static bool is_white(char piece)
{
	return isupper((unsigned char)piece);
}

static char kind_of(char piece)
{
	return (char)tolower((unsigned char)piece);
}

static char piece_of(char kind, bool white)
{
	return white ? (char)toupper((unsigned char)kind) : kind;
}

/* ---- positions as text ---- */

void board_init(struct board *board)
{
	bool ok = board_read(board, "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1");
	assert(ok);
	(void)ok;
}

static const char *read_squares(struct board *board, const char *at)
{
	for (int rank = 7; rank >= 0; rank--) {
		for (int file = 0; file < 8; at++) {
			if (*at >= '1' && *at <= '8')
				file += *at - '0';
			else if (*at != '\0' && strchr("pnbrqkPNBRQK", *at) != NULL)
				board->square[rank * 8 + file++] = *at;
			else
				return NULL;
			if (file > 8)
				return NULL;
		}
		if (*at++ != (rank > 0 ? '/' : ' '))
			return NULL;
	}
	return at;
}

static const char *read_castling(struct board *board, const char *at)
{
	static const char letters[] = "KQkq";
	if (*at == '-')
		return at + 1;
	for (; *at != ' ' && *at != '\0'; at++) {
		const char *letter = strchr(letters, *at);
		if (letter == NULL)
			return NULL;
		board->castling |= 1u << (letter - letters);
	}
	return at;
}

/* Rights that king and rook do not bear out are not believed. */
static void check_castling(struct board *board)
{
	static const struct {
		unsigned right;
		uint8_t king, rook;
		bool white;
	} rows[] = {{BOARD_WHITE_SHORT, 4, 7, true},
	            {BOARD_WHITE_LONG, 4, 0, true},
	            {BOARD_BLACK_SHORT, 60, 63, false},
	            {BOARD_BLACK_LONG, 60, 56, false}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (board->square[rows[i].king] != piece_of('k', rows[i].white) ||
		    board->square[rows[i].rook] != piece_of('r', rows[i].white))
			board->castling &= ~rows[i].right;
}

static int find_king(const struct board *board, bool white)
{
	const char *at = memchr(board->square, piece_of('k', white), 64);
	return at != NULL ? (int)(at - board->square) : -1;
}

static bool attacked(const struct board *board, int square, bool by_white);

bool board_read(struct board *board, const char *fen)
{
	*board = (struct board){.en_passant = -1, .full_moves = 1};
	const char *at = read_squares(board, fen);
	if (at == NULL || (*at != 'w' && *at != 'b') || at[1] != ' ')
		return false;
	board->white = *at == 'w';
	at = read_castling(board, at + 2);
	if (at == NULL || *at++ != ' ')
		return false;
	if (*at >= 'a' && *at <= 'h' && (at[1] == '3' || at[1] == '6')) {
		board->en_passant = (at[1] - '1') * 8 + (*at - 'a');
		at++;
	} else if (*at != '-') {
		return false;
	}
	if (at[1] == ' ' && sscanf(at + 2, "%3u %4u", &board->half_moves, &board->full_moves) != 2)
		return false;
	check_castling(board);
	int king = find_king(board, !board->white);
	return find_king(board, board->white) >= 0 && king >= 0 &&
	       !attacked(board, king, board->white);
}

static size_t put_squares(const struct board *board, char *out)
{
	size_t len = 0;
	for (int rank = 7; rank >= 0; rank--) {
		for (int file = 0, empty = 0; file < 8; file++) {
			char piece = board->square[rank * 8 + file];
			empty += piece == '\0';
			if (empty > 0 && (piece != '\0' || file == 7)) {
				out[len++] = (char)('0' + empty);
				empty = 0;
			}
			if (piece != '\0')
				out[len++] = piece;
		}
		out[len++] = rank > 0 ? '/' : ' ';
	}
	return len;
}

/* All but the counters: what two positions must have in common to be the same (article 9.2.3). */
static size_t put_position(const struct board *board, char *out)
{
	size_t len = put_squares(board, out);
	out[len++] = board->white ? 'w' : 'b';
	out[len++] = ' ';
	for (size_t i = 0; i < 4; i++)
		if (board->castling & 1u << i)
			out[len++] = "KQkq"[i];
	if (board->castling == 0)
		out[len++] = '-';
	out[len++] = ' ';
	if (board->en_passant >= 0) {
		out[len++] = (char)('a' + file_of(board->en_passant));
		out[len++] = (char)('1' + rank_of(board->en_passant));
	} else {
		out[len++] = '-';
	}
	out[len] = '\0';
	return len;
}

void board_fen(const struct board *board, char out[BOARD_FEN_MAX])
{
	size_t len = put_position(board, out);
	snprintf(out + len, BOARD_FEN_MAX - len, " %u %u", board->half_moves, board->full_moves);
}

/* ---- attacks ---- */

static const int8_t knight_steps[8][2] = {{1, 2},   {2, 1},   {2, -1}, {1, -2},
                                          {-1, -2}, {-2, -1}, {-2, 1}, {-1, 2}};
static const int8_t lines[8][2] = {{1, 0}, {0, 1},  {-1, 0},  {0, -1},
                                   {1, 1}, {-1, 1}, {-1, -1}, {1, -1}};

/* The square that lies so many files and ranks away, or -1. */
static int step(int square, int files, int ranks)
{
	int file = file_of(square) + files, rank = rank_of(square) + ranks;
	return file >= 0 && file < 8 && rank >= 0 && rank < 8 ? rank * 8 + file : -1;
}

static bool holds(const struct board *board, int square, char piece)
{
	return square >= 0 && board->square[square] == piece;
}

static bool attacked_on_line(const struct board *board, int square, size_t line, bool by_white)
{
	char slider = piece_of(line < 4 ? 'r' : 'b', by_white), queen = piece_of('q', by_white);
	int at = step(square, lines[line][0], lines[line][1]);
	if (holds(board, at, piece_of('k', by_white)))
		return true;
	while (at >= 0 && board->square[at] == '\0')
		at = step(at, lines[line][0], lines[line][1]);
	return holds(board, at, slider) || holds(board, at, queen);
}

static bool attacked(const struct board *board, int square, bool by_white)
{
	int from = by_white ? -1 : 1; /* where a pawn stands that attacks it */
	char pawn = piece_of('p', by_white);
	if (holds(board, step(square, -1, from), pawn) || holds(board, step(square, 1, from), pawn))
		return true;
	for (size_t i = 0; i < 8; i++)
		if (holds(board, step(square, knight_steps[i][0], knight_steps[i][1]),
		          piece_of('n', by_white)) ||
		    attacked_on_line(board, square, i, by_white))
			return true;
	return false;
}

bool board_check(const struct board *board)
{
	return attacked(board, find_king(board, board->white), !board->white);
}

/* ---- moves ---- */

struct list {
	struct board_move *moves;
	size_t count;
};

static void put(struct list *list, int from, int to, char promotion)
{
	assert(list->count < BOARD_MOVES_MAX);
	list->moves[list->count++] = (struct board_move){(uint8_t)from, (uint8_t)to, promotion};
}

static bool own(const struct board *board, int square)
{
	return board->square[square] != '\0' && is_white(board->square[square]) == board->white;
}

static bool enemy(const struct board *board, int square)
{
	return board->square[square] != '\0' && is_white(board->square[square]) != board->white;
}

static void put_pawn_move(struct list *list, int from, int to)
{
	if (rank_of(to) != 0 && rank_of(to) != 7) {
		put(list, from, to, '\0');
		return;
	}
	for (const char *promotion = "qrbn"; *promotion != '\0'; promotion++)
		put(list, from, to, *promotion);
}

static void pawn_moves(const struct board *board, int from, struct list *list)
{
	int up = board->white ? 1 : -1, to = step(from, 0, up);
	if (to >= 0 && board->square[to] == '\0') {
		put_pawn_move(list, from, to);
		int two = step(to, 0, up);
		if (rank_of(from) == (board->white ? 1 : 6) && board->square[two] == '\0')
			put(list, from, two, '\0');
	}
	for (int side = -1; side <= 1; side += 2) {
		to = step(from, side, up);
		if (to >= 0 && (enemy(board, to) || to == board->en_passant))
			put_pawn_move(list, from, to);
	}
}

static void line_moves(const struct board *board, int from, size_t line, bool once,
                       struct list *list)
{
	int to = from;
	while ((to = step(to, lines[line][0], lines[line][1])) >= 0 && !own(board, to)) {
		put(list, from, to, '\0');
		if (once || board->square[to] != '\0')
			return;
	}
}

/* Article 3.8.2: nothing between them, and the king neither starts from, nor crosses, an attacked
 * square. Where it arrives is looked at as with every move. */
static void castling_move(const struct board *board, unsigned right, int king, int to,
                          int last_free, struct list *list)
{
	if (!(board->castling & right))
		return;
	int toward = to > king ? 1 : -1;
	for (int square = king + toward; square != last_free + toward; square += toward)
		if (board->square[square] != '\0')
			return;
	if (!attacked(board, king, !board->white) && !attacked(board, king + toward, !board->white))
		put(list, king, to, '\0');
}

static void king_moves(const struct board *board, int from, struct list *list)
{
	for (size_t i = 0; i < 8; i++)
		line_moves(board, from, i, true, list);
	int home = board->white ? 4 : 60;
	if (from != home)
		return;
	castling_move(board, board->white ? BOARD_WHITE_SHORT : BOARD_BLACK_SHORT, home, home + 2,
	              home + 2, list);
	castling_move(board, board->white ? BOARD_WHITE_LONG : BOARD_BLACK_LONG, home, home - 2,
	              home - 3, list);
}

static void piece_moves(const struct board *board, int from, struct list *list)
{
	char kind = kind_of(board->square[from]);
	switch (kind) {
	case 'p':
		pawn_moves(board, from, list);
		break;
	case 'n':
		for (size_t i = 0; i < 8; i++) {
			int to = step(from, knight_steps[i][0], knight_steps[i][1]);
			if (to >= 0 && !own(board, to))
				put(list, from, to, '\0');
		}
		break;
	case 'k':
		king_moves(board, from, list);
		break;
	default:
		for (size_t i = kind == 'b' ? 4 : 0; i < (kind == 'r' ? 4 : 8); i++)
			line_moves(board, from, i, false, list);
	}
}

static void lose_castling(struct board *board, int square)
{
	static const struct {
		uint8_t square;
		unsigned rights;
	} rows[] = {{0, BOARD_WHITE_LONG},
	            {4, BOARD_WHITE_SHORT | BOARD_WHITE_LONG},
	            {7, BOARD_WHITE_SHORT},
	            {56, BOARD_BLACK_LONG},
	            {60, BOARD_BLACK_SHORT | BOARD_BLACK_LONG},
	            {63, BOARD_BLACK_SHORT}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].square == square)
			board->castling &= ~rows[i].rights;
}

/* Is there a pawn that could take there? If not, no right to do so arises (article 9.2.3). */
static bool can_be_taken(const struct board *board, int behind, bool by_white)
{
	char pawn = piece_of('p', by_white);
	int from = by_white ? -1 : 1;
	return holds(board, step(behind, -1, from), pawn) ||
	       holds(board, step(behind, 1, from), pawn);
}

static void move_rook_of_castling(struct board *board, int from, int to)
{
	int rook = to > from ? from + 3 : from - 4, beside = (from + to) / 2;
	board->square[beside] = board->square[rook];
	board->square[rook] = '\0';
}

/* The move must be legal. */
static void play(struct board *board, struct board_move move)
{
	int from = move.from, to = move.to;
	char piece = board->square[from], kind = kind_of(piece);
	bool takes = board->square[to] != '\0';
	if (kind == 'p' && to == board->en_passant)
		board->square[to + (board->white ? -8 : 8)] = '\0';
	if (kind == 'k' && abs(to - from) == 2)
		move_rook_of_castling(board, from, to);
	board->square[from] = '\0';
	board->square[to] = move.promotion != '\0' ? piece_of(move.promotion, board->white) : piece;
	lose_castling(board, from);
	lose_castling(board, to);
	board->en_passant = -1;
	if (kind == 'p' && abs(to - from) == 16 &&
	    can_be_taken(board, (from + to) / 2, !board->white))
		board->en_passant = (from + to) / 2;
	board->half_moves = kind == 'p' || takes ? 0 : board->half_moves + 1;
	board->full_moves += !board->white;
	board->white = !board->white;
}

static bool legal(const struct board *board, struct board_move move)
{
	struct board after = *board;
	play(&after, move);
	return !attacked(&after, find_king(&after, board->white), after.white);
}

/* How many there are. */
static size_t legal_moves(const struct board *board, struct board_move moves[BOARD_MOVES_MAX])
{
	struct list list = {.moves = moves};
	for (int from = 0; from < 64; from++)
		if (own(board, from))
			piece_moves(board, from, &list);
	size_t kept = 0;
	for (size_t i = 0; i < list.count; i++)
		if (legal(board, moves[i]))
			moves[kept++] = moves[i];
	return kept;
}

uint64_t board_perft(const struct board *board, unsigned depth)
{
	struct board_move moves[BOARD_MOVES_MAX];
	size_t count = legal_moves(board, moves);
	if (depth <= 1)
		return depth == 0 ? 1 : count;
	uint64_t leaves = 0;
	for (size_t i = 0; i < count; i++) {
		struct board after = *board;
		play(&after, moves[i]);
		leaves += board_perft(&after, depth - 1);
	}
	return leaves;
}

/* ---- moves as text ---- */

void board_move_text(struct board_move move, char out[6])
{
	snprintf(out, 6, "%c%c%c%c%.1s", 'a' + file_of(move.from), '1' + rank_of(move.from),
	         'a' + file_of(move.to), '1' + rank_of(move.to), (char[2]){move.promotion, '\0'});
}

bool board_move_read(const struct board *board, const char *text, struct board_move *move)
{
	struct board_move moves[BOARD_MOVES_MAX];
	size_t count = legal_moves(board, moves);
	for (size_t i = 0; i < count; i++) {
		char own_text[6];
		board_move_text(moves[i], own_text);
		if (strcmp(own_text, text) == 0) {
			*move = moves[i];
			return true;
		}
	}
	return false;
}

/* What tells this piece from others of its kind that could go there too: nothing, file, rank or
 * both. */
static size_t put_origin(const struct board *board, struct board_move move, char *out)
{
	struct board_move moves[BOARD_MOVES_MAX];
	size_t count = legal_moves(board, moves), len = 0;
	bool others = false, file_shared = false, rank_shared = false;
	for (size_t i = 0; i < count; i++) {
		if (moves[i].to != move.to || moves[i].from == move.from ||
		    board->square[moves[i].from] != board->square[move.from])
			continue;
		others = true;
		file_shared |= file_of(moves[i].from) == file_of(move.from);
		rank_shared |= rank_of(moves[i].from) == rank_of(move.from);
	}
	if (others && (!file_shared || rank_shared))
		out[len++] = (char)('a' + file_of(move.from));
	if (others && file_shared)
		out[len++] = (char)('1' + rank_of(move.from));
	return len;
}

void board_san(const struct board *board, struct board_move move, char out[BOARD_SAN_MAX])
{
	char piece = board->square[move.from], kind = kind_of(piece);
	bool takes =
	        board->square[move.to] != '\0' || (kind == 'p' && move.to == board->en_passant);
	size_t len = 0;
	if (kind == 'k' && abs(move.to - move.from) == 2) {
		len = (size_t)snprintf(out, BOARD_SAN_MAX, move.to > move.from ? "O-O" : "O-O-O");
	} else {
		if (kind != 'p') {
			out[len++] = (char)toupper((unsigned char)kind);
			len += put_origin(board, move, out + len);
		} else if (takes) {
			out[len++] = (char)('a' + file_of(move.from));
		}
		if (takes)
			out[len++] = 'x';
		out[len++] = (char)('a' + file_of(move.to));
		out[len++] = (char)('1' + rank_of(move.to));
		if (move.promotion != '\0') {
			out[len++] = '=';
			out[len++] = (char)toupper((unsigned char)move.promotion);
		}
	}
	struct board after = *board;
	struct board_move replies[BOARD_MOVES_MAX];
	play(&after, move);
	if (board_check(&after))
		out[len++] = legal_moves(&after, replies) == 0 ? '#' : '+';
	out[len] = '\0';
}

/* ---- games ---- */

unsigned board_material(const struct board *board, bool white)
{
	static const uint8_t worth[128] = {['p'] = 1, ['n'] = 3, ['b'] = 3, ['r'] = 5, ['q'] = 9};
	unsigned sum = 0;
	for (size_t i = 0; i < 64; i++)
		if (board->square[i] != '\0' && is_white(board->square[i]) == white)
			sum += worth[(uint8_t)kind_of(board->square[i])];
	return sum;
}

/* Article 5.2.2, as far as it can be told by looking: bare kings, one minor piece, or only bishops
 * that all go on squares of one colour. */
static bool material_suffices(const struct board *board)
{
	size_t knights = 0, bishops[2] = {0};
	for (int i = 0; i < 64; i++) {
		char kind = kind_of(board->square[i]);
		if (kind == 'p' || kind == 'r' || kind == 'q')
			return true;
		knights += kind == 'n';
		bishops[(file_of(i) + rank_of(i)) % 2] += kind == 'b';
	}
	if (knights > 0)
		return knights + bishops[0] + bishops[1] > 1;
	return bishops[0] > 0 && bishops[1] > 0;
}

static uint64_t key_of(const struct board *board)
{
	char text[BOARD_FEN_MAX];
	size_t len = put_position(board, text);
	uint64_t key = 0xcbf29ce484222325; /* FNV-1a */
	for (size_t i = 0; i < len; i++)
		key = (key ^ (uint8_t)text[i]) * 0x100000001b3;
	return key;
}

void board_game_init(struct board_game *game)
{
	board_init(&game->board);
	board_fen(&game->board, game->first);
	game->plies = 0;
	game->keys[0] = key_of(&game->board);
}

void board_game_play(struct board_game *game, struct board_move move)
{
	assert(game->plies < BOARD_PLIES_MAX);
	game->moves[game->plies++] = move;
	play(&game->board, move);
	game->keys[game->plies] = key_of(&game->board);
}

enum board_end board_game_end(const struct board_game *game)
{
	struct board_move moves[BOARD_MOVES_MAX];
	if (legal_moves(&game->board, moves) == 0)
		return board_check(&game->board) ? BOARD_CHECKMATE : BOARD_STALEMATE;
	if (!material_suffices(&game->board))
		return BOARD_MATERIAL;
	if (game->board.half_moves >= 100 || game->plies == BOARD_PLIES_MAX)
		return BOARD_FIFTY;
	size_t same = 0;
	for (size_t i = 0; i <= game->plies; i++)
		same += game->keys[i] == game->keys[game->plies];
	return same >= 3 ? BOARD_REPETITION : BOARD_NONE;
}
