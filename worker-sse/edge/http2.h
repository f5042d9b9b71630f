/* HTTP/2 (RFC 9113) over libnghttp2: one connection's session, and its streams, each an exchange of
 * its own.
 *
 *   http2.c         the session: frames in and out, limits, turns, drain
 *   http2_stream.c  one stream: its request, its body, its answer
 *   http2_head.c    fields as heads of HTTP/1.1, and heads as fields
 *   http2_limits.c  what a connection may do that costs it nothing
 *
 * nghttp2 has frames, HPACK, the states of streams and both sides' windows. Here is what it does
 * not know: who may write when, what waits where, and how long.
 *
 * Answers wait in their stream (http2_stream.out) until its window and the connection's let them
 * go; then they are pieces of the connection's output, by reference. Of that there is no more than
 * HTTP2_FILL_BYTES at a time, and streams take turns of a frame each: a blocked stream holds what
 * is its own, and none of its siblings. A connection whose streams hold http2.queue_bytes gets 503
 * for what it asks further.
 *
 * A body is read as its window lets it in: 64 KiB a stream, which is opened again as the bytes are
 * taken; the connection's is opened at once, so that a request that waits to be admitted holds no
 * other.
 *
 * A client that closes its side has left: there is no half of HTTP/2. */
#pragma once

#include "worker-sse/edge/http2_head.h"
#include "worker-sse/edge/http2_limits.h"
#include "worker-sse/edge/protocol.h"

#include <nghttp2/nghttp2.h>

enum {
	HTTP2_FILL_BYTES = 256 << 10, /* of output at a time; then others have their turn */
	HTTP2_WINDOW_BYTES = 1 << 20, /* that a client may send in a connection, */
	HTTP2_STREAM_BYTES = 65535,   /* ... and in a stream: what RFC 9113 6.9.2 begins with */
	HTTP2_CONTINUATIONS_MAX = 8,  /* of one header block */
	HTTP2_PREFACE_BYTES = 24,     /* RFC 9113 3.4 */
	HTTP2_TINY_BYTES = 256,       /* a window that makes smaller frames is tiny */
	HTTP2_LINGER_MS =
	        2000, /* what still comes of a body is dropped so long, behind the answer */
	HTTP2_GOODBYE_MS = 1000, /* from the first GOAWAY to the last, at most */
};

struct http2_stream;

struct http2 {
	nghttp2_session *session;
	struct conn *conn;
	struct exchange *first, **last; /* streams, in the order of their turns */
	struct http2_head head;         /* of the request that comes */
	struct http2_limits limits;
	struct chunk *frames; /* heads of DATA frames, as they are made; NULL: none */
	size_t queued_bytes;  /* of all streams */
	uint64_t goodbye_ms;  /* when the first GOAWAY was said */
	unsigned streams;     /* that there are */
	unsigned queued;      /* of them: with something to send, */
	unsigned reading;     /* ... with a body that comes */
	uint32_t error;       /* that it ends with, when it is condemned */
	const char *why;      /* ... as the client is told; NULL: nothing */
	bool condemned;       /* nothing further is read */
	bool settled;         /* the client's SETTINGS came */
	bool in_block;        /* a header block is not complete */
	bool large;           /* the request that comes has too much of a head */
	bool more;            /* there is more to send than HTTP2_FILL_BYTES */
	bool resubmit;        /* a stream has more to send than it said */
	bool draining;        /* the first GOAWAY is said, */
	bool final_due;       /* ... the last is to be, */
	bool final;           /* ... and the last */
};

extern const struct protocol http2_protocol;
