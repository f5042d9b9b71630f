#include "worker-bridge/ledger.h"
#include "common/base/log.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct store_bench bench;
static struct store *store;

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	bench.maintains = true;
	store_bench_open(&bench);
	store = bench.store;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_bench_close(&bench);
	return 0;
}

static struct rows *begin(void)
{
	while (store_advance(store, 0)) {
	}
	return rows_create(store_view(store));
}

/* With the market's row, as the book does it. */
static void commit(struct rows *rows, const struct market *m)
{
	struct txn *txn = txn_create();
	char key[MARKET_KEY_ROOM];
	if (m != NULL) {
		market_key(m->feed, m->duel_id, key);
		rows_put_json(rows, key, market_record(m));
	}
	rows_add(rows, txn);
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	rows_destroy(&rows);
	while (store_advance(store, 0)) {
	}
}

static void assert_balanced(void)
{
	struct ledger_sums sums;
	ledger_sum(store_view(store), &sums);
	assert_int_equal(sums.accounts + sums.house + sums.pools, 0);
	assert_int_equal(sums.bad_rows, 0);
}

static int64_t balance(const char *id)
{
	json_t *account;
	struct rows *rows = begin();
	ledger_account(rows, id, &account);
	int64_t value = json_integer_value(json_object_get(account, "balance"));
	json_decref(account);
	rows_destroy(&rows);
	return value;
}

static struct market open_market(unsigned number, uint64_t fee_ppm)
{
	struct market m = {
	        .state = MARKET_OPEN, .bet_close_ms = 5000, .opened_ms = 1, .fee_ppm = fee_ppm};
	snprintf(m.feed, sizeof m.feed, "arena");
	snprintf(m.duel_id, sizeof m.duel_id, "streaming-%u", number);
	return m;
}

static enum ledger_result stake(struct market *m, const char *account, unsigned side,
                                uint64_t amount, const char *key, uint64_t now_ms)
{
	struct rows *rows = begin();
	json_t *made = NULL;
	const struct ledger_bet bet = {account, side, amount, span_str(key), false};
	enum ledger_result result = ledger_stake(rows, m, &bet, 1000, now_ms, &made);
	assert_true((made != NULL) == (result == LEDGER_OK || result == LEDGER_REPEATED));
	json_decref(made);
	commit(rows, m);
	return result;
}

static void settle(struct market *m, const char *outcome, const char *side)
{
	bool done = false;
	snprintf(m->outcome, sizeof m->outcome, "%s", outcome);
	snprintf(m->side, sizeof m->side, "%s", side);
	m->state = MARKET_RESOLVING;
	while (!done) { /* a few at a time, as after crashes */
		struct rows *rows = begin();
		done = ledger_settle(rows, m, 3) == LEDGER_DONE;
		if (done)
			market_done(m,
			            strcmp(outcome, "win") == 0 ? MARKET_STEP_RESOLVE
			                                        : MARKET_STEP_CANCEL,
			            9);
		commit(rows, m);
		assert_balanced();
	}
}

static void accounts(const char *prefix, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char id[32];
		struct rows *rows = begin();
		snprintf(id, sizeof id, "%s%u", prefix, i);
		assert_int_equal(ledger_open(rows, id, "", "owner", 1000, 1), LEDGER_OK);
		assert_int_equal(ledger_open(rows, id, "", "owner", 1000, 1), LEDGER_CLOSED);
		commit(rows, NULL);
	}
}

static void payouts_are_exact(void **state)
{
	(void)state;
	assert_int_equal(ledger_payout(1, 3, 2), 1);
	assert_int_equal(ledger_payout(LEDGER_AMOUNT_MAX, LEDGER_AMOUNT_MAX, LEDGER_AMOUNT_MAX),
	                 LEDGER_AMOUNT_MAX);
	assert_int_equal(
	        ledger_payout(LEDGER_AMOUNT_MAX / 3, LEDGER_AMOUNT_MAX, LEDGER_AMOUNT_MAX / 2),
	        (uint64_t)((unsigned __int128)(LEDGER_AMOUNT_MAX / 3) * LEDGER_AMOUNT_MAX /
	                   (LEDGER_AMOUNT_MAX / 2)));
}

