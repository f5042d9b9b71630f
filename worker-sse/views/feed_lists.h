/* What is kept of a feed's duels: its standings, and the duels themselves.
 *
 *     GET /v1/feeds/FEED/standings               the best by rank, as the bridge has counted them
 *     GET /v1/feeds/FEED/duels?limit=&before=    terminal frames, the newest first, page by page
 *
 * Whoever has no live right on the feed (live_right.h) has both as they were
 * feeds.spectator_delay ago, and of the frames no more than the feed's spectators have. */
#pragma once

#include "worker-sse/edge/request.h"

#include <jansson.h>

/* `feed`: as it stands in the path. */
void feed_lists_standings(struct request *request, struct span feed);
void feed_lists_duels(struct request *request, struct span feed);

enum feed_lists_found {
	FEED_LISTS_FOUND,
	FEED_LISTS_NONE,    /* no duel has counted yet */
	FEED_LISTS_LATER,   /* there is one, but it is too new for who asks, or being counted */
	FEED_LISTS_NO_FEED, /* there is none, or it has not said anything yet */
};
struct sse_worker;
/* The newest list of standings that spectators may know: a JSON text, borrowed until the store
 * moves on. */
enum feed_lists_found feed_lists_public(struct sse_worker *w, struct span feed, struct span *list);

enum { FEED_LISTS_DUELS_MAX = 200 };
/* Terminal frames that who asks may know, before position `before` of the feed's results, the
 * newest first and `limit` at most; new reference. *next: where to go on, 0: there are no more.
 * NULL: they cannot be read. */
json_t *feed_lists_past(struct request *request, struct span feed, uint64_t before, size_t limit,
                        uint64_t *next);
