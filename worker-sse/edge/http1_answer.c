/* Answers of HTTP/1 as they go. */
#include "worker-sse/edge/http1.h"
#include "common/base/check.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/exchange_sink.h"
#include "worker-sse/edge/http1_out.h"

#include <stdio.h>

/* To the connection when the exchange is first, else held back. */
static void put(struct exchange *e, const void *at, size_t len)
{
	struct http1_exchange *own = http1_of(e);
	if (e->conn->first == e) {
		out_queue_copy(&e->conn->out, at, len);
		conn_mark_dirty(e->conn);
		return;
	}
	size_t used = own->held != NULL ? own->held->len : 0;
	if (own->held == NULL || used + len > own->held_room) {
		own->held_room = (used + len) * 2 + 256;
		struct chunk *grown = chunk_create(own->held_room);
		if (used > 0)
			memcpy(grown->bytes, own->held->bytes, used);
		chunk_unref(&own->held);
		own->held = grown;
	}
	memcpy(own->held->bytes + used, at, len);
	own->held->len = (uint32_t)(used + len);
}

/* ---- heads ---- */

static void put_head(struct exchange *e, unsigned status, struct http1_out *fields)
{
	struct edge *edge = e->request.edge;
	const char *line = http1_status_line(status);
	if (edge->draining && e->next == NULL) /* else one behind it is the last */
		e->close_after = true;
	if (e->close_after)
		http1_put_text(fields, "connection: close\r\n");
	else if (e->request.close_delimited)
		http1_put_text(fields, "connection: keep-alive\r\n");
	put(e, line, strlen(line));
}

static void put_length(struct http1_out *fields, uint64_t length)
{
	http1_put_text(fields, "content-length: ");
	http1_put_number(fields, length);
	http1_put(fields, "\r\n", 2);
}

static void put_fields(struct exchange *e, struct http1_out *fields)
{
	http1_put(fields, "\r\n", 2);
	put(e, fields->bytes, fields->len);
}

/* ---- answers ---- */

void http1_answer(struct exchange *e, unsigned status, struct http1_out *fields, struct span body)
{
	bool bodiless = status == 204 || status == 304;
	put_head(e, status, fields);
	if (!bodiless)
		put_length(fields, body.len);
	put_fields(e, fields);
	if (!bodiless && !e->head_only && body.len > 0)
		put(e, body.at, body.len);
}

void http1_start(struct exchange *e, unsigned status, struct http1_out *fields, uint64_t length)
{
	check(e->conn->first == e);
	if (length == UINT64_MAX && e->request.close_delimited)
		e->close_after = true;
	put_head(e, status, fields);
	if (length != UINT64_MAX) {
		put_length(fields, length);
	} else if (!e->request.close_delimited) {
		e->chunked_out = true;
		http1_put_text(fields, "transfer-encoding: chunked\r\n");
	}
	put_fields(e, fields);
}

void http1_upgrade(struct exchange *e, struct http1_out *fields)
{
	check(e->conn->first == e);
	e->close_after = false; /* would be said in the head */
	put_head(e, 101, fields);
	put_fields(e, fields);
}

bool http1_write(struct exchange *e, const struct iovec *iov, int count)
{
	enum { IOV_ROOM = 64 };
	if (!e->chunked_out)
		return conn_write_now(e->conn, iov, count);
	struct iovec framed[IOV_ROOM + 2];
	char size[32];
	size_t len = 0;
	check(count <= IOV_ROOM - 2);
	for (int i = 0; i < count; i++) {
		framed[i + 1] = iov[i];
		len += iov[i].iov_len;
	}
	if (len == 0)
		return true;
	framed[0] = (struct iovec){size, (size_t)snprintf(size, sizeof size, "%zx\r\n", len)};
	framed[count + 1] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
	return conn_write_now(e->conn, framed, count + 2);
}

bool http1_write_chunk(struct exchange *e, struct chunk *chunk, size_t from, size_t len)
{
	return conn_write_chunk(e->conn, chunk, from, len);
}

void http1_again(struct exchange *e)
{
	check(e->conn->first == e);
	conn_wait_in_line(e->conn);
}

size_t http1_pending(const struct exchange *e)
{
	return e->conn->out.bytes;
}

void http1_end(struct exchange *e)
{
	if (e->request.edge->draining || e->state == EXCHANGE_UPGRADED)
		e->close_after =
		        true; /* the head left before the drain began, or nothing can follow */
	if (e->chunked_out && !e->head_only)
		put(e, "0\r\n\r\n", 5);
}

void http1_cut(struct exchange *e)
{
	conn_close(e->conn); /* which frees it */
}

void http1_expect(struct exchange *e)
{
	put(e, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

/* ---- events ---- */

static bool write_frame(struct request *request, struct chunk *chunk, size_t from, size_t len)
{
	struct exchange *e = request->exchange;
	if (e->conn == NULL || e->head_only)
		return true;
	e->wants_drain = !conn_write_chunk(e->conn, chunk, from, len);
	return !e->wants_drain;
}

static bool write_chunked(void *to, const struct sse_frame *frame)
{
	return write_frame(to, frame->chunk, frame->chunked_from,
	                   sse_chunked_end(frame) - frame->chunked_from);
}

static bool write_bare(void *to, const struct sse_frame *frame)
{
	return write_frame(to, frame->chunk, frame->bare_from, frame->bare_len);
}

const struct sink_kind *http1_sink(const struct exchange *e)
{
	static const struct sink_kind chunked = EXCHANGE_SINK(write_chunked),
	                              bare = EXCHANGE_SINK(write_bare);
	return e->request.close_delimited ? &bare : &chunked;
}
