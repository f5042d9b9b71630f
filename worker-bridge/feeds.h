/* The feeds: each drives one duel cycle, by the clock and by what its game posts, and publishes
 * every change as a frame.
 *
 * A change, the frames that tell of it and the number of the post that caused it become durable in
 * one transaction, conditional on the feed's row being what it was judged by. So a post that was
 * answered counts once over any crash. Each feed has a lease (feed.h): of two bridges only its
 * holder acts; the other one refuses posts.
 *
 * Streams, below /v1/stream/feeds/NAME/: frames (all), results (the terminal frames). */
#pragma once

#include "worker-bridge/feed.h"

struct feeds;

/* The feeds are those that feeds.* names now; of all else the worker's newest settings count,
 * whenever they are needed. NULL: logged why not. Nothing happens before the store has caught up:
 * feeds_turn() finds out. */
struct feeds *feeds_create(struct worker *worker, struct store *store);

/* NULL: there is none. */
struct feed *feeds_find(const struct feeds *feeds, struct span name);
struct feed *feeds_at(const struct feeds *feeds, size_t index);

/* The store moved on, or time has passed. */
void feeds_turn(struct feeds *feeds);

/* What the capture worker says of a feed's picture; and it has gone. */
void feeds_take_report(struct feeds *feeds, struct span feed, struct span report);
void feeds_forget_reports(struct feeds *feeds);

/* Stops all clocks; posts get 503. Nothing is under way any more when it returns true. */
bool feeds_drain(struct feeds *feeds);
