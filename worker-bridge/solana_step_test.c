/* The machine against a cluster in memory, which loses transactions, forgets them in forks, is
 * silent, behind and busy, as a seed says; and its answers one by one. */
#include "worker-bridge/solana_step.h"
#include "tests/doubles/solana_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the cluster ---- */

enum { TRANSACTIONS_MAX = 64, VALID_SLOTS = 20, CONFIRM_SLOTS = 2, FINALIZE_SLOTS = 6, NEVER = 0 };

struct chain {
	bool duel_there, market_there;
	struct solana_duel duel;
	struct solana_market market;
};

/* What one does is the plan's verdict on the chain as it was when it was made. */
struct sent {
	enum market_step step;
	uint64_t part, last_height, slot; /* NEVER: in none */
	bool failed, waits;               /* it will be in the next slot */
};

static struct cluster {
	uint64_t slot;
	struct chain root, head; /* finalized; with all that was processed */
	struct sent sent[TRANSACTIONS_MAX];
	size_t count, effects;
	int64_t clock_s;
	unsigned lost, silent, behind, fork; /* percent */
	uint32_t dice;
} cluster;

static struct market market;
static struct solana_step step;
static int64_t window_s;

static bool dice(unsigned percent)
{
	cluster.dice = cluster.dice * 1664525 + 1013904223;
	return (cluster.dice >> 8) % 100 < percent;
}

/* What the instructions of a step do, as the programs would; false: they refuse. */
static bool execute(struct chain *chain, const struct sent *one)
{
	static const enum solana_market_status follows[SOLANA_DUEL_STATUSES] = {
	        [SOLANA_DUEL_LOCKED] = SOLANA_MARKET_LOCKED,
	        [SOLANA_DUEL_PROPOSED] = SOLANA_MARKET_LOCKED,
	        [SOLANA_DUEL_CHALLENGED] = SOLANA_MARKET_LOCKED,
	        [SOLANA_DUEL_RESOLVED] = SOLANA_MARKET_RESOLVED,
	        [SOLANA_DUEL_CANCELLED] = SOLANA_MARKET_CANCELLED};
	struct solana_duel *duel = &chain->duel;
	bool there = chain->duel_there;
	switch (one->step) {
	case MARKET_STEP_CREATE:
		if (there)
			return false;
		*duel = step.facts.duel;
		duel->status = SOLANA_DUEL_OPEN;
		chain->duel_there = chain->market_there = true;
		break;
	case MARKET_STEP_LOCK:
		if (!there || duel->status > SOLANA_DUEL_LOCKED)
			return false;
		duel->status = SOLANA_DUEL_LOCKED;
		break;
	case MARKET_STEP_RESOLVE:
		if (!there ||
		    duel->status != (one->part == 0 ? SOLANA_DUEL_LOCKED : SOLANA_DUEL_PROPOSED))
			return false;
		if (one->part == 1 && cluster.clock_s < duel->proposed_s + window_s)
			return false;
		duel->status = one->part == 0 ? SOLANA_DUEL_PROPOSED : SOLANA_DUEL_RESOLVED;
		duel->proposed = step.facts.result;
		if (one->part == 0)
			duel->proposed_s = cluster.clock_s;
		else
			duel->result = duel->proposed;
		break;
	case MARKET_STEP_CANCEL:
		if (!there || duel->status >= SOLANA_DUEL_RESOLVED)
			return false;
		duel->status = SOLANA_DUEL_CANCELLED;
		break;
	case MARKET_STEP_NONE:
	case MARKET_STEP_COUNT:
		return false;
	}
	chain->market.status = follows[duel->status];
	chain->market.winner = duel->status == SOLANA_DUEL_RESOLVED ? duel->result.winner : 0;
	return true;
}

static bool is_final(const struct sent *one)
{
	return one->slot != NEVER && one->slot + FINALIZE_SLOTS <= cluster.slot;
}

/* Everything that is finalized was; the rest was never there. */
static void take_back(void)
{
	cluster.head = cluster.root;
	for (size_t i = 0; i < cluster.count; i++)
		if (cluster.sent[i].slot != NEVER && !is_final(&cluster.sent[i]))
			cluster.sent[i].slot = NEVER;
}

