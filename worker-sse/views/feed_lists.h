/* What is kept of a feed's duels: its standings, and the duels themselves.
 *
 *     GET /v1/feeds/FEED/standings               the best by rank, as the bridge has counted them
 *     GET /v1/feeds/FEED/duels?limit=&before=    terminal frames, the newest first, page by page
 *
 * Whoever has no live right on the feed (live_right.h) has both as they were
 * feeds.spectator_delay ago, and of the frames no more than the feed's spectators have. */
#pragma once

#include "worker-sse/edge/request.h"

/* `feed`: as it stands in the path. */
void feed_lists_standings(struct request *request, struct span feed);
void feed_lists_duels(struct request *request, struct span feed);
