/* Inside the transport: one connection and its exchanges. Features know request.h only. */
#pragma once

#include "common/http1.h"
#include "worker-sse/request.h"
#include "worker-sse/route.h"
#include "worker-sse/worker.h"

/* Bytes to send: a range of a shared chunk. */
struct piece {
	struct chunk *chunk;
	uint32_t from, len;
};

/* One request and its answer. Several stand in a row when a client pipelines appends; only the
 * first may write to the connection, the others hold their answers back. */
struct exchange {
	struct request request;
	struct conn *conn;
	struct exchange *next;
	const struct route *route;
	struct chunk *held; /* answer of one that is not first; held->len bytes of held_room */
	size_t held_room;
	struct http1_chunked chunked_in;
	uint64_t body_left;
	size_t body_max, body_counted;
	bool body_chunked, body_whole, body_owned;
	bool discard;     /* already answered: the body is read and dropped */
	bool dispatched, answered /* head written */, ended, chunked_out, head_only, close_after;
	bool wants_drain; /* reply_write() returned false */
};

enum conn_wait { WAIT_NOTHING, WAIT_REQUEST, WAIT_HEAD, WAIT_BODY, WAIT_WRITE, WAIT_LINGER };

struct conn {
	uv_tcp_t tcp;
	struct sse_worker *worker;
	struct conn *next, **previous; /* worker->conns */
	struct conn *dirty_next;
	struct exchange *first, *last;
	uint8_t *in; /* bytes that could not be used yet */
	uint32_t in_len, in_room;
	struct piece *out;
	uint32_t out_from, out_count, out_room;
	size_t out_bytes;
	struct wheel_node timer;
	uint16_t exchanges;
	uint8_t wait; /* enum conn_wait */
	bool reading, writing, dirty, eof, closing, lingering;
	bool served; /* at least one request came */
	struct address *address;
};

/* Takes over an accepted handle. */
void conn_start(struct conn *conn);
void conn_close(struct conn *conn);

/* Bytes of an answer: to the connection when the exchange is first, else held back. */
void exchange_write(struct exchange *exchange, const void *at, size_t len);
/* Written now as far as the kernel takes it, the rest copied. True: all taken. */
bool conn_write_now(struct conn *conn, const struct iovec *iov, int count);
/* Shares the chunk. True: all taken by the kernel. */
bool conn_write_chunk(struct conn *conn, struct chunk *chunk, size_t from, size_t len);
/* The answer is complete. */
void exchange_end(struct exchange *exchange);

/* listen.c: one connection less from its address. */
void listen_forget_address(struct sse_worker *w, struct conn *conn);

/* request.c: 401 or 503 for want of a token. */
void request_unauthorized(struct request *request, const char *reason);

/* Flushes every connection that was written to in this turn. */
void conns_flush(struct sse_worker *w);
/* Ends idle connections and marks the rest to close after their answer. */
void conns_drain(struct sse_worker *w);