static void next_slot(void)
{
	cluster.slot++;
	cluster.clock_s++;
	if (dice(cluster.fork))
		take_back();
	for (size_t i = 0; i < cluster.count; i++) {
		struct sent *one = &cluster.sent[i];
		if (one->waits && one->slot == NEVER && cluster.slot <= one->last_height) {
			struct chain before = cluster.head;
			one->slot = cluster.slot;
			one->failed = !execute(&cluster.head, one);
			if (one->failed)
				cluster.head = before;
		}
		one->waits = false;
		if (one->slot != NEVER && one->slot + FINALIZE_SLOTS == cluster.slot &&
		    !one->failed)
			cluster.effects += execute(&cluster.root, one);
	}
}

/* ---- its replies ---- */

static uint8_t account[SOLANA_MADE_ROOM];

static void reply_account(struct solana_reply *reply)
{
	const struct chain *chain =
	        step.look_level == SOLANA_FINALIZED ? &cluster.root : &cluster.head;
	struct solana_oracle_config config = {.window_s = window_s};
	size_t len = 0;
	reply->there = step.ask == SOLANA_ASK_DUEL     ? chain->duel_there
	               : step.ask == SOLANA_ASK_MARKET ? chain->market_there
	                                               : true;
	if (step.ask == SOLANA_ASK_DUEL)
		len = solana_made_duel(&chain->duel, account);
	if (step.ask == SOLANA_ASK_MARKET)
		len = solana_made_market(&chain->market, account);
	if (step.ask == SOLANA_ASK_CONFIG)
		len = solana_made_config(&config, account);
	if (step.ask == SOLANA_ASK_CLOCK) {
		len = 40;
		memset(account, 0, len);
		for (size_t i = 0; i < 8; i++)
			account[32 + i] = (uint8_t)((uint64_t)cluster.clock_s >> (8 * i));
	}
	reply->bytes = reply->there ? span_of(account, len) : (struct span){0};
}

static void reply_send(struct solana_reply *reply, struct sent *one)
{
	struct chain tried = cluster.head;
	if (one->slot != NEVER) {
		reply->fault = SOLANA_KNOWN;
	} else if (cluster.slot > one->last_height) {
		reply->fault = SOLANA_NO_HASH;
	} else if (!execute(&tried, one)) {
		reply->fault = SOLANA_PROGRAM;
		reply->custom = true;
		reply->code = SOLANA_ORACLE_TRANSITION;
		snprintf(reply->text, sizeof reply->text, "refused");
	} else {
		one->waits = !dice(cluster.lost);
	}
}

static void reply_status(struct solana_reply *reply, const struct sent *one)
{
	reply->known = one->slot != NEVER;
	reply->slot = one->slot;
	reply->failed = reply->known && one->failed;
	reply->how = SOLANA_PROGRAM;
	reply->custom = true;
	reply->code = SOLANA_ORACLE_TRANSITION;
	reply->level = is_final(one)                               ? SOLANA_FINALIZED
	               : one->slot + CONFIRM_SLOTS <= cluster.slot ? SOLANA_CONFIRMED
	                                                           : SOLANA_PROCESSED;
}

static void answer_one(struct sent *one)
{
	struct solana_reply reply = {0};
	if (step.ask == SOLANA_ASK_WAIT || dice(50))
		next_slot();
	if (step.ask != SOLANA_ASK_WAIT && dice(cluster.silent)) {
		/* It may have been heard. */
		if (step.ask == SOLANA_ASK_SEND && dice(50))
			reply_send(&reply, one);
		reply = (struct solana_reply){.fault = SOLANA_SILENT, .text = "silence"};
	} else if (step.ask != SOLANA_ASK_WAIT && dice(cluster.behind)) {
		reply = (struct solana_reply){.fault = SOLANA_LATER, .text = "behind"};
	} else {
		switch (step.ask) {
		case SOLANA_ASK_DUEL:
		case SOLANA_ASK_MARKET:
		case SOLANA_ASK_CONFIG:
		case SOLANA_ASK_CLOCK:
			reply_account(&reply);
			break;
		case SOLANA_ASK_BLOCKHASH:
			reply.last_height = cluster.slot + VALID_SLOTS;
			break;
		case SOLANA_ASK_SEND:
			reply_send(&reply, one);
			break;
		case SOLANA_ASK_STATUS:
			reply_status(&reply, one);
			break;
		case SOLANA_ASK_HEIGHT:
			reply.height =
			        cluster.slot > FINALIZE_SLOTS ? cluster.slot - FINALIZE_SLOTS : 0;
			break;
		case SOLANA_ASK_WAIT:
		case SOLANA_ASK_NOTHING:
			break;
		}
	}
	solana_step_reply(&step, &reply);
}

