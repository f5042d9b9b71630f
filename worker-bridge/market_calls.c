/* What people and programs ask of markets over HTTP. */
#include "common/base/clock.h"
#include "worker-bridge/bet_calls.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/decision_calls.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/market_calls.h"
#include "worker-bridge/market_late.h"
#include "worker-bridge/market_shown.h"

#include <stdio.h>

enum row_found market_calls_stored(const struct call *call, const char *duel_id, struct market *m,
                                   const char **feed_at)
{
	enum row_found found = ROW_ABSENT;
	const char *const *feed = book_feeds(book_call_book(call));
	for (; *feed != NULL && found == ROW_ABSENT; feed++) {
		char key[MARKET_KEY_ROOM];
		json_t *record;
		market_key(*feed, duel_id, key);
		found = book_call_row(call, key, &record);
		if (found == ROW_PRESENT && !market_read(m, record))
			found = book_call_not_ours(call, key, &record);
		json_decref(record);
		*feed_at = *feed;
	}
	return found;
}

bool market_calls_seen(const struct call *call, struct market *m)
{
	uint64_t until_ms = book_call_until_ms(call);
	char key[MARKET_LATE_KEY_ROOM];
	json_t *told;
	if (until_ms == UINT64_MAX)
		return true;
	market_late_key(m->feed, m->duel_id, key);
	book_call_row(call, key, &told);
	bool seen = market_late(m, told, until_ms);
	json_decref(told);
	return seen;
}

static void list_feed(const struct call *call, const char *feed, json_t *into, json_t *stopped)
{
	char key[96];
	size_t i;
	json_t *recent, *id;
	snprintf(key, sizeof key, "market/recent/%s", feed);
	if (book_call_row(call, key, &recent) == ROW_PRESENT && !json_is_array(recent))
		book_call_not_ours(call, key, &recent);
	json_array_foreach (recent, i, id) {
		struct market m;
		const char *its_feed, *duel_id = json_string_value(id);
		enum row_found found = duel_id != NULL
		                               ? market_calls_stored(call, duel_id, &m, &its_feed)
		                               : ROW_ABSENT;
		if (found == ROW_PRESENT && market_calls_seen(call, &m))
			json_array_append_new(into, market_shown(&m));
		if (found == ROW_UNREADABLE)
			json_array_append_new(stopped, json_pack("{s:s,s:s}", "feed", its_feed,
			                                         "duelId", duel_id));
	}
	json_decref(recent);
}

static void list_markets(struct call *call)
{
	json_t *markets = json_array(), *stopped = json_array();
	for (const char *const *feed = book_feeds(book_call_book(call)); *feed != NULL; feed++)
		list_feed(call, *feed, markets, stopped);
	call_reply(call, 200,
	           json_pack("{s:o,s:o,s:I}", "markets", markets, "unreadable", stopped, "now",
	                     (json_int_t)clock_wall_ms()));
}

void book_on_market_call(struct call *call)
{
	struct span rest = book_call_below(call->path, "/v1/markets"), what;
	char duel_id[64];
	const char *feed;
	struct market m;
	if (rest.len != 0)
		rest = span_of(rest.at + 1, rest.len - 1);
	what = book_call_segment(&rest);
	bool get = call->method == CALL_GET;
	if (what.len == 0 && get) {
		list_markets(call);
		return;
	}
	enum row_found found = book_call_text(what, duel_id, sizeof duel_id)
	                               ? market_calls_stored(call, duel_id, &m, &feed)
	                               : ROW_ABSENT;
	if (found == ROW_PRESENT && get && !market_calls_seen(call, &m))
		found = ROW_ABSENT;
	if (found == ROW_ABSENT)
		call_refuse(call, 404,
		            "no market for this duel (settled ones are kept for market.keep)");
	else if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (get && rest.len == 0)
		call_reply(call, 200, market_shown(&m));
	else if (get && span_equal(rest, SPAN("bets")))
		bet_calls_list(call, &m);
	else if (!get && span_equal(rest, SPAN("bets")))
		bet_calls_place(call, duel_id);
	else if (!get && (span_equal(rest, SPAN("retry")) || span_equal(rest, SPAN("resolve"))))
		decision_calls_take(call, duel_id, span_equal(rest, SPAN("resolve")));
	else
		call_refuse(
		        call, 404,
		        "GET /v1/markets, /v1/markets/DUELID[/bets]; POST /bets, /retry, /resolve");
}
