#include "worker-bridge/duel.h"
#include "worker-bridge/duel_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t random_bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const struct duel_times times = {.announcement_ms = 60000,
                                        .countdown_ms = 4000,
                                        .fight_ms = 270000,
                                        .end_warning_ms = 15000,
                                        .resolution_ms = 10000,
                                        .pause_ms = 2000,
                                        .prep_ms = 30000};

static struct duel_cycle fresh(bool scheduled)
{
	return (struct duel_cycle){.scheduled = scheduled, .times = times, .duel.winner = -1};
}

static struct duel_agent agent(const char *id, double hp, double hp_max)
{
	struct duel_agent a = {.hp = hp, .hp_max = hp_max, .rank = DUEL_NO_RANK};
	snprintf(a.id, sizeof a.id, "%s", id);
	snprintf(a.name, sizeof a.name, "Name of %s", id);
	return a;
}

static enum duel_result apply(struct duel_cycle *c, struct duel_fact fact, uint64_t now)
{
	char reason[160] = "";
	struct duel_cycle before = *c;
	if (*fact.duel_id == '\0' && c->duel.present)
		duel_id(&c->duel, fact.duel_id);
	enum duel_result result = duel_apply(c, &fact, now, random_bytes, reason);
	before.ended = c->ended;
	if (result != DUEL_OK) {
		assert_true(*reason != '\0');
		assert_memory_equal(&before, c, sizeof before); /* a refusal changes nothing */
	}
	return result;
}

static void announce(struct duel_cycle *c, uint64_t now)
{
	struct duel_fact fact = {.kind = DUEL_FACT_CYCLE,
	                         .pair.agents = {agent("a", 100, 100), agent("b", 50, 80)}};
	assert_int_equal(apply(c, fact, now), DUEL_OK);
}

static void stand(struct duel_cycle *c, uint64_t now)
{
	struct duel_fact fact = {.kind = DUEL_FACT_POSITIONS, .positions = {{0, 0, 0}, {1, 0, 0}}};
	assert_int_equal(apply(c, fact, now), DUEL_OK);
}

static bool tick(struct duel_cycle *c, uint64_t now)
{
	return duel_tick(c, now, random_bytes);
}

/* A scheduled duel in FIGHTING; it began at 3000 + 64000. */
static struct duel_cycle fighting(void)
{
	struct duel_cycle c = fresh(true);
	announce(&c, 1000);
	assert_true(tick(&c, 3000));
	stand(&c, 5000);
	assert_true(tick(&c, 63000));
	assert_true(tick(&c, 67000));
	assert_int_equal(c.duel.phase, DUEL_FIGHTING);
	return c;
}

/* ---- silence ---- */

static struct duel_cycle fighting_with_silence(uint64_t silence_ms)
{
	struct duel_cycle c = fighting();
	c.times.silence_ms = silence_ms;
	c.listening_ms = 1;
	return c;
}

static void a_silent_game_pays_nobody(void **state)
{
	struct duel_cycle c = fighting_with_silence(30000);
	(void)state;
	c.heard_ms = 5000; /* before the fight: the wait begins with it */
	assert_null(duel_silence(&c, 67000 + 14999));
	assert_string_equal(duel_silence(&c, 67000 + 15000), "source_silent");
	assert_int_equal(duel_due_ms(&c), 67000 + 30000);
	assert_false(tick(&c, 67000 + 29999));
	assert_true(tick(&c, 67000 + 30000));
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_CANCELLED);
	assert_string_equal(c.duel.cancellation, "source_silent");
	assert_true(c.ended);
	assert_null(duel_silence(&c, 67000 + 30000));
}

