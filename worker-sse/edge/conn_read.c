#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"

#include <stdlib.h>

enum {
	READ_BYTES = EDGE_READ_BYTES,
	LOOK_BYTES = 16384,        /* after so much input at once the time is looked at */
	PIECE_BYTES = 4096,        /* given to a WebSocket between two looks at its output */
	OUT_PAUSE_BYTES = 1 << 20, /* no further request while so much waits to be sent */
};

/* ---- heads ---- */

/* Consumes one head, or nothing when it is not complete. */
static enum http1_result take_head(struct conn *conn, struct span *in)
{
	const struct settings *s = conn->edge->settings;
	const struct http1_limits limits = {s->limits_header_bytes, s->limits_url_bytes};
	struct http1_head head = {.fields = conn->edge->fields, .fields_max = s->limits_headers};
	unsigned status;
	const char *reason;
	enum http1_result result = http1_parse(*in, &limits, &head, &status, &reason);
	if (result == HTTP1_REFUSED) {
		in->len = 0;
		conn_refuse_head(conn, status, reason);
		return result;
	}
	if (result == HTTP1_MORE)
		return result;
	counter_add(conn->edge->counters, requests_total, 1);
	conn->served = true;
	conn_touch(conn);
	const uint8_t *bytes = in->at;
	struct exchange *e = exchange_create(conn, &head, bytes);
	*in = span_of(in->at + head.bytes, in->len - head.bytes);
	const char *fault = exchange_head_read(e->head, &head, bytes);
	if (fault != NULL) {
		e->close_after = true;
		exchange_refuse(e, 400, fault);
	} else if (exchange_admit(e, head.expect_continue) && e->body_whole) {
		exchange_dispatch(e);
	}
	return result;
}

/* ---- bodies ---- */

/* False: refused, and the exchange may be gone. */
static bool take_chunked(struct exchange *e, struct span *in)
{
	for (;;) {
		struct span data;
		switch (http1_chunked_read(&e->chunked_in, in, &data)) {
		case HTTP1_CHUNKED_MORE:
			return true;
		case HTTP1_CHUNKED_DATA:
			if (!exchange_take(e, data))
				return false;
			break;
		case HTTP1_CHUNKED_END:
			e->body_whole = true;
			return true;
		case HTTP1_CHUNKED_BAD:
			e->close_after = true;
			in->len = 0;
			if (e->discard)
				conn_advance(e->conn); /* it has its answer */
			else
				exchange_refuse(e, 400, "malformed chunked body");
			return false;
		}
	}
}

static bool take_measured(struct exchange *e, struct span *in)
{
	size_t n = in->len < e->body_left ? in->len : (size_t)e->body_left;
	if (!exchange_take(e, span_of(in->at, n)))
		return false;
	*in = span_of(in->at + n, in->len - n);
	e->body_left -= n;
	e->body_whole = e->body_left == 0;
	return true;
}

/* Feeds the body of the last exchange. */
static void take_body(struct exchange *e, struct span *in)
{
	if (!exchange_credit(e, in->len))
		return;
	if (!(e->body_chunked ? take_chunked(e, in) : take_measured(e, in)) || !e->body_whole)
		return;
	if (e->discard)
		conn_advance(e->conn);
	else
		exchange_dispatch(e);
}

/* ---- using what came ---- */

/* Appends, and whatever else is posted, but what may have an answer that lasts: that needs the
 * connection to itself. As long as it is not known, it is none. */
static bool goes_on_in_a_row(struct span in)
{
	static const char post[] = "POST /", lasts[] = "POST /stream";
	static const size_t len = sizeof lasts - 1;
	if (in.len <= len || memcmp(in.at, post, sizeof post - 1) != 0)
		return false;
	return memcmp(in.at, lasts, len) != 0 || (in.at[len] != ' ' && in.at[len] != '?');
}

/* May another request begin now? Appends go on in a row; everything else waits for what is before
 * it, so that it reads its own writes. */
static bool may_begin(const struct conn *conn, struct span in)
{
	const struct exchange *last = conn->last;
	if (conn->out.bytes >= waiting_room(&conn->edge->waiting, OUT_PAUSE_BYTES))
		return false;
	if (last == NULL)
		return true;
	return goes_on_in_a_row(in) && last->request.method == METHOD_POST &&
	       last->state != EXCHANGE_READING && last->state != EXCHANGE_REFUSED && !last->holds &&
	       !last->close_after && conn->exchanges < conn->edge->settings->limits_pipeline;
}

