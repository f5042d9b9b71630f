#include "worker-bridge/book.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/actor.h"
#include "worker-bridge/account_news.h"
#include "worker-bridge/forget.h"
#include "worker-bridge/lease.h"
#include "worker-bridge/market_frames.h"
#include "worker-bridge/market_news.h"
#include "worker-bridge/operator_ledger.h"
#include "worker-bridge/operator_solana.h"
#include "worker-bridge/operator_webhook.h"
#include "worker-bridge/outbox.h"

#include <stdlib.h>

enum {
	LEASE_LOOK_MS = 200, /* who does not hold it looks again */
	TIMER_MS_MAX = 1000,
	RETRY_MS = 1000,
	TRIES_MAX = 50,
	SOON_MS = 20,
};

struct book {
	struct actor actor; /* first */
	struct store *store;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct lease lease;
	struct markets markets;
	struct market_operator *operators[4]; /* NULL ends them */
	struct outbox outbox;
	struct errands errands;
	struct said said;
	struct clock_watch clock;
	struct past past;
	uint64_t past_fence; /* the lease under which it was made */
	bool loaded, again, draining;
	uint64_t due_ms, lag_bytes;
	uv_timer_t timer;
};

/* ---- forgetting ---- */

static void load_past(struct book *book)
{
	if (book->past_fence == book->lease.fence)
		return;
	forget_load(&book->past, store_view(book->store));
	book->past_fence = book->lease.fence;
}

/* Settled markets whose time is up, with their bets and attestations; a part at a time, beside
 * everything else. */
static void forget_past(struct market_change *change)
{
	struct markets *markets = change->markets;
	const struct forget how = {change->rows, markets->names, change->settings->market_keep_ms,
	                           change->now_ms};
	const struct past_duel *duel;
	for (size_t i = 0; how.keep_ms != 0 && (duel = past_at(change->past, i)) != NULL;) {
		uint64_t due_ms = duel->settled_ms + how.keep_ms;
		if (change->now_ms < due_ms) {
			market_change_due(change, due_ms);
			return;
		}
		if (market_change_full(change)) {
			change->again = true;
			return;
		}
		enum forget_result result = markets_listed(markets, duel->duel_id) == NULL
		                                    ? forget_duel(&how, duel->duel_id)
		                                    : FORGET_LATER;
		if (result == FORGET_LATER)
			i++; /* looked at again with the next change */
		else if (result != FORGET_MORE)
			past_remove(change->past, i);
		if (result == FORGET_DONE)
			said_count(change->said, markets_forgotten_total, 1);
	}
}

/* ---- a turn ---- */

static void load(struct book *book, struct market_change *change)
{
	markets_drop_all(&book->markets);
	stopped_finish(&book->markets.stopped);
	for (size_t i = 0; i < book->markets.feeds_count; i++)
		market_frames_load(change, &book->markets.feeds[i].follower, book->store);
	load_past(book);
	book->loaded = true;
}

static void work(struct book *book, struct market_change *change)
{
	struct listed *e, *next;
	book->lag_bytes = 0;
	for (size_t i = 0; i < book->markets.feeds_count; i++) {
		struct frame_follower *follower = &book->markets.feeds[i].follower;
		market_frames_follow(change, follower, book->store);
		book->lag_bytes += frame_follower_lag(follower, book->store);
	}
	while (!market_change_full(change) && errands_run(&book->errands, change)) {
	}
	HASH_ITER (hh, book->markets.listed, e, next)
		outbox_advance(&book->outbox, change, e);
}

static bool cursors_are_far(const struct markets *markets)
{
	for (size_t i = 0; i < markets->feeds_count; i++)
		if (frame_follower_far(&markets->feeds[i].follower))
			return true;
	return false;
}

/* True: there is something to write. */
static bool act(struct book *book, struct market_change *change)
{
	if (!book->loaded)
		load(book, change);
	work(book, change);
	bool changed = markets_put(change, market_tell_odds);
	forget_past(change);
	/* Accounts change without a market, too. */
	bool more = txn_bytes(change->txn) + rows_bytes(change->rows) > 0;
	if (!changed && !more && !cursors_are_far(&book->markets))
		return false;
	for (size_t i = 0; i < book->markets.feeds_count; i++)
		market_frames_put(change, &book->markets.feeds[i].follower);
	return true;
}

/* The lease first, and nothing else, but that the news of accounts have a place. When it is
 * durable, so is what its last holder was writing when it died (a frame that ends the bets), and
 * all of that is read before anything is judged. */
static bool enter(struct book *book, struct market_change *change)
{
	txn_stream(change->txn, ACCOUNT_NEWS_STREAM);
	markets_drop_all(&book->markets);
	book->loaded = false;
	return true;
}

static void see_clock(struct book *book, uint64_t now_ms)
{
	int64_t step_ms = clock_watch_step(&book->clock, now_ms, clock_monotonic_ms());
	for (size_t i = 0; step_ms < 0 && i < book->markets.feeds_count; i++)
		feed_bets_clock_moved(&book->markets.feeds[i].bets, step_ms);
}