static void who_comes_back_in_time_goes_on(void **state)
{
	struct duel_cycle c = fighting_with_silence(30000);
	(void)state;
	c.heard_ms = 67000 + 29000;
	assert_null(duel_silence(&c, 67000 + 30000));
	assert_false(tick(&c, 67000 + 58999));
	c.listening_ms = 67000 + 40000; /* we were away: the wait begins anew */
	assert_false(tick(&c, 67000 + 69999));
	assert_true(tick(&c, 67000 + 70000));
	assert_string_equal(c.duel.cancellation, "source_silent");
}

/* The fight's time is over, and nobody knows whether the game still is: it is waited for. */
static void points_decide_on_the_word_of_a_game_that_lives(void **state)
{
	const uint64_t over = 67000 + 285000;
	(void)state;
	struct duel_cycle c = fighting_with_silence(30000);
	c.heard_ms = over - 5001;
	assert_false(tick(&c, over));
	struct duel_cycle dead = c;
	c.heard_ms = over + 7000;
	assert_true(tick(&c, over + 7000));
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
	assert_false(tick(&dead, over + 24998));
	assert_true(tick(&dead, over + 24999));
	assert_string_equal(dead.duel.cancellation, "source_silent");
	c = fighting_with_silence(30000);
	c.heard_ms = over - 5000;
	assert_true(tick(&c, over));
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
	c = fighting_with_silence(30000); /* and a successor that has not heard it */
	c.listening_ms = over + 1000;
	c.grace_until_ms = over + 6000;
	assert_false(tick(&c, over + 6000));
	c.heard_ms = over + 6500;
	assert_true(tick(&c, over + 6500));
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
}

static void a_source_driven_fight_is_silent_too(void **state)
{
	struct duel_cycle c = fresh(false);
	(void)state;
	c.times.silence_ms = 30000;
	announce(&c, 1000);
	stand(&c, 1001);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_COUNTDOWN},
	                       2000),
	                 DUEL_OK);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_FIGHTING},
	                       3000),
	                 DUEL_OK);
	c.heard_ms = 3000;
	assert_int_equal(apply(&c, (struct duel_fact){.kind = DUEL_FACT_ALIVE}, 4000), DUEL_OK);
	assert_false(tick(&c, 32999));
	assert_true(tick(&c, 33000));
	assert_string_equal(c.duel.cancellation, "source_silent");
}

static void silence_may_be_allowed(void **state)
{
	struct duel_cycle c = fighting_with_silence(0);
	(void)state;
	assert_null(duel_silence(&c, 67000 + 284999));
	assert_false(tick(&c, 67000 + 284999));
	assert_true(tick(&c, 67000 + 285000));
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
}

static void the_clock_runs_a_duel(void **state)
{
	struct duel_cycle c = fresh(true);
	(void)state;
	assert_int_equal(duel_due_ms(&c), UINT64_MAX);
	announce(&c, 1000);
	assert_false(c.duel.present);
	assert_int_equal(duel_due_ms(&c), 2000);
	assert_false(tick(&c, 1999));
	assert_true(tick(&c, 3000));
	assert_int_equal(c.duel.phase, DUEL_ANNOUNCEMENT);
	assert_int_equal(c.duel.phase_version, 1);
	assert_int_equal(c.duel.bet_open_ms, 3000);
	assert_int_equal(c.duel.bet_close_ms, 63000);
	assert_string_equal(c.duel.cycle_id, "01020304-0506-4708-890a-0b0c0d0e0f10");
	assert_int_equal(strlen(c.duel.key), 64);
	stand(&c, 5000);
	assert_false(tick(&c, 62999)); /* bets stay open as long as was announced */
	assert_true(tick(&c, 63000));
	assert_int_equal(c.duel.phase, DUEL_COUNTDOWN);
	assert_int_equal(c.duel.fight_planned_ms, 67000);
	assert_int_equal(c.duel.fight_start_ms, 0);
	assert_true(tick(&c, 67000));
	assert_int_equal(c.duel.phase, DUEL_FIGHTING);
	assert_int_equal(c.duel.fight_start_ms, 67000);
	assert_false(tick(&c, 67000 + 284999));
	assert_true(tick(&c, 67000 + 285000));
	assert_int_equal(c.duel.phase, DUEL_RESOLUTION);
	assert_int_equal(c.duel.phase_version, 4);
	assert_true(c.ended);
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
	assert_int_equal(c.duel.winner, 0); /* 100/100 against 50/80 */
	assert_int_equal(c.duel.win_reason, DUEL_BY_HP_ADVANTAGE);
	assert_true(tick(&c, 67000 + 295000));
	assert_false(c.duel.present);
	assert_false(c.ended);
	assert_false(tick(&c, 1u << 31));
}

