/* WebSocket (RFC 6455), the server's side, for features that talk in text messages.
 *
 * libwslay reads and writes the frames; here are the handshake, the time limits and the end.
 * Compression is not offered. A ping is sent after each http.sse_keepalive; who says nothing for
 * two of them is cut. Who does not take what it is sent is not read beyond
 * http.websocket_output_bytes; from one beat to the next, it ends with 1008. Where its route asks a
 * right, it ends with 4401 when the credential does. Loop thread only. */
#pragma once

#include "worker-sse/edge/request.h"

/* Codes of RFC 6455 7.4.1, and 1013 of IANA's registry ("try again later"). */
enum {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_UNSUPPORTED = 1003,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TRY_LATER = 1013,
	WEBSOCKET_ABNORMAL = 1006, /* no close frame came: the connection broke */
	WEBSOCKET_EXPIRED = 4401,  /* ours, as HTTP's 401: the credential has ended */
};

struct websocket;

struct websocket_events {
	/* A whole message; the span lives until it returns. It may send and close. */
	void (*on_text)(void *arg, struct span text);
	/* Now and then, after each ping. NULL: nothing to do. */
	void (*on_beat)(void *arg);
	/* It is over and freed: `code` is the client's, or WEBSOCKET_ABNORMAL. Never called from
	 * within websocket_send() or websocket_close(). */
	void (*on_closed)(void *arg, unsigned code);
	void *arg;
};

/* Takes the request over and answers the handshake. NULL: it is none, and was answered with 400,
 * 426 or 503. `message_bytes`: longer messages end it with 1009. */
struct websocket *websocket_accept(struct request *request, const struct websocket_events *events,
                                   size_t message_bytes);

/* To one that is full it is not sent, but ends with 1008. */
void websocket_send(struct websocket *websocket, struct span text);
/* Begins the closing handshake, after what was sent before; on_closed follows. A second call does
 * nothing. `reason` lives as long as the WebSocket: a literal. */
void websocket_close(struct websocket *websocket, unsigned code, const char *reason);

/* All of this worker: closed with 1001, their clients come to another. */

void websockets_drain(struct edge *edge);
