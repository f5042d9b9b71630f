/* The book: every market, driven by the frames of the feeds, by the clock, and by those who bet.
 *
 * Frames are read from the feed's stream with a durable cursor of its own. What a frame, a due time
 * or a bet changes (market, accounts, bets, audit, odds, attestation, cursor) becomes durable in
 * one transaction, one after the other: nothing happens twice over any crash, and nothing is
 * answered before it is durable. A row "market/lease" goes into each: of two bridges only the one
 * that holds it can act, and the other's transactions fail.
 *
 * Outside calls (operator_webhook.h) are intents first: the attempt is durable before it is made,
 * and its outcome after it; an attempt whose outcome is unknown is made again with the same key.
 *
 * A row that cannot be read stops what it belongs to (row.h): a market's stops that market, a
 * cursor's the markets of its feed, the lease's all of them, an account's or a bet's the settlement
 * that needs it.
 *
 * Streams: feeds/NAME/audit, odds, attestations. */
#pragma once

#include "common/worker/call.h"
#include "worker-bridge/feeds.h"
#include "worker-bridge/market.h"
#include "common/store/rows.h"

struct book;

/* The worker's newest settings, whenever they are needed. */
struct book *book_create(struct worker *worker, struct store *store, const struct feeds *feeds);

/* The store moved on, or time has passed. */
void book_turn(struct book *book);

/* Nothing is under way any more when it returns true; nothing new is begun. */
bool book_drain(struct book *book);

/* ---- work that comes from outside (book_calls.c) ---- */

/* A transaction in the making. */
struct book_change {
	struct book *book;
	struct rows *rows;
	struct txn *txn;
	uint64_t now_ms;
};

struct book_work {
	struct book_work *next;
	/* Judges and changes; may be called again, after another's change came first. */
	void (*run)(struct book_work *work, struct book_change *change);
	/* What run() did is durable; or it is not, and never will be. Frees the work. */
	void (*finish)(struct book_work *work, bool durable);
};
/* False: too many wait (market.queue); the work is still the caller's. */
bool book_submit(struct book *book, struct book_work *work);

/* The market of a duel as it is in this change: *market with ROW_PRESENT, else NULL. What is
 * changed in it is kept when book_changed() is told. */
enum row_found book_market(struct book_change *change, const char *duel_id, struct market **market);
void book_changed(struct book_change *change, struct market *market, bool odds);
/* The duel itself still takes bets: its market may not have seen the frame yet that ends them. */
bool book_takes_bets(const struct book_change *change, const struct market *market);
/* One line for the audit; `more` is taken, may be NULL. */
void book_audit(struct book_change *change, const struct market *market, const char *event,
                json_t *more);

struct store *book_store(const struct book *book);
/* The newest; until the loop turns. */
const struct settings *book_settings(const struct book *book);
/* Names of the feeds; NULL ends them. */
const char *const *book_feeds(const struct book *book);
