/* Facts, and the plan for every step where the chain may stand. */
#include "worker-bridge/solana_plan.h"
#include "common/base/hex.h"
#include "tests/doubles/solana_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct market market;
static struct solana_facts facts;
static struct solana_seen seen;
static struct solana_places places;
static struct solana_address who;
static struct solana_plan plan;

static void text(char *into, size_t room, const char *from)
{
	assert_true((size_t)snprintf(into, room, "%s", from) < room);
}

static void take_facts(void)
{
	assert_null(solana_facts_of(&market, "", &facts));
}

static int set_up(void **state)
{
	(void)state;
	market = (struct market){.bet_open_ms = 1700000000500,
	                         .bet_close_ms = 1700000060999,
	                         .fight_planned_ms = 1700000070000,
	                         .opened_ms = 1,
	                         .duel_end_ms = 1700000090123};
	text(market.duel_id, sizeof market.duel_id, "streaming-1");
	memset(market.duel_key, 'a', 64);
	memset(market.replay_hash, 'b', 64);
	text(market.agent_id[0], sizeof market.agent_id[0], "alpha");
	text(market.agent_id[1], sizeof market.agent_id[1], "beta");
	text(market.outcome, sizeof market.outcome, "win");
	text(market.side, sizeof market.side, "B");
	text(market.seed, sizeof market.seed, "18446744073709551615");
	take_facts();
	seen = (struct solana_seen){.config = {.window_s = 3600}};
	solana_places_find(&(struct solana_address){{1}}, &(struct solana_address){{2}},
	                   facts.duel.key, &places);
	memset(who.bytes, 7, 32);
	return 0;
}

/* ---- facts ---- */

static void facts_are_in_the_chains_words(void **state)
{
	char hash[65];
	(void)state;
	/* sha256("hyperscape:duel-arena:participant:alpha") */
	hex_print(facts.duel.participant[0], 32, hash);
	assert_string_equal(hash,
	                    "de707f807951af904e1e53779d0d2faafaf4b6813a4ff37b50418821a74394ce");
	assert_int_equal(facts.duel.open_s, 1700000000);
	assert_int_equal(facts.duel.close_s, 1700000060);
	assert_int_equal(facts.duel.start_s, 1700000070);
	assert_true(facts.won && facts.result.seed == UINT64_MAX);
	assert_int_equal(facts.result.winner, SOLANA_SIDE_B);
	assert_int_equal(facts.result.end_s, 1700000090);
	assert_int_equal(facts.result.replay_hash[31], 0xbb);
	assert_string_equal(facts.uri, "");
	assert_null(solana_facts_of(&market, "https://arena.example", &facts));
	assert_string_equal(facts.uri, "https://arena.example/v1/oracle/streaming-1");
}

