#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"

#include <stdlib.h>

enum {
	READ_BYTES = EDGE_READ_BYTES,
	LOOK_BYTES = 16384, /* after so much input at once the time is looked at */
};

/* ---- using what came ---- */

/* With http.h2c a client says by its first bytes what it speaks. */
static bool may_be_http2(const struct conn *conn)
{
	return conn->edge->settings->http_h2c && conn->protocol == conn->edge->http1 &&
	       !conn->served && !conn->tls && conn->first == NULL;
}

static void use(struct conn *conn, struct span *in)
{
	const struct protocol *http2 = conn->edge->http2;
	enum protocol_begins begins = may_be_http2(conn) ? http2->begins(*in) : PROTOCOL_NO;
	if (begins == PROTOCOL_SO_FAR)
		return;
	if (begins == PROTOCOL_YES)
		http2->begin(conn);
	conn->protocol->take(conn, in);
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
	use(conn, &rest);
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
		use(conn, &in);
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

/* Agreed upon by ALPN. One too many has its answer already, in the wrong words. */
static void begin_http2(struct conn *conn)
{
	const struct protocol *http2 = conn->edge->http2;
	if (conn->lingering)
		http2->refuse(conn, 0, NULL);
	else
		http2->begin(conn);
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
		if (conn->wire.kind->speaks_http2(&conn->wire))
			begin_http2(conn);
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
