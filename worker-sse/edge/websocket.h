/* WebSocket (RFC 6455), the server's side: for features that talk in messages, for live readers (it
 * is a sink), and for those that hand frames on as they are.
 *
 * libwslay reads and writes the frames; here are the handshake, the time limits and the end.
 * A ping is sent after each http.sse_keepalive; who says nothing for two of them is cut. Who does
 * not take what it is sent is not read beyond http.websocket_output_bytes; one that takes nothing
 * of it from one beat to the next ends with 1008. Where its route asks a right, it ends with 4401
 * when the credential does. Loop thread only. */
#pragma once

#include "worker-sse/edge/request.h"

/* Codes of RFC 6455 7.4.1, 1012 and 1013 of IANA's registry ("service restart", "try again
 * later"). */
enum {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_UNSUPPORTED = 1003,
	WEBSOCKET_NO_CODE = 1005,  /* a close frame came, and said none */
	WEBSOCKET_BAD_DATA = 1007, /* text that is no UTF-8, or what cannot be unpacked */
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_BIG = 1009,
	WEBSOCKET_BAD_GATEWAY = 1014,
	WEBSOCKET_RESTART = 1012,
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
	/* The same of a binary one. NULL: there are none, and one ends it with 1003. */
	void (*on_binary)(void *arg, struct span bytes);
	/* In place of both: frames as they come, each begun by its first byte (FIN and opcode, RFC
	 * 6455 5.2; text, binary, continuation) and the length of its payload, which follows in
	 * pieces. Pings and closes are answered here. */
	void (*on_frame)(void *arg, uint8_t first, uint64_t len);
	void (*on_piece)(void *arg, struct span bytes);
	/* The client has said goodbye, with this code (WEBSOCKET_NO_CODE: none) and reason; it is
	 * answered, and on_closed follows. NULL: nothing to do. */
	void (*on_goodbye)(void *arg, unsigned code, struct span reason);
	/* What websocket_piece() left waiting has gone. NULL: nothing to do. */
	void (*on_drained)(void *arg);
	/* This worker is on its way out: it says what it has to, and closes. NULL: 1001. */
	void (*on_leaving)(void *arg);
	/* It is over and freed: `code` is the client's, or WEBSOCKET_ABNORMAL. Never called from
	 * within websocket_send() or websocket_close(). */
	void (*on_closed)(void *arg, unsigned code);
	void *arg;
};

/* Is it a handshake? False: it was answered with 400, 426 or 503. For who has something to do
 * before it accepts. */
bool websocket_expect(struct request *request);
/* Takes the request over and answers the handshake. NULL: it is none, and was answered as above.
 * `message_bytes`: longer messages, with on_frame() longer frames, end it with 1009. */
struct websocket *websocket_accept(struct request *request, const struct websocket_events *events,
                                   size_t message_bytes);

/* What a feature has of its own; zero-initialised: nothing. */
struct websocket_options {
	size_t message_bytes;    /* as above; of a packed message, behind the unpacking too */
	const char *subprotocol; /* agreed to where the client offers it; whoever offers others
	                            gets 400. NULL: what is offered is not looked at */
	bool deflates;           /* permessage-deflate for who offers it (websocket_deflate.h). With
	                  on_frame(): never */
};
struct websocket *websocket_accept_as(struct request *request,
                                      const struct websocket_events *events,
                                      const struct websocket_options *options);
/* Bits of the window that what it is sent may be packed with; 0: not at all. */
unsigned websocket_window(const struct websocket *websocket);
/* The payload of a message for all of that window, whose first byte has WEBSOCKET_PACKED. Valid
 * until the edge's next. at NULL: it goes as it is. */
enum { WEBSOCKET_PACKED = 0x40 };
struct span websocket_packed(struct edge *edge, unsigned window, struct span message);

/* To one that is full it is not sent, but ends with 1008. */
void websocket_send(struct websocket *websocket, struct span text);
/* Begins the closing handshake, after what was sent before; on_closed follows. A second call does
 * nothing. WEBSOCKET_NO_CODE: without a code. `reason` is cut to 123 bytes. In the middle of a
 * frame (below) there is no goodbye: the connection is cut. */
void websocket_close(struct websocket *websocket, unsigned code, const char *reason);

/* A frame as it is: its first byte, the length of its payload, and that in pieces. Nothing else is
 * sent before it is whole. False: on_drained() follows; what is given before that waits here. */
bool websocket_frame(struct websocket *websocket, uint8_t first, uint64_t len);
bool websocket_piece(struct websocket *websocket, struct span bytes);
/* As websocket_frame(), for whoever gives it whole at once: to one that is full it is not sent, but
 * ends with 1008. False: it takes none. */
bool websocket_begin(struct websocket *websocket, uint8_t first, uint64_t len);
/* Is it neither over nor to be closed? */
bool websocket_open(const struct websocket *websocket);
/* The same as websocket_piece(), of bytes that many share. */
bool websocket_piece_shared(struct websocket *websocket, struct chunk *chunk, size_t from,
                            size_t len);
/* Whole frames that many share: the bytes [from, from + len) of the chunk, header and all. */
bool websocket_chunk(struct websocket *websocket, struct chunk *chunk, size_t from, size_t len);
/* Bytes of a header of a frame of the server's. */
enum { WEBSOCKET_HEADER_MAX = 10 };
size_t websocket_header(uint8_t out[WEBSOCKET_HEADER_MAX], uint8_t first, uint64_t len);
/* True: what the client sends waits, also for silence. */
void websocket_hold(struct websocket *websocket, bool hold);

/* As a sink: what is bare in a frame (sse.h) are whole frames of this protocol. Ended whole, it is
 * closed with 1001, cut with 1013: who was too slow comes again. It goes on to be its holder's
 * otherwise. */
struct sink websocket_sink(struct websocket *websocket);

/* All of this worker: closed with 1001, their clients come to another. */
void websockets_drain(struct edge *edge);
