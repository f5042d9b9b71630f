#include "worker-bridge/book.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "common/domain/subscription.h"
#include "common/store/actor.h"
#include "common/store/record.h"
#include "worker-bridge/forget.h"
#include "common/base/js_text.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/operator_webhook.h"
#include "worker-bridge/oracle.h"
#include "worker-bridge/stopped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

enum {
	FEEDS_MAX = 64,
	SCAN_BYTES = 1 << 18,    /* of frames, in one transaction */
	TXN_BYTES_MAX = 1 << 17, /* then the rest waits for the next */
	CURSOR_BYTES = 4 << 20,  /* frames without consequence that are read again after a crash */
	SETTLED_AT_ONCE = 32,    /* bets, in one transaction */
	RECENT_MAX = 200,
	LEASE_MS = 10000,
	LEASE_LOOK_MS = 200, /* who does not hold it looks again */
	TIMER_MS_MAX = 1000,
	RETRY_MS = 1000,
	TRIES_MAX = 50,
	SOON_MS = 20,
	KEY_ROOM = 128,
};

static const char lease_key[] = "market/lease";

struct lease {
	char holder[96];
	uint64_t fence, until_ms;
};

/* Where a feed's stream was read to, and which of its markets are not settled. */
struct cursor {
	uint64_t position;
};

static const struct record_field lease_fields[] = {
        {RECORD_MEMBER("holder", struct lease, holder), RECORD_NEEDED},
        {RECORD_MEMBER("fence", struct lease, fence), RECORD_NEEDED},
        {RECORD_MEMBER("until", struct lease, until_ms), RECORD_NEEDED},
};
static const struct record_field cursor_fields[] = {
        {RECORD_MEMBER("position", struct cursor, position), RECORD_NEEDED},
        {.name = "active", .kind = RECORD_ARRAY, RECORD_NEEDED},
        {.name = "stopped", .kind = RECORD_ARRAY, .sparse = true},
};
static const struct record lease_record = {RECORD_FIELDS(lease_fields)},
                           cursor_record = {RECORD_FIELDS(cursor_fields)};

/* A market in memory: those that are not settled, and others while a change needs them. */
struct listed {
	struct market market;
	bool dirty, odds, calling, doubt;
	enum market_step to_call; /* once the change is durable */
	UT_hash_handle hh;
};

struct book_feed {
	char name[65], path[KEY_ROOM], cursor_key[KEY_ROOM], recent_key[KEY_ROOM];
	uint64_t seen, kept; /* positions behind the last frame read; as the store has it */
	bool lost;           /* its cursor cannot be read: no market of this feed goes on */
};

struct book {
	struct actor actor; /* first */
	struct worker *worker;
	struct store *store;
	const struct feeds *source;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct operator_webhook *webhook;
	struct book_feed feeds[FEEDS_MAX];
	const char *names[FEEDS_MAX + 1];
	size_t feeds_count;
	struct listed *listed; /* hash by duel id */
	struct stopped *stopped;
	struct past past;
	uint64_t past_fence; /* the lease under which it was made */
	struct book_work *queue, **queue_last, *running;
	size_t queued;
	bool entered; /* the lease is durable */
	bool mine;    /* at the last look */
	bool loaded, again, draining;
	uint64_t due_ms;
	uint64_t fence, seen_fence, seen_until_ms; /* the lease as it was at the last look */
	char holder[sizeof((struct lease *)0)->holder];
	uv_timer_t timer;
};

/* ---- markets in memory ---- */

static struct listed *listed_add(struct book *book, const struct market *market)
{
	struct listed *e = xcalloc(1, sizeof *e);
	e->market = *market;
	HASH_ADD_STR(book->listed, market.duel_id, e);
	return e;
}

static struct listed *listed_find(struct book *book, const char *duel_id)
{
	struct listed *e;
	HASH_FIND_STR(book->listed, duel_id, e);
	return e;
}

static void listed_free(struct book *book, struct listed *e)
{
	HASH_DEL(book->listed, e);
	free(e);
}

static bool settled(const struct market *m)
{
	return m->state == MARKET_RESOLVED || m->state == MARKET_CANCELLED;
}

/* *found_at: the market in memory, with ROW_PRESENT. */
static enum row_found listed_load(struct book_change *change, const char *feed, const char *duel_id,
                                  struct listed **found_at)
{
	char key[MARKET_KEY_ROOM];
	struct market m;
	json_t *record;
	market_key(feed, duel_id, key);
	enum row_found found = rows_json(change->rows, key, &record);
	if (found == ROW_PRESENT && !market_read(&m, record)) {
		rows_mark(change->rows, key);
		found = ROW_UNREADABLE;
	}
	json_decref(record);
	*found_at = found == ROW_PRESENT ? listed_add(change->book, &m) : NULL;
	return found;
}

static enum row_found listed_get(struct book_change *change, const char *feed, const char *duel_id,
                                 struct listed **found_at)
{
	*found_at = listed_find(change->book, duel_id);
	return *found_at != NULL ? ROW_PRESENT : listed_load(change, feed, duel_id, found_at);
}

