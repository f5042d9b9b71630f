/* What a protocol makes of a connection's bytes, and of the answers of its exchanges. Constant, one
 * for HTTP/1 (http1.h) and one for HTTP/2 (http2.h); both make the same requests, and carry the
 * same answers. Inside the transport only.
 *
 * The connection (conn.h) has the wire, what waits to be written to it, its turn and its timer; the
 * protocol has the exchanges: which there are, which may write, when one is freed. */
#pragma once

#include "worker-sse/live/sink.h"

#include <stdbool.h>
#include <sys/uio.h>

struct chunk;
struct conn;
struct exchange;
struct http1_out;

/* Do these first bytes of a connection say that it speaks the protocol? */
enum protocol_begins { PROTOCOL_NO, PROTOCOL_SO_FAR, PROTOCOL_YES };

struct protocol {
	/* ---- of a connection ---- */

	/* NULL: of those that nothing else is, all do. */
	enum protocol_begins (*begins)(struct span bytes);
	/* The connection speaks it from here on; nothing of it has been used. NULL: it does from
	 * the beginning. */
	void (*begin)(struct conn *conn);
	/* A connection that is not served, or not any more, is told why, and closes behind that. */
	void (*refuse)(struct conn *conn, unsigned status, const char *reason);

	/* Uses bytes from the front of *in, as far as it may now; what is left is kept, and shown
	 * again with what follows it. */
	void (*take)(struct conn *conn, struct span *in);
	/* Makes output of what waits, as much as there is room for. NULL: it is made at once. */
	void (*fill)(struct conn *conn);
	/* All output is with the kernel: whoever waited for that goes on. */
	void (*flushed)(struct conn *conn);
	/* Its turn has come: answers that have more to write. */
	void (*go_on)(struct conn *conn);
	/* Does the connection stand in line with an answer, not with a request? */
	bool (*answers)(const struct conn *conn);
	/* Nothing more can come of it: it is to be closed. */
	bool (*over)(const struct conn *conn);
	/* What it waits for (enum conn_wait), while its wire does not hold it up; and what happens
	 * when that has taken too long. */
	unsigned (*wait)(const struct conn *conn);
	void (*time_is_up)(struct conn *conn);
	/* Identities are stale: its exchanges are looked at. It may be closed by that. */
	void (*judge)(struct conn *conn);
	/* Exchanges that wait to be admitted are looked at again. */
	void (*admit_waiting)(struct conn *conn);
	/* What was held up behind an exchange goes on. */
	void (*released)(struct conn *conn);
	/* Answers 503 to what waits for the store since before `before_ns` (monotonic). True: there
	 * was something. */
	bool (*refuse_stalled)(struct conn *conn, uint64_t before_ns);
	/* Is its client gone, as far as the kernel knows, though it only closed its side? */
	bool (*gone)(const struct conn *conn);
	/* No new exchanges from here on; it closes when those that there are have their answers. */
	void (*drain)(struct conn *conn);
	/* The connection is gone, or no exchange of it is wanted any more: all are abandoned. */
	void (*abandon)(struct conn *conn);
	/* ... and so is its memory, which is not used any more. NULL: there is none. */
	void (*finish)(struct conn *conn);

	/* ---- of an answer; its exchange has a connection ---- */

	/* A whole one. fields: lines of "name: value\r\n", ours to change. `body` is not there for
	 * 204 and 304; with HEAD it is only measured. The exchange ends behind it. */
	void (*answer)(struct exchange *exchange, unsigned status, struct http1_out *fields,
	               struct span body);
	/* Begins one. length UINT64_MAX: nobody knows how long it becomes. */
	void (*start)(struct exchange *exchange, unsigned status, struct http1_out *fields,
	              uint64_t length);
	/* Begins a WebSocket. */
	void (*upgrade)(struct exchange *exchange, struct http1_out *fields);
	/* Bytes of the answer. True: all taken. */
	bool (*write)(struct exchange *exchange, const struct iovec *iov, int count);
	/* The bytes [from, from + len) of what others get too, of a WebSocket: by reference. */
	bool (*write_chunk)(struct exchange *exchange, struct chunk *chunk, size_t from,
	                    size_t len);
	/* There is more to write than a slice. */
	void (*again)(struct exchange *exchange);
	/* Bytes that have not left. */
	size_t (*pending)(const struct exchange *exchange);
	/* No more is written. The exchange ends behind it. */
	void (*end)(struct exchange *exchange);
	/* The answer is not whole, and nobody is to take it to be. The exchange, and maybe the
	 * connection, is gone behind it; who works on it is told. */
	void (*cut)(struct exchange *exchange);
	/* "100 Continue". */
	void (*expect)(struct exchange *exchange);
	/* Its answer is complete: it is freed, now or when its last bytes have left. */
	void (*ended)(struct exchange *exchange);
	/* Refused: the body that still comes is dropped, within reason. */
	void (*discard)(struct exchange *exchange);
	/* Its body is late at body_late_ns. */
	void (*credited)(struct exchange *exchange);
	/* Events, as frames. */
	const struct sink_kind *(*sink)(const struct exchange *exchange);
};