static void consume(struct conn *conn, struct span *in)
{
	while (in->len > 0 && !conn->closing && !conn->lingering) {
		if (conn->edge->turn.over) {
			conn->hungry = true;
			conn_wait_in_line(conn);
			return;
		}
		struct exchange *last = conn->last;
		if (last != NULL && last->waits)
			return;
		if (last != NULL && last->state == EXCHANGE_UPGRADED) {
			if (conn->out.bytes >= websocket_output_max(conn->edge))
				return; /* what it is told must leave first */
			struct span bytes =
			        span_of(in->at, in->len < PIECE_BYTES ? in->len : PIECE_BYTES);
			*in = span_of(in->at + bytes.len, in->len - bytes.len);
			last->on_upgraded(&last->request, bytes);
			continue;
		}
		if (last != NULL && !last->body_whole) {
			if (last->close_after && exchange_state_over(last->state))
				return; /* it will not be read any more */
			take_body(last, in);
			continue;
		}
		if (!may_begin(conn, *in) || take_head(conn, in) == HTTP1_MORE)
			return;
	}
}

static void keep_rest(struct conn *conn, struct span rest)
{
	if (rest.len == 0 || conn->closing || conn->lingering)
		return;
	conn->in = xmalloc(rest.len);
	conn->in_len = conn->in_room = (uint32_t)rest.len;
	conn->edge->waiting.in_bytes += rest.len;
	memcpy(conn->in, rest.at, rest.len);
}

void conn_parse(struct conn *conn)
{
	conn->hungry = false;
	if (conn->closing || conn->in_len == 0)
		return;
	/* Taken out meanwhile: a handler may answer at once. */
	uint8_t *bytes = conn->in;
	struct span rest = span_of(bytes, conn->in_len);
	conn->in = NULL;
	conn->edge->waiting.in_bytes -= conn->in_len;
	conn->in_len = conn->in_room = 0;
	consume(conn, &rest);
	keep_rest(conn, rest);
	free(bytes);
}

/* ---- reading ---- */

/* What is read may have to wait. */
static size_t read_most(const struct edge *edge)
{
	return waiting_piece(&edge->waiting, READ_BYTES);
}

static void on_bytes(struct conn *conn, struct span in)
{
	counter_add(conn->edge->counters, bytes_in_total, in.len);
	if (in.len >= LOOK_BYTES)
		turn_note(&conn->edge->turn, clock_monotonic_ns());
	if (conn->lingering)
		return;
	if (conn->in_len == 0) {
		consume(conn, &in);
		keep_rest(conn, in);
		return;
	}
	conn->in = xrealloc(conn->in, conn->in_len + in.len);
	memcpy(conn->in + conn->in_len, in.at, in.len);
	conn->in_len += (uint32_t)in.len;
	conn->edge->waiting.in_bytes += in.len;
	conn->in_room = conn->in_len;
	conn_parse(conn);
}

void conn_read_now(struct conn *conn)
{
	uint8_t *buffer = conn->edge->read_buffer;
	conn->unread = false;
	if (conn->eof)
		return;
	ssize_t n = conn->wire.kind->read(&conn->wire, buffer, read_most(conn->edge));
	if (conn->shaking && conn->wire.kind->settled(&conn->wire)) {
		conn->shaking = false;
		counter_add(conn->edge->counters, tls_handshakes_total, 1);
	}
	if (n > 0)
		on_bytes(conn, span_of(buffer, (size_t)n));
	else if (n == 0)
		conn->eof = true; /* it may still want its answer: conn_settle() */
	else if (n == WIRE_BROKEN)
		conn_close(conn);
}

void conn_on_readable(struct conn *conn)
{
	if (conn->edge->turn.over) {
		conn->unread = true;
		conn_wait_in_line(conn);
	} else {
		conn_read_now(conn);
	}
	conn_settle(conn);
}

/* While answers are under way a little is read ahead, enough to notice that the client left. */
bool conn_wants_input(const struct conn *conn)
{
	return !conn->eof &&
	       conn->in_len < conn->edge->settings->limits_header_bytes + read_most(conn->edge);
}