static void who_does_not_stand_in_the_arena_is_not_ready(void **state)
{
	struct duel_cycle c = fresh(true);
	(void)state;
	announce(&c, 1000);
	tick(&c, 3000);
	assert_false(tick(&c, 63000 + 29999));
	assert_true(tick(&c, 63000 + 30000));
	assert_true(c.ended);
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_CANCELLED);
	assert_string_equal(c.duel.cancellation, "contestant_prep_failed");
	assert_int_equal(c.duel.phase, DUEL_IDLE);
	assert_true(c.duel.present); /* the terminal frame names it */
	assert_true(tick(&c, 63000 + 30000));
	assert_false(c.duel.present);
}

static void bets_close_when_the_fight_begins_at_the_latest(void **state)
{
	struct duel_cycle c = fresh(false);
	(void)state;
	announce(&c, 1000);
	assert_int_equal(c.duel.bet_close_ms, 61000);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_COUNTDOWN},
	                       20000),
	                 DUEL_OK);
	assert_int_equal(c.duel.bet_close_ms, 24000);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_FIGHTING},
	                       22000),
	                 DUEL_OK);
	assert_int_equal(c.duel.bet_close_ms, 22000);
}

/* All within a millisecond: its times are in their order all the same. */
static void a_duel_of_no_time_at_all(void **state)
{
	struct duel_cycle c = fresh(false);
	(void)state;
	announce(&c, 1000);
	apply(&c,
	      (struct duel_fact){
	              .kind = DUEL_FACT_PHASE, .phase = DUEL_COUNTDOWN, .fight_planned_ms = 1000},
	      1000);
	assert_int_equal(c.duel.fight_planned_ms, 1001);
	apply(&c, (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_FIGHTING}, 1000);
	apply(&c, (struct duel_fact){.kind = DUEL_FACT_DEATH, .agent_id = {"a"}}, 1000);
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
	assert_int_equal(c.duel.bet_open_ms, 1000);
	assert_int_equal(c.duel.bet_close_ms, 1001);
	assert_int_equal(c.duel.fight_start_ms, 1001);
	assert_int_equal(c.duel.end_ms, 1001);
	c = fresh(false);
	announce(&c, 1000);
	apply(&c, (struct duel_fact){.kind = DUEL_FACT_ABORT, .reason = "x"}, 1000);
	assert_int_equal(c.duel.bet_close_ms, 1001);
	assert_int_equal(c.duel.end_ms, 1001);
}

/* Said with the pair, kept until it fights, and forgotten with the duel. */
static void a_snapshot_belongs_to_its_duel(void **state)
{
	static char first[] = "{\"a\":1}", second[] = "{\"a\":2}";
	struct duel_cycle c = fresh(true);
	(void)state;
	struct duel_fact pair = {.kind = DUEL_FACT_CYCLE,
	                         .pair.agents = {agent("a", 100, 100), agent("b", 50, 80)},
	                         .snapshot = first};
	assert_int_equal(apply(&c, pair, 1000), DUEL_OK);
	assert_true(tick(&c, 3000));
	assert_string_equal(c.duel.snapshot, first);
	assert_string_equal(c.next_snapshot, "");
	pair.snapshot = second;
	assert_int_equal(apply(&c, pair, 4000), DUEL_OK);
	assert_string_equal(c.duel.snapshot, first);
	json_t *record = duel_record(&c);
	struct duel_cycle back = fresh(true);
	assert_true(duel_record_read(&back, record));
	assert_string_equal(back.duel.snapshot, first);
	assert_string_equal(back.next_snapshot, second);
	json_decref(record);
	pair.snapshot = NULL;
	assert_int_equal(apply(&c, pair, 5000), DUEL_OK);
	assert_string_equal(c.next_snapshot, "");
}