static void winners_share_the_pool(void **state)
{
	struct market m = open_market(1, 10000); /* one percent */
	(void)state;
	accounts("w", 3);
	assert_int_equal(stake(&m, "w0", 0, 100, "", 10), LEDGER_OK);
	assert_int_equal(stake(&m, "w1", 0, 200, "", 10), LEDGER_OK);
	assert_int_equal(stake(&m, "w2", 1, 701, "", 10), LEDGER_OK);
	settle(&m, "win", "A");
	/* 1001 less 1 % (10) is 991: a third and two thirds, and one that cannot be shared */
	assert_int_equal(balance("w0"), 1000 - 100 + 330);
	assert_int_equal(balance("w1"), 1000 - 200 + 660);
	assert_int_equal(balance("w2"), 1000 - 701);
	assert_int_equal(balance("@fees"), 10);
	assert_int_equal(balance("@rounding"), 1);
}

static void draws_aborts_and_pools_without_a_winner_go_back(void **state)
{
	static const char *const ends[][2] = {{"draw", ""}, {"cancelled", ""}, {"win", "B"}};
	(void)state;
	accounts("r", 2);
	for (unsigned i = 0; i < 3; i++) {
		struct market m = open_market(10 + i, 50000);
		assert_int_equal(stake(&m, "r0", 0, 333, "", 10), LEDGER_OK);
		if (i < 2)
			assert_int_equal(stake(&m, "r1", 1, 77, "", 10), LEDGER_OK);
		settle(&m, ends[i][0], ends[i][1]);
		assert_int_equal(balance("r0"), 1000);
		assert_int_equal(balance("r1"), 1000);
	}
}

static void what_is_not_taken(void **state)
{
	struct market m = open_market(20, 0);
	(void)state;
	accounts("n", 1);
	assert_int_equal(stake(&m, "nobody", 0, 1, "", 10), LEDGER_NO_ACCOUNT);
	assert_int_equal(stake(&m, "@issue", 0, 1, "", 10), LEDGER_NO_ACCOUNT);
	assert_int_equal(stake(&m, "n0", 0, 1001, "", 10), LEDGER_POOR);
	assert_int_equal(stake(&m, "n0", 0, 10, "", 5000), LEDGER_CLOSED);
	assert_int_equal(stake(&m, "n0", 0, 10, "k", 10), LEDGER_OK);
	assert_int_equal(stake(&m, "n0", 0, 10, "k", 6000),
	                 LEDGER_REPEATED); /* also when it has closed */
	assert_int_equal(stake(&m, "n0", 1, 10, "k", 10), LEDGER_KEY_REUSED);
	assert_int_equal(balance("n0"), 990);
	m.state = MARKET_LOCKED;
	assert_int_equal(stake(&m, "n0", 0, 10, "", 10), LEDGER_CLOSED);
	assert_balanced();
}

static bool count_row(void *arg, struct span key, struct span value)
{
	(void)key;
	(void)value;
	++*(unsigned *)arg;
	return true;
}

static unsigned rows_with(const char *prefix)
{
	unsigned count = 0;
	while (store_advance(store, 0)) {
	}
	state_kv_each(store_view(store), span_str(prefix), count_row, &count);
	return count;
}

static void a_settled_market_is_forgotten_and_balances_stay(void **state)
{
	struct market m = open_market(30, 0), next = open_market(31, 0);
	(void)state;
	accounts("f", 2);
	for (unsigned i = 0; i < 10; i++) {
		char key[8];
		snprintf(key, sizeof key, "k%u", i);
		assert_int_equal(stake(&m, "f0", i % 2, 10, i < 7 ? key : "", 10), LEDGER_OK);
	}
	settle(&m, "win", "A");
	assert_int_equal(rows_with("ledger/bet/streaming-30/"), 10);
	assert_int_equal(rows_with("ledger/key/f0/"), 7);
	for (unsigned left = 10; left > 0;) { /* a few at a time, as after crashes */
		struct rows *rows = begin();
		bool done = ledger_forget(rows, &m, 4) == LEDGER_DONE;
		commit(rows, &m);
		assert_balanced();
		left = left > 4 ? left - 4 : 0;
		assert_int_equal(rows_with("ledger/bet/streaming-30/"), left);
		assert_int_equal(done, left == 0);
	}
	assert_int_equal(rows_with("ledger/key/f0/"), 0);
	assert_int_equal(balance("f0"), 1000);
	assert_int_equal(stake(&next, "f0", 0, 5, "k1", 10), LEDGER_OK); /* its key is free again */
	settle(&next, "draw", "");
}

