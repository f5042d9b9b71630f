/* The outbox with an operator that does as the test says: one that prepares what it sends, and
 * takes a resolve in two parts, as a chain does. Clock and transactions are the test's. */
#include "worker-bridge/outbox.h"
#include "common/base/log.h"
#include "worker-bridge/market_news.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct store_bench bench;
static struct store *store;
static struct settings settings;
static struct counters_slot counters;
static uint64_t now_ms;

/* ---- the operator ---- */

static struct answers {
	struct operator_answer read, prepare, send; /* what is answered next */
	unsigned reads, prepares, sends;
	struct operator_step sent; /* the last */
} chain;

static void chain_read(struct market_operator *self, const struct operator_step *step,
                       struct operator_done done)
{
	(void)self;
	(void)step;
	chain.reads++;
	done.call(done.arg, &chain.read);
}

static void chain_prepare(struct market_operator *self, const struct operator_step *step,
                          struct operator_done done)
{
	struct market_attempt made = {.expires = 150};
	(void)self;
	chain.prepares++;
	snprintf(made.reference, sizeof made.reference, "sig-%u", chain.prepares);
	snprintf(made.data, sizeof made.data, "%s-%u", market_step_name(step->step),
	         chain.prepares);
	struct operator_answer answer = chain.prepare;
	if (answer.outcome == OPERATOR_DONE)
		answer.made = &made;
	done.call(done.arg, &answer);
}

static void chain_send(struct market_operator *self, const struct operator_step *step,
                       struct operator_done done)
{
	(void)self;
	chain.sends++;
	chain.sent = *step;
	done.call(done.arg, &chain.send);
}

static struct market_operator chain_operator = {.name = "chain",
                                                .can = OPERATOR_ALL_STEPS | OPERATOR_IN_PARTS,
                                                .read = chain_read,
                                                .prepare = chain_prepare,
                                                .send = chain_send};
/* One that only settles, and has nothing to prepare. */
static struct market_operator plain_operator = {
        .name = "plain", .can = OPERATOR_RESOLVES | OPERATOR_CANCELS, .send = chain_send};
static struct market_operator *const operators[] = {&chain_operator, &plain_operator, NULL};

/* ---- the book's part ---- */

static struct markets markets;
static struct errands errands;
static struct outbox outbox;
static struct past past;

static void on_answered(void *arg, struct errand *errand)
{
	(void)arg;
	errands_add(&errands, errand);
}

/* One transaction; what was decided is durable, and the operator is called. `lost`: it died before
 * it called. */
static void turn_with(bool lost)
{
	struct said said;
	while (store_advance(store, 0)) {
	}
	struct rows *rows = rows_create(store_view(store));
	struct txn *txn = txn_create();
	said_init(&said);
	struct market_change change = {.markets = &markets,
	                               .rows = rows,
	                               .txn = txn,
	                               .said = &said,
	                               .past = &past,
	                               .settings = &settings,
	                               .now_ms = now_ms,
	                               .due_ms = UINT64_MAX};
	while (errands_run(&errands, &change)) {
	}
	for (struct listed *e = markets.listed; e != NULL; e = e->hh.next)
		outbox_advance(&outbox, &change, e);
	markets_put(&change, market_tell_odds);
	rows_add(rows, txn);
	assert_int_equal(txn_execute(&txn, store), VERDICT_OK);
	rows_destroy(&rows);
	said_tell(&said, &counters);
	errands_finish(&errands, true);
	if (!lost)
		outbox_send(&outbox, 3);
}

static void turn(void)
{
	turn_with(false);
}

/* Everything in memory is gone; the market is what its row says. */
static void die(void)
{
	struct market m;
	char key[MARKET_KEY_ROOM];
	struct span value;
	while (store_advance(store, 0)) {
	}
	market_key("arena", "d", key);
	assert_true(state_kv_get(store_view(store), span_str(key), &value));
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	assert_true(market_read(&m, row));
	json_decref(row);
	errands_refuse(&errands);
	markets_drop_all(&markets);
	markets_add(&markets, &m);
}

static struct market *market(void)
{
	return &markets_listed(&markets, "d")->market;
}

static void begin_market(const char *operator_name, const char *outcome)
{
	struct market m = {.state = MARKET_LOCKED,
	                   .entered = true,
	                   .opened_ms = 1,
	                   .locked_ms = 2,
	                   .bet_close_ms = 2};
	snprintf(m.feed, sizeof m.feed, "arena");
	snprintf(m.duel_id, sizeof m.duel_id, "d");
	snprintf(m.operator, sizeof m.operator, "%s", operator_name);
	snprintf(m.outcome, sizeof m.outcome, "%s", outcome);
	snprintf(m.side, sizeof m.side, "%s", strcmp(outcome, "win") == 0 ? "A" : "");
	markets_add(&markets, &m);
}

