#include "worker-bridge/market_news.h"
#include "common/base/js_text.h"
#include "worker-bridge/market_shown.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_ROOM = 128 };

static void publish(struct market_change *change, const char *feed, const char *stream,
                    json_t *message)
{
	char path[PATH_ROOM];
	char *text = js_text(message);
	snprintf(path, sizeof path, "/v1/stream/feeds/%s/%s", feed, stream);
	txn_publish(change->txn, path, span_str(text));
	free(text);
	json_decref(message);
}

void market_audit(struct market_change *change, const struct market *m, const char *event,
                  json_t *more)
{
	json_t *line = json_pack("{s:I,s:s,s:s,s:s}", "at", (json_int_t)change->now_ms, "duelId",
	                         m->duel_id, "event", event, "state", market_state_name(m->state));
	if (more != NULL)
		json_object_update(line, more);
	json_decref(more);
	publish(change, m->feed, "audit", line);
}

static json_t *odds_of(const struct market *m, unsigned side)
{
	double odds = market_odds(m, side);
	return odds > 0 ? json_real(odds) : json_null();
}

void market_tell_odds(struct market_change *change, const struct market *m)
{
	json_t *line =
	        json_pack("{s:I,s:s,s:s,s:I,s:{s:I,s:I},s:{s:o,s:o},s:I}", "at",
	                  (json_int_t)change->now_ms, "duelId", m->duel_id, "state",
	                  market_state_name(m->state), "betCloseTime", (json_int_t)m->bet_close_ms,
	                  "pools", "A", (json_int_t)m->pool[0], "B", (json_int_t)m->pool[1], "odds",
	                  "A", odds_of(m, 0), "B", odds_of(m, 1), "bets", (json_int_t)m->bets);
	market_put_payout(m, line);
	publish(change, m->feed, "odds", line);
}

void market_tell_bet(struct market_change *change, const struct market *m, const json_t *bet,
                     const char *name)
{
	static const char *const members[] = {"number", "side", "amount"};
	json_t *line =
	        json_pack("{s:I,s:s}", "at", (json_int_t)change->now_ms, "duelId", m->duel_id);
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		json_object_set(line, members[i], json_object_get(bet, members[i]));
	json_object_set_new(line, "name", name != NULL ? json_string(name) : json_null());
	publish(change, m->feed, "bets", line);
}

void market_alert(struct market_change *change, struct market *m, const char *why)
{
	market_review(m, why);
	markets_changed(change, m, true);
	market_audit(change, m, "manual_review", json_pack("{s:s}", "why", m->error));
	said_count(change->said, market_reviews_total, 1);
	said_log(change->said, LOG_LEVEL_ERROR, "market needs a person",
	         "feed=%s duel=%s why=\"%s\"", m->feed, m->duel_id, m->error);
}

static json_t *settlement(const struct market *m)
{
	json_t *o =
	        json_pack("{s:s,s:s,s:s,s:I,s:o,s:I}", "outcome", m->outcome, "winnerSide", m->side,
	                  "reason", m->reason, "pool", (json_int_t)(m->pool[0] + m->pool[1]),
	                  "pools", market_pools(m), "paid", (json_int_t)m->paid);
	market_put_payout(m, o);
	return o;
}

void market_step_done(struct market_change *change, struct market *m, enum market_step step)
{
	static const char *const events[MARKET_STEP_COUNT] = {[MARKET_STEP_CREATE] = "opened",
	                                                      [MARKET_STEP_LOCK] = "locked",
	                                                      [MARKET_STEP_RESOLVE] = "resolved",
	                                                      [MARKET_STEP_CANCEL] = "cancelled"};
	const struct market_receipt *receipt = &m->receipts[market_effect_of(step, true)];
	market_done(m, step, change->now_ms);
	markets_changed(change, m, true);
	json_t *more = market_settled(m) ? settlement(m) : json_object();
	if (*receipt->reference != '\0') {
		json_object_set_new(more, "transaction", json_string(receipt->reference));
		json_object_set_new(more, "slot", json_integer((json_int_t)receipt->place));
	}
	market_audit(change, m, events[step], more);
	if (market_settled(m)) {
		past_add(change->past, m->duel_id, change->now_ms);
		said_count(change->said, markets_settled_total, 1);
	}
}
