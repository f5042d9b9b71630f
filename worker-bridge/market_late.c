#include "worker-bridge/market_late.h"

#include <stdio.h>
#include <string.h>

void market_late_key(const char *feed, const char *duel_id, char key[MARKET_LATE_KEY_ROOM])
{
	snprintf(key, MARKET_LATE_KEY_ROOM, "late/%s/%s", feed, duel_id);
}

static uint64_t number(const json_t *from, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(from, name));
	return value > 0 ? (uint64_t)value : 0;
}

/* CREATED of what is none. */
static enum market_state state_of(const json_t *told)
{
	const char *name = json_string_value(json_object_get(told, "state"));
	for (int s = 0; name != NULL && s < MARKET_STATE_COUNT; s++)
		if (strcmp(market_state_name((enum market_state)s), name) == 0)
			return (enum market_state)s;
	return MARKET_CREATED;
}

static void forget_later(uint64_t *at_ms, uint64_t until_ms)
{
	if (*at_ms > until_ms)
		*at_ms = 0;
}

static void forget_outcome(struct market *m)
{
	*m->outcome = *m->side = *m->reason = *m->seed = *m->replay_hash = *m->fingerprint = '\0';
	m->outcome_ms = m->settle_after_ms = m->duel_end_ms = 0;
}

bool market_late(struct market *m, const json_t *told, uint64_t until_ms)
{
	const json_t *pools = json_object_get(told, "pools");
	if (m->created_ms > until_ms)
		return false;
	m->state = state_of(told);
	m->pool[0] = number(pools, "A");
	m->pool[1] = number(pools, "B");
	m->bets = number(told, "bets");
	if (number(told, "betCloseTime") != 0) /* it may have come nearer since */
		m->bet_close_ms = number(told, "betCloseTime");
	/* A release before outcomeAt said when it was settled. */
	uint64_t known_ms = m->outcome_ms != 0 ? m->outcome_ms : m->settled_ms;
	if (known_ms == 0 || known_ms > until_ms)
		forget_outcome(m);
	bool settled = m->state == MARKET_RESOLVED || m->state == MARKET_CANCELLED;
	forget_later(&m->opened_ms, until_ms);
	forget_later(&m->locked_ms, until_ms);
	forget_later(&m->settled_ms, until_ms);
	if (!settled) {
		m->settled_ms = m->settled_bets = m->paid = m->forgotten_bets = 0;
		memset(m->receipts, 0, sizeof m->receipts);
	}
	m->step = MARKET_STEP_NONE;
	m->attempt = (struct market_attempt){0};
	*m->error = '\0';
	return true;
}
