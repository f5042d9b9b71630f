#include "worker-bridge/market_late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Created at 100, opened at 110, closed at 200, won at 300, paid at 310. */
static struct market settled(void)
{
	struct market m = {.feed = "arena",
	                   .duel_id = "d",
	                   .state = MARKET_RESOLVED,
	                   .created_ms = 100,
	                   .opened_ms = 110,
	                   .locked_ms = 200,
	                   .bet_close_ms = 190,
	                   .outcome = "win",
	                   .side = "A",
	                   .reason = "kill",
	                   .seed = "7",
	                   .replay_hash = "ab",
	                   .duel_end_ms = 299,
	                   .outcome_ms = 300,
	                   .settled_ms = 310,
	                   .pool = {5, 6},
	                   .bets = 2,
	                   .settled_bets = 2,
	                   .paid = 11};
	snprintf(m.error, sizeof m.error, "what the house is told");
	snprintf(m.receipts[0].reference, sizeof m.receipts[0].reference, "sig");
	return m;
}

static json_t *line(const char *state, int a, int b)
{
	return json_pack("{s:s,s:I,s:{s:i,s:i},s:i}", "state", state, "betCloseTime",
	                 (json_int_t)195, "pools", "A", a, "B", b, "bets", a + b > 0);
}

static void before_it_was_there(void **state)
{
	struct market m = settled();
	(void)state;
	assert_false(market_late(&m, NULL, 99));
}

static void while_nobody_has_been_told_of_its_odds(void **state)
{
	struct market m = settled();
	(void)state;
	assert_true(market_late(&m, NULL, 105));
	assert_int_equal(m.state, MARKET_CREATED);
	assert_int_equal(m.opened_ms, 0);
	assert_int_equal(m.bets + m.pool[0] + m.pool[1], 0);
}

/* Of what is to come nothing is in it. */
static void while_it_was_open(void **state)
{
	struct market m = settled();
	json_t *told = line("open", 5, 0);
	(void)state;
	assert_true(market_late(&m, told, 150));
	json_decref(told);
	assert_int_equal(m.state, MARKET_OPEN);
	assert_int_equal(m.opened_ms, 110);
	assert_int_equal(m.bet_close_ms, 195);
	assert_int_equal(m.pool[0], 5);
	assert_int_equal(m.pool[1], 0);
	assert_int_equal(m.locked_ms + m.settled_ms + m.outcome_ms + m.duel_end_ms, 0);
	assert_int_equal(m.paid + m.settled_bets, 0);
	const char *texts[] = {m.outcome,
	                       m.side,
	                       m.reason,
	                       m.seed,
	                       m.replay_hash,
	                       m.error,
	                       m.receipts[0].reference};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_string_equal(texts[i], "");
}

static void when_its_outcome_was_known_and_nobody_paid(void **state)
{
	struct market m = settled();
	json_t *told = line("locked", 5, 6);
	(void)state;
	assert_true(market_late(&m, told, 305));
	json_decref(told);
	assert_string_equal(m.outcome, "win");
	assert_int_equal(m.duel_end_ms, 299);
	assert_int_equal(m.settled_ms + m.paid, 0);
}

static void when_all_was_over(void **state)
{
	struct market m = settled();
	json_t *told = line("resolved", 5, 6);
	(void)state;
	assert_true(market_late(&m, told, 400));
	json_decref(told);
	assert_int_equal(m.state, MARKET_RESOLVED);
	assert_int_equal(m.settled_ms, 310);
	assert_int_equal(m.paid, 11);
	assert_string_equal(m.side, "A");
	assert_string_equal(m.receipts[0].reference, "sig");
	assert_string_equal(m.error, "");
}

/* A release before this did not say when an outcome was seen. */
static void of_an_earlier_release(void **state)
{
	struct market m = settled();
	json_t *told = line("resolved", 5, 6);
	(void)state;
	m.outcome_ms = 0;
	assert_true(market_late(&m, told, 309));
	assert_string_equal(m.outcome, "");
	m = settled();
	m.outcome_ms = 0;
	assert_true(market_late(&m, told, 311));
	assert_string_equal(m.outcome, "win");
	json_decref(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(before_it_was_there),
	        cmocka_unit_test(while_nobody_has_been_told_of_its_odds),
	        cmocka_unit_test(while_it_was_open),
	        cmocka_unit_test(when_its_outcome_was_known_and_nobody_paid),
	        cmocka_unit_test(when_all_was_over),
	        cmocka_unit_test(of_an_earlier_release),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
