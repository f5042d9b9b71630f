#include "worker-bridge/solana_plan.h"
#include "common/base/check.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- facts ---- */

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hash(const char *text, uint8_t out[32])
{
	uint8_t any = 0;
	if (strlen(text) != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
		any |= out[i];
	}
	return any != 0;
}

static void participant(const char *id, uint8_t out[32])
{
	char text[64 + DUEL_ID_MAX];
	int len = snprintf(text, sizeof text, "hyperscape:duel-arena:participant:%s", id);
	check(len > 0 && (size_t)len < sizeof text);
	SHA256((const uint8_t *)text, (size_t)len, out);
}

/* As the programs' other clients do: over a text that says what was decided. */
static void result_hash(const struct market *m, uint8_t out[32])
{
	char text[320];
	int len = snprintf(text, sizeof text,
	                   "{\"duelKeyHex\":\"%s\",\"winnerSide\":\"%s\",\"seed\":\"%s\","
	                   "\"replayHashHex\":\"%s\"}",
	                   m->duel_key, m->side, m->seed, m->replay_hash);
	check(len > 0 && (size_t)len < sizeof text);
	SHA256((const uint8_t *)text, (size_t)len, out);
}

static bool read_seed(const char *text, uint64_t *seed)
{
	char *end;
	size_t len = strspn(text, "0123456789");
	*seed = strtoull(text, &end, 10);
	return text[len] == '\0' &&
	       (len < 20 || (len == 20 && strcmp(text, "18446744073709551615") <= 0));
}

/* Seconds, as the programs insist on them: positive, the close after the opening, the start not
 * before the close. */
static void take_times(const struct market *m, struct solana_duel *duel)
{
	int64_t open_s = (int64_t)(m->bet_open_ms / 1000),
	        close_s = (int64_t)(m->bet_close_ms / 1000),
	        start_s = (int64_t)(m->fight_planned_ms / 1000);
	if (open_s < 1)
		open_s = m->created_ms >= 2000 ? (int64_t)(m->created_ms / 1000) : 1;
	if (close_s <= open_s && close_s > 1)
		open_s = close_s - 1;
	duel->open_s = open_s;
	duel->close_s = close_s > open_s ? close_s : open_s + 1;
	duel->start_s = start_s > duel->close_s ? start_s : duel->close_s;
}

static const char *take_result(const struct market *m, struct solana_facts *facts)
{
	uint64_t end_ms = m->duel_end_ms != 0 ? m->duel_end_ms : m->outcome_ms;
	facts->won = strcmp(m->outcome, "win") == 0;
	if (!facts->won)
		return NULL;
	if (!read_hash(m->replay_hash, facts->result.replay_hash))
		return "a win whose replay hash is no 32 bytes in hexadecimal, or zero";
	if (!read_seed(m->seed, &facts->result.seed))
		return "a win whose seed is no number of 64 bits";
	result_hash(m, facts->result.result_hash);
	facts->result.winner = *m->side == 'A' ? SOLANA_SIDE_A : SOLANA_SIDE_B;
	facts->result.end_s = (int64_t)(end_ms / 1000);
	return NULL;
}

const char *solana_facts_of(const struct market *m, const char *base, struct solana_facts *facts)
{
	*facts = (struct solana_facts){.opened = m->opened_ms != 0, .manual = market_is_manual(m)};
	if (!read_hash(m->duel_key, facts->duel.key))
		return "the duel's key is no 32 bytes in hexadecimal, or zero";
	participant(m->agent_id[0], facts->duel.participant[0]);
	participant(m->agent_id[1], facts->duel.participant[1]);
	take_times(m, &facts->duel);
	if (*base != '\0' && snprintf(facts->uri, sizeof facts->uri, "%s/v1/oracle/%s", base,
	                              m->duel_id) >= (int)sizeof facts->uri)
		*facts->uri = '\0';
	return take_result(m, facts);
}

/* ---- the plan ---- */

struct making {
	const struct solana_facts *facts;
	const struct solana_seen *seen;
	const struct solana_places *places;
	const struct solana_address *who;
	struct solana_plan *plan;
	int64_t close_s; /* as the chain has it, once the plan is carried out */
};

