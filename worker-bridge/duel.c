#include "worker-bridge/duel.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/js_text.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

/* How much longer than planned a phase may last before the duel is cancelled (spec a.2). */
enum { WATCHDOG_MS = 10000, WATCHDOG_COUNTDOWN_MS = 5000 };

const char *duel_phase_name(enum duel_phase phase)
{
#define DUEL_PHASE_NAME(NAME) #NAME,
	static const char *const names[] = {DUEL_PHASES(DUEL_PHASE_NAME)};
#undef DUEL_PHASE_NAME
	return names[phase];
}

const char *duel_outcome_name(enum duel_outcome outcome)
{
#define DUEL_OUTCOME_NAME(NAME, text) text,
	static const char *const names[] = {DUEL_OUTCOMES(DUEL_OUTCOME_NAME)};
#undef DUEL_OUTCOME_NAME
	return names[outcome];
}

const char *duel_win_reason_name(enum duel_win_reason reason)
{
#define DUEL_WIN_REASON_NAME(NAME, text) text,
	static const char *const names[] = {DUEL_WIN_REASONS(DUEL_WIN_REASON_NAME)};
#undef DUEL_WIN_REASON_NAME
	return names[reason];
}

void duel_id(const struct duel *duel, char out[64])
{
	snprintf(out, 64, "streaming-%s", duel->cycle_id);
}

static bool is_its_id(const struct duel *duel, const char *id)
{
	char own[64];
	duel_id(duel, own);
	return duel->present && strcmp(own, id) == 0;
}

/* ---- guardrails ---- */

static bool agent_missing(const struct duel_agent *a)
{
	return a->id[strspn(a->id, " \t")] == '\0' && a->name[strspn(a->name, " \t")] == '\0';
}

static bool agent_valid(const struct duel_agent *a)
{
	return a->id[strspn(a->id, " \t")] != '\0' && a->name[strspn(a->name, " \t")] != '\0' &&
	       isfinite(a->hp_max) && a->hp_max > 0 && isfinite(a->hp) && a->hp >= 0 &&
	       a->hp <= a->hp_max;
}

static bool positions_valid(const struct duel *d)
{
	if (!d->positions_present)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (!isfinite(d->positions[0][i]) || !isfinite(d->positions[1][i]))
			return false;
	return memcmp(d->positions[0], d->positions[1], sizeof d->positions[0]) != 0;
}

const char *duel_guardrail(const struct duel *duel)
{
	if (!duel->present || duel->phase == DUEL_IDLE)
		return NULL;
	if (agent_missing(&duel->agents[0]) || agent_missing(&duel->agents[1]))
		return "agents_missing";
	if (!agent_valid(&duel->agents[0]) || !agent_valid(&duel->agents[1]))
		return "invalid_agent_hp";
	if (duel->phase >= DUEL_COUNTDOWN && !positions_valid(duel))
		return "arena_positions_invalid";
	return NULL;
}

/* ---- steps ---- */

static void enter(struct duel_cycle *cycle, enum duel_phase phase, uint64_t now_ms)
{
	static const unsigned allowed[DUEL_PHASE_COUNT] = {
	        [DUEL_IDLE] = 1u << DUEL_ANNOUNCEMENT,
	        [DUEL_ANNOUNCEMENT] = 1u << DUEL_COUNTDOWN | 1u << DUEL_IDLE,
	        [DUEL_COUNTDOWN] = 1u << DUEL_FIGHTING | 1u << DUEL_RESOLUTION | 1u << DUEL_IDLE,
	        [DUEL_FIGHTING] = 1u << DUEL_RESOLUTION | 1u << DUEL_IDLE,
	        [DUEL_RESOLUTION] = 1u << DUEL_IDLE,
	};
	struct duel *d = &cycle->duel;
	check(allowed[d->phase] & 1u << phase);
	d->phase = phase;
	d->phase_version++;
	d->phase_start_ms = now_ms;
}

