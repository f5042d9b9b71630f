#include "worker-bridge/market_frames.h"
#include "worker-bridge/market_news.h"
#include "worker-bridge/oracle.h"

#include <stdio.h>
#include <string.h>

enum { RECENT_MAX = 200, RECENT_KEY_ROOM = 96 };

/* ---- a market begins ---- */

static void note_recent(struct market_change *change, const char *feed, const char *duel_id)
{
	char key[RECENT_KEY_ROOM];
	json_t *recent;
	snprintf(key, sizeof key, "market/recent/%s", feed);
	enum row_found found = rows_json(change->rows, key, &recent);
	if (found == ROW_PRESENT && !json_is_array(recent))
		rows_mark(change->rows, key);
	if (found == ROW_ABSENT)
		recent = json_array();
	if (!json_is_array(recent)) {
		json_decref(recent);
		return;
	}
	json_array_insert_new(recent, 0, json_string(duel_id));
	while (json_array_size(recent) > RECENT_MAX)
		json_array_remove(recent, RECENT_MAX);
	rows_put_json(change->rows, key, recent);
}

/* Each is in memory and in the cursor's row, which goes with every transaction. */
static void refuse(struct market_change *change, struct market *m)
{
	static const char why[] = "too many markets are not settled (market.active_max)";
	market_refuse(m, why);
	market_audit(change, m, "refused", json_pack("{s:s}", "why", why));
	said_count(change->said, markets_refused_total, 1);
	said_log(change->said, LOG_LEVEL_ERROR, "market refused", "feed=%s duel=%s why=\"%s\"",
	         m->feed, m->duel_id, why);
}

static struct listed *begin(struct market_change *change, const char *feed, const json_t *frame)
{
	const struct settings *s = change->settings;
	struct market m;
	if (*s->market_operator == '\0' ||
	    !market_begin(&m, feed, s->market_operator, frame, change->now_ms))
		return NULL;
	m.fee_ppm = s->ledger_fee_ppm;
	uint64_t active = markets_unsettled(change->markets);
	struct listed *e = markets_add(change->markets, &m);
	note_recent(change, feed, m.duel_id);
	markets_changed(change, &e->market, false);
	market_audit(change, &e->market, "created",
	             json_pack("{s:s,s:I}", "operator", m.operator, "betCloseTime",
	                       (json_int_t)m.bet_close_ms));
	said_count(change->said, markets_created_total, 1);
	if (active >= s->market_active_max)
		refuse(change, &e->market);
	return e;
}

/* ---- a frame ---- */

static void tell(struct market_change *change, struct market *m, const struct market *before,
                 bool terminal)
{
	bool said = strcmp(before->error, m->error) != 0;
	markets_changed(change, m, false);
	if (m->state == MARKET_MANUAL_REVIEW && (said || before->state != m->state))
		market_alert(change, m, m->error);
	else if (said && market_paid(m))
		market_audit(change, m, "conflict", json_pack("{s:s}", "why", m->error));
	else if (terminal)
		market_audit(change, m, "outcome",
		             json_pack("{s:s,s:s,s:s}", "outcome", m->outcome, "winnerSide",
		                       m->side, "reason", m->reason));
}

/* NULL: there is no market for it. */
static struct listed *of_frame(struct market_change *change, const char *feed, const char *duel_id,
                               const json_t *frame, uint64_t from)
{
	struct listed *e = NULL;
	bool stands = stopped_find(change->markets->stopped, duel_id) != NULL;
	enum row_found found = stands ? ROW_UNREADABLE : markets_get(change, feed, duel_id, &e);
	if (found == ROW_UNREADABLE)
		stopped_add(&change->markets->stopped, feed, duel_id, from);
	return found == ROW_ABSENT ? begin(change, feed, frame) : e;
}

/* `from`: position of the frame. */
static void see(struct market_change *change, const char *feed, const json_t *frame, uint64_t from)
{
	const char *duel_id = json_string_value(json_object_get(frame, "duelId"));
	bool terminal = json_is_true(json_object_get(frame, "terminal"));
	if (duel_id == NULL || strlen(duel_id) >= sizeof((struct market *)0)->duel_id)
		return;
	struct listed *e = of_frame(change, feed, duel_id, frame, from);
	if (terminal)
		oracle_attest(change->rows, change->txn, feed, frame, change->now_ms);
	if (e == NULL && terminal)
		past_add(change->past, duel_id, change->now_ms); /* its attestation */
	if (e == NULL)
		return;
	struct market before = e->market;
	if (market_see(&e->market, frame, change->now_ms,
	               change->settings->market_resolution_delay_ms))
		tell(change, &e->market, &before, terminal);
}

struct following {
	struct market_change *change;
	const char *feed;
};

static bool take_frame(void *arg, const json_t *frame, uint64_t from)
{
	const struct following *f = arg;
	see(f->change, f->feed, frame, from);
	return !market_change_full(f->change);
}

void market_frames_follow(struct market_change *change, struct frame_follower *follower,
                          struct store *store)
{
	struct following following = {change, follower->name};
	const struct frame_visit visit = {take_frame, &following, change->said};
	bool more = frame_follower_read(follower, store, &visit);
	change->again = change->again || more;
}

/* ---- after a start ---- */

/* Those that stood still, as the cursor's row has them or as one that was active is found now: a
 * market that can be read again sees what was said of its duel meanwhile. */
static void load_stopped(struct market_change *change, struct frame_follower *follower,
                         struct store *store)
{
	struct following following = {change, follower->name};
	const struct frame_visit visit = {take_frame, &following, change->said};
	struct stopped *one, *next;
	HASH_ITER (hh, change->markets->stopped, one, next) {
		struct listed *e;
		struct stopped was = *one;
		if (strcmp(was.feed, follower->name) != 0 ||
		    markets_get(change, follower->name, was.duel_id, &e) != ROW_PRESENT)
			continue;
		stopped_remove(&change->markets->stopped, one);
		frame_follower_again(follower, store, was.duel_id, was.from, &visit);
	}
}

static void load_active(struct market_change *change, const struct frame_follower *follower,
                        const json_t *ids)
{
	size_t i;
	json_t *id;
	struct listed *e;
	json_array_foreach (ids, i, id) {
		const char *duel_id = json_string_value(id);
		if (duel_id == NULL || stopped_find(change->markets->stopped, duel_id) != NULL)
			continue;
		enum row_found found = markets_get(change, follower->name, duel_id, &e);
		if (found == ROW_UNREADABLE)
			stopped_add(&change->markets->stopped, follower->name, duel_id,
			            follower->seen);
		if (found == ROW_ABSENT)
			said_log(change->said, LOG_LEVEL_ERROR, "market row lost",
			         "feed=%s duel=%s", follower->name, duel_id);
	}
}

void market_frames_load(struct market_change *change, struct frame_follower *follower,
                        struct store *store)
{
	json_t *row;
	frame_follower_load(follower, change->rows, &row);
	if (follower->lost)
		return;
	stopped_read(&change->markets->stopped, follower->name, json_object_get(row, "stopped"));
	load_active(change, follower, json_object_get(row, "active"));
	load_stopped(change, follower, store);
	json_decref(row);
}

void market_frames_put(struct market_change *change, struct frame_follower *follower)
{
	if (!frame_follower_resting(follower, change->rows))
		frame_follower_put(follower, change->rows,
		                   markets_active(change->markets, follower->name),
		                   stopped_record(change->markets->stopped, follower->name));
}
