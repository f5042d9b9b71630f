/* Stable connections over HTTP: /api/chat/events?cid= and what is asked beside it, /api/chat/...
 * docs/connections.md has the wire.
 *
 * The row (common/domain/connection.h) is the truth. A stream here is a projection of it: whoever
 * answers a request changes the row, on whichever worker, and the one that has the stream hears of
 * it by the log, as of everything else. So no two workers need agree on anything but the row. */
#pragma once

#include "proto/roles.h"
#include "worker-sse/edge/request.h"

struct call;
struct sse_worker;

/* Behind conversations_start(). */
void connections_start(struct sse_worker *w);
/* A worker of our kind has ended: whose streams were its. */
void connections_peer_gone(struct sse_worker *w, const struct party *gone);

/* GET /api/chat/events */
void connections_stream(struct request *request);
/* GET /api/chat/ws: the same, both ways in one WebSocket */
void connections_socket(struct request *request);
/* POST /api/chat/NAME */
void connections_handle(struct request *request);
/* POST /api/sessions/suspend: by a page that goes, which can set no header */
void connections_beacon(struct request *request);

/* POST /connections/CID of another worker: something to be said on the stream that is here. */
void connections_on_call(struct call *call);