static void ends(void **state)
{
	static const struct {
		struct duel_fact fact;
		enum duel_outcome outcome;
		int winner;
		enum duel_win_reason reason;
	} rows[] = {
	        {{.kind = DUEL_FACT_DEATH, .agent_id = {"b"}}, DUEL_OUTCOME_WIN, 0, DUEL_BY_KILL},
	        {{.kind = DUEL_FACT_DEATH, .agent_id = {"a"}}, DUEL_OUTCOME_WIN, 1, DUEL_BY_KILL},
	        {{.kind = DUEL_FACT_DEATH, .agent_id = {"a", "b"}},
	         DUEL_OUTCOME_DRAW,
	         -1,
	         DUEL_BY_DRAW},
	        {{.kind = DUEL_FACT_FORFEIT, .agent_id = {"a"}},
	         DUEL_OUTCOME_WIN,
	         1,
	         DUEL_BY_FORFEIT},
	        {{.kind = DUEL_FACT_RESULT, .outcome = DUEL_OUTCOME_DRAW},
	         DUEL_OUTCOME_DRAW,
	         -1,
	         DUEL_BY_DRAW},
	        {{.kind = DUEL_FACT_RESULT, .outcome = DUEL_OUTCOME_WIN, .agent_id = {"b"}},
	         DUEL_OUTCOME_WIN,
	         1,
	         DUEL_BY_KILL},
	        {{.kind = DUEL_FACT_RESULT,
	          .outcome = DUEL_OUTCOME_WIN,
	          .agent_id = {"a"},
	          .win_reason = DUEL_BY_DAMAGE_ADVANTAGE},
	         DUEL_OUTCOME_WIN,
	         0,
	         DUEL_BY_DAMAGE_ADVANTAGE},
	        {{.kind = DUEL_FACT_ABORT, .reason = "power_cut"},
	         DUEL_OUTCOME_CANCELLED,
	         -1,
	         DUEL_BY_NONE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct duel_cycle c = fighting();
		assert_int_equal(apply(&c, rows[i].fact, 100000), DUEL_OK);
		assert_true(c.ended);
		assert_int_equal(c.duel.outcome, rows[i].outcome);
		assert_int_equal(c.duel.winner, rows[i].winner);
		assert_int_equal(c.duel.win_reason, rows[i].reason);
		assert_int_equal(c.duel.end_ms, 100000);
		bool cancelled = rows[i].outcome == DUEL_OUTCOME_CANCELLED;
		assert_int_equal(strlen(c.duel.replay_hash), cancelled ? 0 : 64);
		assert_int_equal(*c.duel.seed != '\0', !cancelled);
		/* Nothing is said of it any more. */
		assert_int_equal(apply(&c, rows[i].fact, 100001), DUEL_CONFLICT);
		while (tick(&c, 1000000)) {
		}
		assert_false(c.duel.present);
	}
}

static void both_dead_and_the_better_one_wins(void **state)
{
	struct duel_cycle c = fighting();
	(void)state;
	assert_int_equal(
	        apply(&c,
	              (struct duel_fact){.kind = DUEL_FACT_DAMAGE, .agent_id = {"b"}, .amount = 3},
	              90000),
	        DUEL_OK);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_DEATH, .agent_id = {"a", "b"}},
	                       90001),
	                 DUEL_OK);
	assert_int_equal(c.duel.winner, 1);
	assert_int_equal(c.duel.win_reason, DUEL_BY_DAMAGE_ADVANTAGE);
}