static void no_money_is_made_or_lost(void **state)
{
	unsigned seed = 12345;
	(void)state;
	accounts("p", 6);
	for (unsigned round = 0; round < 30; round++) {
		struct market m = open_market(100 + round, (unsigned)rand_r(&seed) % 3 * 33333);
		unsigned bets = (unsigned)rand_r(&seed) % 12, end = (unsigned)rand_r(&seed) % 4;
		for (unsigned i = 0; i < bets; i++) {
			char id[16];
			snprintf(id, sizeof id, "p%u", (unsigned)rand_r(&seed) % 6);
			stake(&m, id, (unsigned)rand_r(&seed) % 2,
			      1 + (unsigned)rand_r(&seed) % 400, "", 10);
			assert_balanced();
		}
		settle(&m,
		       end < 2    ? "win"
		       : end == 2 ? "draw"
		                  : "cancelled",
		       end == 0   ? "A"
		       : end == 1 ? "B"
		                  : "");
		for (unsigned i = 0; i < 6; i++) {
			char id[16];
			snprintf(id, sizeof id, "p%u", i);
			assert_true(balance(id) >= 0);
		}
	}
}

/* ---- rows that cannot be read ---- */

static void put(const char *key, const char *text)
{
	struct txn *txn = txn_create();
	txn_put_always(txn, span_str(key), span_str(text));
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	while (store_advance(store, 0)) {
	}
}

static char *text_at(const char *key)
{
	struct span value;
	while (store_advance(store, 0)) {
	}
	assert_true(state_kv_get(store_view(store), span_str(key), &value));
	return strndup((const char *)value.at, value.len);
}

static void assert_row(const char *key, const char *text)
{
	char *now = text_at(key);
	assert_string_equal(now, text);
	free(now);
}

static bool take_key(void *arg, struct span key, struct span value)
{
	(void)value;
	memcpy(arg, key.at, key.len);
	return true;
}

static enum ledger_progress settle_some(struct market *m)
{
	struct rows *rows = begin();
	enum ledger_progress progress = ledger_settle(rows, m, 100);
	assert_true((progress == LEDGER_STUCK) == (rows_marked(rows) != NULL));
	commit(rows, m);
	return progress;
}

static void a_row_that_cannot_be_read_is_not_taken_for_absent(void **state)
{
	static const char *const others[] = {"{\"v\":2,\"amounts\":[1]}", "\x01\x02", "17"};
	(void)state;
	accounts("u", 1);
	for (unsigned i = 0; i < 3; i++) {
		struct market m = open_market(60 + i, 0);
		char *account = text_at("ledger/account/u0");
		put("ledger/account/u0", others[i]);
		assert_int_equal(stake(&m, "u0", 0, 5, "", 10), LEDGER_UNREADABLE);
		assert_row("ledger/account/u0", others[i]);
		put("ledger/account/u0", account);
		free(account);
		/* The house's, which come into being by themselves. */
		char *issue = text_at("ledger/account/@issue");
		put("ledger/account/@issue", others[i]);
		struct rows *rows = begin();
		assert_int_equal(ledger_open(rows, "u9", "", "owner", 5, 1), LEDGER_UNREADABLE);
		commit(rows, NULL);
		assert_row("ledger/account/@issue", others[i]);
		put("ledger/account/@issue", issue);
		free(issue);
		/* A key's row says that there was a bet, whichever. */
		assert_int_equal(stake(&m, "u0", 0, 5, "again", 10), LEDGER_OK);
		char hash_key[LEDGER_KEY_ROOM] = "";
		state_kv_each(store_view(store), SPAN("ledger/key/u0/"), take_key, hash_key);
		char *key = text_at(hash_key);
		put(hash_key, others[i]);
		assert_int_equal(stake(&m, "u0", 0, 5, "again", 10), LEDGER_UNREADABLE);
		assert_row(hash_key, others[i]);
		put(hash_key, key);
		free(key);
		assert_int_equal(stake(&m, "u0", 0, 5, "again", 10), LEDGER_REPEATED);
		settle(&m, "draw", "");
		rows = begin();
		assert_int_equal(ledger_forget(rows, &m, 9), LEDGER_DONE);
		commit(rows, &m);
	}
	assert_int_equal(balance("u0"), 1000);
}