enum row_found book_market(struct book_change *change, const char *duel_id, struct market **market)
{
	struct book *book = change->book;
	struct listed *e = listed_find(book, duel_id);
	enum row_found found = e != NULL ? ROW_PRESENT : ROW_ABSENT;
	for (size_t i = 0; found == ROW_ABSENT && i < book->feeds_count && strlen(duel_id) < 64;
	     i++)
		found = listed_load(change, book->feeds[i].name, duel_id, &e);
	*market = e != NULL ? &e->market : NULL;
	return found;
}

static struct listed *listed_of(struct market *market)
{
	return (struct listed *)((char *)market - offsetof(struct listed, market));
}

void book_changed(struct book_change *change, struct market *market, bool odds)
{
	struct listed *e = listed_of(market);
	(void)change;
	e->dirty = true;
	e->odds = e->odds || odds;
}

/* What the transaction will hold, but for the markets themselves. */
static size_t change_bytes(const struct book_change *change)
{
	return txn_bytes(change->txn) + rows_bytes(change->rows);
}

/* ---- what is published ---- */

static void publish(struct book_change *change, const char *feed, const char *stream,
                    json_t *message)
{
	char path[KEY_ROOM];
	char *text = js_text(message);
	snprintf(path, sizeof path, "/v1/stream/feeds/%s/%s", feed, stream);
	txn_publish(change->txn, path, span_str(text));
	free(text);
	json_decref(message);
}

void book_audit(struct book_change *change, const struct market *m, const char *event, json_t *more)
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

static void publish_odds(struct book_change *change, const struct market *m)
{
	publish(change, m->feed, "odds",
	        json_pack("{s:I,s:s,s:s,s:I,s:{s:I,s:I},s:{s:o,s:o},s:I}", "at",
	                  (json_int_t)change->now_ms, "duelId", m->duel_id, "state",
	                  market_state_name(m->state), "betCloseTime", (json_int_t)m->bet_close_ms,
	                  "pools", "A", (json_int_t)m->pool[0], "B", (json_int_t)m->pool[1], "odds",
	                  "A", odds_of(m, 0), "B", odds_of(m, 1), "bets", (json_int_t)m->bets));
}

/* A person is needed: said where people look, and not again and again. */
static void alert(struct book_change *change, struct market *m, const char *why)
{
	market_review(m, why);
	book_changed(change, m, true);
	book_audit(change, m, "manual_review", json_pack("{s:s}", "why", why));
	counter_add(change->book->counters, market_reviews_total, 1);
	log_error("market needs a person", "feed=%s duel=%s why=\"%s\"", m->feed, m->duel_id, why);
}

/* ---- frames ---- */

static void note_recent(struct book_change *change, const struct book_feed *feed,
                        const char *duel_id)
{
	json_t *recent;
	enum row_found found = rows_json(change->rows, feed->recent_key, &recent);
	if (found == ROW_PRESENT && !json_is_array(recent))
		rows_mark(change->rows, feed->recent_key);
	if (found == ROW_ABSENT)
		recent = json_array();
	if (!json_is_array(recent)) {
		json_decref(recent);
		return;
	}
	json_array_insert_new(recent, 0, json_string(duel_id));
	while (json_array_size(recent) > RECENT_MAX)
		json_array_remove(recent, RECENT_MAX);
	rows_put_json(change->rows, feed->recent_key, recent);
}

static uint64_t unsettled(const struct book *book)
{
	uint64_t count = 0;
	for (const struct listed *e = book->listed; e != NULL; e = e->hh.next)
		count += !settled(&e->market);
	return count;
}

/* Each is in memory and in the cursor's row, which goes with every transaction. */
static void refuse_market(struct book_change *change, struct market *m)
{
	static const char why[] = "too many markets are not settled (market.active_max)";
	market_refuse(m, why);
	book_audit(change, m, "refused", json_pack("{s:s}", "why", why));
	counter_add(change->book->counters, markets_refused_total, 1);
	log_error("market refused", "feed=%s duel=%s why=\"%s\"", m->feed, m->duel_id, why);
}

static struct listed *begin_market(struct book_change *change, const struct book_feed *feed,
                                   const json_t *frame)
{
	struct book *book = change->book;
	struct market m;
	if (*book->settings->newest->market_operator == '\0' ||
	    !market_begin(&m, feed->name, book->settings->newest->market_operator, frame,
	                  change->now_ms))
		return NULL;
	m.fee_ppm = book->settings->newest->ledger_fee_ppm;
	uint64_t active = unsettled(book);
	struct listed *e = listed_add(book, &m);
	note_recent(change, feed, m.duel_id);
	book_changed(change, &e->market, false);
	book_audit(change, &e->market, "created",
	           json_pack("{s:s,s:I}", "operator", m.operator, "betCloseTime",
	                     (json_int_t)m.bet_close_ms));
	counter_add(book->counters, markets_created_total, 1);
	if (active >= book->settings->newest->market_active_max)
		refuse_market(change, &e->market);
	return e;
}