static void times_are_as_the_program_insists(void **state)
{
	static const struct {
		uint64_t open_ms, close_ms, planned_ms;
	} rows[] = {{0, 5000, 0}, {1000, 1999, 0}, {1500, 1600, 9000}, {999, 1001, 0},
	            {0, 0, 0},    {5000, 3000, 0}, {5000, 9000, 1000}, {1, 1, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		market.bet_open_ms = rows[i].open_ms;
		market.bet_close_ms = rows[i].close_ms;
		market.fight_planned_ms = rows[i].planned_ms;
		take_facts();
		assert_true(facts.duel.open_s > 0 && facts.duel.close_s > facts.duel.open_s &&
		            facts.duel.start_s >= facts.duel.close_s);
	}
}

static void what_the_chain_cannot_have_is_said(void **state)
{
	(void)state;
	market.duel_key[3] = 'x';
	assert_non_null(solana_facts_of(&market, "", &facts));
	memset(market.duel_key, '0', 64);
	assert_non_null(solana_facts_of(&market, "", &facts));
	memset(market.duel_key, 'a', 64);
	memset(market.replay_hash, '0', 64);
	assert_non_null(solana_facts_of(&market, "", &facts));
	*market.replay_hash = '\0';
	assert_non_null(solana_facts_of(&market, "", &facts));
	text(market.outcome, sizeof market.outcome, "draw");
	assert_null(solana_facts_of(&market, "", &facts));
	assert_false(facts.won);
	text(market.outcome, sizeof market.outcome, "win");
	memset(market.replay_hash, 'b', 64);
	text(market.seed, sizeof market.seed, "18446744073709551616");
	assert_non_null(solana_facts_of(&market, "", &facts));
}

/* ---- plans ---- */

enum { NOWHERE = -1 };

/* duel and market: their status, or NOWHERE. */
static void see(int duel, int its_market)
{
	seen.duel_there = duel != NOWHERE;
	seen.duel = facts.duel;
	seen.duel.status = duel != NOWHERE ? (enum solana_duel_status)duel : 0;
	seen.duel.challenged = duel == SOLANA_DUEL_CHALLENGED;
	seen.duel.proposed = seen.duel.result = facts.result;
	seen.duel.proposed_s = 1700000100;
	seen.market_there = its_market != NOWHERE;
	seen.market.status = its_market != NOWHERE ? (enum solana_market_status)its_market : 0;
	seen.market.winner = its_market == SOLANA_MARKET_RESOLVED ? facts.result.winner : 0;
}

/* A letter each: u and U (open, locked), i, s, p, f, c; or what else the plan says. */
static const char *planned(enum market_step step, uint64_t part)
{
	static const char *const verdicts[] = {[SOLANA_TOOK] = "took",
	                                       [SOLANA_PROPOSED] = "proposed",
	                                       [SOLANA_NEVER] = "never",
	                                       [SOLANA_DISPUTED] = "disputed"};
	static char letters[8];
	struct solana_instruction one;
	solana_plan(&facts, &seen, &places, &who, step, part, &plan);
	if (plan.verdict != SOLANA_TELL)
		return verdicts[plan.verdict];
	for (size_t i = 0; i < plan.count; i++) {
		char letter = '?';
		const uint8_t *data = plan.instructions[i].data;
		solana_initialize_market(&one, &places, &who, facts.duel.key);
		letter = memcmp(data, one.data, 8) == 0 ? 'i' : letter;
		solana_sync_market(&one, &places);
		letter = memcmp(data, one.data, 8) == 0 ? 's' : letter;
		solana_cancel_duel(&one, &places, &who, facts.duel.key, "");
		letter = memcmp(data, one.data, 8) == 0 ? 'c' : letter;
		solana_finalize_result(&one, &places, &who, facts.duel.key, "");
		letter = memcmp(data, one.data, 8) == 0 ? 'f' : letter;
		solana_propose_result(&one, &places, &who, facts.duel.key, &facts.result, "");
		letter = memcmp(data, one.data, 8) == 0 ? 'p' : letter;
		solana_upsert_duel(&one, &places, &who, &facts.duel, "");
		if (memcmp(data, one.data, 8) == 0)
			letter = data[plan.instructions[i].data_len - 1] == SOLANA_DUEL_LOCKED
			                 ? 'U'
			                 : 'u';
		letters[i] = letter;
	}
	letters[plan.count] = '\0';
	return letters;
}

enum { D_OPEN = SOLANA_DUEL_OPEN, D_LOCKED, D_PROPOSED, D_CHALLENGED, D_RESOLVED, D_CANCELLED };
enum { M_OPEN, M_LOCKED, M_RESOLVED, M_CANCELLED };

static void every_step_begins_where_the_chain_is(void **state)
{
	static const struct {
		int duel, its_market;
		enum market_step step;
		uint64_t part;
		const char *plan;
	} rows[] = {
	        {NOWHERE, NOWHERE, MARKET_STEP_CREATE, 0, "ui"},
	        {0, NOWHERE, MARKET_STEP_CREATE, 0, "ui"},
	        {D_OPEN, NOWHERE, MARKET_STEP_CREATE, 0, "i"},
	        {D_OPEN, M_OPEN, MARKET_STEP_CREATE, 0, "took"},
	        {D_LOCKED, M_LOCKED, MARKET_STEP_CREATE, 0, "took"},
	        {D_PROPOSED, M_LOCKED, MARKET_STEP_CREATE, 0, "never"},
	        {D_CANCELLED, M_CANCELLED, MARKET_STEP_CREATE, 0, "never"},
	        {NOWHERE, NOWHERE, MARKET_STEP_LOCK, 0, "Ui"},
	        {D_OPEN, M_OPEN, MARKET_STEP_LOCK, 0, "Us"},
	        {D_LOCKED, M_OPEN, MARKET_STEP_LOCK, 0, "s"},
	        {D_LOCKED, NOWHERE, MARKET_STEP_LOCK, 0, "i"},
	        {D_LOCKED, M_LOCKED, MARKET_STEP_LOCK, 0, "took"},
	        {D_PROPOSED, M_LOCKED, MARKET_STEP_LOCK, 0, "took"},
	        {D_RESOLVED, M_RESOLVED, MARKET_STEP_LOCK, 0, "never"},
	        {D_LOCKED, M_LOCKED, MARKET_STEP_RESOLVE, 0, "ps"},
	        {D_OPEN, M_OPEN, MARKET_STEP_RESOLVE, 0, "Ups"},
	        {NOWHERE, NOWHERE, MARKET_STEP_RESOLVE, 0, "Uips"},
	        {D_LOCKED, M_LOCKED, MARKET_STEP_RESOLVE, 1, "ps"}, /* a fork took it back */
	        {D_PROPOSED, M_LOCKED, MARKET_STEP_RESOLVE, 0, "proposed"},
	        {D_PROPOSED, M_LOCKED, MARKET_STEP_RESOLVE, 1, "fs"},
	        {D_CHALLENGED, M_LOCKED, MARKET_STEP_RESOLVE, 1, "disputed"},
	        {D_RESOLVED, M_LOCKED, MARKET_STEP_RESOLVE, 1, "s"},
	        {D_RESOLVED, M_RESOLVED, MARKET_STEP_RESOLVE, 1, "took"},
	        {D_CANCELLED, M_CANCELLED, MARKET_STEP_RESOLVE, 0, "never"},
	        {D_OPEN, M_OPEN, MARKET_STEP_CANCEL, 0, "cs"},
	        {D_LOCKED, M_LOCKED, MARKET_STEP_CANCEL, 0, "cs"},
	        {D_OPEN, NOWHERE, MARKET_STEP_CANCEL, 0, "Uics"},
	        {NOWHERE, NOWHERE, MARKET_STEP_CANCEL, 0, "Uics"}, /* it had been there */
	        {D_PROPOSED, M_LOCKED, MARKET_STEP_CANCEL, 0, "never"},
	        {D_CHALLENGED, M_LOCKED, MARKET_STEP_CANCEL, 0, "disputed"},
	        {D_CANCELLED, M_LOCKED, MARKET_STEP_CANCEL, 0, "s"},
	        {D_CANCELLED, M_CANCELLED, MARKET_STEP_CANCEL, 0, "took"},
	        {D_RESOLVED, M_RESOLVED, MARKET_STEP_CANCEL, 0, "never"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		see(rows[i].duel, rows[i].its_market);
		const char *found = planned(rows[i].step, rows[i].part);
		if (strcmp(found, rows[i].plan) != 0)
			fail_msg("row %zu: %s", i, found);
		assert_true((plan.why != NULL) ==
		            (plan.verdict == SOLANA_NEVER || plan.verdict == SOLANA_DISPUTED));
	}
}

static void what_was_never_there_need_not_be_cancelled(void **state)
{
	(void)state;
	facts.opened = false;
	see(NOWHERE, NOWHERE);
	assert_string_equal(planned(MARKET_STEP_CANCEL, 0), "took");
}

static void a_person_may_take_a_result_back(void **state)
{
	(void)state;
	facts.manual = true;
	see(D_CHALLENGED, M_LOCKED);
	assert_string_equal(planned(MARKET_STEP_CANCEL, 0), "cs");
	see(D_PROPOSED, M_LOCKED);
	assert_string_equal(planned(MARKET_STEP_CANCEL, 0), "cs");
}

/* Nor by a person: the programs have no way for it, and he is told. */
static void no_result_is_taken_after_a_challenge(void **state)
{
	(void)state;
	facts.manual = true;
	see(D_CHALLENGED, M_LOCKED);
	assert_string_equal(planned(MARKET_STEP_RESOLVE, 0), "never");
	assert_non_null(strstr(plan.why, "can only be cancelled"));
	see(D_PROPOSED, M_LOCKED);
	seen.duel.challenged = true;
	assert_string_equal(planned(MARKET_STEP_RESOLVE, 1), "never");
	/* What somebody resolved there all the same is so. */
	see(D_RESOLVED, SOLANA_MARKET_RESOLVED);
	assert_string_equal(planned(MARKET_STEP_RESOLVE, 0), "took");
	/* Where nothing was proposed a person's win goes its way. */
	see(D_LOCKED, M_LOCKED);
	assert_string_not_equal(planned(MARKET_STEP_RESOLVE, 0), "never");
}

static void another_result_is_for_a_person(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		see(D_PROPOSED, M_LOCKED);
		struct solana_result *told = &seen.duel.proposed;
		if (i == 0)
			told->winner = SOLANA_SIDE_A;
		if (i == 1)
			told->seed--;
		if (i == 2)
			told->replay_hash[0] ^= 1;
		if (i == 3)
			told->result_hash[0] ^= 1;
		assert_string_equal(planned(MARKET_STEP_RESOLVE, 1), "never");
		seen.duel.status = SOLANA_DUEL_RESOLVED;
		seen.duel.result = *told;
		assert_string_equal(planned(MARKET_STEP_RESOLVE, 1), "never");
	}
	see(D_OPEN, M_OPEN);
	seen.duel.participant[1][5] ^= 1;
	for (enum market_step step = MARKET_STEP_CREATE; step <= MARKET_STEP_CANCEL; step++)
		assert_string_equal(planned(step, 0), "never");
}

static void it_is_due_when_nobody_may_dispute_it(void **state)
{
	(void)state;
	see(D_PROPOSED, M_LOCKED);
	planned(MARKET_STEP_RESOLVE, 0);
	assert_int_equal(plan.due_s, 1700000100 + 3600);
	seen.config.window_s = INT64_MAX;
	planned(MARKET_STEP_RESOLVE, 0);
	assert_int_equal(plan.due_s, INT64_MAX);
}

static void no_duel_ends_before_its_bets(void **state)
{
	uint8_t end[8];
	(void)state;
	market.duel_end_ms = 1000;
	take_facts();
	see(D_LOCKED, M_LOCKED);
	seen.duel.close_s = 0x1122334455;
	planned(MARKET_STEP_RESOLVE, 0);
	const struct solana_instruction *propose = &plan.instructions[0];
	memcpy(end, propose->data + 8 + 32 + 1 + 8 + 64, 8);
	assert_memory_equal(end, "\x55\x44\x33\x22\x11\0\0\0", 8);
}

/* ---- accounts ---- */

static void accounts_are_read_to_the_last_byte(void **state)
{
	uint8_t bytes[SOLANA_MADE_ROOM];
	struct solana_duel duel;
	struct solana_market its_market;
	struct solana_oracle_config config;
	(void)state;
	see(D_PROPOSED, M_LOCKED);
	size_t len = solana_made_duel(&seen.duel, bytes);
	assert_true(solana_duel_read(span_of(bytes, len), &duel));
	assert_int_equal(duel.status, SOLANA_DUEL_PROPOSED);
	assert_memory_equal(duel.participant, facts.duel.participant, 64);
	assert_true(duel.proposed.seed == UINT64_MAX && duel.proposed.end_s == facts.result.end_s &&
	            duel.proposed_s == 1700000100 && duel.close_s == facts.duel.close_s);
	for (size_t n = 0; n < 332; n++)
		assert_false(solana_duel_read(span_of(bytes, n), &duel));
	bytes[104] = 7;
	assert_false(solana_duel_read(span_of(bytes, len), &duel));
	bytes[104] = 0;
	bytes[0] ^= 1;
	assert_false(solana_duel_read(span_of(bytes, len), &duel));
	seen.market.winner = SOLANA_SIDE_A;
	len = solana_made_market(&seen.market, bytes);
	assert_true(solana_market_read(span_of(bytes, len), &its_market));
	assert_int_equal(its_market.status, SOLANA_MARKET_LOCKED);
	assert_int_equal(its_market.winner, SOLANA_SIDE_A);
	for (size_t n = 0; n < 75; n++)
		assert_false(solana_market_read(span_of(bytes, n), &its_market));
	seen.config.reporter = who;
	len = solana_made_config(&seen.config, bytes);
	assert_true(solana_oracle_config_read(span_of(bytes, len), &config));
	assert_true(config.window_s == 3600 && solana_address_equal(&config.reporter, &who));
	for (size_t n = 0; n < 144; n++)
		assert_false(solana_oracle_config_read(span_of(bytes, n), &config));
}

/* As the compiled programs took them: see the sizes in the messages of real transactions. */
static void a_step_fits_into_a_packet(void **state)
{
	struct keypair payer;
	struct solana_transaction made;
	static const char pair[] =
	        "[76,205,8,155,40,255,150,218,157,182,195,70,236,17,78,15,91,138,49,159,53,171,166,"
	        "36,218,140,246,237,79,184,166,251,61,64,23,195,232,67,137,90,146,183,10,167,77,27,"
	        "126,188,156,152,44,207,46,196,150,140,192,205,85,241,42,244,102,12]";
	(void)state;
	assert_null(keypair_read(pair, &payer));
	memcpy(who.bytes, payer.public_key, 32);
	memset(facts.uri, 'u', SOLANA_URI_MAX);
	see(NOWHERE, NOWHERE);
	planned(MARKET_STEP_CREATE, 0);
	assert_true(
	        solana_transaction_make(&payer, who.bytes, plan.instructions, plan.count, &made));
	planned(MARKET_STEP_CANCEL, 0);
	assert_true(
	        solana_transaction_make(&payer, who.bytes, plan.instructions, plan.count, &made));
	*facts.uri = '\0';
	planned(MARKET_STEP_RESOLVE, 0);
	assert_true(
	        solana_transaction_make(&payer, who.bytes, plan.instructions, plan.count, &made));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(facts_are_in_the_chains_words, set_up),
	        cmocka_unit_test_setup(times_are_as_the_program_insists, set_up),
	        cmocka_unit_test_setup(what_the_chain_cannot_have_is_said, set_up),
	        cmocka_unit_test_setup(every_step_begins_where_the_chain_is, set_up),
	        cmocka_unit_test_setup(what_was_never_there_need_not_be_cancelled, set_up),
	        cmocka_unit_test_setup(no_result_is_taken_after_a_challenge, set_up),
	        cmocka_unit_test_setup(a_person_may_take_a_result_back, set_up),
	        cmocka_unit_test_setup(another_result_is_for_a_person, set_up),
	        cmocka_unit_test_setup(it_is_due_when_nobody_may_dispute_it, set_up),
	        cmocka_unit_test_setup(no_duel_ends_before_its_bets, set_up),
	        cmocka_unit_test_setup(accounts_are_read_to_the_last_byte, set_up),
	        cmocka_unit_test_setup(a_step_fits_into_a_packet, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