static void a_settlement_waits_at_a_row_that_cannot_be_read(void **state)
{
	static const char *const keys[] = {"ledger/bet/streaming-70/00000002",
	                                   "ledger/account/stuck1"};
	struct market m = open_market(70, 0);
	(void)state;
	accounts("stuck", 3);
	for (unsigned i = 0; i < 3; i++) {
		char id[16];
		snprintf(id, sizeof id, "stuck%u", i);
		assert_int_equal(stake(&m, id, 0, 100, "", 10), LEDGER_OK);
	}
	snprintf(m.outcome, sizeof m.outcome, "draw");
	m.state = MARKET_RESOLVING;
	for (unsigned i = 0; i < 2; i++) {
		char *good = text_at(keys[i]);
		put(keys[i], "{\"v\":2}");
		assert_int_equal(settle_some(&m), LEDGER_STUCK);
		assert_int_equal(m.settled_bets, 1); /* what came before it is paid, once */
		assert_true(market_paid(&m));
		assert_row(keys[i], "{\"v\":2}");
		put(keys[i], good);
		free(good);
	}
	settle(&m, "draw", "");
	for (unsigned i = 0; i < 3; i++) {
		char id[16];
		snprintf(id, sizeof id, "stuck%u", i);
		assert_int_equal(balance(id), 1000);
	}
}

static void a_bet_that_the_market_does_not_know_is_not_written_over(void **state)
{
	struct market m = open_market(80, 0), before = m;
	(void)state;
	accounts("x", 1);
	assert_int_equal(stake(&m, "x0", 0, 5, "", 10), LEDGER_OK);
	assert_int_equal(stake(&before, "x0", 0, 7, "", 10), LEDGER_UNREADABLE);
	settle(&m, "draw", "");
	assert_int_equal(balance("x0"), 1000);
}

static int64_t total(const char *id, const char *name)
{
	json_t *account;
	struct rows *rows = begin();
	assert_int_equal(ledger_account(rows, id, &account), ROW_PRESENT);
	int64_t value = json_integer_value(json_object_get(account, name));
	json_decref(account);
	rows_destroy(&rows);
	return value;
}

/* Its bets' rows go with the market; what they came to stays. */
static void totals_outlive_bets(void **state)
{
	struct market m = open_market(90, 0);
	(void)state;
	accounts("t", 2);
	assert_int_equal(stake(&m, "t0", 0, 30, "a", 1), LEDGER_OK);
	assert_int_equal(stake(&m, "t0", 0, 30, "a", 1), LEDGER_REPEATED);
	assert_int_equal(stake(&m, "t0", 0, 10, "b", 1), LEDGER_OK);
	assert_int_equal(stake(&m, "t1", 1, 60, "", 1), LEDGER_OK);
	assert_int_equal(total("t0", "bets"), 2);
	assert_int_equal(total("t0", "staked"), 40);
	assert_int_equal(total("t0", "returned"), 0);
	settle(&m, "win", "A");
	for (enum ledger_progress progress = LEDGER_MORE; progress != LEDGER_DONE;) {
		struct rows *rows = begin();
		progress = ledger_forget(rows, &m, 1);
		assert_int_not_equal(progress, LEDGER_STUCK);
		commit(rows, &m);
	}
	assert_int_equal(total("t0", "returned"), 100);
	assert_int_equal(total("t1", "bets"), 1);
	assert_int_equal(total("t1", "staked"), 60);
	assert_int_equal(total("t1", "returned"), 0);
	struct market next = open_market(91, 0);
	assert_int_equal(stake(&next, "t0", 0, 30, "a", 1), LEDGER_OK); /* the key went, too */
	assert_int_equal(total("t0", "bets"), 3);
}