/* `from`: position of the frame. */
static void see_frame(struct book_change *change, const struct book_feed *feed, const json_t *frame,
                      uint64_t from)
{
	const char *duel_id = json_string_value(json_object_get(frame, "duelId"));
	bool terminal = json_is_true(json_object_get(frame, "terminal"));
	if (duel_id == NULL || strlen(duel_id) >= sizeof((struct market *)0)->duel_id)
		return;
	struct listed *e = NULL;
	bool stands = stopped_find(change->book->stopped, duel_id) != NULL;
	enum row_found found =
	        stands ? ROW_UNREADABLE : listed_get(change, feed->name, duel_id, &e);
	if (found == ROW_UNREADABLE)
		stopped_add(&change->book->stopped, feed->name, duel_id, from);
	if (found == ROW_ABSENT)
		e = begin_market(change, feed, frame);
	if (terminal)
		oracle_attest(change->rows, change->txn, feed->name, frame, change->now_ms);
	if (e == NULL && terminal)
		past_add(&change->book->past, duel_id, change->now_ms); /* its attestation */
	if (e == NULL)
		return;
	struct market *m = &e->market, before = *m;
	if (!market_see(m, frame))
		return;
	book_changed(change, m, false);
	bool said = strcmp(before.error, m->error) != 0;
	if (m->state == MARKET_MANUAL_REVIEW && (said || before.state != m->state))
		alert(change, m, m->error);
	else if (said && market_paid(m))
		book_audit(change, m, "conflict", json_pack("{s:s}", "why", m->error));
	else if (terminal)
		book_audit(change, m, "outcome",
		           json_pack("{s:s,s:s,s:s}", "outcome", m->outcome, "winnerSide", m->side,
		                     "reason", m->reason));
}

struct following {
	struct book_change *change;
	struct book_feed *feed;
};

struct missed {
	struct book_change *change;
	struct book_feed *feed;
	const char *duel_id;
	uint64_t at;
};

static bool take_frame(void *arg, const struct store_message *message)
{
	struct following *f = arg;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	if (frame != NULL)
		see_frame(f->change, f->feed, frame, f->feed->seen);
	else
		log_error("frame unreadable", "feed=%s ends_at=%" PRIu64, f->feed->name,
		          message->ends_at);
	json_decref(frame);
	f->feed->seen = message->ends_at;
	return change_bytes(f->change) < TXN_BYTES_MAX;
}

static void follow(struct book_change *change, struct book_feed *feed)
{
	struct book *book = change->book;
	struct following following = {change, feed};
	struct stream *stream = state_find(store_view(book->store), span_str(feed->path));
	if (stream == NULL || feed->lost || feed->seen >= stream->tail)
		return;
	if (feed->seen < stream->first) {
		log_error("frames were trimmed before the market saw them",
		          "feed=%s from=%" PRIu64 " to=%" PRIu64, feed->name, feed->seen,
		          stream->first);
		feed->seen = stream->first;
	}
	if (store_scan(book->store, stream, feed->seen, stream->tail, SCAN_BYTES, take_frame,
	               &following) != STORE_READ_OK) {
		log_error("frames not readable", "feed=%s at=%" PRIu64, feed->name, feed->seen);
		return; /* the next change tries again, not the next turn */
	}
	book->again = book->again || feed->seen < stream->tail;
}

static uint64_t lag_of(const struct book *book, const struct book_feed *feed)
{
	const struct stream *stream = state_find(store_view(book->store), span_str(feed->path));
	return stream != NULL && stream->tail > feed->seen ? stream->tail - feed->seen : 0;
}

/* ---- steps ---- */

static void step_done(struct book_change *change, struct market *m, enum market_step step)
{
	static const char *const events[MARKET_STEP_COUNT] = {[MARKET_STEP_CREATE] = "opened",
	                                                      [MARKET_STEP_LOCK] = "locked",
	                                                      [MARKET_STEP_RESOLVE] = "resolved",
	                                                      [MARKET_STEP_CANCEL] = "cancelled"};
	market_done(m, step, change->now_ms);
	book_changed(change, m, true);
	book_audit(change, m, events[step],
	           settled(m) ? json_pack("{s:s,s:s,s:s,s:I,s:I}", "outcome", m->outcome,
	                                  "winnerSide", m->side, "reason", m->reason, "pool",
	                                  (json_int_t)(m->pool[0] + m->pool[1]), "paid",
	                                  (json_int_t)m->paid)
	                      : NULL);
	if (settled(m)) {
		past_add(&change->book->past, m->duel_id, change->now_ms);
		counter_add(change->book->counters, markets_settled_total, 1);
	}
}

static void alert_stuck(struct book_change *change, struct market *m)
{
	char why[160];
	snprintf(why, sizeof why, "a row cannot be read, retry when it can: %.100s",
	         rows_marked(change->rows));
	alert(change, m, why);
}

/* By the ledger: in this very transaction. False: there is more to pay in the next, or a person is
 * needed first. */
