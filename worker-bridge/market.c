#include "worker-bridge/market.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/hex.h"
#include "common/store/record.h"

#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKET_NAME(NAME, text) text,
static const char *const state_names[] = {MARKET_STATES(MARKET_NAME)};
static const char *const step_names[] = {MARKET_STEPS(MARKET_NAME)};
#undef MARKET_NAME

const char *market_state_name(enum market_state state)
{
	return state_names[state];
}

const char *market_step_name(enum market_step step)
{
	return step_names[step];
}

void market_key(const char *feed, const char *duel_id, char key[MARKET_KEY_ROOM])
{
	snprintf(key, MARKET_KEY_ROOM, "market/%s/%s", feed, duel_id);
}

/* ---- records ---- */

/* What decides who is paid is needed: a default would be somebody's loss. "entered": asking a
 * receiver to create a market that he has is harmless, not asking him to cancel one is not.
 * "unknown": he is asked for his view first. So both are taken for true by default. */
#define FIELD(name, member) RECORD_MEMBER(name, struct market, member)
#define RECEIPT(step, NAME)                                                                        \
	{FIELD(step "Transaction", receipts[MARKET_EFFECT_##NAME].reference), .sparse = true},     \
	{                                                                                          \
		FIELD(step "Slot", receipts[MARKET_EFFECT_##NAME].place), .sparse = true           \
	}
static const struct record_field fields[] = {
        {RECORD_ENUM("state", struct market, state, state_names), RECORD_NEEDED},
        {RECORD_ENUM("step", struct market, step, step_names)},
        {FIELD("entered", entered), .standard = true},
        {FIELD("unknown", attempt.unknown), .standard = true},
        {FIELD("feed", feed), RECORD_NEEDED},
        {FIELD("duelId", duel_id), RECORD_NEEDED},
        {FIELD("cycleId", cycle_id)},
        {FIELD("duelKey", duel_key), RECORD_NEEDED},
        {FIELD("operator", operator), RECORD_NEEDED},
        {FIELD("agent1Id", agent_id[0]), RECORD_NEEDED},
        {FIELD("agent1Name", agent_name[0])},
        {FIELD("agent2Id", agent_id[1]), RECORD_NEEDED},
        {FIELD("agent2Name", agent_name[1])},
        {FIELD("outcome", outcome), RECORD_NEEDED},
        {FIELD("winnerSide", side), RECORD_NEEDED},
        {FIELD("reason", reason)},
        {FIELD("seed", seed)},
        {FIELD("replayHash", replay_hash)},
        {FIELD("fingerprint", fingerprint), RECORD_NEEDED},
        {FIELD("error", error)},
        {FIELD("betOpenTime", bet_open_ms)},
        {FIELD("plannedFightStartTime", fight_planned_ms), .sparse = true},
        {FIELD("duelEndTime", duel_end_ms), .sparse = true},
        {FIELD("betCloseTime", bet_close_ms), RECORD_NEEDED},
        {FIELD("createdAt", created_ms)},
        {FIELD("openedAt", opened_ms), RECORD_NEEDED},
        {FIELD("lockedAt", locked_ms), RECORD_NEEDED},
        {FIELD("settledAt", settled_ms), RECORD_NEEDED},
        {FIELD("poolA", pool[0]), RECORD_NEEDED},
        {FIELD("poolB", pool[1]), RECORD_NEEDED},
        {FIELD("bets", bets), RECORD_NEEDED},
        {FIELD("settledBets", settled_bets), RECORD_NEEDED},
        {FIELD("paid", paid), RECORD_NEEDED},
        {FIELD("feePpm", fee_ppm), .max = 1000000},
        {FIELD("attempts", attempt.number)},
        {FIELD("attemptedAt", attempt.at_ms)},
        {FIELD("nextAttemptAt", attempt.next_ms)},
        {FIELD("attemptReference", attempt.reference), .sparse = true},
        {FIELD("attemptExpires", attempt.expires), .sparse = true},
        {FIELD("attemptData", attempt.data), .sparse = true},
        {FIELD("stepPart", attempt.part), .sparse = true},
        {FIELD("notBefore", attempt.not_before_ms), .sparse = true},
        RECEIPT("create", CREATE),
        RECEIPT("lock", LOCK),
        RECEIPT("propose", PROPOSE),
        RECEIPT("resolve", RESOLVE),
        RECEIPT("cancel", CANCEL),
        {FIELD("forgottenBets", forgotten_bets), .sparse = true},
        {FIELD("outcomeAt", outcome_ms), .sparse = true},
        {FIELD("settleAfter", settle_after_ms), .sparse = true},
};
#undef RECEIPT
#undef FIELD
static const struct record record = {RECORD_FIELDS(fields)};

json_t *market_record(const struct market *m)
{
	json_t *o = json_object();
	record_write(&record, m, o);
	return o;
}

bool market_read(struct market *m, const json_t *o)
{
	*m = (struct market){0};
	return record_read(&record, o, m) == ROW_PRESENT && m->settled_bets <= m->bets &&
	       m->forgotten_bets <= m->bets;
}

/* ---- what frames say ---- */

/* null and "" are alike here. False: it does not fit. */
static bool take(const json_t *o, const char *name, char *into, size_t room)
{
	const char *value = json_string_value(json_object_get(o, name));
	return (size_t)snprintf(into, room, "%s", value != NULL ? value : "") < room;
}

static uint64_t time_of(const json_t *frame, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(frame, name));
	return value > 0 ? (uint64_t)value : 0;
}

bool market_begin(struct market *m, const char *feed, const char *operator, const json_t * frame,
                  uint64_t now_ms)
{
	const json_t *agents[] = {json_object_get(frame, "agent1"),
	                          json_object_get(frame, "agent2")};
	*m = (struct market){.created_ms = now_ms};
	snprintf(m->feed, sizeof m->feed, "%s", feed);
	snprintf(m->operator, sizeof m->operator, "%s", operator);
	if (!json_is_string(json_object_get(frame, "duelId")) || !json_is_object(agents[0]) ||
	    !json_is_object(agents[1]))
		return false;
	for (size_t i = 0; i < 2; i++)
		if (!take(agents[i], "id", m->agent_id[i], sizeof m->agent_id[i]) ||
		    !take(agents[i], "name", m->agent_name[i], sizeof m->agent_name[i]) ||
		    *m->agent_id[i] == '\0')
			return false;
	m->bet_open_ms = time_of(frame, "betOpenTime");
	m->bet_close_ms = time_of(frame, "betCloseTime");
	m->fight_planned_ms = time_of(frame, "plannedFightStartTime");
	return take(frame, "duelId", m->duel_id, sizeof m->duel_id) &&
	       take(frame, "cycleId", m->cycle_id, sizeof m->cycle_id) &&
	       take(frame, "duelKey", m->duel_key, sizeof m->duel_key) && m->bet_close_ms > 0;
}

void market_refuse(struct market *m, const char *why)
{
	check(m->state == MARKET_CREATED && !m->entered);
	snprintf(m->outcome, sizeof m->outcome, "cancelled");
	snprintf(m->reason, sizeof m->reason, "not_opened");
	snprintf(m->error, sizeof m->error, "%s", why);
}

static const char manual[] = "manual";

/* Everything that decides who is paid. */
static void fingerprint(const struct market *m, const struct market *told, char out[65])
{
	char text[2048];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	int len = snprintf(text, sizeof text, "%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s", m->duel_id,
	                   m->duel_key, m->agent_id[0], m->agent_id[1], told->outcome, told->side,
	                   told->reason, told->seed, told->replay_hash);
	check(len > 0 && (size_t)len < sizeof text);
	SHA256((const uint8_t *)text, (size_t)len, digest);
	hex_print(digest, sizeof digest, out);
}

/* NULL, or why the outcome cannot be believed. */
static const char *read_outcome(struct market *told, const struct market *m, const json_t *frame)
{
	char winner[DUEL_ID_MAX + 1];
	*told = (struct market){0};
	if (!take(frame, "outcome", told->outcome, sizeof told->outcome) ||
	    !take(frame, "seed", told->seed, sizeof told->seed) ||
	    !take(frame, "replayHash", told->replay_hash, sizeof told->replay_hash) ||
	    !take(frame, "winnerId", winner, sizeof winner))
		return "the terminal frame is malformed";
	bool win = strcmp(told->outcome, "win") == 0;
	take(frame, win ? "winReason" : "cancellationReason", told->reason, sizeof told->reason);
	if (!win)
		return strcmp(told->outcome, "draw") == 0 || strcmp(told->outcome, "cancelled") == 0
		               ? NULL
		               : "the terminal frame has no outcome that is known";
	for (size_t i = 0; i < 2; i++)
		if (strcmp(winner, m->agent_id[i]) == 0)
			memcpy(told->side, i == 0 ? "A" : "B", 2);
	return *told->side == '\0'          ? "the winner is neither contestant"
	       : *told->replay_hash == '\0' ? "a win without a replay hash"
	                                    : NULL;
}

/* Of two outcomes; a person's is about who is paid, and knows of no seed or hash. */
static bool agree(const struct market *m, const struct market *told, const char print[65])
{
	return strcmp(m->fingerprint, print) == 0 ||
	       (strcmp(m->reason, manual) == 0 && strcmp(m->outcome, told->outcome) == 0 &&
	        strcmp(m->side, told->side) == 0);
}

static bool see_outcome(struct market *m, const json_t *frame)
{
	struct market told;
	char print[65];
	const char *why = read_outcome(&told, m, frame);
	fingerprint(m, &told, print);
	if (*m->fingerprint != '\0') {
		if (agree(m, &told, print))
			return false;
		why = "a second, different outcome of this duel";
	}
	if (why != NULL) {
		bool news = strcmp(m->error, why) != 0;
		if (market_paid(m))
			snprintf(m->error, sizeof m->error, "%s",
			         why); /* it stays; somebody has to know */
		else
			market_review(m, why);
		return news;
	}
	memcpy(m->outcome, told.outcome, sizeof m->outcome);
	memcpy(m->side, told.side, sizeof m->side);
	memcpy(m->reason, told.reason, sizeof m->reason);
	memcpy(m->seed, told.seed, sizeof m->seed);
	memcpy(m->replay_hash, told.replay_hash, sizeof m->replay_hash);
	memcpy(m->fingerprint, print, sizeof print);
	m->duel_end_ms = time_of(frame, "duelEndTime");
	return true;
}

bool market_see(struct market *m, const json_t *frame, uint64_t now_ms, uint64_t delay_ms)
{
	uint64_t close_ms = time_of(frame, "betCloseTime");
	bool changed = false;
	/* A close time may come nearer, never go away: bets were taken under it. */
	if (close_ms != 0 && close_ms < m->bet_close_ms && m->state <= MARKET_OPEN) {
		m->bet_close_ms = close_ms;
		changed = true;
	}
	if (json_is_true(json_object_get(frame, "terminal")))
		changed = see_outcome(m, frame) || changed;
	if (*m->outcome != '\0' && m->outcome_ms == 0 && !market_paid(m)) {
		m->outcome_ms = now_ms;
		m->settle_after_ms = delay_ms != 0 ? now_ms + delay_ms : 0;
	}
	return changed;
}

/* ---- what is due ---- */

bool market_is_manual(const struct market *m)
{
	return strcmp(m->reason, manual) == 0;
}

bool market_paid(const struct market *m)
{
	return m->state == MARKET_RESOLVED || m->state == MARKET_CANCELLED || m->settled_bets > 0;
}

const char *market_payout(const struct market *m, const char **reason)
{
	bool won = strcmp(m->outcome, "win") == 0, ours = strcmp(m->operator, "ledger") == 0;
	*reason = "";
	if (*m->outcome == '\0')
		return NULL;
	if (ours && m->pool[0] + m->pool[1] == 0) {
		*reason = "no_bets";
		return "none";
	}
	if (won && (!ours || m->pool[*m->side == 'B'] > 0))
		return "paid";
	*reason = won ? "nobody_backed_winner" : m->reason;
	return "refunded";
}

void market_put_payout(const struct market *m, json_t *into)
{
	bool settled = m->state == MARKET_RESOLVED || m->state == MARKET_CANCELLED;
	const char *reason = "", *payout = settled ? market_payout(m, &reason) : NULL;
	json_object_set_new(into, "payout", payout != NULL ? json_string(payout) : json_null());
	json_object_set_new(into, "payoutReason",
	                    *reason != '\0' ? json_string(reason) : json_null());
}

double market_odds(const struct market *m, unsigned side)
{
	double total = (double)(m->pool[0] + m->pool[1]) * (1 - (double)m->fee_ppm / 1e6);
	return m->pool[side] != 0 ? round(total / (double)m->pool[side] * 1e4) / 1e4 : 0;
}

bool market_takes_bets(const struct market *m, uint64_t now_ms)
{
	return m->state == MARKET_OPEN && now_ms < m->bet_close_ms && *m->outcome == '\0';
}

enum market_step market_next(const struct market *m, uint64_t now_ms, uint64_t *due_ms)
{
	bool known = *m->outcome != '\0', won = strcmp(m->outcome, "win") == 0;
	/* A clock that was set back ends the wait. */
	bool wait = m->settle_after_ms != 0 &&
	            !backoff_over(m->outcome_ms, m->settle_after_ms, 0, now_ms);
	*due_ms = wait ? m->settle_after_ms : UINT64_MAX;
	switch (m->state) {
	case MARKET_CREATED:
		/* A market that nobody could bet on is not opened in hindsight. */
		if (!m->entered && (known || now_ms >= m->bet_close_ms))
			return known ? MARKET_STEP_CANCEL : MARKET_STEP_NONE;
		return MARKET_STEP_CREATE;
	case MARKET_OPEN:
		/* One step at a time: a lock that may be on its way is ended first. */
		if (m->step == MARKET_STEP_LOCK && m->attempt.unknown)
			return MARKET_STEP_LOCK;
		if (known && !won)
			return wait ? MARKET_STEP_NONE : MARKET_STEP_CANCEL;
		if (won || now_ms >= m->bet_close_ms)
			return MARKET_STEP_LOCK;
		*due_ms = m->bet_close_ms;
		return MARKET_STEP_NONE;
	case MARKET_LOCKED:
		if (wait)
			return MARKET_STEP_NONE;
		return !known ? MARKET_STEP_NONE : won ? MARKET_STEP_RESOLVE : MARKET_STEP_CANCEL;
	case MARKET_RESOLVING:
		return !known ? MARKET_STEP_NONE : won ? MARKET_STEP_RESOLVE : MARKET_STEP_CANCEL;
	case MARKET_RESOLVED:
	case MARKET_CANCELLED:
	case MARKET_MANUAL_REVIEW:
	case MARKET_STATE_COUNT:
		break;
	}
	return MARKET_STEP_NONE;
}

void market_start(struct market *m, enum market_step step)
{
	if (m->step != step) {
		m->step = step;
		if (m->attempt.number > 0)
			*m->error = '\0';
		/* What was sent for another step is no part of this one; its doubt is. */
		m->attempt = (struct market_attempt){.unknown = m->attempt.unknown};
	}
	if (step == MARKET_STEP_CREATE)
		m->entered = true;
	if (step == MARKET_STEP_RESOLVE || step == MARKET_STEP_CANCEL)
		m->state = MARKET_RESOLVING;
}

void market_done(struct market *m, enum market_step step, uint64_t now_ms)
{
	switch (step) {
	case MARKET_STEP_CREATE:
		check(m->state == MARKET_CREATED);
		m->state = MARKET_OPEN;
		m->opened_ms = now_ms;
		break;
	case MARKET_STEP_LOCK:
		check(m->state == MARKET_OPEN);
		m->state = MARKET_LOCKED;
		m->locked_ms = now_ms;
		break;
	case MARKET_STEP_RESOLVE:
		check(m->state == MARKET_RESOLVING);
		m->state = MARKET_RESOLVED;
		m->settled_ms = now_ms;
		break;
	case MARKET_STEP_CANCEL:
		check(m->state == MARKET_RESOLVING);
		m->state = MARKET_CANCELLED;
		m->settled_ms = now_ms;
		break;
	case MARKET_STEP_NONE:
	case MARKET_STEP_COUNT:
		check(false);
	}
	m->step = MARKET_STEP_NONE;
	if (m->attempt.number > 0)
		*m->error = '\0'; /* an attempt's; a conflict that was seen during the payment is
		                     kept */
	m->attempt = (struct market_attempt){0};
}

enum market_effect market_effect_of(enum market_step step, bool whole)
{
	switch (step) {
	case MARKET_STEP_CREATE:
		return MARKET_EFFECT_CREATE;
	case MARKET_STEP_LOCK:
		return MARKET_EFFECT_LOCK;
	case MARKET_STEP_RESOLVE:
		return whole ? MARKET_EFFECT_RESOLVE : MARKET_EFFECT_PROPOSE;
	case MARKET_STEP_CANCEL:
		return MARKET_EFFECT_CANCEL;
	case MARKET_STEP_NONE:
	case MARKET_STEP_COUNT:
		break;
	}
	check(false);
}

void market_receive(struct market *m, enum market_effect effect,
                    const struct market_receipt *receipt)
{
	m->receipts[effect] = *receipt;
}

const struct market_receipt *market_last_receipt(const struct market *m)
{
	for (size_t i = MARKET_EFFECT_COUNT; i-- > 0;)
		if (*m->receipts[i].reference != '\0')
			return &m->receipts[i];
	return NULL;
}

void market_review(struct market *m, const char *why)
{
	m->state = MARKET_MANUAL_REVIEW;
	m->step = MARKET_STEP_NONE;
	if (why != m->error)
		snprintf(m->error, sizeof m->error, "%s", why);
}

/* Where it stood before it came under review follows from what has been done. */
static enum market_state state_before(const struct market *m)
{
	return m->locked_ms != 0 ? MARKET_LOCKED : m->opened_ms != 0 ? MARKET_OPEN : MARKET_CREATED;
}

void market_retry(struct market *m)
{
	check(m->state == MARKET_MANUAL_REVIEW);
	m->state = state_before(m);
	m->step = MARKET_STEP_NONE;
	m->attempt.number = m->attempt.at_ms = m->attempt.next_ms = 0;
	*m->error = '\0';
}

void market_decide(struct market *m, const char *outcome, const char *side)
{
	market_retry(m);
	snprintf(m->outcome, sizeof m->outcome, "%s", outcome);
	snprintf(m->side, sizeof m->side, "%s", side);
	snprintf(m->reason, sizeof m->reason, "%s", manual);
	m->settle_after_ms = 0;
	/* Who would not create it is asked to cancel it, not to create it again. */
	if (m->state == MARKET_CREATED && m->entered && strcmp(outcome, "win") != 0)
		m->state = MARKET_RESOLVING;
	struct market told = *m;
	fingerprint(m, &told, m->fingerprint);
}