static void points_decide_at_the_end_of_time(void **state)
{
	static const struct {
		double hp_a, damage_a, damage_b;
		int winner;
		enum duel_win_reason reason;
	} rows[] = {
	        {100, 0, 0, 0, DUEL_BY_HP_ADVANTAGE},
	        {10, 0, 0, 1, DUEL_BY_HP_ADVANTAGE},
	        {62.5, 1, 0, 0, DUEL_BY_DAMAGE_ADVANTAGE},
	        {62.5, 1, 2, 1, DUEL_BY_DAMAGE_ADVANTAGE},
	        {62.5, 2, 2, -1, DUEL_BY_DRAW},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct duel_cycle c = fighting(); /* b has 50 of 80: 0.625 */
		c.duel.agents[0].hp = rows[i].hp_a;
		c.duel.agents[0].damage = rows[i].damage_a;
		c.duel.agents[1].damage = rows[i].damage_b;
		assert_true(tick(&c, 67000 + 285000));
		assert_int_equal(c.duel.winner, rows[i].winner);
		assert_int_equal(c.duel.win_reason, rows[i].reason);
		assert_string_equal(c.duel.cancellation, rows[i].winner < 0 ? "draw" : "");
	}
}

static void damage_is_counted_and_felt(void **state)
{
	struct duel_cycle c = fighting();
	struct duel_fact hit = {.kind = DUEL_FACT_DAMAGE, .agent_id = {"a"}, .amount = 30};
	(void)state;
	assert_int_equal(apply(&c, hit, 90000), DUEL_OK);
	assert_int_equal(apply(&c, hit, 90001), DUEL_OK);
	assert_true(c.duel.agents[0].damage == 60);
	assert_true(c.duel.agents[1].hp == 0);         /* never below */
	assert_int_equal(c.duel.phase, DUEL_FIGHTING); /* death is the game's to tell */
	hit.hp_present = true;
	hit.hp = 80;
	assert_int_equal(apply(&c, hit, 90002), DUEL_OK);
	assert_true(c.duel.agents[1].hp == 80);
	hit.hp = 81;
	assert_int_equal(apply(&c, hit, 90003), DUEL_UNSUITABLE);
	memcpy(hit.agent_id[0], "c", 2);
	assert_int_equal(apply(&c, hit, 90003), DUEL_UNSUITABLE);
}

static void who_is_lost_before_the_fight(void **state)
{
	struct duel_cycle c = fresh(false);
	(void)state;
	announce(&c, 1000);
	assert_int_equal(
	        apply(&c, (struct duel_fact){.kind = DUEL_FACT_FORFEIT, .agent_id = {"a"}}, 2000),
	        DUEL_OK);
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_CANCELLED);
	assert_string_equal(c.duel.cancellation, "agent_lost_before_fight");
	tick(&c, 2000);
	announce(&c, 3000);
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_COUNTDOWN},
	                       4000),
	                 DUEL_OK);
	assert_int_equal(
	        apply(&c, (struct duel_fact){.kind = DUEL_FACT_FORFEIT, .agent_id = {"a"}}, 5000),
	        DUEL_OK);
	assert_int_equal(c.duel.outcome, DUEL_OUTCOME_WIN);
	assert_int_equal(c.duel.phase, DUEL_RESOLUTION);
	assert_int_equal(c.duel.phase_version, 3);
}

