/* Heads and bodies of HTTP/1 as they come. */
#include "common/base/check.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/http1.h"

enum {
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
		http1_refuse_head(conn, status, reason);
		return result;
	}
	if (result == HTTP1_MORE)
		return result;
	counter_add(conn->edge->counters, requests_total, 1);
	conn->served = true;
	conn_touch(conn);
	const uint8_t *bytes = in->at;
	struct exchange *e = exchange_create(conn, sizeof(struct http1_exchange), &head, bytes);
	http1_append(conn, e);
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
		switch (http1_chunked_read(&http1_of(e)->chunked_in, in, &data)) {
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
				http1_advance(e->conn); /* it has its answer */
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
		http1_advance(e->conn);
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

void http1_take(struct conn *conn, struct span *in)
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
			if (last->holds || conn->out.bytes >= websocket_output_max(conn->edge))
				return; /* what it is told, or says to others, must leave first */
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
