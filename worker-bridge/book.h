/* The book: every market, driven by the frames of the feeds, by the clock, and by those who bet.
 *
 * What a frame, a due time or a bet changes (market, accounts, bets, audit, odds, attestation,
 * cursor) becomes durable in one transaction, one after the other: nothing happens twice over any
 * crash, and nothing is answered before it is durable. The lease (lease.h) goes into each: of two
 * bridges only the one that holds it can act. Frames are read by a follower (frame_follower.h), and
 * make markets of duels (market_frames.h); the outbox (outbox.h) takes the steps that are due, by
 * the operators (operator.h); what comes from outside waits in line (errands.h).
 *
 * A row that cannot be read stops what it belongs to (row.h): a market's stops that market, a
 * cursor's the markets of its feed, the lease's all of them, an account's or a bet's the settlement
 * that needs it.
 *
 * Streams: feeds/NAME/audit, odds, attestations. */
#pragma once

#include "common/worker/worker.h"
#include "worker-bridge/errands.h"
#include "worker-bridge/operator.h"

struct book;

/* The feeds are those that the settings name now; else the worker's newest settings count, whenever
 * they are needed. */
struct book *book_create(struct worker *worker, struct store *store);

/* The store moved on, or time has passed. */
void book_turn(struct book *book);

/* Nothing is under way any more when it returns true; nothing new is begun. */
bool book_drain(struct book *book);

/* False: too many wait (market.queue); the errand is still the caller's. */
bool book_submit(struct book *book, struct errand *errand);

struct store *book_store(const struct book *book);
/* The newest; until the loop turns. */
const struct settings *book_settings(const struct book *book);
/* Names of the feeds; NULL ends them. */
const char *const *book_feeds(const struct book *book);
