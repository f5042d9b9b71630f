#include "worker-bridge/forget.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/market_late.h"
#include "worker-bridge/oracle.h"

#include <stdio.h>
#include <string.h>

enum { BETS_AT_ONCE = 64, RECENT_KEY_ROOM = 96 };

/* A feed has one duel at a time: only of its newest there can be another frame. Where nobody knows
 * which that is, it may be any. */
static bool is_newest(const struct forget *how, const char *duel_id)
{
	for (const char *const *feed = how->feeds; *feed != NULL; feed++) {
		char key[RECENT_KEY_ROOM];
		json_t *recent;
		snprintf(key, sizeof key, "market/recent/%s", *feed);
		enum row_found found = rows_json(how->rows, key, &recent);
		const char *newest = json_string_value(json_array_get(recent, 0));
		bool same = newest != NULL && strcmp(newest, duel_id) == 0;
		json_decref(recent);
		if (same || found == ROW_UNREADABLE)
			return true;
	}
	return false;
}

static enum row_found find_market(const struct forget *how, const char *duel_id, struct market *m)
{
	for (const char *const *feed = how->feeds; *feed != NULL; feed++) {
		char key[MARKET_KEY_ROOM];
		json_t *record;
		market_key(*feed, duel_id, key);
		enum row_found found = rows_json(how->rows, key, &record);
		if (found == ROW_PRESENT && !market_read(m, record)) {
			rows_mark(how->rows, key);
			found = ROW_UNREADABLE;
		}
		json_decref(record);
		if (found != ROW_ABSENT)
			return found;
	}
	return ROW_ABSENT;
}

enum forget_result forget_duel(const struct forget *how, const char *duel_id)
{
	char key[MARKET_KEY_ROOM];
	struct market m;
	if (is_newest(how, duel_id))
		return FORGET_LATER;
	enum row_found found = find_market(how, duel_id, &m);
	if (found == ROW_ABSENT)
		oracle_forget(how->rows, duel_id);
	/* When it is settled, or its time is up, another entry says so. */
	if (found != ROW_PRESENT || m.settled_ms == 0 || how->now_ms < m.settled_ms + how->keep_ms)
		return FORGET_NOTHING;
	market_key(m.feed, duel_id, key);
	enum ledger_progress progress = ledger_forget(how->rows, &m, BETS_AT_ONCE);
	if (progress != LEDGER_DONE) {
		rows_put_json(how->rows, key, market_record(&m));
		return progress == LEDGER_MORE ? FORGET_MORE : FORGET_NOTHING;
	}
	rows_put(how->rows, key, (struct span){0});
	market_late_key(m.feed, duel_id, key);
	if (rows_get(how->rows, key).at != NULL)
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