static bool carry_out(struct book_change *change, struct market *m, enum market_step step)
{
	market_start(m, step);
	book_changed(change, m, false);
	if (step == MARKET_STEP_RESOLVE || step == MARKET_STEP_CANCEL) {
		enum ledger_progress progress = ledger_settle(change->rows, m, SETTLED_AT_ONCE);
		change->book->again = change->book->again || progress == LEDGER_MORE;
		if (progress == LEDGER_STUCK)
			alert_stuck(change, m);
		if (progress != LEDGER_DONE)
			return false;
	}
	step_done(change, m, step);
	return true;
}

static struct backoff backoff_of(const struct settings *s)
{
	return (struct backoff){s->market_retry_min_ms, s->market_retry_max_ms,
	                        s->market_retry_after_max_ms};
}

static uint64_t delay_ms(const struct book *book, const struct market *m, uint64_t asked_ms)
{
	struct backoff backoff = backoff_of(book->settings->newest);
	return backoff_ms(&backoff, m->attempts, asked_ms,
	                  (unsigned)clock_random_below(BACKOFF_DICE));
}

/* By somebody else: the attempt becomes durable now, and is made then. */
static void prepare_call(struct book_change *change, struct listed *e, enum market_step step)
{
	struct book *book = change->book;
	struct market *m = &e->market;
	if (e->calling)
		return;
	market_start(m, step);
	struct backoff backoff = backoff_of(book->settings->newest);
	uint64_t longest_ms = 2 * book->settings->newest->market_webhook_timeout_ms +
	                      backoff_longest_ms(&backoff);
	if (!backoff_over(m->attempted_ms, m->next_attempt_ms, longest_ms, change->now_ms)) {
		book->due_ms =
		        m->next_attempt_ms < book->due_ms ? m->next_attempt_ms : book->due_ms;
		return;
	}
	m->attempts++;
	e->doubt = m->unknown;
	m->unknown = true; /* until its outcome is durable */
	m->attempted_ms = change->now_ms;
	m->next_attempt_ms = change->now_ms +
	                     2 * book->settings->newest->market_webhook_timeout_ms +
	                     delay_ms(book, m, 0);
	e->to_call = step;
	book_changed(change, m, false);
	book_audit(change, m, "attempt",
	           json_pack("{s:s,s:I}", "step", market_step_name(step), "number",
	                     (json_int_t)m->attempts));
}

static void advance(struct book_change *change, struct listed *e)
{
	struct book *book = change->book;
	struct market *m = &e->market;
	for (;;) {
		uint64_t due_ms;
		enum market_step step = market_next(m, change->now_ms, &due_ms);
		book->due_ms = due_ms < book->due_ms ? due_ms : book->due_ms;
		if (step == MARKET_STEP_NONE)
			return;
		if (change_bytes(change) >= TXN_BYTES_MAX) {
			book->again = true;
			return;
		}
		bool inside = strcmp(m->operator, "ledger") == 0 ||
		              (step == MARKET_STEP_CANCEL &&
		               !m->entered); /* nobody outside knows of it */
		if (!inside) {
			prepare_call(change, e, step);
			return;
		}
		if (!carry_out(change, m, step))
			return;
	}
}

/* ---- the lease ---- */

/* "SUPERVISOR:SLOT:GENERATION": a holder of an earlier supervisor, or an earlier generation of this
 * slot, is dead: the data directory has one supervisor, and a slot one process. */
static bool is_dead(const struct book *book, const char *holder)
{
	unsigned long long supervisor, slot, generation;
	if (sscanf(holder, "%llu:%llu:%llu", &supervisor, &slot, &generation) != 3)
		return true;
	return supervisor != atomic_load(&book->worker->counters->started_ms) ||
	       (slot == book->worker->slot && generation != book->worker->generation);
}

/* ROW_UNREADABLE: it is somebody's whom this release does not understand. */
static enum row_found read_lease(struct book_change *change, struct lease *lease)
{
	json_t *row;
	enum row_found found = rows_json(change->rows, lease_key, &row);
	if (found == ROW_PRESENT)
		found = record_read(&lease_record, row, lease);
	if (found == ROW_UNREADABLE)
		rows_mark(change->rows, lease_key);
	json_decref(row);
	return found;
}

static bool take_lease(struct book_change *change)
{
	struct book *book = change->book;
	struct lease lease = {0};
	enum row_found found = read_lease(change, &lease);
	if (found == ROW_UNREADABLE) {
		book->loaded = book->entered = false;
		return false;
	}
	uint64_t until_ms = lease.until_ms;
	book->fence = lease.fence;
	bool mine = found == ROW_PRESENT && strcmp(lease.holder, book->holder) == 0;
	/* Nobody takes it for longer than LEASE_MS: who seems to have did so before the clock was
	 * set back. */
	bool free_now = found == ROW_ABSENT || is_dead(book, lease.holder) ||
	                change->now_ms >= until_ms ||
	                until_ms > change->now_ms + LEASE_MS + CLOCK_STEP_MS;
	/* What is in memory is as old as the lease that it was read under. */
	if (!mine &&
	    (!free_now || book->fence != book->seen_fence || until_ms != book->seen_until_ms))
		book->loaded = false;
	book->seen_fence = book->fence;
	book->seen_until_ms = until_ms;
	book->entered = book->entered && mine;
	if (!mine && !free_now)
		return false;
	book->fence += !mine;
	return true;
}