static void ways_there_are_not(void **state)
{
	struct duel_cycle c = fresh(false);
	struct duel_fact phase = {.kind = DUEL_FACT_PHASE};
	static const struct duel_fact anything = {.kind = DUEL_FACT_DAMAGE, .agent_id = {"a"}};
	(void)state;
	assert_int_equal(apply(&c, anything, 10), DUEL_CONFLICT);
	announce(&c, 1000);
	assert_int_equal(
	        apply(&c,
	              (struct duel_fact){.kind = DUEL_FACT_CYCLE,
	                                 .pair.agents = {agent("a", 1, 1), agent("b", 1, 1)}},
	              1001),
	        DUEL_CONFLICT);
	assert_int_equal(apply(&c, anything, 1001), DUEL_CONFLICT); /* not in ANNOUNCEMENT */
	phase.phase = DUEL_FIGHTING;
	assert_int_equal(apply(&c, phase, 1001), DUEL_CONFLICT);
	phase.phase = DUEL_IDLE;
	assert_int_equal(apply(&c, phase, 1001), DUEL_CONFLICT);
	phase.phase = DUEL_COUNTDOWN;
	phase.fight_planned_ms = 1000;
	assert_int_equal(apply(&c, phase, 1001), DUEL_UNSUITABLE);
	phase.fight_planned_ms = 0;
	assert_int_equal(apply(&c, phase, 1001), DUEL_OK);
	assert_int_equal(apply(&c, phase, 1002), DUEL_OK); /* the same again */
	assert_int_equal(c.duel.phase_version, 2);
	snprintf(phase.duel_id, sizeof phase.duel_id, "streaming-other");
	phase.phase = DUEL_FIGHTING;
	assert_int_equal(apply(&c, phase, 1003), DUEL_CONFLICT);
	struct duel_cycle s = fighting();
	assert_int_equal(
	        apply(&s, (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = DUEL_IDLE}, 90000),
	        DUEL_CONFLICT);
	assert_int_equal(
	        apply(&s,
	              (struct duel_fact){.kind = DUEL_FACT_CYCLE,
	                                 .pair.agents = {agent("a", 1, 1), agent("a", 1, 1)}},
	              90000),
	        DUEL_UNSUITABLE);
	assert_int_equal(
	        apply(&s,
	              (struct duel_fact){.kind = DUEL_FACT_CYCLE,
	                                 .pair.agents = {agent("a", 2, 1), agent("b", 1, 1)}},
	              90000),
	        DUEL_UNSUITABLE);
}

static void a_source_that_falls_silent(void **state)
{
	static const struct {
		enum duel_phase phase;
		uint64_t due_ms;
		const char *reason;
	} rows[] = {
	        {DUEL_ANNOUNCEMENT, 1000 + 60000 + 30000 + 10000, "watchdog_announcement_timeout"},
	        {DUEL_COUNTDOWN, 2000 + 4000 + 5000, "watchdog_countdown_timeout"},
	        {DUEL_FIGHTING, 3000 + 285000 + 10000, "watchdog_fighting_timeout"},
	};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct duel_cycle c = fresh(false);
		announce(&c, 1000);
		for (unsigned p = DUEL_COUNTDOWN; p <= rows[i].phase; p++)
			assert_int_equal(
			        apply(&c, (struct duel_fact){.kind = DUEL_FACT_PHASE, .phase = p},
			              p * 1000),
			        DUEL_OK);
		assert_int_equal(duel_due_ms(&c), rows[i].due_ms);
		assert_false(tick(&c, rows[i].due_ms - 1));
		assert_true(tick(&c, rows[i].due_ms));
		assert_true(c.ended);
		assert_string_equal(c.duel.cancellation, rows[i].reason);
	}
}

static void time_out_after_a_restart_waits_for_what_happened_meanwhile(void **state)
{
	struct duel_cycle c = fighting();
	(void)state;
	c.grace_until_ms = 1000000;
	assert_false(tick(&c, 999999));
	assert_int_equal(
	        apply(&c, (struct duel_fact){.kind = DUEL_FACT_DEATH, .agent_id = {"a"}}, 999999),
	        DUEL_OK);
	assert_int_equal(c.duel.winner, 1);
}