static void make_uuid(const uint8_t random[16], char out[DUEL_UUID_LEN + 1])
{
	uint8_t b[16];
	char digits[33];
	memcpy(b, random, sizeof b);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562 §5.4 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	hex_print(b, sizeof b, digits);
	snprintf(out, DUEL_UUID_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8,
	         digits + 12, digits + 16, digits + 20);
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Bets were open for a millisecond at least, whatever is over by now. */
static void close_bets(struct duel *d, uint64_t at_ms)
{
	if (d->bet_close_ms > at_ms)
		d->bet_close_ms = later(at_ms, d->bet_open_ms + 1);
}

/* `snapshot`: "" or NULL when there is none. */
static void begin(struct duel_cycle *cycle, const struct duel_pair *pair, const char *snapshot,
                  uint64_t now_ms, const uint8_t random[16])
{
	struct duel *d = &cycle->duel;
	char text[96];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	*d = (struct duel){
	        .present = true, .winner = -1, .agents = {pair->agents[0], pair->agents[1]}};
	if (*pair->cycle_id != '\0')
		memcpy(d->cycle_id, pair->cycle_id, sizeof d->cycle_id);
	else
		make_uuid(random, d->cycle_id);
	int len = snprintf(text, sizeof text, "hyperscape-streaming-duel:%s", d->cycle_id);
	SHA256((const uint8_t *)text, (size_t)len, digest);
	hex_print(digest, sizeof digest, d->key);
	if (snapshot != NULL)
		snprintf(d->snapshot, sizeof d->snapshot, "%s", snapshot);
	enter(cycle, DUEL_ANNOUNCEMENT, now_ms);
	d->cycle_start_ms = d->bet_open_ms = now_ms;
	d->bet_close_ms = now_ms + (pair->announcement_ms != 0 ? pair->announcement_ms
	                                                       : cycle->times.announcement_ms);
}

static void begin_countdown(struct duel_cycle *cycle, uint64_t planned_ms, uint64_t now_ms)
{
	struct duel *d = &cycle->duel;
	enter(cycle, DUEL_COUNTDOWN, now_ms);
	planned_ms = planned_ms != 0 ? planned_ms : now_ms + cycle->times.countdown_ms;
	close_bets(d, planned_ms);
	d->fight_planned_ms = later(planned_ms, d->bet_close_ms);
}

static void begin_fight(struct duel_cycle *cycle, uint64_t now_ms)
{
	struct duel *d = &cycle->duel;
	enter(cycle, DUEL_FIGHTING, now_ms);
	close_bets(d, now_ms); /* nobody bets on a fight that has begun */
	d->fight_start_ms = later(now_ms, d->bet_close_ms);
	for (size_t i = 0; i < 2; i++)
		d->agents[i].damage = 0;
}

/* What a bettor can check the result by (spec a.5). */
static void make_proof(struct duel *d)
{
	char id[64], text[1024], damage[2][JS_NUMBER_ROOM],
	        winner[DUEL_ID_MAX + 3] = "null", loser[DUEL_ID_MAX + 3] = "null";
	uint8_t digest[SHA256_DIGEST_LENGTH];
	duel_id(d, id);
	if (*d->seed == '\0') {
		int len = snprintf(text, sizeof text, "%s-%" PRIu64, id,
		                   d->fight_start_ms != 0 ? d->fight_start_ms : d->cycle_start_ms);
		uint64_t seed = 0;
		SHA256((const uint8_t *)text, (size_t)len, digest);
		for (size_t i = 0; i < 8; i++)
			seed = seed << 8 | digest[i];
		snprintf(d->seed, sizeof d->seed, "%" PRIu64, seed);
	}
	if (*d->replay_hash != '\0')
		return;
	size_t first = d->winner == 1; /* of a draw: the contestants in their order */
	if (d->winner >= 0) {
		snprintf(winner, sizeof winner, "\"%s\"", d->agents[first].id);
		snprintf(loser, sizeof loser, "\"%s\"", d->agents[!first].id);
	}
	js_number(d->agents[first].damage, damage[0]);
	js_number(d->agents[!first].damage, damage[1]);
	int len = snprintf(text, sizeof text,
	                   "{\"duelId\":\"%s\",\"cycleId\":\"%s\",\"winnerId\":%s,\"loserId\":%s,"
	                   "\"winReason\":\"%s\",\"fightStartedAt\":%" PRIu64
	                   ",\"finishedAt\":%" PRIu64 ",\"damageWinner\":%s,\"damageLoser\":%s}",
	                   id, d->cycle_id, winner, loser, duel_win_reason_name(d->win_reason),
	                   d->fight_start_ms != 0 ? d->fight_start_ms : d->cycle_start_ms,
	                   d->end_ms, damage[0], damage[1]);
	check(len > 0 && (size_t)len < sizeof text);
	SHA256((const uint8_t *)text, (size_t)len, digest);
	hex_print(digest, sizeof digest, d->replay_hash);
}

static void end(struct duel_cycle *cycle, uint64_t now_ms)
{
	struct duel *d = &cycle->duel;
	close_bets(d, now_ms);
	d->end_ms = later(later(now_ms, d->bet_close_ms), d->fight_start_ms);
	cycle->ended = true;
}

/* winner -1: a draw. */
static void resolve(struct duel_cycle *cycle, int winner, enum duel_win_reason reason,
                    uint64_t now_ms)
{
	struct duel *d = &cycle->duel;
	enter(cycle, DUEL_RESOLUTION, now_ms);
	end(cycle, now_ms);
	d->winner = winner;
	d->win_reason = reason;
	d->outcome = winner >= 0 ? DUEL_OUTCOME_WIN : DUEL_OUTCOME_DRAW;
	if (winner < 0)
		snprintf(d->cancellation, sizeof d->cancellation, "draw");
	make_proof(d);
}

static void cancel(struct duel_cycle *cycle, const char *reason, uint64_t now_ms)
{
	struct duel *d = &cycle->duel;
	enter(cycle, DUEL_IDLE, now_ms);
	end(cycle, now_ms);
	d->outcome = DUEL_OUTCOME_CANCELLED;
	snprintf(d->cancellation, sizeof d->cancellation, "%s", reason);
}

static void forget(struct duel_cycle *cycle, uint64_t now_ms)
{
	cycle->duel = (struct duel){.winner = -1};
	cycle->idle_since_ms = now_ms;
}

/* Nobody died, or both did: who did better? (a.5) */
static void decide(struct duel_cycle *cycle, bool by_hp, uint64_t now_ms)
{
	const struct duel_agent *a = &cycle->duel.agents[0], *b = &cycle->duel.agents[1];
	double x = a->hp / a->hp_max, y = b->hp / b->hp_max;
	if (by_hp && x != y)
		resolve(cycle, x < y, DUEL_BY_HP_ADVANTAGE, now_ms);
	else if (a->damage != b->damage)
		resolve(cycle, a->damage < b->damage, DUEL_BY_DAMAGE_ADVANTAGE, now_ms);
	else
		resolve(cycle, -1, DUEL_BY_DRAW, now_ms);
}

/* ---- time ---- */

/* How long the phase may last before something is wrong. */
static uint64_t watchdog_ms(const struct duel_cycle *cycle)
{
	const struct duel *d = &cycle->duel;
	const struct duel_times *t = &cycle->times;
	switch (d->phase) {
	case DUEL_ANNOUNCEMENT:
		return d->bet_close_ms + t->prep_ms + (cycle->scheduled ? 0 : WATCHDOG_MS);
	case DUEL_COUNTDOWN:
		return d->fight_planned_ms + WATCHDOG_COUNTDOWN_MS;
	case DUEL_FIGHTING:
		return d->fight_start_ms + t->fight_ms + t->end_warning_ms + WATCHDOG_MS;
	case DUEL_RESOLUTION:
		return d->phase_start_ms + t->resolution_ms + WATCHDOG_MS;
	case DUEL_IDLE:
	case DUEL_PHASE_COUNT:
		break;
	}
	return 0;
}

/* From when on the game's silence counts. */
static uint64_t silent_since_ms(const struct duel_cycle *cycle)
{
	return later(cycle->duel.fight_start_ms, later(cycle->heard_ms, cycle->listening_ms));
}

const char *duel_silence(const struct duel_cycle *cycle, uint64_t now_ms)
{
	uint64_t silence_ms = cycle->times.silence_ms;
	bool silent = cycle->duel.present && cycle->duel.phase == DUEL_FIGHTING &&
	              silence_ms != 0 && now_ms >= silent_since_ms(cycle) + silence_ms / 2;
	return silent ? "source_silent" : NULL;
}

static uint64_t silence_due_ms(const struct duel_cycle *cycle)
{
	uint64_t silence_ms = cycle->times.silence_ms;
	return silence_ms != 0 ? silent_since_ms(cycle) + silence_ms : UINT64_MAX;
}

/* When points decide; UINT64_MAX: not before the game has said something. */
static uint64_t fight_over_ms(const struct duel_cycle *cycle)
{
	const struct duel_times *t = &cycle->times;
	uint64_t end_ms = cycle->duel.fight_start_ms + t->fight_ms + t->end_warning_ms;
	uint64_t heard_ms = later(cycle->heard_ms, cycle->duel.fight_start_ms);
	bool lives = t->silence_ms == 0 || heard_ms + t->silence_ms / 6 >= end_ms;
	return lives ? later(end_ms, cycle->grace_until_ms) : UINT64_MAX;
}

/* A fight ends by time, or by silence. */
static uint64_t fight_due_ms(const struct duel_cycle *cycle)
{
	uint64_t end_ms = cycle->scheduled ? fight_over_ms(cycle)
	                                   : later(watchdog_ms(cycle), cycle->grace_until_ms);
	uint64_t silence_ms = silence_due_ms(cycle);
	return silence_ms < end_ms ? silence_ms : end_ms;
}

uint64_t duel_due_ms(const struct duel_cycle *cycle)
{
	const struct duel *d = &cycle->duel;
	const struct duel_times *t = &cycle->times;
	if (!d->present)
		return cycle->next.present ? cycle->idle_since_ms + t->pause_ms : UINT64_MAX;
	if (d->phase == DUEL_IDLE)
		return 0; /* cancelled: to be forgotten at once */
	if (d->phase == DUEL_FIGHTING)
		return fight_due_ms(cycle);
	if (!cycle->scheduled)
		return later(watchdog_ms(cycle), cycle->grace_until_ms);
	switch (d->phase) {
	case DUEL_ANNOUNCEMENT:
		return positions_valid(d) ? d->bet_close_ms
		                          : later(watchdog_ms(cycle), cycle->grace_until_ms);
	case DUEL_COUNTDOWN:
		return d->fight_planned_ms;
	case DUEL_RESOLUTION:
		return d->phase_start_ms + t->resolution_ms;
	case DUEL_FIGHTING:
	case DUEL_IDLE:
	case DUEL_PHASE_COUNT:
		break;
	}
	return UINT64_MAX;
}

void duel_clock_moved(struct duel_cycle *cycle, int64_t step_ms)
{
	struct duel *d = &cycle->duel;
	cycle->idle_since_ms = clock_moved_ms(cycle->idle_since_ms, step_ms);
	cycle->heard_ms = clock_moved_ms(cycle->heard_ms, step_ms);
	if (step_ms < 0)
		cycle->grace_until_ms = clock_moved_ms(cycle->grace_until_ms, step_ms);
	if (!d->present)
		return;
	d->phase_start_ms = clock_moved_ms(d->phase_start_ms, step_ms);
	if (d->outcome != DUEL_OUTCOME_NONE)
		return;
	d->cycle_start_ms = clock_moved_ms(d->cycle_start_ms, step_ms);
	d->fight_planned_ms = clock_moved_ms(d->fight_planned_ms, step_ms);
	d->fight_start_ms = clock_moved_ms(d->fight_start_ms, step_ms);
	if (step_ms > 0)
		return;
	d->bet_open_ms = clock_moved_ms(d->bet_open_ms, step_ms);
	d->bet_close_ms = clock_moved_ms(d->bet_close_ms, step_ms);
}

static void watchdog(struct duel_cycle *cycle, uint64_t now_ms)
{
	static const char *const reasons[DUEL_PHASE_COUNT] = {
	        [DUEL_ANNOUNCEMENT] = "watchdog_announcement_timeout",
	        [DUEL_COUNTDOWN] = "watchdog_countdown_timeout",
	        [DUEL_FIGHTING] = "watchdog_fighting_timeout",
	};
	if (cycle->duel.phase == DUEL_RESOLUTION)
		forget(cycle, now_ms); /* it has ended well; only its last phase was never closed */
	else
		cancel(cycle, reasons[cycle->duel.phase], now_ms);
}

bool duel_tick(struct duel_cycle *cycle, uint64_t now_ms, const uint8_t random[16])
{
	struct duel *d = &cycle->duel;
	cycle->ended = false;
	if (now_ms < duel_due_ms(cycle))
		return false;
	if (!d->present) {
		begin(cycle, &cycle->next, cycle->next_snapshot, now_ms, random);
		cycle->next = (struct duel_pair){0};
		memset(cycle->next_snapshot, 0, sizeof cycle->next_snapshot);
		return true;
	}
	if (d->phase == DUEL_FIGHTING && silence_due_ms(cycle) <= fight_due_ms(cycle)) {
		cancel(cycle, "source_silent", now_ms);
		return true;
	}
	if (d->phase != DUEL_IDLE && !cycle->scheduled) {
		watchdog(cycle, now_ms);
		return true;
	}
	switch (d->phase) {
	case DUEL_ANNOUNCEMENT:
		if (positions_valid(d))
			begin_countdown(cycle, 0, now_ms);
		else
			cancel(cycle, "contestant_prep_failed", now_ms);
		break;
	case DUEL_COUNTDOWN:
		begin_fight(cycle, now_ms);
		break;
	case DUEL_FIGHTING:
		decide(cycle, true, now_ms);
		break;
	case DUEL_IDLE:
	case DUEL_RESOLUTION:
	case DUEL_PHASE_COUNT:
		forget(cycle, now_ms);
		break;
	}
	return true;
}

/* ---- facts ---- */

static enum duel_result refuse(enum duel_result result, char reason[160], const char *text)
{
	snprintf(reason, 160, "%s", text);
	return result;
}

static int agent_index(const struct duel *d, const char *id)
{
	return strcmp(d->agents[0].id, id) == 0 ? 0 : strcmp(d->agents[1].id, id) == 0 ? 1 : -1;
}

static enum duel_result on_cycle(struct duel_cycle *cycle, const struct duel_fact *fact,
                                 uint64_t now_ms, const uint8_t random[16], char reason[160])
{
	const struct duel_agent *a = fact->pair.agents;
	if (strcmp(a[0].id, a[1].id) == 0)
		return refuse(DUEL_UNSUITABLE, reason, "agent1 and agent2 have the same id");
	for (size_t i = 0; i < 2; i++)
		if (!agent_valid(&a[i]))
			return refuse(
			        DUEL_UNSUITABLE, reason,
			        "a contestant needs a name, maxHp above 0, and hp from 0 to maxHp");
	if (cycle->scheduled) {
		cycle->next = fact->pair;
		cycle->next.present = true;
		memset(cycle->next_snapshot, 0, sizeof cycle->next_snapshot);
		if (fact->snapshot != NULL)
			snprintf(cycle->next_snapshot, sizeof cycle->next_snapshot, "%s",
			         fact->snapshot);
		return DUEL_OK;
	}
	if (cycle->duel.present)
		return refuse(DUEL_CONFLICT, reason, "a duel is under way");
	begin(cycle, &fact->pair, fact->snapshot, now_ms, random);
	return DUEL_OK;
}

static enum duel_result on_phase(struct duel_cycle *cycle, const struct duel_fact *fact,
                                 uint64_t now_ms, char reason[160])
{
	struct duel *d = &cycle->duel;
	if (cycle->scheduled)
		return refuse(DUEL_CONFLICT, reason,
		              "this feed is scheduled: Ringside changes its phases");
	if (fact->phase == d->phase)
		return DUEL_OK;
	if (fact->phase == DUEL_COUNTDOWN && d->phase == DUEL_ANNOUNCEMENT) {
		if (fact->fight_planned_ms != 0 &&
		    (fact->fight_planned_ms < now_ms || fact->fight_planned_ms > now_ms + 3600000))
			return refuse(DUEL_UNSUITABLE, reason,
			              "fightStartTime is past, or over an hour away");
		begin_countdown(cycle, fact->fight_planned_ms, now_ms);
	} else if (fact->phase == DUEL_FIGHTING && d->phase == DUEL_COUNTDOWN) {
		begin_fight(cycle, now_ms);
	} else if (fact->phase == DUEL_IDLE && d->phase == DUEL_RESOLUTION) {
		forget(cycle, now_ms);
	} else {
		snprintf(reason, 160, "no way from %s to %s%s", duel_phase_name(d->phase),
		         duel_phase_name(fact->phase),
		         fact->phase == DUEL_IDLE ? ": to cancel a duel, post abort" : "");
		return DUEL_CONFLICT;
	}
	return DUEL_OK;
}

static enum duel_result on_damage(struct duel *d, const struct duel_fact *fact, char reason[160])
{
	int attacker = agent_index(d, fact->agent_id[0]);
	if (attacker < 0)
		return refuse(DUEL_UNSUITABLE, reason, "attackerId is neither contestant");
	if (d->phase != DUEL_FIGHTING)
		return refuse(DUEL_CONFLICT, reason, "damage counts in FIGHTING only");
	struct duel_agent *target = &d->agents[!attacker];
	if (fact->hp_present && fact->hp > target->hp_max)
		return refuse(DUEL_UNSUITABLE, reason, "targetHp is above its maxHp");
	if (d->agents[attacker].damage + fact->amount > DUEL_NUMBER_MAX)
		return refuse(DUEL_UNSUITABLE, reason,
		              "the damage of this fight is beyond all measure");
	d->agents[attacker].damage += fact->amount;
	target->hp = fact->hp_present ? fact->hp : fmax(0, target->hp - fact->amount);
	return DUEL_OK;
}

static enum duel_result on_contestant(struct duel *d, const struct duel_fact *fact,
                                      char reason[160])
{
	int index = agent_index(d, fact->agent_id[0]);
	if (index < 0)
		return refuse(DUEL_UNSUITABLE, reason, "id is neither contestant");
	struct duel_agent next = d->agents[index];
	duel_agent_update(&next, &fact->update, fact->update_members);
	if (!(next.hp_max > 0) || next.hp < 0 || next.hp > next.hp_max)
		return refuse(DUEL_UNSUITABLE, reason,
		              "hp must be from 0 to maxHp, and maxHp above 0");
	d->agents[index] = next;
	return DUEL_OK;
}

/* Somebody is out: dead, gone, or given up. */
static enum duel_result on_lost(struct duel_cycle *cycle, const struct duel_fact *fact,
                                uint64_t now_ms, char reason[160])
{
	struct duel *d = &cycle->duel;
	bool both = fact->kind == DUEL_FACT_DEATH && *fact->agent_id[1] != '\0';
	int lost = agent_index(d, fact->agent_id[0]);
	if (lost < 0 || (both && agent_index(d, fact->agent_id[1]) != !lost))
		return refuse(DUEL_UNSUITABLE, reason,
		              "an id is no contestant, or names one twice");
	if (d->phase == DUEL_ANNOUNCEMENT) {
		cancel(cycle, both ? "both_agents_lost_during_prep" : "agent_lost_before_fight",
		       now_ms);
		return DUEL_OK;
	}
	memcpy(d->detail, fact->detail, sizeof d->detail);
	if (fact->kind == DUEL_FACT_DEATH)
		d->agents[lost].hp = 0;
	if (!both) {
		resolve(cycle, !lost,
		        fact->kind == DUEL_FACT_DEATH ? DUEL_BY_KILL : DUEL_BY_FORFEIT, now_ms);
		return DUEL_OK;
	}
	d->agents[!lost].hp = 0;
	decide(cycle, false, now_ms);
	return DUEL_OK;
}

static enum duel_result on_result(struct duel_cycle *cycle, const struct duel_fact *fact,
                                  uint64_t now_ms, char reason[160])
{
	struct duel *d = &cycle->duel;
	int winner = -1;
	if (d->phase != DUEL_FIGHTING)
		return refuse(DUEL_CONFLICT, reason, "a result is possible in FIGHTING only");
	if (fact->outcome == DUEL_OUTCOME_WIN) {
		winner = agent_index(d, fact->agent_id[0]);
		if (winner < 0)
			return refuse(DUEL_UNSUITABLE, reason,
			              "a win needs a winnerId that is a contestant");
		if (fact->win_reason == DUEL_BY_DRAW)
			return refuse(DUEL_UNSUITABLE, reason,
			              "winReason draw contradicts outcome win");
	} else if (*fact->agent_id[0] != '\0' ||
	           (fact->win_reason != DUEL_BY_NONE && fact->win_reason != DUEL_BY_DRAW)) {
		return refuse(DUEL_UNSUITABLE, reason, "a draw has no winner");
	}
	memcpy(d->detail, fact->detail, sizeof d->detail);
	memcpy(d->seed, fact->seed, sizeof d->seed);
	memcpy(d->replay_hash, fact->replay_hash, sizeof d->replay_hash);
	resolve(cycle, winner,
	        winner < 0                         ? DUEL_BY_DRAW
	        : fact->win_reason == DUEL_BY_NONE ? DUEL_BY_KILL
	                                           : fact->win_reason,
	        now_ms);
	return DUEL_OK;
}

static enum duel_result on_duel(struct duel_cycle *cycle, const struct duel_fact *fact,
                                uint64_t now_ms, char reason[160])
{
	struct duel *d = &cycle->duel;
	if (!d->present)
		return refuse(DUEL_CONFLICT, reason, "there is no duel");
	if (!is_its_id(d, fact->duel_id)) {
		snprintf(reason, 160, "duelId is not that of the present duel, streaming-%s",
		         d->cycle_id);
		return DUEL_CONFLICT;
	}
	if (fact->kind == DUEL_FACT_PHASE)
		return on_phase(cycle, fact, now_ms, reason);
	if (d->outcome != DUEL_OUTCOME_NONE)
		return refuse(DUEL_CONFLICT, reason, "this duel has ended");
	switch (fact->kind) {
	case DUEL_FACT_POSITIONS:
		if (memcmp(fact->positions[0], fact->positions[1], sizeof fact->positions[0]) == 0)
			return refuse(DUEL_UNSUITABLE, reason,
			              "both contestants stand on the same spot");
		memcpy(d->positions, fact->positions, sizeof d->positions);
		d->positions_present = true;
		return DUEL_OK;
	case DUEL_FACT_DAMAGE:
		return on_damage(d, fact, reason);
	case DUEL_FACT_CONTESTANT:
		return on_contestant(d, fact, reason);
	case DUEL_FACT_DEATH:
	case DUEL_FACT_FORFEIT:
		return on_lost(cycle, fact, now_ms, reason);
	case DUEL_FACT_RESULT:
		return on_result(cycle, fact, now_ms, reason);
	case DUEL_FACT_ABORT:
		cancel(cycle, fact->reason, now_ms);
		return DUEL_OK;
	case DUEL_FACT_SCENE:
		snprintf(d->scene, sizeof d->scene, "%s", fact->scene);
		return DUEL_OK;
	case DUEL_FACT_CYCLE:
	case DUEL_FACT_PHASE:
	case DUEL_FACT_ALIVE:
		break;
	}
	check(false);
}

enum duel_result duel_apply(struct duel_cycle *cycle, const struct duel_fact *fact, uint64_t now_ms,
                            const uint8_t random[16], char reason[160])
{
	cycle->ended = false;
	switch (fact->kind) {
	case DUEL_FACT_CYCLE:
		return on_cycle(cycle, fact, now_ms, random, reason);
	case DUEL_FACT_ALIVE:
		return DUEL_OK; /* that it came is what it says */
	case DUEL_FACT_PHASE:
	case DUEL_FACT_POSITIONS:
	case DUEL_FACT_DAMAGE:
	case DUEL_FACT_CONTESTANT:
	case DUEL_FACT_DEATH:
	case DUEL_FACT_FORFEIT:
	case DUEL_FACT_RESULT:
	case DUEL_FACT_ABORT:
	case DUEL_FACT_SCENE:
		break;
	}
	return on_duel(cycle, fact, now_ms, reason);
}