static struct solana_instruction *next(struct making *making)
{
	check(making->plan->count < SOLANA_PLAN_MAX);
	return &making->plan->instructions[making->plan->count++];
}

static void never(struct making *making, const char *why)
{
	making->plan->verdict = SOLANA_NEVER;
	making->plan->why = why;
}

static void disputed(struct making *making)
{
	making->plan->verdict = SOLANA_DISPUTED;
	making->plan->why = "the result that was proposed was challenged";
}

static void took(struct making *making)
{
	making->plan->verdict = SOLANA_TOOK;
}

static void upsert(struct making *making, enum solana_duel_status status)
{
	struct solana_duel duel = making->facts->duel;
	duel.status = status;
	solana_upsert_duel(next(making), making->places, making->who, &duel, making->facts->uri);
	making->close_s = duel.close_s;
}

static void add_market(struct making *making)
{
	if (!making->seen->market_there)
		solana_initialize_market(next(making), making->places, making->who,
		                         making->facts->duel.key);
}

static void sync_market(struct making *making)
{
	solana_sync_market(next(making), making->places);
}

/* Nothing there is as if it were scheduled only. */
static enum solana_duel_status status_of(const struct making *making)
{
	return making->seen->duel_there ? making->seen->duel.status : SOLANA_DUEL_SCHEDULED;
}

static void plan_create(struct making *making)
{
	switch (status_of(making)) {
	case SOLANA_DUEL_SCHEDULED:
		upsert(making, SOLANA_DUEL_OPEN);
		add_market(making);
		return;
	case SOLANA_DUEL_OPEN:
	case SOLANA_DUEL_LOCKED:
		add_market(making);
		if (making->plan->count == 0)
			took(making);
		return;
	case SOLANA_DUEL_PROPOSED:
	case SOLANA_DUEL_CHALLENGED:
	case SOLANA_DUEL_RESOLVED:
	case SOLANA_DUEL_CANCELLED:
	case SOLANA_DUEL_STATUSES:
		never(making, "the chain has a result of this duel, or has cancelled it");
		return;
	}
}

/* What brings it to Locked, where it is not: the close may have come nearer meanwhile. */
static void lock(struct making *making)
{
	if (status_of(making) < SOLANA_DUEL_LOCKED)
		upsert(making, SOLANA_DUEL_LOCKED);
	add_market(making);
}

static void plan_lock(struct making *making)
{
	switch (status_of(making)) {
	case SOLANA_DUEL_SCHEDULED:
	case SOLANA_DUEL_OPEN:
	case SOLANA_DUEL_LOCKED:
		lock(making);
		if (making->seen->market_there &&
		    (making->plan->count > 0 || making->seen->market.status == SOLANA_MARKET_OPEN))
			sync_market(making);
		if (making->plan->count == 0)
			took(making);
		return;
	case SOLANA_DUEL_PROPOSED:
	case SOLANA_DUEL_CHALLENGED:
		took(making); /* it was, before that */
		return;
	case SOLANA_DUEL_RESOLVED:
	case SOLANA_DUEL_CANCELLED:
	case SOLANA_DUEL_STATUSES:
		never(making, "the chain has ended this duel");
		return;
	}
}

static void propose(struct making *making)
{
	struct solana_result result = making->facts->result;
	lock(making);
	/* One that was given up before the bets closed. */
	if (result.end_s < making->close_s)
		result.end_s = making->close_s;
	solana_propose_result(next(making), making->places, making->who, making->facts->duel.key,
	                      &result, making->facts->uri);
	sync_market(making);
}

static bool agrees(const struct making *making, const struct solana_result *told)
{
	const struct solana_result *ours = &making->facts->result;
	return told->winner == ours->winner && told->seed == ours->seed &&
	       memcmp(told->replay_hash, ours->replay_hash, 32) == 0 &&
	       memcmp(told->result_hash, ours->result_hash, 32) == 0;
}

static void finalize(struct making *making, uint64_t part)
{
	const struct solana_duel *duel = &making->seen->duel;
	int64_t window_s = making->seen->config.window_s;
	making->plan->due_s =
	        duel->proposed_s > INT64_MAX - window_s ? INT64_MAX : duel->proposed_s + window_s;
	if (!agrees(making, &duel->proposed)) {
		never(making, "another result was proposed to the chain");
		return;
	}
	if (part == 0) {
		making->plan->verdict = SOLANA_PROPOSED;
		return;
	}
	solana_finalize_result(next(making), making->places, making->who, making->facts->duel.key,
	                       making->facts->uri);
	sync_market(making);
}