/* ---- the outbox's part ---- */

static void run(enum solana_work work, enum market_step what, uint64_t part, struct sent *one)
{
	step.work = work;
	step.step = what;
	step.part = part;
	step.signed_before = one != NULL;
	if (one != NULL)
		step.last_height = one->last_height;
	solana_step_begin(&step);
	for (unsigned asked = 0; step.ask != SOLANA_ASK_NOTHING; asked++) {
		assert_true(asked < 100000);
		answer_one(one);
	}
}

/* Until the step has taken effect, over as many attempts as it takes. `killed`: percent of answers
 * that nobody hears: the attempt is as it was. */
static void take_step(enum market_step what, unsigned killed)
{
	struct sent *one = NULL;
	uint64_t part = 0;
	for (unsigned turns = 0;; turns++) {
		assert_true(turns < 2000);
		next_slot();
		if (one == NULL) {
			run(SOLANA_PREPARE, what, part, NULL);
			if (step.outcome == OPERATOR_DONE && step.planned) {
				assert_true(cluster.count < TRANSACTIONS_MAX);
				one = &cluster.sent[cluster.count++];
				*one = (struct sent){what,  part,  step.last_height,
				                     NEVER, false, false};
				continue;
			}
		} else {
			if (dice(killed))
				run(SOLANA_READ, what, part, one);
			if (step.work != SOLANA_READ || step.outcome == OPERATOR_AGAIN)
				if (step.work != SOLANA_READ || step.new_part == 0)
					run(SOLANA_SEND, what, part, one);
		}
		if (dice(killed))
			continue;
		switch (step.outcome) {
		case OPERATOR_DONE:
			return;
		case OPERATOR_AGAIN:
			if (step.new_part > part)
				part = step.new_part;
			one = NULL;
			break;
		case OPERATOR_UNKNOWN:
			assert_true(step.spared);
			break;
		case OPERATOR_FINAL:
		case OPERATOR_CHALLENGED:
			fail_msg("%s", step.error);
		}
	}
}

static void set_up_market(void)
{
	market = (struct market){.bet_open_ms = 1700000000500,
	                         .bet_close_ms = 1700000060999,
	                         .opened_ms = 1,
	                         .duel_end_ms = 1700000090123};
	memset(market.duel_key, 'a', 64);
	memset(market.replay_hash, 'b', 64);
	snprintf(market.agent_id[0], sizeof market.agent_id[0], "alpha");
	snprintf(market.agent_id[1], sizeof market.agent_id[1], "beta");
	snprintf(market.outcome, sizeof market.outcome, "win");
	snprintf(market.side, sizeof market.side, "B");
	snprintf(market.seed, sizeof market.seed, "7");
	cluster = (struct cluster){.slot = 100, .clock_s = 1700000000};
	step = (struct solana_step){.level = SOLANA_FINALIZED};
	window_s = 10;
	assert_null(solana_facts_of(&market, "", &step.facts));
	solana_places_find(&(struct solana_address){{1}}, &(struct solana_address){{2}},
	                   step.facts.duel.key, &step.places);
}

static int set_up(void **state)
{
	(void)state;
	set_up_market();
	return 0;
}

/* ---- tests ---- */

