/* The public's feed, in the original's words (docs/duels.md): what spectators see, for pages and
 * bots that know it so.
 *
 *     GET /api/streaming/state, /state/events, /duel-context, /leaderboard, /leaderboard/details,
 *         /config, /rtmp/status, /capture/status, /metrics, /agent/ID/inventory,
 *         /agent/ID/monologues
 *
 * ?feed=NAME asks for another feed than bet_sync.feed. Who may read or look at
 * /v1/feeds/FEED/spectator may ask. All is made of the feed's spectator stream: as late as it. */
#pragma once

#include "worker-sse/edge/request.h"

void streaming_handle(struct request *request);

/* GET /v1/feeds/FEED/spectator: the newest frame that spectators have. ?behind=SEQ: the offset at
 * which their stream is read from the frame behind that one on, or from the first that is kept. */
void streaming_newest(struct request *request, struct span feed);
