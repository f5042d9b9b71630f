/* HTTP/1 (RFC 9112): exchanges stand in a row, and the first of them has the connection.
 *
 *   http1.c         the order of answers, time limits, drain
 *   http1_in.c      heads and bodies as they come
 *   http1_answer.c  answers as they go */
#pragma once

#include "common/base/http1.h"
#include "worker-sse/edge/conn.h"

/* Several stand in a row when a client pipelines appends; only the first may write to the
 * connection, the others hold their answers back. */
struct http1_exchange {
	struct exchange exchange;
	struct chunk *held; /* answer of one that is not first; held->len bytes of held_room */
	size_t held_room;
	struct http1_chunked chunked_in;
};

static inline struct http1_exchange *http1_of(struct exchange *exchange)
{
	return (struct http1_exchange *)exchange;
}

extern const struct protocol http1_protocol;

/* ---- between the three ---- */

/* Frees the exchanges that are through and lets the next one write. */
void http1_advance(struct conn *conn);
/* Answers what could not be read as a request; then the connection closes. */
void http1_refuse_head(struct conn *conn, unsigned status, const char *reason);
/* The last in the row. */
void http1_append(struct conn *conn, struct exchange *exchange);

/* Of http1_protocol: */
void http1_take(struct conn *conn, struct span *in);
void http1_answer(struct exchange *e, unsigned status, struct http1_out *fields, struct span body);
void http1_start(struct exchange *e, unsigned status, struct http1_out *fields, uint64_t length);
void http1_upgrade(struct exchange *e, struct http1_out *fields);
bool http1_write(struct exchange *e, const struct iovec *iov, int count);
bool http1_write_chunk(struct exchange *e, struct chunk *chunk, size_t from, size_t len);
void http1_again(struct exchange *e);
size_t http1_pending(const struct exchange *e);
void http1_end(struct exchange *e);
void http1_cut(struct exchange *e);
void http1_expect(struct exchange *e);
const struct sink_kind *http1_sink(const struct exchange *e);