static void a_duel_takes_four_transactions(void **state)
{
	(void)state;
	take_step(MARKET_STEP_CREATE, 0);
	assert_true(step.shown && step.slot != 0);
	take_step(MARKET_STEP_LOCK, 0);
	take_step(MARKET_STEP_RESOLVE, 0);
	assert_int_equal(cluster.root.duel.status, SOLANA_DUEL_RESOLVED);
	assert_int_equal(cluster.root.market.winner, SOLANA_SIDE_B);
	assert_int_equal(cluster.count, 4);
	assert_int_equal(cluster.effects, 4);
}

static void it_is_done_once_whatever_the_cluster_does(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 400; seed++) {
		set_up_market();
		cluster.dice = seed;
		cluster.lost = seed % 5 * 15;
		cluster.silent = seed % 3 * 10;
		cluster.behind = seed % 4 * 5;
		cluster.fork = seed % 7;
		unsigned killed = seed % 2 * 30;
		take_step(MARKET_STEP_CREATE, killed);
		assert_true(cluster.root.duel_there && cluster.root.market_there);
		if (seed % 3 != 0)
			take_step(MARKET_STEP_LOCK, killed);
		if (seed % 3 == 2) {
			take_step(MARKET_STEP_RESOLVE, killed);
			assert_int_equal(cluster.root.duel.status, SOLANA_DUEL_RESOLVED);
			assert_int_equal(cluster.root.market.status, SOLANA_MARKET_RESOLVED);
			assert_int_equal(cluster.effects, 4);
		} else {
			take_step(MARKET_STEP_CANCEL, killed);
			assert_int_equal(cluster.root.duel.status, SOLANA_DUEL_CANCELLED);
			assert_int_equal(cluster.root.market.status, SOLANA_MARKET_CANCELLED);
			assert_int_equal(cluster.effects, seed % 3 == 0 ? 2 : 3);
		}
	}
}

static void tell(struct solana_reply reply)
{
	solana_step_reply(&step, &reply);
}

static void begin(enum solana_work work)
{
	step.work = work;
	step.step = MARKET_STEP_CREATE;
	step.part = 0;
	step.last_height = 50;
	step.signed_before = true;
	solana_step_begin(&step);
}

/* Nothing is there: the account, and its market. */
static void show_nothing(void)
{
	assert_int_equal(step.ask, SOLANA_ASK_DUEL);
	tell((struct solana_reply){0});
	assert_int_equal(step.ask, SOLANA_ASK_MARKET);
	tell((struct solana_reply){0});
}

static void who_may_not_is_told_at_once(void **state)
{
	(void)state;
	begin(SOLANA_SEND);
	tell((struct solana_reply){
	        .fault = SOLANA_PROGRAM, .custom = true, .code = 6000, .text = "6000"});
	assert_int_equal(step.ask, SOLANA_ASK_STATUS);
	tell((struct solana_reply){0});
	assert_int_equal(step.look_level, SOLANA_FINALIZED);
	show_nothing();
	assert_true(step.ask == SOLANA_ASK_NOTHING && step.outcome == OPERATOR_FINAL);
	assert_string_equal(step.error, "6000");
}

/* The bytes may have been taken before: the account exists because of them. */
static void a_refusal_of_what_was_done_is_none(void **state)
{
	(void)state;
	begin(SOLANA_SEND);
	tell((struct solana_reply){.fault = SOLANA_PROGRAM, .custom = true, .code = 0});
	tell((struct solana_reply){.known = true, .slot = 40, .level = SOLANA_CONFIRMED});
	assert_int_equal(step.ask, SOLANA_ASK_WAIT);
	tell((struct solana_reply){0});
	tell((struct solana_reply){.known = true, .slot = 40, .level = SOLANA_FINALIZED});
	cluster.root = (struct chain){true, true, step.facts.duel, {{{0}}, 0, 0}};
	cluster.root.duel.status = SOLANA_DUEL_OPEN;
	while (step.ask != SOLANA_ASK_NOTHING)
		answer_one(NULL);
	assert_true(step.outcome == OPERATOR_DONE && step.shown && step.slot == 40);
}

/* What a create made and a fork took back is made anew by the step behind it; a create that misses
 * something is for a person. */