static void put_lease(struct book_change *change)
{
	struct book *book = change->book;
	struct lease lease = {.fence = book->fence, .until_ms = change->now_ms + LEASE_MS};
	json_t *row = json_object();
	memcpy(lease.holder, book->holder, sizeof lease.holder);
	record_write(&lease_record, &lease, row);
	rows_put_json(change->rows, lease_key, row);
}

/* ---- forgetting ---- */

static void load_past(struct book *book)
{
	if (book->past_fence == book->fence)
		return;
	forget_load(&book->past, store_view(book->store));
	book->past_fence = book->fence;
}

/* Settled markets whose time is up, with their bets and attestations; a part at a time, beside
 * everything else. */
static void forget_past(struct book_change *change)
{
	struct book *book = change->book;
	const struct forget how = {change->rows, book->names,
	                           book->settings->newest->market_keep_ms, change->now_ms};
	const struct past_duel *duel;
	for (size_t i = 0; how.keep_ms != 0 && (duel = past_at(&book->past, i)) != NULL;) {
		uint64_t due_ms = duel->settled_ms + how.keep_ms;
		if (change->now_ms < due_ms) {
			book->due_ms = due_ms < book->due_ms ? due_ms : book->due_ms;
			return;
		}
		if (change_bytes(change) >= TXN_BYTES_MAX) {
			book->again = true;
			return;
		}
		enum forget_result result = listed_find(book, duel->duel_id) == NULL
		                                    ? forget_duel(&how, duel->duel_id)
		                                    : FORGET_LATER;
		if (result == FORGET_LATER)
			i++; /* looked at again with the next change */
		else if (result != FORGET_MORE)
			past_remove(&book->past, i);
		if (result == FORGET_DONE)
			counter_add(book->counters, markets_forgotten_total, 1);
	}
}

/* ---- loading ---- */

static void forget_listed(struct book *book)
{
	struct listed *e, *next;
	HASH_ITER (hh, book->listed, e, next)
		listed_free(book, e);
}

static bool take_missed(void *arg, const struct store_message *message);

/* A market that can be read again sees what was said of its duel meanwhile. */
static void catch_up(struct book_change *change, struct book_feed *feed, const char *duel_id,
                     uint64_t from)
{
	struct missed missed = {change, feed, duel_id, from};
	struct stream *stream = state_find(store_view(change->book->store), span_str(feed->path));
	uint64_t to = stream != NULL && feed->seen < stream->tail ? feed->seen
	              : stream != NULL                            ? stream->tail
	                                                          : 0;
	if (stream != NULL && from < stream->first) {
		log_error("frames were trimmed before the market saw them",
		          "feed=%s duel=%s from=%" PRIu64 " to=%" PRIu64, feed->name, duel_id, from,
		          stream->first);
		missed.at = stream->first;
	}
	for (uint64_t before = UINT64_MAX; missed.at < to && missed.at != before;) {
		before = missed.at;
		if (store_scan(change->book->store, stream, missed.at, to, SCAN_BYTES, take_missed,
		               &missed) != STORE_READ_OK)
			log_error("frames not readable", "feed=%s at=%" PRIu64, feed->name,
			          missed.at);
	}
}

static bool take_missed(void *arg, const struct store_message *message)
{
	struct missed *missed = arg;
	json_t *frame = json_take(message->bytes, JSON_ALLOW_NUL, NULL, NULL);
	const char *duel_id = json_string_value(json_object_get(frame, "duelId"));
	if (duel_id != NULL && strcmp(duel_id, missed->duel_id) == 0)
		see_frame(missed->change, missed->feed, frame, missed->at);
	json_decref(frame);
	missed->at = message->ends_at;
	return true;
}

/* Those that stood still, as the cursor's row has them or as one that was active is found now. */
static void load_stopped(struct book_change *change, struct book_feed *feed)
{
	struct book *book = change->book;
	struct stopped *one, *next;
	HASH_ITER (hh, book->stopped, one, next) {
		struct listed *e;
		struct stopped was = *one;
		if (strcmp(was.feed, feed->name) != 0 ||
		    listed_get(change, feed->name, was.duel_id, &e) != ROW_PRESENT)
			continue;
		stopped_remove(&book->stopped, one);
		catch_up(change, feed, was.duel_id, was.from);
	}
}

static void load_active(struct book_change *change, struct book_feed *feed, const json_t *ids)
{
	size_t i;
	json_t *id;
	struct listed *e;
	json_array_foreach (ids, i, id) {
		const char *duel_id = json_string_value(id);
		if (duel_id == NULL || stopped_find(change->book->stopped, duel_id) != NULL)
			continue;
		enum row_found found = listed_get(change, feed->name, duel_id, &e);
		if (found == ROW_UNREADABLE)
			stopped_add(&change->book->stopped, feed->name, duel_id, feed->seen);
		if (found == ROW_ABSENT)
			log_error("market row lost", "feed=%s duel=%s", feed->name, duel_id);
	}
}