static enum actor_decision decide(struct actor *actor, struct actor_change *made)
{
	struct book *book = (struct book *)actor;
	struct market_change change = {.markets = &book->markets,
	                               .rows = made->rows,
	                               .txn = made->txn,
	                               .said = &book->said,
	                               .past = &book->past,
	                               .settings = book->settings->newest,
	                               .now_ms = clock_wall_ms(),
	                               .due_ms = UINT64_MAX};
	bool moved, write = false;
	see_clock(book, change.now_ms);
	enum lease_look look = lease_take(&book->lease, made->rows, change.now_ms, &moved);
	book->loaded = book->loaded && !moved;
	if (look == LEASE_MINE)
		write = book->lease.entered ? act(book, &change) : enter(book, &change);
	book->again = change.again;
	book->due_ms = change.due_ms;
	if (write)
		lease_put(&book->lease, made->rows, change.now_ms);
	return write ? ACTOR_WRITE : look == LEASE_UNREADABLE ? ACTOR_STOP : ACTOR_REST;
}

/* What is in memory was never so. */
static void undo(struct actor *actor)
{
	struct book *book = (struct book *)actor;
	log_warn("market changed elsewhere", "holder=%s", book->lease.holder);
	errands_undo(&book->errands);
	said_forget(&book->said);
	book->loaded = false;
}

/* ---- when it is durable ---- */

static void count_active(const struct book *book)
{
	uint64_t active = 0, oldest_ms = 0;
	for (const struct listed *e = book->markets.listed; e != NULL; e = e->hh.next) {
		active++;
		if (oldest_ms == 0 || e->market.created_ms < oldest_ms)
			oldest_ms = e->market.created_ms;
	}
	counter_set(book->counters, markets_active, active);
	counter_set(book->counters, market_oldest_created_timestamp_seconds, oldest_ms);
}

/* What was decided is so, also where nothing was to be written. */
static void adopt(struct book *book)
{
	said_tell(&book->said, book->counters);
	counter_set(book->counters, market_cursor_lag_bytes, book->lag_bytes);
	markets_drop_settled(&book->markets);
	if (book->loaded && !book->draining) {
		size_t calls = outbox_send(&book->outbox, book->lease.fence);
		counter_add(book->counters, market_calls_total, calls);
	}
}

static void on_timer(uv_timer_t *timer)
{
	book_turn(timer->data);
}

static void schedule(struct book *book, uint64_t now_ms)
{
	uint64_t wait = !book->lease.mine                            ? LEASE_LOOK_MS
	                : book->again || book->errands.queue != NULL ? 1
	                : book->due_ms == UINT64_MAX                 ? 0
	                : book->due_ms <= now_ms                     ? 1
	                                                             : book->due_ms - now_ms;
	if (wait == 0)
		uv_timer_stop(&book->timer); /* nothing to reconcile: frames and bets wake us */
	else
		uv_timer_start(&book->timer, on_timer, wait < TIMER_MS_MAX ? wait : TIMER_MS_MAX,
		               0);
}

static void on_end(struct actor *actor, enum actor_end end)
{
	struct book *book = (struct book *)actor;
	switch (end) {
	case ACTOR_DURABLE:
		book->lease.entered = true;
		for (size_t i = 0; i < book->markets.feeds_count; i++)
			frame_follower_kept(&book->markets.feeds[i].follower);
		adopt(book);
		count_active(book);
		errands_finish(&book->errands, true);
		break;
	case ACTOR_STOPPED:
		said_forget(&book->said);
		errands_refuse(&book->errands); /* there is nobody who could take it */
		schedule(book, clock_wall_ms());
		return;
	case ACTOR_RESTED:
		adopt(book);
		schedule(book, clock_wall_ms());
		errands_finish(&book->errands, true); /* they found nothing to change */
		return;
	case ACTOR_OVERTAKEN:
	case ACTOR_FAILED:
		log_error("market not written", "verdict=%s", verdict_name(actor->verdict));
		said_forget(&book->said);
		book->loaded = false;
		errands_finish(&book->errands, false);
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
	counter_set(book->counters, market_queue, book->errands.queued);
	if (book->draining || actor_busy(&book->actor))
		return;
	if (store_position(book->store) < store_durable(book->store) || !actor_turn(&book->actor))
		uv_timer_start(&book->timer, on_timer, SOON_MS, 0);
}

/* ---- for others ---- */

bool book_submit(struct book *book, struct errand *errand)
{
	if (book->draining || book->errands.queued >= book->settings->newest->market_queue)
		return false;
	errands_add(&book->errands, errand);
	book_turn(book);
	return true;
}

/* An operator's answer is never refused: what it did has happened. It may come while the operators
 * are being called: what is in memory is not touched before they all were. */
static void on_answered(void *arg, struct errand *errand)
{
	struct book *book = arg;
	errands_add(&book->errands, errand);
	uv_timer_start(&book->timer, on_timer, 0, 0);
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
	return book->markets.names;
}

/* ---- life ---- */

struct book *book_create(struct worker *worker, struct store *store)
{
	struct book *book = xcalloc(1, sizeof *book);
	actor_init(&book->actor, &book_type, store, worker->mine);
	book->store = store;
	book->settings = &worker->settings;
	book->counters = worker->mine;
	lease_init(&book->lease, "market/lease", atomic_load(&worker->counters->started_ms),
	           worker->slot, worker->generation);
	markets_init(&book->markets, worker->settings.newest);
	errands_init(&book->errands);
	said_init(&book->said);
	book->operators[0] = &operator_ledger;
	book->operators[1] = operator_webhook_create(worker->loop, store, book->settings);
	book->operators[2] = operator_solana_create(worker->loop, book->settings, book->counters);
	book->outbox = (struct outbox){.operators = book->operators,
	                               .markets = &book->markets,
	                               .answered = on_answered,
	                               .arg = book};
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
		errands_refuse(&book->errands);
	}
	return !actor_busy(&book->actor);
}