/* ---- what becomes of an account ---- */

static enum ledger_result top_up(const char *id, uint64_t amount, const char *key)
{
	struct rows *rows = begin();
	const struct ledger_top_up one = {amount, "who", "because of it", span_str(key)};
	enum ledger_result result = ledger_top_up(rows, id, &one, 7);
	commit(rows, NULL);
	return result;
}

static enum ledger_result end_account(const char *id)
{
	struct rows *rows = begin();
	enum ledger_result result = ledger_end(rows, id, 8);
	commit(rows, NULL);
	return result;
}

static void a_top_up_counts_once(void **state)
{
	(void)state;
	accounts("tu", 1);
	assert_int_equal(top_up("nobody", 5, ""), LEDGER_NO_ACCOUNT);
	assert_int_equal(top_up("@fees", 5, ""), LEDGER_NO_ACCOUNT);
	assert_int_equal(top_up("tu0", 5, "k"), LEDGER_OK);
	assert_int_equal(top_up("tu0", 5, "k"), LEDGER_REPEATED);
	assert_int_equal(top_up("tu0", 6, "k"), LEDGER_KEY_REUSED);
	assert_int_equal(top_up("tu0", 6, ""), LEDGER_OK);
	assert_int_equal(top_up("tu0", LEDGER_AMOUNT_MAX, ""), LEDGER_FULL);
	assert_int_equal(balance("tu0"), 1011);
	for (unsigned i = 0; i < 2 * LEDGER_TOP_UPS_KEPT; i++)
		assert_int_equal(top_up("tu0", 1, ""), LEDGER_OK);
	struct rows *rows = begin();
	json_t *account;
	assert_int_equal(ledger_account(rows, "tu0", &account), ROW_PRESENT);
	assert_int_equal(json_array_size(json_object_get(account, "topUps")), LEDGER_TOP_UPS_KEPT);
	assert_int_equal(json_integer_value(json_object_get(account, "toppedUp")),
	                 11 + 2 * LEDGER_TOP_UPS_KEPT);
	json_decref(account);
	rows_destroy(&rows);
	assert_balanced();
}

static void a_closed_account_bets_no_more_and_its_stakes_go_to_the_house(void **state)
{
	struct market m = open_market(960, 0), next = open_market(961, 0);
	(void)state;
	accounts("e", 2);
	int64_t house = balance("@closed");
	assert_int_equal(stake(&m, "e0", 0, 100, "k", 10), LEDGER_OK);
	assert_int_equal(stake(&m, "e1", 1, 300, "", 10), LEDGER_OK);
	assert_int_equal(end_account("e0"), LEDGER_OK);
	assert_int_equal(end_account("e0"), LEDGER_ENDED);
	assert_int_equal(end_account("nobody"), LEDGER_NO_ACCOUNT);
	assert_int_equal(balance("e0"), 0);
	assert_int_equal(balance("@closed"), house + 900);
	assert_int_equal(stake(&m, "e0", 0, 1, "", 10), LEDGER_ENDED);
	assert_int_equal(stake(&m, "e0", 0, 100, "k", 10), LEDGER_REPEATED);
	assert_int_equal(top_up("e0", 1, ""), LEDGER_ENDED);
	settle(&m, "win", "A");
	assert_int_equal(balance("e0"), 0);
	assert_int_equal(balance("@closed"), house + 900 + 400);
	struct rows *rows = begin();
	assert_int_equal(ledger_begin_again(rows, "e0"), LEDGER_OK);
	commit(rows, NULL);
	assert_int_equal(top_up("e0", 50, ""), LEDGER_OK);
	assert_int_equal(stake(&next, "e0", 0, 50, "", 10), LEDGER_OK);
	settle(&next, "draw", "");
	assert_int_equal(balance("e0"), 50);
	assert_balanced();
}