static void load_feed(struct book_change *change, struct book_feed *feed)
{
	json_t *row;
	struct cursor cursor = {0};
	enum row_found found = rows_json(change->rows, feed->cursor_key, &row);
	if (found == ROW_PRESENT)
		found = record_read(&cursor_record, row, &cursor);
	feed->lost = found == ROW_UNREADABLE;
	if (feed->lost) {
		rows_mark(change->rows, feed->cursor_key);
		json_decref(row);
		return;
	}
	feed->seen = feed->kept = cursor.position;
	stopped_read(&change->book->stopped, feed->name, json_object_get(row, "stopped"));
	load_active(change, feed, json_object_get(row, "active"));
	load_stopped(change, feed);
	json_decref(row);
}

static void load(struct book_change *change)
{
	struct book *book = change->book;
	forget_listed(book);
	stopped_finish(&book->stopped);
	for (size_t i = 0; i < book->feeds_count; i++)
		load_feed(change, &book->feeds[i]);
	load_past(book);
	book->loaded = true;
}

/* An older release that can read what stands still finds it among the active ones. */
static json_t *active_of(struct book *book, const char *feed)
{
	json_t *active = json_array();
	for (struct listed *e = book->listed; e != NULL; e = e->hh.next)
		if (!settled(&e->market) && strcmp(e->market.feed, feed) == 0)
			json_array_append_new(active, json_string(e->market.duel_id));
	for (struct stopped *one = book->stopped; one != NULL; one = one->hh.next)
		if (strcmp(one->feed, feed) == 0)
			json_array_append_new(active, json_string(one->duel_id));
	return active;
}

static json_t *cursor_row(struct book *book, const struct book_feed *feed)
{
	const struct cursor cursor = {feed->seen};
	json_t *row = json_object(), *stopped = stopped_record(book->stopped, feed->name);
	record_write(&cursor_record, &cursor, row);
	json_object_set_new(row, "active", active_of(book, feed->name));
	if (stopped != NULL)
		json_object_set_new(row, "stopped", stopped);
	return row;
}

static void put_cursors(struct book_change *change)
{
	struct book *book = change->book;
	for (size_t i = 0; i < book->feeds_count; i++) {
		struct book_feed *feed = &book->feeds[i];
		if (feed->lost || (feed->seen == feed->kept &&
		                   rows_get(change->rows, feed->cursor_key).at == NULL))
			continue;
		rows_put_json(change->rows, feed->cursor_key, cursor_row(book, feed));
	}
}

/* ---- turns ---- */

static void on_timer(uv_timer_t *timer)
{
	book_turn(timer->data);
}

static void schedule(struct book *book, uint64_t now_ms)
{
	uint64_t wait = !book->mine                          ? LEASE_LOOK_MS
	                : book->again || book->queue != NULL ? 1
	                : book->due_ms == UINT64_MAX         ? 0
	                : book->due_ms <= now_ms             ? 1
	                                                     : book->due_ms - now_ms;
	if (wait == 0)
		uv_timer_stop(&book->timer); /* nothing to reconcile: frames and bets wake us */
	else
		uv_timer_start(&book->timer, on_timer, wait < TIMER_MS_MAX ? wait : TIMER_MS_MAX,
		               0);
}

static void finish_running(struct book *book, bool durable)
{
	for (struct book_work *work; (work = book->running) != NULL;) {
		book->running = work->next;
		work->finish(work, durable);
	}
}

/* Back to the front of the queue, in their order. */
static void requeue_running(struct book *book)
{
	struct book_work **last = &book->running;
	if (book->running == NULL)
		return;
	for (; *last != NULL; last = &(*last)->next)
		book->queued++;
	*last = book->queue;
	if (book->queue == NULL)
		book->queue_last = last;
	book->queue = book->running;
	book->running = NULL;
}

/* ---- outside calls ---- */

struct called {
	struct book_work work; /* first */
	struct book *book;
	char duel_id[64];
	enum market_step step;
	enum operator_result result;
	bool known;
	uint64_t retry_after_ms;
	char error[160];
};

static void run_called(struct book_work *work, struct book_change *change)
{
	struct called *called = (struct called *)work;
	struct book *book = change->book;
	struct market *m;
	if (book_market(change, called->duel_id, &m) != ROW_PRESENT || m->step != called->step)
		return; /* an earlier attempt's answer has been taken */
	if (called->result == OPERATOR_DONE) {
		step_done(change, m, called->step);
		return;
	}
	m->unknown = !called->known;
	counter_add(book->counters, market_call_failures_total, 1);
	book_changed(change, m, false);
	book_audit(change, m, "attempt_failed",
	           json_pack("{s:s,s:I,s:s}", "step", market_step_name(called->step), "number",
	                     (json_int_t)m->attempts, "error", called->error));
	if (called->result == OPERATOR_REFUSED ||
	    m->attempts >= book->settings->newest->market_attempts_max) {
		char why[160];
		snprintf(why, sizeof why, "%s %s: %.110s", market_step_name(called->step),
		         called->result == OPERATOR_REFUSED ? "was refused" : "failed too often",
		         called->error);
		counter_add(book->counters, market_dead_letters_total, 1);
		alert(change, m, why);
		return;
	}
	memcpy(m->error, called->error, sizeof m->error);
	m->attempted_ms = change->now_ms;
	m->next_attempt_ms = change->now_ms + delay_ms(book, m, called->retry_after_ms);
}

