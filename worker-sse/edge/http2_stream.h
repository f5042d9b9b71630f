/* One stream of HTTP/2: an exchange, what it has to send, and what it was sent and cannot use yet.
 *
 * Freed when nghttp2 has closed it and its exchange is over; until then one of them may be gone:
 * exchange.conn is NULL when the stream is. */
#pragma once

#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/http2.h"

/* Bytes of a request's body, or of a WebSocket, that cannot be used yet. */
struct http2_input {
	size_t len;
	uint8_t bytes[];
};

struct http2_stream {
	struct exchange exchange; /* its `next` is the next stream */
	struct exchange **previous;
	struct out_queue out;
	struct http2_input *in; /* NULL: nothing waits */
	int32_t id;
	uint32_t moved_s; /* when it last sent something, or had nothing to send: seconds */
	bool sending;     /* nghttp2 asks it for DATA, or will */
	bool said_all;    /* ... and was told that this is all, for now, */
	bool said_end;    /* ... or for ever */
	bool ends;        /* nothing is added to what waits: END_STREAM follows it */
	bool whole;       /* the client has sent all it will */
	bool reads;       /* counted in http2.reading */
	bool tunnels;     /* an extended CONNECT */
	bool mute;        /* its answer was given in place of the handler's, which goes nowhere */
};

static inline struct http2_stream *http2_stream_of(struct exchange *exchange)
{
	return (struct http2_stream *)exchange;
}

/* The head in http2->head is complete; `ends`: nothing follows it. */
void http2_stream_begin(struct http2 *http2, int32_t id, bool ends);
/* Bytes of its body. It may be gone behind this. */
void http2_stream_take(struct http2_stream *stream, struct span bytes);
/* No more of them. The same. */
void http2_stream_end(struct http2_stream *stream);
/* What waited to be used is tried again. The same. */
void http2_stream_go_on(struct http2_stream *stream);
/* nghttp2 has closed it. */
void http2_stream_closed(struct http2_stream *stream);
/* The stream is reset. Who works on its answer is told, and it is gone. */
void http2_stream_reset(struct http2_stream *stream, uint32_t error);
/* In place of an answer that does not come: whoever works on it goes on for himself. */
void http2_stream_refuse(struct http2_stream *stream, unsigned status, const char *reason);
/* Behind all others: its turn was. */
void http2_stream_rotate(struct http2_stream *stream);
/* Tells nghttp2 that there is something to send, if it does not know. */
void http2_stream_submit(struct http2_stream *stream);
/* So many bytes of it have become output. */
void http2_stream_sent(struct http2_stream *stream, size_t bytes);

/* Of http2_protocol: */
void http2_stream_answer(struct exchange *e, unsigned status, struct http1_out *fields,
                         struct span body);
void http2_stream_start(struct exchange *e, unsigned status, struct http1_out *fields,
                        uint64_t length);
void http2_stream_upgrade(struct exchange *e, struct http1_out *fields);
bool http2_stream_write(struct exchange *e, const struct iovec *iov, int count);
bool http2_stream_write_chunk(struct exchange *e, struct chunk *chunk, size_t from, size_t len);
void http2_stream_again(struct exchange *e);
size_t http2_stream_pending(const struct exchange *e);
void http2_stream_finish(struct exchange *e);
void http2_stream_cut(struct exchange *e);
void http2_stream_expect(struct exchange *e);
void http2_stream_ended(struct exchange *e);
const struct sink_kind *http2_stream_sink(const struct exchange *e);
