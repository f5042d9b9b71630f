#include "worker-bridge/market.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *frame(const char *more)
{
	char text[1024];
	snprintf(text, sizeof text,
	         "{\"duelId\":\"streaming-x\",\"cycleId\":\"x\",\"duelKey\":\"k\",\"betOpenTime\":"
	         "1000,"
	         "\"betCloseTime\":2000,\"terminal\":false,\"outcome\":null,\"agent1\":{\"id\":"
	         "\"a\",\"name\":\"A\"},"
	         "\"agent2\":{\"id\":\"b\",\"name\":\"B\"}}");
	json_t *f = json_loads(text, 0, NULL), *extra = json_loads(more, 0, NULL);
	assert_non_null(f);
	assert_non_null(extra);
	json_object_update(f, extra);
	json_decref(extra);
	return f;
}

#define WIN_A                                                                                      \
	"{\"terminal\":true,\"outcome\":\"win\",\"winnerId\":\"a\",\"winReason\":\"kill\","        \
	"\"seed\":\"1\",\"replayHash\":\"h\"}"
#define WIN_B                                                                                      \
	"{\"terminal\":true,\"outcome\":\"win\",\"winnerId\":\"b\",\"winReason\":\"kill\","        \
	"\"seed\":\"1\",\"replayHash\":\"h\"}"
#define DRAW                                                                                       \
	"{\"terminal\":true,\"outcome\":\"draw\",\"cancellationReason\":\"draw\",\"seed\":\"1\","  \
	"\"replayHash\":\"h\"}"
#define ABORT "{\"terminal\":true,\"outcome\":\"cancelled\",\"cancellationReason\":\"x\"}"

static struct market fresh(void)
{
	struct market m;
	json_t *f = frame("{}");
	assert_true(market_begin(&m, "arena", "ledger", f, 1000));
	json_decref(f);
	return m;
}

static uint64_t delay_ms;

static bool see(struct market *m, const char *more)
{
	json_t *f = frame(more);
	bool changed = market_see(m, f, 3000, delay_ms);
	json_decref(f);
	return changed;
}

static enum market_step next(const struct market *m, uint64_t now)
{
	uint64_t due;
	return market_next(m, now, &due);
}

static void take(struct market *m, enum market_step step, uint64_t now)
{
	assert_int_equal(next(m, now), step);
	market_start(m, step);
	market_done(m, step, now);
}

static void a_win_goes_its_way(void **state)
{
	struct market m = fresh();
	uint64_t due;
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	assert_true(market_takes_bets(&m, 1999));
	assert_false(market_takes_bets(&m, 2000)); /* by the clock, whatever has been locked */
	assert_int_equal(market_next(&m, 1500, &due), MARKET_STEP_NONE);
	assert_int_equal(due, 2000);
	take(&m, MARKET_STEP_LOCK, 2000);
	assert_int_equal(next(&m, 9000), MARKET_STEP_NONE);
	assert_true(see(&m, WIN_B));
	assert_string_equal(m.side, "B");
	take(&m, MARKET_STEP_RESOLVE, 9000);
	assert_int_equal(m.state, MARKET_RESOLVED);
	assert_int_equal(next(&m, 99999), MARKET_STEP_NONE);
	assert_false(see(&m, WIN_B)); /* told again */
}

static void the_lock_follows_a_nearer_close(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	assert_true(see(&m, "{\"betCloseTime\":1500}"));
	assert_int_equal(next(&m, 1500), MARKET_STEP_LOCK);
	assert_false(see(&m, "{\"betCloseTime\":1900}")); /* it never goes away again */
}

static void who_won_early_still_locks_first(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	see(&m, WIN_A);
	assert_false(market_takes_bets(&m, 1100));
	take(&m, MARKET_STEP_LOCK, 1100);
	take(&m, MARKET_STEP_RESOLVE, 1100);
}

static void draws_and_aborts_are_cancelled(void **state)
{
	static const char *const ends[] = {DRAW, ABORT};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct market m = fresh();
		take(&m, MARKET_STEP_CREATE, 1001);
		if (i >= 2)
			take(&m, MARKET_STEP_LOCK, 2000);
		assert_true(see(&m, ends[i % 2]));
		take(&m, MARKET_STEP_CANCEL, 3000);
		assert_int_equal(m.state, MARKET_CANCELLED);
	}
}

static void nothing_is_opened_in_hindsight(void **state)
{
	struct market m = fresh(), n = fresh();
	(void)state;
	see(&m, WIN_A);
	assert_int_equal(next(&m, 1100), MARKET_STEP_CANCEL);
	assert_int_equal(next(&n, 2000),
	                 MARKET_STEP_NONE); /* too late; its outcome will cancel it */
	see(&n, WIN_A);
	assert_int_equal(next(&n, 3000), MARKET_STEP_CANCEL);
}

