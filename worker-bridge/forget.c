#include "worker-bridge/forget.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/oracle.h"

#include <stdio.h>
#include <string.h>

enum { BETS_AT_ONCE = 64, RECENT_KEY_ROOM = 96 };

/* A feed has one duel at a time: only of its newest there can be another frame. */
static bool is_newest(const struct forget *how, const char *duel_id)
{
	for (const char *const *feed = how->feeds; *feed != NULL; feed++) {
		char key[RECENT_KEY_ROOM];
		snprintf(key, sizeof key, "market/recent/%s", *feed);
		json_t *recent = rows_json(how->rows, key);
		const char *newest = json_string_value(json_array_get(recent, 0));
		bool same = newest != NULL && strcmp(newest, duel_id) == 0;
		json_decref(recent);
		if (same)
			return true;
	}
	return false;
}

static bool find_market(const struct forget *how, const char *duel_id, struct market *m)
{
	for (const char *const *feed = how->feeds; *feed != NULL; feed++) {
		char key[MARKET_KEY_ROOM];
		market_key(*feed, duel_id, key);
		json_t *record = rows_json(how->rows, key);
		bool found = record != NULL && market_read(m, record);
		json_decref(record);
		if (found)
			return true;
	}
	return false;
}

enum forget_result forget_duel(const struct forget *how, const char *duel_id)
{
	char key[MARKET_KEY_ROOM];
	struct market m;
	if (is_newest(how, duel_id))
		return FORGET_LATER;
	if (!find_market(how, duel_id, &m)) {
		oracle_forget(how->rows, duel_id);
		return FORGET_NOTHING;
	}
	/* When it is settled, or its time is up, another entry says so. */
	if (m.settled_ms == 0 || how->now_ms < m.settled_ms + how->keep_ms)
		return FORGET_NOTHING;
	market_key(m.feed, duel_id, key);
	if (!ledger_forget(how->rows, &m, BETS_AT_ONCE)) {
		rows_put_json(how->rows, key, market_record(&m));
		return FORGET_MORE;
	}
	rows_put(how->rows, key, (struct span){0});
	oracle_forget(how->rows, duel_id);
	return FORGET_DONE;
}

static void add_attested(void *arg, const char *duel_id, uint64_t at_ms)
{
	past_add(arg, duel_id, at_ms);
}

static bool add_settled(void *arg, struct span key, struct span value)
{
	struct market m;
	json_t *record = json_loadb((const char *)value.at, value.len, 0, NULL);
	(void)key;
	if (json_object_get(record, "duelId") != NULL && market_read(&m, record) &&
	    m.settled_ms != 0)
		past_add(arg, m.duel_id, m.settled_ms);
	json_decref(record);
	return true;
}

/* A duel with both has two entries: what one of them finds nothing for, it does nothing to. */
void forget_load(struct past *past, struct state *view)
{
	past_finish(past);
	oracle_each(view, add_attested, past);
	state_kv_each(view, SPAN("market/"), add_settled, past);
}
