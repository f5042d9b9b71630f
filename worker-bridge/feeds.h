/* The feeds: each drives one duel cycle, by the clock and by what its game posts, and publishes
 * every change as a frame.
 *
 * A change, the frames that tell of it and the number of the post that caused it become durable in
 * one transaction, conditional on the feed's row being what it was judged by. So a post that was
 * answered counts once over any crash, and of two bridges that both believe themselves alone only
 * one can act: the other finds the row changed, reads it again, and judges anew.
 *
 * Streams, below /v1/stream/feeds/NAME/: frames (all), results (the terminal frames). */
#pragma once

#include "common/worker/call.h"
#include "common/store/store.h"
#include "worker-bridge/feed_frame.h"

struct feeds;

/* The feeds are those that feeds.* names now; of all else the worker's newest settings count,
 * whenever they are needed. NULL: logged why not. Nothing happens before the store has caught up:
 * feeds_turn() finds out. */
struct feeds *feeds_create(struct worker *worker, struct store *store);

/* The name of the feed at `index`; NULL: there are no more. */
const char *feeds_name(const struct feeds *feeds, size_t index);

/* False: no more bets on this duel, by all that is known here, what is on its way to the disk
 * included. Who only reads frames learns of it when they are durable. */
bool feeds_takes_bets(const struct feeds *feeds, const char *name, const char *duel_id,
                      uint64_t now_ms);

/* The store moved on, or time has passed. */
void feeds_turn(struct feeds *feeds);

/* What the capture worker says of a feed's picture; and it has gone. */
void feeds_take_report(struct feeds *feeds, struct span feed, struct span report);
void feeds_forget_reports(struct feeds *feeds);

/* Stops all clocks; posts get 503. Nothing is under way any more when it returns true. */
bool feeds_drain(struct feeds *feeds);
