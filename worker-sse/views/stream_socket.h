/* GET /v1/ws: streams over one WebSocket (docs/websocket.md): what /v1/events carries, and appends.
 *
 *   stream_socket.c          a socket: its messages, its limits, its end
 *   stream_socket_message.c  what a client says (pure)
 *   stream_socket_follow.c   subscriptions: each is a live reader whose sink is the socket
 *   stream_socket_frames.c   how what they are told looks
 *   stream_socket_append.c   appends, receipts */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

void stream_socket_start(struct sse_worker *w);
void stream_socket_handle(struct request *request);