/* The programs take no result behind a challenge, whoever decides it: there is no way but the
 * cancel. */
static void challenged(struct making *making)
{
	if (making->facts->manual)
		never(making,
		      "after a challenge the chain takes no result: it can only be cancelled");
	else
		disputed(making);
}

static void plan_resolve(struct making *making, uint64_t part)
{
	const struct solana_seen *seen = making->seen;
	switch (status_of(making)) {
	case SOLANA_DUEL_SCHEDULED:
	case SOLANA_DUEL_OPEN:
	case SOLANA_DUEL_LOCKED:
		propose(making);
		return;
	case SOLANA_DUEL_PROPOSED:
		if (seen->duel.challenged)
			challenged(making);
		else
			finalize(making, part);
		return;
	case SOLANA_DUEL_CHALLENGED:
		challenged(making);
		return;
	case SOLANA_DUEL_RESOLVED:
		if (!agrees(making, &seen->duel.result))
			never(making, "the chain has resolved this duel otherwise");
		else if (seen->market_there && seen->market.status == SOLANA_MARKET_RESOLVED &&
		         seen->market.winner == making->facts->result.winner)
			took(making);
		else
			sync_market(making);
		return;
	case SOLANA_DUEL_CANCELLED:
	case SOLANA_DUEL_STATUSES:
		never(making, "the chain has cancelled this duel");
		return;
	}
}

static void cancel(struct making *making)
{
	solana_cancel_duel(next(making), making->places, making->who, making->facts->duel.key,
	                   making->facts->uri);
	sync_market(making);
}

static void plan_cancel(struct making *making)
{
	const struct solana_seen *seen = making->seen;
	if (!seen->duel_there && !making->facts->opened) {
		took(making); /* the chain never had it */
		return;
	}
	switch (status_of(making)) {
	case SOLANA_DUEL_SCHEDULED:
	case SOLANA_DUEL_OPEN:
	case SOLANA_DUEL_LOCKED:
		if (!seen->market_there)
			lock(making); /* one that is to be cancelled must be there */
		cancel(making);
		return;
	case SOLANA_DUEL_PROPOSED:
	case SOLANA_DUEL_CHALLENGED:
		/* Whoever takes back what was proposed is a person. */
		if (making->facts->manual && seen->market_there)
			cancel(making);
		else if (seen->duel.status == SOLANA_DUEL_CHALLENGED)
			disputed(making);
		else
			never(making, "a result was proposed to the chain before it was cancelled");
		return;
	case SOLANA_DUEL_CANCELLED:
		if (!seen->market_there || seen->market.status == SOLANA_MARKET_CANCELLED)
			took(making);
		else
			sync_market(making);
		return;
	case SOLANA_DUEL_RESOLVED:
	case SOLANA_DUEL_STATUSES:
		never(making, "the chain has resolved this duel");
		return;
	}
}

void solana_plan(const struct solana_facts *facts, const struct solana_seen *seen,
                 const struct solana_places *places, const struct solana_address *who,
                 enum market_step step, uint64_t part, struct solana_plan *plan)
{
	struct making making = {facts, seen, places, who, plan, seen->duel.close_s};
	plan->verdict = SOLANA_TELL;
	plan->why = NULL;
	plan->due_s = 0;
	plan->count = 0;
	if (seen->duel_there && memcmp(seen->duel.participant, facts->duel.participant,
	                               sizeof seen->duel.participant) != 0) {
		never(&making, "the chain has this duel with other contestants");
		return;
	}
	switch (step) {
	case MARKET_STEP_CREATE:
		plan_create(&making);
		return;
	case MARKET_STEP_LOCK:
		plan_lock(&making);
		return;
	case MARKET_STEP_RESOLVE:
		check(facts->won);
		plan_resolve(&making, part);
		return;
	case MARKET_STEP_CANCEL:
		plan_cancel(&making);
		return;
	case MARKET_STEP_NONE:
	case MARKET_STEP_COUNT:
		break;
	}
	check(false);
}