static void finish_called(struct book_work *work, bool durable)
{
	struct called *called = (struct called *)work;
	struct listed *e = listed_find(called->book, called->duel_id);
	if (e != NULL)
		e->calling = false;
	(void)durable; /* if not: the attempt is made again when its time has come */
	free(called);
}

static void on_called(void *arg, const struct operator_answer *answer)
{
	struct called *called = arg;
	struct book *book = called->book;
	called->result = answer->result;
	called->known = answer->known;
	called->retry_after_ms = answer->retry_after_ms;
	snprintf(called->error, sizeof called->error, "%s", answer->error);
	*book->queue_last = &called->work;
	book->queue_last = &called->work.next;
	book->queued++;
	book_turn(book);
}

static void call_out(struct book *book, struct listed *e)
{
	struct called *called = xcalloc(1, sizeof *called);
	struct span seed = {0};
	called->work = (struct book_work){.run = run_called, .finish = finish_called};
	called->book = book;
	called->step = e->to_call;
	memcpy(called->duel_id, e->market.duel_id, sizeof called->duel_id);
	e->calling = true;
	e->to_call = MARKET_STEP_NONE;
	state_kv_get(store_view(book->store), span_str(SUBSCRIPTION_SIGNING_KEY), &seed);
	counter_add(book->counters, market_calls_total, 1);
	const struct operator_step step = {&e->market, called->step, book->fence, seed, e->doubt};
	operator_webhook_call(book->webhook, &step, on_called, called);
}

/* ---- the transaction ---- */

/* Memory is for markets that are not settled. */
static void forget_settled(struct book *book)
{
	struct listed *e, *next;
	HASH_ITER (hh, book->listed, e, next)
		if (settled(&e->market))
			listed_free(book, e);
}

static void adopt(struct book *book)
{
	struct listed *e;
	uint64_t active = 0, oldest_ms = 0;
	forget_settled(book);
	for (size_t i = 0; i < book->feeds_count; i++)
		book->feeds[i].kept = book->feeds[i].seen;
	for (e = book->listed; e != NULL; e = e->hh.next) {
		if (e->to_call != MARKET_STEP_NONE && !book->draining)
			call_out(book, e);
		active++;
		if (oldest_ms == 0 || e->market.created_ms < oldest_ms)
			oldest_ms = e->market.created_ms;
	}
	counter_set(book->counters, markets_active, active);
	counter_set(book->counters, market_oldest_created_timestamp_seconds, oldest_ms);
}

/* What goes with every change. */
static bool put_markets(struct book_change *change)
{
	bool any = false;
	for (struct listed *e = change->book->listed; e != NULL; e = e->hh.next) {
		char key[MARKET_KEY_ROOM];
		if (!e->dirty)
			continue;
		market_key(e->market.feed, e->market.duel_id, key);
		rows_put_json(change->rows, key, market_record(&e->market));
		if (e->odds)
			publish_odds(change, &e->market);
		e->dirty = e->odds = false;
		any = true;
	}
	return any;
}

static bool cursors_are_far(const struct book *book)
{
	for (size_t i = 0; i < book->feeds_count; i++)
		if (book->feeds[i].seen - book->feeds[i].kept > CURSOR_BYTES &&
		    !book->feeds[i].lost)
			return true;
	return false;
}

static void run_queue(struct book_change *change)
{
	struct book *book = change->book;
	struct book_work **last = &book->running;
	while (book->queue != NULL && change_bytes(change) < TXN_BYTES_MAX) {
		struct book_work *work = book->queue;
		book->queue = work->next;
		if (book->queue == NULL)
			book->queue_last = &book->queue;
		book->queued--;
		work->next = NULL;
		*last = work;
		last = &work->next;
		work->run(work, change);
	}
}

static void work(struct book_change *change)
{
	struct book *book = change->book;
	struct listed *e, *next;
	uint64_t lag = 0;
	for (size_t i = 0; i < book->feeds_count; i++) {
		follow(change, &book->feeds[i]);
		lag += lag_of(book, &book->feeds[i]);
	}
	counter_set(book->counters, market_cursor_lag_bytes, lag);
	run_queue(change);
	HASH_ITER (hh, book->listed, e, next)
		advance(change, e);
}

/* True: there is something to write. */
static bool act(struct book_change *change)
{
	struct book *book = change->book;
	if (!book->loaded)
		load(change);
	work(change);
	bool changed = put_markets(change);
	forget_past(change);
	bool more = change_bytes(change) > 0; /* accounts change without a market, too */
	if (!changed && !more && !cursors_are_far(book))
		return false;
	put_cursors(change);
	return true;
}

/* The lease first, and nothing else. When it is durable, so is what its last holder was writing
 * when it died (a frame that ends the bets), and all of that is read before anything is judged. */
