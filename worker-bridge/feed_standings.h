/* The standings of a feed (standings.h) as the store has them. A terminal frame and what it changes
 * here become durable in one transaction: the feed's.
 *
 *     standings/FEED/head          {"stage", "seq", "position", "duels"}
 *     standings/FEED/one/ID        a contestant
 *     standings/FEED/pair/KEY      two of them (struct standing_pair)
 *     standings/FEED/list/SEQ      the best feeds.standings_listed by then, for whoever reads: SEQ
 *                                  is the frame, 20 digits; older ones stay as long as somebody who
 *                                  reads later by feeds.spectator_delay may need them
 *
 * What was not counted when it ended (by a release that did not count, or because the count is to
 * begin anew) is counted from the stream of results, in steps, a transaction each, from where the
 * last one stopped. Meanwhile nobody knows anything: counts are not `known`, and lists are gone. */
#pragma once

#include "common/base/settings.h"
#include "common/store/rows.h"
#include "common/store/store.h"
#include "worker-bridge/duel.h"
#include "worker-bridge/said.h"
#include "worker-bridge/standings.h"

#define FEED_STANDINGS_STAGES(S)                                                                   \
	S(CURRENT, "current") S(COUNTING, "counting") S(CLEARING, "clearing")

#define FEED_STANDINGS_ENUM(NAME, text) FEED_STANDINGS_##NAME,
enum feed_standings_stage { FEED_STANDINGS_STAGES(FEED_STANDINGS_ENUM) FEED_STANDINGS_LOST };
#undef FEED_STANDINGS_ENUM

/* Zero-initialised, but for the names: feed_standings_init(). */
struct feed_standings {
	const char *feed, *results;      /* its name, and its stream of terminal frames; borrowed */
	struct standings *table;         /* NULL: not read yet */
	char *head;                      /* the row that it was read with; NULL: there was none */
	enum feed_standings_stage stage; /* LOST: a row cannot be read, and nothing is counted */
	uint64_t seq;                    /* of the last frame that was looked at */
	uint64_t position;               /* of results: all before it has been looked at */
	uint64_t duels;                  /* that counted */
};

/* One transaction in the making. */
struct feed_standings_change {
	struct rows *rows;
	struct store *store;
	const struct settings *settings;
	struct said *said;
	uint64_t now_ms; /* Unix ms */
};

void feed_standings_init(struct feed_standings *standings, const char *feed, const char *results);

/* At the beginning of each decision: reads what is there if it is not what we know, and counts some
 * of what has not been counted. True: something was put. */
bool feed_standings_turn(struct feed_standings *standings,
                         const struct feed_standings_change *change);

/* The duel has ended; its terminal frame has this epoch, number and time. */
void feed_standings_end(struct feed_standings *standings,
                        const struct feed_standings_change *change, const struct duel *duel,
                        uint64_t epoch, uint64_t seq, uint64_t emitted_ms);

/* What is known of both who are to fight. */
void feed_standings_fill(const struct feed_standings *standings, struct duel *duel);

/* All is to be counted anew, from the oldest result that there is. False: a row cannot be read,
 * and is not written over. */
bool feed_standings_recount(struct feed_standings *standings,
                            const struct feed_standings_change *change);

/* What was put has not become: all is read again. */
void feed_standings_forget(struct feed_standings *standings);

const char *feed_standings_stage_name(enum feed_standings_stage stage);