static bool note_own(void *arg, struct span key, struct span value)
{
	char duel_id[64];
	uint64_t number, *numbers = arg;
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	(void)key;
	assert_true(ledger_own_read(row, duel_id, &number));
	numbers[++numbers[0]] = number;
	json_decref(row);
	return numbers[0] < 3;
}

static void an_account_has_its_bets_the_newest_first(void **state)
{
	struct market m = open_market(970, 0);
	uint64_t numbers[8] = {0};
	char behind[LEDGER_KEY_ROOM];
	(void)state;
	accounts("o", 2);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(stake(&m, "o0", 0, 10, "", 10), LEDGER_OK);
		assert_int_equal(stake(&m, "o1", 0, 10, "", 10), LEDGER_OK);
	}
	assert_int_equal(rows_with("ledger/own/o0/"), 5);
	state_kv_page(store_view(store), SPAN("ledger/own/o0/"), (struct span){0}, note_own,
	              numbers);
	assert_int_equal(numbers[0], 3);
	assert_int_equal(numbers[1], 9);
	assert_int_equal(numbers[3], 5);
	ledger_own_key("o0", 3, behind);
	numbers[0] = 0;
	state_kv_page(store_view(store), SPAN("ledger/own/o0/"), span_str(behind), note_own,
	              numbers);
	assert_int_equal(numbers[0], 2);
	assert_int_equal(numbers[1], 3);
	settle(&m, "draw", "");
	struct rows *rows = begin();
	assert_int_equal(ledger_forget(rows, &m, 100), LEDGER_DONE);
	commit(rows, &m);
	assert_int_equal(rows_with("ledger/own/o0/"), 0);
	assert_int_equal(rows_with("ledger/own/o1/"), 0);
}

static void names_that_can_be_shown(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {{"Anna", true},
	            {"Ä \xf0\x9f\x98\x80", true},
	            {"", false},
	            {" a", false},
	            {"a ", false},
	            {"a\nb", false},
	            {"a\x7f", false},
	            {"\xc2\x85", false},
	            {"acc_12", false},
	            {"account", true},
	            {"12345678901234567890123456789012", true},
	            {"123456789012345678901234567890123", false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(ledger_display_name_valid(rows[i].name), rows[i].good);
	accounts("d", 1);
	struct rows *changed = begin();
	json_t *account;
	assert_int_equal(ledger_name(changed, "d0", "Anna"), LEDGER_OK);
	assert_int_equal(ledger_name(changed, "nobody", "Anna"), LEDGER_NO_ACCOUNT);
	assert_int_equal(ledger_account(changed, "d0", &account), ROW_PRESENT);
	assert_string_equal(json_string_value(json_object_get(account, "displayName")), "Anna");
	json_decref(account);
	assert_int_equal(ledger_name(changed, "d0", ""), LEDGER_OK);
	assert_int_equal(ledger_account(changed, "d0", &account), ROW_PRESENT);
	assert_null(json_object_get(account, "displayName"));
	json_decref(account);
	commit(changed, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(totals_outlive_bets),
	        cmocka_unit_test(payouts_are_exact),
	        cmocka_unit_test(winners_share_the_pool),
	        cmocka_unit_test(draws_aborts_and_pools_without_a_winner_go_back),
	        cmocka_unit_test(what_is_not_taken),
	        cmocka_unit_test(a_settled_market_is_forgotten_and_balances_stay),
	        cmocka_unit_test(a_top_up_counts_once),
	        cmocka_unit_test(a_closed_account_bets_no_more_and_its_stakes_go_to_the_house),
	        cmocka_unit_test(an_account_has_its_bets_the_newest_first),
	        cmocka_unit_test(names_that_can_be_shown),
	        cmocka_unit_test(no_money_is_made_or_lost),
	        cmocka_unit_test(a_row_that_cannot_be_read_is_not_taken_for_absent),
	        cmocka_unit_test(a_settlement_waits_at_a_row_that_cannot_be_read),
	        cmocka_unit_test(a_bet_that_the_market_does_not_know_is_not_written_over),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