/* Whatever the delay: what waits is due. */
static void wait_until_due(void)
{
	now_ms += 3600000;
}

/* ---- tests ---- */

static void what_is_sent_was_durable_before(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send.outcome = OPERATOR_DONE;
	turn(); /* is prepared */
	assert_int_equal(chain.sends, 0);
	turn(); /* is durable, and sent */
	assert_int_equal(chain.sends, 1);
	assert_string_equal(chain.sent.market.attempt.data, "cancel-1");
	assert_int_equal(chain.sent.fence, 3);
	struct market before = *market();
	die();
	assert_string_equal(market()->attempt.reference, "sig-1");
	assert_int_equal(market()->attempt.expires, 150);
	assert_true(market()->attempt.unknown);
	assert_int_equal(market()->attempt.number, before.attempt.number);
}

static void in_doubt_it_is_read_and_then_sent_as_it_was(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send.outcome = OPERATOR_UNKNOWN;
	chain.read.outcome = OPERATOR_AGAIN;
	turn();
	turn();
	die(); /* with its answer */
	wait_until_due();
	turn();
	assert_int_equal(chain.reads, 1);
	assert_int_equal(chain.sends, 2);
	assert_int_equal(chain.prepares, 1);
	assert_string_equal(chain.sent.market.attempt.data, "cancel-1");
	chain.read.outcome = OPERATOR_DONE;
	turn(); /* takes the answer: unknown */
	wait_until_due();
	turn();
	assert_int_equal(chain.reads, 2);
	assert_int_equal(chain.sends, 2);
	turn();
	assert_int_equal(market()->state, MARKET_CANCELLED);
}

static void an_attempt_that_is_over_is_prepared_anew(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send.outcome = OPERATOR_AGAIN; /* it expired, and nothing shows it */
	turn();
	turn();
	turn();
	assert_string_equal(market()->attempt.data, "");
	assert_false(market()->attempt.unknown);
	wait_until_due();
	chain.send.outcome = OPERATOR_DONE;
	turn();
	turn();
	assert_int_equal(chain.prepares, 2);
	assert_string_equal(chain.sent.market.attempt.data, "cancel-2");
	turn();
	assert_int_equal(market()->state, MARKET_CANCELLED);
	assert_int_equal(counter_get(&counters, market_call_failures_total), 1);
}

static void a_resolve_in_two_parts_waits_between_them(void **state)
{
	(void)state;
	begin_market("chain", "win");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send = (struct operator_answer){
	        .outcome = OPERATOR_AGAIN, .part = 1, .not_before_ms = now_ms + 7200000};
	turn();
	turn();
	turn();
	assert_int_equal(market()->attempt.part, 1);
	assert_int_equal(market()->attempt.number, 0); /* nothing has failed */
	die();
	now_ms += 7199999;
	turn();
	assert_int_equal(chain.prepares, 1);
	now_ms += 1;
	chain.send = (struct operator_answer){.outcome = OPERATOR_DONE};
	turn();
	turn();
	assert_int_equal(chain.sent.market.attempt.part, 1);
	assert_string_equal(chain.sent.market.attempt.data, "resolve-2");
	turn();
	assert_int_equal(market()->state, MARKET_RESOLVED);
	assert_int_equal(counter_get(&counters, market_call_failures_total), 0);
}

static void what_is_challenged_is_for_a_person(void **state)
{
	(void)state;
	begin_market("chain", "win");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send =
	        (struct operator_answer){.outcome = OPERATOR_CHALLENGED, .error = "by somebody"};
	turn();
	turn();
	turn();
	assert_int_equal(market()->state, MARKET_MANUAL_REVIEW);
	assert_string_equal(market()->error, "resolve was challenged: by somebody");
}

static void what_cannot_be_prepared_is_given_up_in_time(void **state)
{
	(void)state;
	begin_market("chain", "win");
	chain.prepare = (struct operator_answer){.outcome = OPERATOR_AGAIN, .error = "no node"};
	for (unsigned i = 0; i < settings.market_attempts_max; i++) {
		assert_int_equal(market()->state, i == 0 ? MARKET_LOCKED : MARKET_RESOLVING);
		turn();
		turn();
		wait_until_due();
	}
	assert_int_equal(market()->state, MARKET_MANUAL_REVIEW);
	assert_string_equal(market()->error, "resolve failed too often: no node");
	assert_int_equal(chain.sends, 0);
}

