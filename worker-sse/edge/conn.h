/* Inside the transport: one connection and its exchanges. Features know request.h only.
 *
 *   conn.c        life, time limits, drain
 *   conn_read.c   bytes in, when to read on
 *   conn_write.c  bytes out: at once as far as the kernel takes them, the rest when it can
 *   turn.c        how much of a turn of the loop all of them may have
 *   exchange.c    one request: its headers, whether it is admitted, its body
 *   protocol.h    what the bytes are: HTTP/1 (http1.h) or HTTP/2 (http2.h)
 *
 * An idle connection is this struct and nothing else: no buffer, no timer of its own. */
#pragma once

#include "common/base/http1.h"
#include "worker-sse/edge/exchange_head.h"
#include "worker-sse/edge/exchange_state.h"
#include "worker-sse/edge/out_queue.h"
#include "worker-sse/edge/protocol.h"
#include "worker-sse/edge/request.h"
#include "worker-sse/edge/route.h"
#include "worker-sse/edge/wire.h"
#include "worker-sse/edge/edge.h"

/* One request and its answer. The first member of what its protocol keeps of it (http1.h,
 * http2_stream.h). */
struct exchange {
	struct request request;
	struct conn *conn; /* NULL: the client is gone, somebody still works on the answer */
	struct exchange_head *head; /* NULL: forgotten */
	struct exchange *next;      /* its protocol's */
	const struct route *route;
	void (*on_upgraded)(struct request *request, struct span bytes);
	uint64_t body_left;    /* not yet received; only with Content-Length */
	size_t body_max;       /* larger is refused with 413 */
	size_t body_counted;   /* of worker->body_bytes */
	uint64_t begun_ns;     /* monotonic: the head was there */
	uint64_t body_late_ns; /* monotonic: without further bytes of the body it is late then */
	bool body_chunked, body_whole, body_owned;
	bool waits; /* it is not known yet who asks (REFUSAL_PENDING): its body is not read */
	bool expects_continue;
	bool holds;   /* request_hold() */
	bool discard; /* already answered: the body is read and dropped */
	bool head_only, close_after;
	bool chunked_out;
	bool measured;         /* a streamed answer whose Content-Length is known */
	bool wants_drain;      /* reply_write() returned false, or reply_again() was called */
	uint8_t state;         /* enum exchange_state; changed by exchange_enter() alone */
	uint16_t reader_place; /* request_hold_reader(); 0: none */
};

/* What a connection is waiting for, and so which time limit holds: conn_settle(). The handshake,
 * writing and lingering come first, whatever its protocol. */
enum conn_wait {
	WAIT_NOTHING,
	WAIT_HANDSHAKE,
	WAIT_REQUEST,
	WAIT_FIRST,
	WAIT_HEAD,
	WAIT_BODY,
	WAIT_WRITE,
	WAIT_LINGER,
	WAIT_GONE,
	WAIT_STREAMS /* of HTTP/2: some of them have limits of their own, looked at now and then */
};

/* Looks at a client that may be gone take longer each time, up to 25 ms << this. */
enum { CONN_LOOKS_LONGER = 8 };

struct conn {
	struct wire wire;
	struct edge *edge;
	const struct protocol *protocol;
	union {
		struct {
			struct exchange *first, *last; /* of HTTP/1: in a row */
		};
		struct http2 *http2; /* of HTTP/2: all that it has */
	};
	struct conn *next, **previous; /* worker->conns */
	struct conn *dirty_next;
	struct turn_task task; /* in line for its turn */
	uint8_t *in;           /* bytes that could not be used yet */
	uint32_t in_len, in_room;
	struct out_queue out;
	size_t write_left; /* what neither we nor the kernel had delivered when last looked at */
	struct wheel_node timer; /* may fire early: since_ms tells */
	uint64_t since_ms;       /* when the present wait began */
	struct address *address;
	uint16_t exchanges;
	uint8_t wait;  /* enum conn_wait */
	uint8_t looks; /* for a client that sends no more and may be gone */
	bool writing;  /* the wire takes no more at present */
	bool eof;      /* the client sends no more */
	bool dirty;    /* on worker->dirty */
	bool unread;   /* ... with bytes that the kernel holds */
	bool hungry;   /* bytes of `in` may be usable now */
	bool closing, closed /* its wire, while dirty or lined: who takes it off frees it */;
	bool lingering; /* no further request; closes when the answer has arrived */
	bool shut;      /* our side is shut down */
	bool served;    /* a whole request came */
	bool tls;       /* its wire speaks TLS, */
	bool shaking;   /* ... and is not through with the handshake */
};

/* ---- conn.c ---- */

/* Its wire is to be opened, with these events; their closed() frees it. Without a wire it is to be
 * freed by free(). */