static bool enter(struct book *book)
{
	forget_listed(book);
	book->loaded = false;
	return true;
}

static void refuse_queue(struct book *book)
{
	for (struct book_work *work; (work = book->queue) != NULL;) {
		book->queue = work->next;
		book->queued--;
		work->finish(work, false);
	}
	book->queue_last = &book->queue;
}

static enum actor_decision decide(struct actor *actor, struct actor_change *made)
{
	struct book *book = (struct book *)actor;
	struct book_change change = {book, made->rows, made->txn, clock_wall_ms()};
	book->again = false;
	book->due_ms = UINT64_MAX;
	book->mine = take_lease(&change);
	if (book->mine && (book->entered ? act(&change) : enter(book))) {
		put_lease(&change);
		return ACTOR_WRITE;
	}
	return !book->mine && rows_marked(made->rows) != NULL ? ACTOR_STOP : ACTOR_REST;
}

/* What is in memory was never so. */
static void undo(struct actor *actor)
{
	struct book *book = (struct book *)actor;
	log_warn("market changed elsewhere", "holder=%s", book->holder);
	requeue_running(book);
	book->loaded = false;
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct book *book = (struct book *)actor;
	switch (end) {
	case ACTOR_DURABLE:
		book->entered = true;
		adopt(book);
		finish_running(book, true);
		break;
	case ACTOR_STOPPED:
		refuse_queue(book); /* there is nobody who could take it */
		schedule(book, clock_wall_ms());
		return;
	case ACTOR_RESTED:
		forget_settled(book);
		schedule(book, clock_wall_ms());
		finish_running(book, true); /* they found nothing to change */
		return;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		log_error("market not written", "verdict=%s", verdict_name(actor->verdict));
		book->loaded = false;
		finish_running(book, false);
		break;
	}
	book_turn(book);
}

static const struct actor_type book_type = {.decide = decide,
                                            .undo = undo,
                                            .end = on_end,
                                            .tries_max = TRIES_MAX,
                                            .pause_ms = RETRY_MS};

void book_turn(struct book *book)
{
	counter_set(book->counters, market_queue, book->queued);
	if (book->draining || actor_busy(&book->actor))
		return;
	if (store_position(book->store) < store_durable(book->store) || !actor_turn(&book->actor))
		uv_timer_start(&book->timer, on_timer, SOON_MS, 0);
}

/* ---- for others ---- */

bool book_submit(struct book *book, struct book_work *work)
{
	if (book->draining || book->queued >= book->settings->newest->market_queue)
		return false;
	work->next = NULL;
	*book->queue_last = work;
	book->queue_last = &work->next;
	book->queued++;
	book_turn(book);
	return true;
}

bool book_takes_bets(const struct book_change *change, const struct market *market)
{
	for (size_t i = 0; i < change->book->feeds_count; i++) {
		const struct book_feed *feed = &change->book->feeds[i];
		if (feed->lost && strcmp(feed->name, market->feed) == 0)
			return false; /* nobody would learn how it ends */
	}
	return feeds_takes_bets(change->book->source, market->feed, market->duel_id,
	                        change->now_ms);
}

struct store *book_store(const struct book *book)
{
	return book->store;
}

const struct settings *book_settings(const struct book *book)
{
	return book->settings->newest;
}

const char *const *book_feeds(const struct book *book)
{
	return book->names;
}

/* ---- life ---- */

struct book *book_create(struct worker *worker, struct store *store, const struct feeds *feeds)
{
	struct book *book = xcalloc(1, sizeof *book);
	actor_init(&book->actor, &book_type, store, worker->mine);
	book->worker = worker;
	book->store = store;
	book->source = feeds;
	book->settings = &worker->settings;
	book->counters = worker->mine;
	book->queue_last = &book->queue;
	book->webhook = operator_webhook_create(worker->loop, book->settings);
	for (const char *name;
	     book->feeds_count < FEEDS_MAX && (name = feeds_name(feeds, book->feeds_count)) != NULL;
	     book->feeds_count++) {
		struct book_feed *feed = &book->feeds[book->feeds_count];
		snprintf(feed->name, sizeof feed->name, "%s", name);
		snprintf(feed->path, sizeof feed->path, "/v1/stream/feeds/%s/frames", name);
		snprintf(feed->cursor_key, sizeof feed->cursor_key, "market/cursor/%s", name);
		snprintf(feed->recent_key, sizeof feed->recent_key, "market/recent/%s", name);
		book->names[book->feeds_count] = feed->name;
	}
	snprintf(book->holder, sizeof book->holder, "%" PRIu64 ":%u:%" PRIu64,
	         (uint64_t)atomic_load(&worker->counters->started_ms), worker->slot,
	         worker->generation);
	uv_timer_init(worker->loop, &book->timer);
	book->timer.data = book;
	uv_timer_start(&book->timer, on_timer, 1, 0); /* what its predecessor left */
	return book;
}

bool book_drain(struct book *book)
{
	if (!book->draining) {
		book->draining = true;
		uv_timer_stop(&book->timer);
		refuse_queue(book);
	}
	return !actor_busy(&book->actor);
}