/* It was prepared twice, because the first bridge forgot that it asked: one is sent. */
static void of_two_that_were_prepared_one_is_sent(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send.outcome = OPERATOR_DONE;
	turn();
	markets_listed(&markets, "d")->calling = NULL; /* as after a conflict */
	struct errand *kept = errands.queue;
	errands_init(&errands);
	turn();
	errands_add(&errands, kept);
	turn();
	assert_int_equal(chain.prepares, 2);
	assert_int_equal(chain.sends, 1);
	turn();
	assert_int_equal(market()->state, MARKET_CANCELLED);
}

/* This bridge stood still; another made the next attempt meanwhile, and this one acts again. */
static void a_failure_of_an_earlier_attempt_says_nothing_of_this_one(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send = (struct operator_answer){.outcome = OPERATOR_AGAIN, .error = "it expired"};
	turn();
	turn();
	struct errand *late = errands.queue;
	errands_init(&errands);
	market()->attempt.number++;
	snprintf(market()->attempt.reference, sizeof market()->attempt.reference, "sig-of-another");
	errands_add(&errands, late);
	turn();
	assert_string_equal(market()->attempt.reference, "sig-of-another");
	assert_true(market()->attempt.unknown);
	assert_int_equal(counter_get(&counters, market_call_failures_total), 0);
}

/* That it was done is so, whoever hears of it. */
static void what_an_earlier_attempt_did_has_happened(void **state)
{
	(void)state;
	begin_market("chain", "cancelled");
	chain.prepare.outcome = OPERATOR_DONE;
	chain.send = (struct operator_answer){.outcome = OPERATOR_DONE};
	turn();
	turn();
	market()->attempt.number++;
	turn();
	assert_int_equal(market()->state, MARKET_CANCELLED);
}

static void what_an_operator_cannot_is_done_without_it(void **state)
{
	(void)state;
	begin_market("plain", "");
	market()->state = MARKET_OPEN;
	market()->locked_ms = 0;
	turn();
	assert_int_equal(market()->state, MARKET_LOCKED);
	assert_int_equal(chain.sends, 0);
}

static void an_operator_that_is_not_there_is_for_a_person(void **state)
{
	(void)state;
	begin_market("carrier pigeon", "win");
	turn();
	assert_int_equal(market()->state, MARKET_MANUAL_REVIEW);
	assert_string_equal(market()->error, "this release has no operator \"carrier pigeon\"");
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	bench.maintains = true;
	store_bench_open(&bench);
	store = bench.store;
	settings_init(&settings);
	memset(&counters, 0, sizeof counters);
	chain = (struct answers){0};
	markets = (struct markets){0};
	errands_init(&errands);
	outbox = (struct outbox){
	        .operators = operators, .markets = &markets, .answered = on_answered};
	now_ms = 1000000;
	return 0;
}

/* As after a start with everything to do: the smallest ring takes each transaction. */
static void many_markets_are_not_one_transaction(void **state)
{
	enum { MANY = 1000 };
	(void)state;
	begin_market("chain", "win");
	struct market m = *market();
	m.step = MARKET_STEP_RESOLVE;
	memset(m.attempt.data, 'a', MARKET_DATA_MAX);
	memset(m.agent_name, 'n', sizeof m.agent_name - 1);
	m.agent_name[0][DUEL_NAME_MAX] = '\0';
	markets_drop_all(&markets);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(m.duel_id, sizeof m.duel_id, "d%u", i);
		snprintf(m.feed, sizeof m.feed, "f%u", i % 20);
		markets_add(&markets, &m);
	}
	chain.send.outcome = OPERATOR_DONE;
	for (unsigned i = 0; i < MANY && chain.sends < MANY; i++)
		turn();
	assert_int_equal(chain.sends, MANY);
}

static int teardown(void **state)
{
	(void)state;
	errands_refuse(&errands);
	markets_drop_all(&markets);
	past_finish(&past);
	settings_finish(&settings);
	store_bench_close(&bench);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(what_is_sent_was_durable_before),
	        TEST(in_doubt_it_is_read_and_then_sent_as_it_was),
	        TEST(an_attempt_that_is_over_is_prepared_anew),
	        TEST(a_resolve_in_two_parts_waits_between_them),
	        TEST(what_is_challenged_is_for_a_person),
	        TEST(what_cannot_be_prepared_is_given_up_in_time),
	        TEST(of_two_that_were_prepared_one_is_sent),
	        TEST(a_failure_of_an_earlier_attempt_says_nothing_of_this_one),
	        TEST(what_an_earlier_attempt_did_has_happened),
	        TEST(what_an_operator_cannot_is_done_without_it),
	        TEST(an_operator_that_is_not_there_is_for_a_person),
	        TEST(many_markets_are_not_one_transaction),
	};
#undef TEST
	return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