struct conn *conn_create(struct edge *edge);
extern const struct wire_events conn_wire_events;
/* Its wire is open: it is served. */
void conn_start(struct conn *conn);
/* The same for one too many: it gets this answer and is closed; what it asks for is read, so that
 * the answer arrives, and dropped. */
void conn_refuse(struct conn *conn, unsigned status, const char *reason);
/* At once. Exchanges that nobody works on are freed with it. */
void conn_close(struct conn *conn);
/* Its wire is closed, and it stands in no list. */
void conn_free(struct conn *conn);

/* After anything happened: which time limit holds, whether to read on, whether to close. */
void conn_settle(struct conn *conn);
/* The client did its part of what is waited for: its time begins anew. */
void conn_touch(struct conn *conn);
/* It goes on when its turn comes: it writes, or reads. */
void conn_wait_in_line(struct conn *conn);
/* How long it may wait for what it waits for. */
uint64_t conn_limit_ms(const struct conn *conn);
/* No further request is read; what is answered still leaves. Its exchanges are abandoned. */
void conn_finish(struct conn *conn);

/* Ends idle connections and marks the rest to close after their answer. */
void conns_drain(struct edge *edge);

/* Some identities are stale: looks at the next `count` of all connections for those who came with
 * them. True: there are more. */
bool conns_judge(struct edge *edge, unsigned count);
/* Requests that wait to be admitted are looked at again. */
void conns_admit_waiting(struct edge *edge);

/* Answers 503 to requests from before `before_ns` (monotonic) that wait for the store, and closes
 * their connections: what they asked for is under way, and may still happen. */
void conns_refuse_stalled(struct edge *edge, uint64_t before_ns);

/* ---- conn_read.c ---- */

/* What the kernel holds, without waiting for the loop to say so. */
void conn_read_now(struct conn *conn);
/* Its wire has something to read: now, or when its turn comes. */
void conn_on_readable(struct conn *conn);
/* May more be read at present? */
bool conn_wants_input(const struct conn *conn);
/* Uses what was left over, as far as it may be used now. */
void conn_parse(struct conn *conn);

/* ---- conn_write.c ---- */

/* A row in the list of those that conns_flush() looks at before the loop sleeps. */
void conn_mark_dirty(struct conn *conn);
/* Takes over the reference. */
void conn_write_later(struct conn *conn, struct chunk *chunk);
/* Written now as far as the kernel takes it, the rest copied. True: all taken. */
bool conn_write_now(struct conn *conn, const struct iovec *iov, int count);
/* Shares the chunk. True: all taken by the kernel. */
bool conn_write_chunk(struct conn *conn, struct chunk *chunk, size_t from, size_t len);
/* Its wire takes bytes again. */
void conn_on_writable(struct conn *conn);
/* Bytes that have not arrived at the client's kernel. */
size_t conn_undelivered(const struct conn *conn);
/* Flushes every connection that was written to in this turn. */
void conns_flush(struct edge *edge);

/* ---- exchange.c ---- */

/* Keeps a copy of the head's bytes: all spans of the request point there. `size` bytes, of which
 * those behind the exchange are its protocol's, and zeros. */
struct exchange *exchange_create(struct conn *conn, size_t size, const struct http1_head *head,
                                 const uint8_t *bytes);
/* What is decided by the head alone, before any of the body is read. False: answered; or it waits
 * (exchange->waits), and nothing further of the connection is used before exchange_admit_again().
 */
bool exchange_admit(struct exchange *exchange, bool expect_continue);
/* Of one that waits: is it known by now? Whatever comes of it, its connection goes on. */
void exchange_admit_again(struct exchange *exchange);
/* Answered before its body was read: what comes of it is dropped, within reason. The exchange may
 * be gone afterwards. */
void exchange_refuse(struct exchange *exchange, unsigned status, const char *reason);
/* So many bytes of the body came, framing included. False: refused, for it takes too long. */
bool exchange_credit(struct exchange *exchange, size_t bytes);
/* Body bytes. False: refused. */
bool exchange_take(struct exchange *exchange, struct span data);
void exchange_dispatch(struct exchange *exchange);
/* What it wrote has left: it may go on. */
void exchange_drained(struct exchange *exchange);
/* The one way from state to state; aborts where none leads. */
void exchange_enter(struct exchange *exchange, enum exchange_state state);
/* The answer is complete. */
void exchange_end(struct exchange *exchange);
/* Its connection is gone. One that is still worked on stays until its answer, which frees it. */
void exchange_abandon(struct exchange *exchange);
void exchange_free(struct exchange *exchange);
/* Its identity is another now. Its connection may be closed when this returns. */
void exchange_judge(struct exchange *exchange);
/* It waits for the store: whoever waits for anything else wants to hear when the client leaves. */
bool exchange_waits_for_store(const struct exchange *exchange);