static void guardrails_in_their_order(void **state)
{
	struct duel_cycle c = fighting();
	struct duel *d = &c.duel;
	(void)state;
	assert_null(duel_guardrail(d));
	d->agents[0].hp = 0;
	assert_null(duel_guardrail(d)); /* dead is a legal state of health */
	d->positions_present = false;
	assert_string_equal(duel_guardrail(d), "arena_positions_invalid");
	d->agents[0].hp = 101;
	assert_string_equal(duel_guardrail(d), "invalid_agent_hp");
	d->agents[1] = (struct duel_agent){0};
	assert_string_equal(duel_guardrail(d), "agents_missing");
	d->phase = DUEL_IDLE;
	assert_null(duel_guardrail(d));
}

static void a_record_reads_back(void **state)
{
	struct duel_cycle c = fighting(), back = fresh(true);
	(void)state;
	c.next.present = true;
	c.next.announcement_ms = 1234;
	c.next.agents[0] = agent("n\xc3\xa4h", 0.1, 0.30000000000000004);
	c.next.agents[1] = agent("m", 1, 2);
	c.next.agents[1].rank = 7;
	snprintf(c.duel.scene, sizeof c.duel.scene, "{\"fen\":0.1}");
	assert_int_equal(apply(&c,
	                       (struct duel_fact){.kind = DUEL_FACT_DEATH,
	                                          .agent_id = {"a"},
	                                          .detail = "mate"},
	                       90000),
	                 DUEL_OK);
	json_t *record = duel_record(&c);
	char *text = json_dumps(record, 0);
	json_t *again = json_loads(text, 0, NULL);
	assert_true(duel_record_read(&back, again));
	c.ended = false;
	assert_memory_equal(&back.duel, &c.duel, sizeof c.duel);
	assert_memory_equal(&back.next, &c.next, sizeof c.next);
	/* What an older release did not write has a default; what decides the duel has none. */
	json_object_del(json_object_get(again, "duel"), "seed");
	json_object_del(json_object_get(json_object_get(again, "duel"), "agent1"), "rank");
	assert_true(duel_record_read(&back, again));
	assert_string_equal(back.duel.seed, "");
	assert_true(back.duel.agents[0].rank == DUEL_NO_RANK);
	json_object_set_new(json_object_get(again, "duel"), "seed", json_integer(7));
	assert_false(duel_record_read(&back, again));
	json_object_del(json_object_get(again, "duel"), "seed");
	json_object_del(json_object_get(again, "duel"), "betCloseTime");
	assert_false(duel_record_read(&back, again));
	free(text);
	json_decref(record);
	json_decref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_silent_game_pays_nobody),
	        cmocka_unit_test(who_comes_back_in_time_goes_on),
	        cmocka_unit_test(points_decide_on_the_word_of_a_game_that_lives),
	        cmocka_unit_test(a_source_driven_fight_is_silent_too),
	        cmocka_unit_test(silence_may_be_allowed),
	        cmocka_unit_test(the_clock_runs_a_duel),
	        cmocka_unit_test(who_does_not_stand_in_the_arena_is_not_ready),
	        cmocka_unit_test(bets_close_when_the_fight_begins_at_the_latest),
	        cmocka_unit_test(a_duel_of_no_time_at_all),
	        cmocka_unit_test(a_snapshot_belongs_to_its_duel),
	        cmocka_unit_test(ends),
	        cmocka_unit_test(both_dead_and_the_better_one_wins),
	        cmocka_unit_test(points_decide_at_the_end_of_time),
	        cmocka_unit_test(damage_is_counted_and_felt),
	        cmocka_unit_test(who_is_lost_before_the_fight),
	        cmocka_unit_test(ways_there_are_not),
	        cmocka_unit_test(a_source_that_falls_silent),
	        cmocka_unit_test(time_out_after_a_restart_waits_for_what_happened_meanwhile),
	        cmocka_unit_test(guardrails_in_their_order),
	        cmocka_unit_test(a_record_reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
