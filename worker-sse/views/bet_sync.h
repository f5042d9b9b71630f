/* The bet-sync feed: what betting services live on. A view over a feed's stream of frames.
 *
 *     GET /api/internal/bet-sync/state    the newest frame, and what can be replayed
 *     GET /api/internal/bet-sync/events   every frame as an event, from a cursor on
 *     GET /api/streaming/betting/bootstrap, /events     the same under their former names
 *
 * Wire version bet_sync.schema_version unless ?schemaVersion=1, 2 or 3. In this order: rate limit
 * (429), Origin (403), token (503, 401), feed (503), cursor (400), capacity (503).
 * docs/bet-sync.md. */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

void bet_sync_state(struct request *request);
void bet_sync_events(struct request *request);
/* OPTIONS of either. */
void bet_sync_preflight(struct request *request);

/* Holdings of this worker's predecessor are over. */
void bet_sync_start(struct sse_worker *w);