static void a_creation_under_way_is_finished_first(void **state)
{
	struct market m = fresh();
	(void)state;
	market_start(&m, MARKET_STEP_CREATE); /* its outcome is unknown outside */
	see(&m, ABORT);
	take(&m, MARKET_STEP_CREATE, 5000);
	take(&m, MARKET_STEP_CANCEL, 5000);
}

/* What the receiver has not answered may reach it behind a cancel. */
static void a_lock_under_way_is_finished_first(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1100);
	market_start(&m, MARKET_STEP_LOCK);
	see(&m, ABORT);
	assert_int_equal(next(&m, 2000), MARKET_STEP_CANCEL); /* it was not asked for yet */
	m.attempt.unknown = true;
	take(&m, MARKET_STEP_LOCK, 2000);
	take(&m, MARKET_STEP_CANCEL, 2000);
}

static void what_cannot_be_believed_is_for_people(void **state)
{
	static const struct {
		const char *first, *second, *why;
	} rows[] = {
	        {"{\"terminal\":true,\"outcome\":\"win\",\"winnerId\":\"c\",\"replayHash\":\"h\"}",
	         NULL, "the winner is neither contestant"},
	        {"{\"terminal\":true,\"outcome\":\"win\",\"winnerId\":\"a\"}", NULL,
	         "a win without a replay hash"},
	        {"{\"terminal\":true,\"outcome\":\"odd\"}", NULL,
	         "the terminal frame has no outcome that is known"},
	        {WIN_A, WIN_B, "a second, different outcome of this duel"},
	        {ABORT, WIN_B, "a second, different outcome of this duel"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct market m = fresh();
		take(&m, MARKET_STEP_CREATE, 1001);
		assert_true(see(&m, rows[i].first));
		if (rows[i].second != NULL)
			assert_true(see(&m, rows[i].second));
		assert_int_equal(m.state, MARKET_MANUAL_REVIEW);
		assert_string_equal(m.error, rows[i].why);
		assert_int_equal(next(&m, 9999), MARKET_STEP_NONE);
	}
}

static void what_is_paid_stays_paid(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	see(&m, WIN_A);
	take(&m, MARKET_STEP_LOCK, 1100);
	take(&m, MARKET_STEP_RESOLVE, 1100);
	assert_true(see(&m, WIN_B));
	assert_int_equal(m.state, MARKET_RESOLVED);
	assert_string_equal(m.side, "A");
	assert_true(*m.error != '\0');
	assert_false(see(&m, WIN_B)); /* said once */
}

/* A payment in parts has begun: other terms for the rest would pay what is not there. */
static void what_is_paid_in_part_stays_too(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	see(&m, WIN_A);
	take(&m, MARKET_STEP_LOCK, 1100);
	market_start(&m, MARKET_STEP_RESOLVE);
	m.bets = 40;
	m.settled_bets = 32;
	assert_true(see(&m, WIN_B));
	assert_false(see(&m, WIN_B));
	assert_int_equal(m.state, MARKET_RESOLVING);
	market_done(&m, MARKET_STEP_RESOLVE, 1200);
	assert_string_equal(m.side, "A");
	assert_string_equal(m.error, "a second, different outcome of this duel");
}

static void a_review_says_why(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	market_review(&m, "lock was refused");
	market_review(&m, m.error);
	assert_true(see(&m, WIN_A)); /* kept for whoever decides */
	assert_string_equal(m.error, "lock was refused");
	assert_true(see(&m, WIN_B));
	assert_false(see(&m, WIN_B));
	assert_string_equal(m.error, "a second, different outcome of this duel");
}

static void people_and_the_game_agree(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	market_review(&m, "refused");
	market_decide(&m, "win", "B");
	assert_false(see(&m, WIN_B));
	assert_true(see(&m, WIN_A));
	assert_int_equal(m.state, MARKET_MANUAL_REVIEW);
}

static void what_was_never_created_is_cancelled(void **state)
{
	struct market m = fresh();
	(void)state;
	market_start(&m, MARKET_STEP_CREATE);
	market_review(&m, "create was refused");
	market_decide(&m, "cancelled", "");
	take(&m, MARKET_STEP_CANCEL, 3000);
	assert_int_equal(m.state, MARKET_CANCELLED);
}

static void people_decide(void **state)
{
	struct market m = fresh();
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	take(&m, MARKET_STEP_LOCK, 2000);
	market_review(&m, "refused");
	market_retry(&m);
	assert_int_equal(m.state, MARKET_LOCKED);
	market_review(&m, "refused");
	market_decide(&m, "win", "B");
	take(&m, MARKET_STEP_RESOLVE, 3000);
	struct market n = fresh();
	market_review(&n, "refused");
	market_decide(&n, "cancelled", "");
	take(&n, MARKET_STEP_CANCEL, 3000);
}

static void a_record_reads_back(void **state)
{
	struct market m = fresh(), back;
	(void)state;
	take(&m, MARKET_STEP_CREATE, 1001);
	see(&m, WIN_A);
	m.pool[1] = ((uint64_t)1 << 53) - 1;
	market_start(&m, MARKET_STEP_LOCK);
	m.attempt.number = 3;
	json_t *record = market_record(&m);
	char *text = json_dumps(record, 0);
	json_t *again = json_loads(text, 0, NULL);
	assert_true(market_read(&back, again));
	assert_memory_equal(&back, &m, sizeof m);
	json_object_set_new(again, "state", json_string("odd"));
	assert_false(market_read(&back, again));
	free(text);
	json_decref(record);
	json_decref(again);
}

/* What 0.1.0 wrote: each release writes it, and reads it. */
static void a_record_has_its_bytes(void **state)
{
	static const char golden[] =
	        "{\"state\":\"resolving\",\"step\":\"resolve\",\"entered\":true,\"unknown\":false"
	        ",\"feed\":\"arena\",\"duelId\":\"d\",\"cycleId\":\"c\",\"duelKey\":\"k\",\"opera"
	        "tor\":\"ledger\",\"agent1Id\":\"a\",\"agent1Name\":\"A\",\"agent2Id\":\"b\",\"ag"
	        "ent2Name\":\"\xc3\x84\",\"outcome\":\"win\",\"winnerSide\":\"B\",\"reason\":\"ki"
	        "ll\",\"seed\":\"7\",\"replayHash\":\"h\",\"fingerprint\":\"f\",\"error\":\"e\",\""
	        "betOpenTime\":1,\"betCloseTime\":2,\"createdAt\":3,\"openedAt\":4,\"lockedAt\":5"
	        ",\"settledAt\":6,\"poolA\":8,\"poolB\":9,\"bets\":10,\"settledBets\":3,\"paid\":"
	        "11,\"feePpm\":12,\"attempts\":13,\"attemptedAt\":14,\"nextAttemptAt\":15"
	        "%s}";
	struct market m = {.feed = "arena",
	                   .duel_id = "d",
	                   .cycle_id = "c",
	                   .duel_key = "k",
	                   .operator= "ledger",
	                   .agent_id = {"a", "b"},
	                   .agent_name = {"A", "\xc3\x84"},
	                   .state = MARKET_RESOLVING,
	                   .bet_open_ms = 1,
	                   .bet_close_ms = 2,
	                   .created_ms = 3,
	                   .opened_ms = 4,
	                   .locked_ms = 5,
	                   .settled_ms = 6,
	                   .outcome = "win",
	                   .side = "B",
	                   .reason = "kill",
	                   .seed = "7",
	                   .replay_hash = "h",
	                   .fingerprint = "f",
	                   .pool = {8, 9},
	                   .bets = 10,
	                   .settled_bets = 3,
	                   .paid = 11,
	                   .fee_ppm = 12,
	                   .step = MARKET_STEP_RESOLVE,
	                   .entered = true,
	                   .attempt.number = 13,
	                   .attempt.at_ms = 14,
	                   .attempt.next_ms = 15,
	                   .error = "e"};
	(void)state;
	for (m.forgotten_bets = 0; m.forgotten_bets <= 2; m.forgotten_bets += 2) {
		struct market back;
		char expected[1024];
		snprintf(expected, sizeof expected, golden,
		         m.forgotten_bets == 0 ? "" : ",\"forgottenBets\":2");
		json_t *row = market_record(&m);
		char *text = json_dumps(row, JSON_COMPACT);
		assert_string_equal(text, expected);
		assert_true(market_read(&back, row));
		assert_memory_equal(&back, &m, sizeof m);
		free(text);
		json_decref(row);
	}
}

static void a_record_that_contradicts_itself_is_none(void **state)
{
	static const char *const members[] = {"settledBets", "forgottenBets", "feePpm"};
	struct market m = fresh(), back;
	(void)state;
	m.bets = 1000000;
	for (size_t i = 0; i < 3; i++)
		for (json_int_t n = 1000000; n <= 1000001; n++) {
			json_t *row = market_record(&m);
			json_object_set_new(row, members[i], json_integer(n));
			assert_int_equal(market_read(&back, row), n == 1000000);
			json_decref(row);
		}
}

/* ---- what becomes of the stakes ---- */

static void assert_payout(const struct market *m, const char *payout, const char *reason)
{
	const char *why;
	const char *what = market_payout(m, &why);
	assert_true(payout == NULL ? what == NULL : what != NULL && strcmp(what, payout) == 0);
	assert_string_equal(why, reason);
}

static void a_win_that_nobody_backed_is_a_win(void **state)
{
	(void)state;
	struct market m = fresh();
	assert_payout(&m, NULL, "");
	m.pool[0] = 10;
	m.state = MARKET_LOCKED;
	assert_true(see(&m, WIN_B));
	assert_int_equal(next(&m, 3000), MARKET_STEP_RESOLVE);
	assert_payout(&m, "refunded", "nobody_backed_winner");
	m.pool[1] = 1;
	assert_payout(&m, "paid", "");
	m.pool[0] = m.pool[1] = 0;
	assert_payout(&m, "none", "no_bets");
	snprintf(m.operator, sizeof m.operator, "webhook"); /* who keeps the bets itself */
	assert_payout(&m, "paid", "");
	m = fresh();
	m.pool[1] = 10;
	m.state = MARKET_LOCKED;
	assert_true(see(&m, ABORT));
	assert_payout(&m, "refunded", "x");
	m = fresh();
	m.pool[1] = 10;
	assert_true(see(&m, DRAW));
	assert_payout(&m, "refunded", "draw");
}

static void what_is_told_of_it_comes_when_it_is_settled(void **state)
{
	(void)state;
	struct market m = fresh();
	json_t *o = json_object();
	m.pool[0] = 10;
	m.state = MARKET_LOCKED;
	see(&m, WIN_B);
	market_put_payout(&m, o);
	assert_true(json_is_null(json_object_get(o, "payout")));
	m.state = MARKET_RESOLVED;
	market_put_payout(&m, o);
	assert_string_equal(json_string_value(json_object_get(o, "payout")), "refunded");
	assert_string_equal(json_string_value(json_object_get(o, "payoutReason")),
	                    "nobody_backed_winner");
	json_decref(o);
}

static void an_outcome_may_have_to_wait(void **state)
{
	uint64_t due;
	(void)state;
	delay_ms = 15000;
	struct market m = fresh(), conflict, draw = fresh();
	m.state = MARKET_LOCKED;
	assert_true(see(&m, WIN_A)); /* at 3000 */
	assert_int_equal(market_next(&m, 17999, &due), MARKET_STEP_NONE);
	assert_int_equal(due, 18000);
	assert_int_equal(next(&m, 18000), MARKET_STEP_RESOLVE);
	assert_int_equal(next(&m, 1000), MARKET_STEP_RESOLVE); /* the clock was set back */
	conflict = m;
	assert_true(see(&conflict, WIN_B)); /* in time: nobody has been paid */
	assert_int_equal(conflict.state, MARKET_MANUAL_REVIEW);
	market_decide(&conflict, "win", "B");
	assert_int_equal(conflict.settle_after_ms, 0); /* a person has waited */
	draw.state = MARKET_OPEN;
	assert_true(see(&draw, DRAW));
	assert_int_equal(next(&draw, 17999), MARKET_STEP_NONE);
	assert_int_equal(next(&draw, 18000), MARKET_STEP_CANCEL);
	assert_false(market_takes_bets(&draw, 1500));
	delay_ms = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_win_that_nobody_backed_is_a_win),
	        cmocka_unit_test(what_is_told_of_it_comes_when_it_is_settled),
	        cmocka_unit_test(an_outcome_may_have_to_wait),
	        cmocka_unit_test(a_win_goes_its_way),
	        cmocka_unit_test(the_lock_follows_a_nearer_close),
	        cmocka_unit_test(who_won_early_still_locks_first),
	        cmocka_unit_test(draws_and_aborts_are_cancelled),
	        cmocka_unit_test(nothing_is_opened_in_hindsight),
	        cmocka_unit_test(a_creation_under_way_is_finished_first),
	        cmocka_unit_test(a_lock_under_way_is_finished_first),
	        cmocka_unit_test(what_cannot_be_believed_is_for_people),
	        cmocka_unit_test(what_is_paid_stays_paid),
	        cmocka_unit_test(what_is_paid_in_part_stays_too),
	        cmocka_unit_test(a_review_says_why),
	        cmocka_unit_test(people_and_the_game_agree),
	        cmocka_unit_test(what_was_never_created_is_cancelled),
	        cmocka_unit_test(people_decide),
	        cmocka_unit_test(a_record_reads_back),
	        cmocka_unit_test(a_record_has_its_bytes),
	        cmocka_unit_test(a_record_that_contradicts_itself_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
