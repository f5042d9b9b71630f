/* What spectators see of a feed: its frames, later by feeds.spectator_delay and without what is
 * between the game, the betting services and the oracle; and where there is a delay, what else is
 * told of it, as much later.
 *
 *     feeds/FEED/spectator      the stream: a frame each, in their order, with their numbers
 *     feeds/FEED/spectator/results, .../odds, .../bets, .../attestations
 *                               with a delay: what stands in the stream without "spectator", and
 *                               results as spectators have frames
 *     spectator/FEED, spectator/FEED/results, ...
 *                               {"position"}: of the feed's own, all before it have been told
 *     late/FEED/DUELID          how the duel's market stood (market_late.h)
 *
 * An actor for each, that reads from where it stopped; what it tells and how far it is are one
 * transaction, so each message is told once over any crash. Of the frames it begins at the newest,
 * of the rest at the oldest. It never tells one before its time: that is told by the wall clock,
 * and where that was set back, by how long it has been waiting. */
#pragma once

#include "common/store/actor.h"
#include "common/worker/worker.h"
#include "worker-bridge/feed_names.h"

#include <uv.h>

struct spectators;

/* For the feeds of the settings. */
struct spectators *spectators_create(struct worker *worker, struct store *store);
/* The store moved on, or time has passed. */
void spectators_turn(struct spectators *spectators);
/* Nothing is begun any more; true: nothing is under way. */
bool spectators_drain(struct spectators *spectators);
