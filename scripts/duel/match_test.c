#include "scripts/duel/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct engine_order stockfish, gnuchess;
static struct match match;

static int begin(void **state)
{
	char reason[160];
	(void)state;
	assert_true(engine_order_read(&stockfish,
	                              "/usr/games/stockfish,name=Stockfish,Skill Level=3", reason));
	assert_true(
	        engine_order_read(&gnuchess, "gnuchess --uci,id=gnu,resign=900,depth=14", reason));
	match_init(&match, &stockfish, &gnuchess, 1, 10000);
	return 0;
}

static void play(const char *text, int centipawns)
{
	struct board_move move;
	assert_true(board_move_read(&match.game.board, text, &move));
	match_play(&match, move, 100, (struct engine_score){true, centipawns});
}

static void orders_are_read(void **state)
{
	char reason[160];
	struct engine_order order;
	(void)state;
	assert_string_equal(stockfish.command, "/usr/games/stockfish");
	assert_string_equal(stockfish.id, "stockfish");
	assert_string_equal(stockfish.name, "Stockfish");
	assert_int_equal(stockfish.count, 1);
	assert_string_equal(stockfish.options[0].name, "Skill Level");
	assert_string_equal(stockfish.options[0].value, "3");
	assert_string_equal(gnuchess.command, "gnuchess --uci");
	assert_string_equal(gnuchess.name, "gnu");
	assert_int_equal(gnuchess.resign, 900);
	assert_false(engine_order_read(&order, "", reason));
	assert_false(engine_order_read(&order, "x,resign=-1", reason));
	assert_false(engine_order_read(&order, "x,resign=1x", reason));
	assert_false(engine_order_read(&order, "x,depth=", reason));
	assert_false(engine_order_read(&order, "x,depth=100", reason));
	assert_false(engine_order_read(&order, "x,novalue", reason));
	assert_false(engine_order_read(&order, "x,=1", reason));
}

static void a_start_is_in_full_health(void **state)
{
	const int before[2] = {100, 100};
	(void)state;
	assert_int_equal(match_turn(&match), 1); /* the second has White */
	json_t *facts = match_facts(&match, "streaming-1", before, false, 5);
	assert_int_equal(json_array_size(facts), 1);
	json_t *scene = json_object_get(json_array_get(facts, 0), "scene");
	assert_string_equal(json_string_value(json_object_get(scene, "white")), "gnu");
	assert_string_equal(json_string_value(json_object_get(scene, "turn")), "gnu");
	assert_null(json_object_get(scene, "lastMove"));
	assert_null(json_object_get(scene, "end"));
	json_decref(facts);
}

static void a_loss_is_the_other_ones_damage(void **state)
{
	(void)state;
	play("e2e4", 20);
	play("d7d5", -20);
	const int before[2] = {match.hp[0], match.hp[1]};
	play("e4d5", 120);
	assert_true(match.hp[0] < before[0]);
	assert_int_equal(match.hp[1], 100);
	assert_int_equal(match.clock_ms[1], 9800);
	json_t *facts = match_facts(&match, "streaming-1", before, true, 5),
	       *fact = json_array_get(facts, 1);
	assert_string_equal(json_string_value(json_object_get(fact, "type")), "damage");
	assert_string_equal(json_string_value(json_object_get(fact, "attackerId")), "gnu");
	assert_int_equal(json_integer_value(json_object_get(fact, "targetHp")), match.hp[0]);
	json_t *scene = json_object_get(json_array_get(facts, 0), "scene");
	assert_string_equal(json_string_value(json_object_get(scene, "san")), "exd5");
	assert_string_equal(json_string_value(json_object_get(scene, "lastMove")), "e4d5");
	json_decref(facts);
}

static const char *last_member(const char *name)
{
	static char text[64];
	const int before[2] = {1, 1};
	json_t *facts = match_facts(&match, "streaming-1", before, false, 5);
	json_t *fact = json_array_get(facts, json_array_size(facts) - 1);
	const char *value = json_string_value(json_object_get(fact, name));
	if (value == NULL)
		value = json_string_value(json_array_get(json_object_get(fact, name), 0));
	strncpy(text, value != NULL ? value : "", sizeof text - 1);
	json_decref(facts);
	return text;
}

static void mate_is_death(void **state)
{
	(void)state;
	play("f2f3", 0);
	play("e7e5", 0);
	play("g2g4", -ENGINE_MATE + 1);
	assert_null(match.end);
	play("d8h4", ENGINE_MATE - 1);
	assert_string_equal(match.end, "checkmate");
	assert_int_equal(match.winner, 0);
	assert_int_equal(match.hp[1], 0);
	assert_string_equal(last_member("type"), "death");
	assert_string_equal(last_member("ids"), "gnu");
	assert_string_equal(last_member("detail"), "checkmate");
}

static void resignation_needs_patience_and_consent(void **state)
{
	static const char *const moves[] = {"g1f3", "g8f6", "b1c3", "b8c6", "e2e3", "e7e6",
	                                    "d2d3", "d7d6", "a2a3", "a7a6", "h2h3"};
	(void)state;
	for (size_t i = 0; i < 11; i++) {
		assert_null(match.end);
		play(moves[i], i % 2 == 0 ? -1000 : 600);
	}
	assert_string_equal(match.end, "resignation");
	assert_int_equal(match.winner, 0);
	assert_string_equal(last_member("type"), "forfeit");
	assert_string_equal(last_member("id"), "gnu");
}

static void draws_have_no_winner(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		play("g1f3", 0);
		play("g8f6", 0);
		play("f3g1", 0);
		play("f6g8", 0);
	}
	assert_string_equal(match.end, "threefold_repetition");
	assert_int_equal(match.winner, -1);
	assert_string_equal(last_member("outcome"), "draw");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(orders_are_read, begin),
	        cmocka_unit_test_setup(a_start_is_in_full_health, begin),
	        cmocka_unit_test_setup(a_loss_is_the_other_ones_damage, begin),
	        cmocka_unit_test_setup(mate_is_death, begin),
	        cmocka_unit_test_setup(resignation_needs_patience_and_consent, begin),
	        cmocka_unit_test_setup(draws_have_no_winner, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