static void what_a_fork_took_back_is_planned_anew(void **state)
{
	const struct solana_reply refused = {
	        .fault = SOLANA_PROGRAM, .custom = true, .code = SOLANA_NOT_THERE};
	(void)state;
	begin(SOLANA_SEND);
	tell(refused);
	tell((struct solana_reply){0}); /* it is not known */
	show_nothing();
	assert_true(step.ask == SOLANA_ASK_NOTHING && step.outcome == OPERATOR_FINAL);
	begin(SOLANA_SEND);
	step.step = MARKET_STEP_LOCK;
	tell(refused);
	tell((struct solana_reply){0});
	show_nothing();
	assert_int_equal(step.ask, SOLANA_ASK_WAIT); /* until it has expired */
	tell((struct solana_reply){0});
	tell((struct solana_reply){0});
	assert_int_equal(step.ask, SOLANA_ASK_HEIGHT);
	tell((struct solana_reply){.height = step.last_height + 1});
	tell((struct solana_reply){0});
	show_nothing();
	assert_true(step.ask == SOLANA_ASK_NOTHING && step.outcome == OPERATOR_AGAIN);
}

static void without_funds_it_waits(void **state)
{
	(void)state;
	begin(SOLANA_SEND);
	tell((struct solana_reply){.fault = SOLANA_POOR, .text = "poor"});
	assert_true(step.ask == SOLANA_ASK_NOTHING && step.outcome == OPERATOR_UNKNOWN);
	assert_true(step.spared && step.poor);
}

static void it_expires_only_when_no_block_may_hold_it(void **state)
{
	(void)state;
	begin(SOLANA_SEND);
	tell((struct solana_reply){.fault = SOLANA_NO_HASH});
	tell((struct solana_reply){0});
	assert_int_equal(step.ask, SOLANA_ASK_HEIGHT);
	tell((struct solana_reply){.height = 50});
	assert_int_equal(step.ask, SOLANA_ASK_WAIT);
	tell((struct solana_reply){0});
	tell((struct solana_reply){0});
	tell((struct solana_reply){.height = 51});
	assert_int_equal(step.ask, SOLANA_ASK_STATUS); /* once more */
	tell((struct solana_reply){0});
	assert_int_equal(step.look_level, SOLANA_FINALIZED);
	show_nothing();
	assert_true(step.outcome == OPERATOR_AGAIN && step.expired && !step.spared);
}

static void who_is_silent_is_asked_again_for_a_while(void **state)
{
	(void)state;
	begin(SOLANA_SEND);
	for (unsigned i = 0; step.ask != SOLANA_ASK_NOTHING; i++) {
		assert_true(i < 20);
		tell(step.ask == SOLANA_ASK_WAIT
		             ? (struct solana_reply){0}
		             : (struct solana_reply){.fault = SOLANA_SILENT, .text = "silence"});
	}
	assert_true(step.outcome == OPERATOR_UNKNOWN && step.spared);
	assert_string_equal(step.error, "silence");
}

static void what_cannot_be_read_is_for_a_person(void **state)
{
	(void)state;
	begin(SOLANA_PREPARE);
	tell((struct solana_reply){.there = true, .bytes = SPAN("rubbish")});
	assert_true(step.ask == SOLANA_ASK_NOTHING && step.outcome == OPERATOR_FINAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(a_duel_takes_four_transactions, set_up),
	        cmocka_unit_test_setup(it_is_done_once_whatever_the_cluster_does, set_up),
	        cmocka_unit_test_setup(who_may_not_is_told_at_once, set_up),
	        cmocka_unit_test_setup(a_refusal_of_what_was_done_is_none, set_up),
	        cmocka_unit_test_setup(what_a_fork_took_back_is_planned_anew, set_up),
	        cmocka_unit_test_setup(without_funds_it_waits, set_up),
	        cmocka_unit_test_setup(it_expires_only_when_no_block_may_hold_it, set_up),
	        cmocka_unit_test_setup(who_is_silent_is_asked_again_for_a_while, set_up),
	        cmocka_unit_test_setup(what_cannot_be_read_is_for_a_person, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
