#include "worker-sse/edge/http2_stream.h"
#include "common/base/check.h"
#include "common/base/http1.h"
#include "worker-sse/edge/exchange_sink.h"
#include "worker-sse/edge/http1_out.h"

#include <stdlib.h>

enum {
	HEAD_SPARE = 256,   /* what a head of HTTP/1.1 has beside the fields that came */
	PIECE_BYTES = 4096, /* given to a WebSocket between two looks at its output */
	SINK_BYTES = 16384, /* of a frame that is surely gone before the next */
	STATUS_DIGITS = 3,
};

/* ---- in the session ---- */

static struct http2 *session_of(const struct http2_stream *s)
{
	return s->exchange.conn->http2;
}

static void link_last(struct http2 *h, struct http2_stream *s)
{
	s->exchange.next = NULL;
	s->previous = h->last;
	*h->last = &s->exchange;
	h->last = &s->exchange.next;
}

static void unlink_from(struct http2 *h, struct http2_stream *s)
{
	struct exchange *next = s->exchange.next;
	*s->previous = next;
	if (next != NULL)
		http2_stream_of(next)->previous = s->previous;
	else
		h->last = s->previous;
}

void http2_stream_rotate(struct http2_stream *s)
{
	struct http2 *h = session_of(s);
	unlink_from(h, s);
	link_last(h, s);
}

static void count_queued(struct http2_stream *s, size_t before)
{
	struct http2 *h = session_of(s);
	h->queued += (before == 0 && s->out.bytes > 0) ? 1 : 0;
	h->queued -= (before > 0 && s->out.bytes == 0) ? 1 : 0;
	h->queued_bytes += s->out.bytes - before;
	counter_add(h->conn->edge->counters, http2_queued_bytes, s->out.bytes - before);
}

static uint32_t now_s(const struct http2_stream *s)
{
	return (uint32_t)(s->exchange.request.edge->wheel->now_ms / 1000);
}

void http2_stream_sent(struct http2_stream *s, size_t bytes)
{
	s->moved_s = now_s(s);
	count_queued(s, s->out.bytes + bytes);
}

static void drop_input(struct http2_stream *s)
{
	if (s->in != NULL)
		s->exchange.request.edge->waiting.in_bytes -= s->in->len;
	free(s->in);
	s->in = NULL;
}

static void set_reads(struct http2_stream *s, bool reads)
{
	struct http2 *h = session_of(s);
	h->reading += (reads && !s->reads) ? 1 : 0;
	h->reading -= (!reads && s->reads) ? 1 : 0;
	s->reads = reads;
}

/* From here on it is its exchange's alone. */
static void leave(struct http2_stream *s)
{
	struct http2 *h = session_of(s);
	size_t queued = s->out.bytes;
	set_reads(s, false);
	drop_input(s);
	out_queue_drop(&s->out);
	s->out.bytes = 0;
	count_queued(s, queued);
	unlink_from(h, s);
	h->streams--;
	counter_add(h->conn->edge->counters, http2_streams, -1);
	nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
	conn_mark_dirty(h->conn);
	if (h->streams == 0)
		conn_touch(h->conn);
}

void http2_stream_closed(struct http2_stream *s)
{
	leave(s);
	exchange_abandon(&s->exchange);
}

void http2_stream_reset(struct http2_stream *s, uint32_t error)
{
	nghttp2_submit_rst_stream(session_of(s)->session, NGHTTP2_FLAG_NONE, s->id, error);
	http2_stream_closed(s);
}

/* ---- beginning ---- */

static struct http2_stream *create(struct http2 *h, int32_t id, const struct http1_head *head,
                                   const uint8_t *bytes)
{
	static const nghttp2_extpri alike = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
	struct conn *conn = h->conn;
	struct http2_stream *s =
	        (struct http2_stream *)exchange_create(conn, sizeof *s, head, bytes);
	s->id = id;
	s->moved_s = now_s(s);
	link_last(h, s);
	h->streams++;
	counter_add(conn->edge->counters, http2_streams, 1);
	nghttp2_session_set_stream_user_data(h->session, id, s);
	/* A frame each, whatever the client would have: no answer waits behind another. */
	nghttp2_session_change_extpri_stream_priority(h->session, id, &alike, 1);
	return s;
}

/* What could not be read as a request. */
static struct http2_stream *create_bare(struct http2 *h, int32_t id)
{
	static const struct http1_head nothing = {
	        .path = SPAN("/"), .minor = 1, .keep_alive = true};
	return create(h, id, &nothing, (const uint8_t *)"");
}

static void refuse_head(struct http2 *h, int32_t id, bool ends, unsigned status, const char *reason)
{
	struct http2_stream *s = create_bare(h, id);
	s->whole = ends;
	s->exchange.discard = true;
	reply_error(&s->exchange.request, status, reason);
}

static void admit(struct http2 *h, int32_t id, bool ends, const struct http1_head *head,
                  const uint8_t *bytes)
{
	struct http2_stream *s = create(h, id, head, bytes);
	struct exchange *e = &s->exchange;
	const char *fault = exchange_head_read(e->head, head, bytes);
	s->tunnels = http2_head_tunnels(&h->head);
	s->whole = ends;
	e->body_whole = ends || s->tunnels;
	e->body_chunked = !head->length_present && !e->body_whole;
	set_reads(s, !e->body_whole);
	if (fault != NULL)
		exchange_refuse(e, 400, fault);
	else if (h->queued_bytes >= h->conn->edge->settings->http2_queue_bytes)
		exchange_refuse(e, 503,
		                "too many answers wait for the windows of this connection "
		                "(http2.queue_bytes)");
	else if (exchange_admit(e, head->expect_continue) && e->body_whole)
		exchange_dispatch(e);
}

void http2_stream_begin(struct http2 *h, int32_t id, bool ends)
{
	struct edge *edge = h->conn->edge;
	const struct settings *s = edge->settings;
	const struct http1_limits limits = {s->limits_header_bytes + HEAD_SPARE,
	                                    s->limits_url_bytes};
	struct http1_head head = {.fields = edge->fields, .fields_max = s->limits_headers};
	unsigned status = 400;
	const char *reason;
	counter_add(edge->counters, requests_total, 1);
	counter_add(edge->counters, http2_streams_total, 1);
	h->conn->served = true;
	struct span text = http2_head_text(&h->head, &reason);
	if (h->large)
		refuse_head(h, id, ends, 431, "header fields too large");
	else if (reason == NULL &&
	         http1_parse(text, &limits, &head, &status, &reason) == HTTP1_WHOLE)
		admit(h, id, ends, &head, text.at);
	else
		refuse_head(h, id, ends, status, reason != NULL ? reason : "malformed request");
	http2_head_finish(&h->head);
}

/* ---- bytes in ---- */

static void consumed(const struct http2_stream *s, size_t bytes)
{
	nghttp2_session_consume_stream(session_of(s)->session, s->id, bytes);
}

/* A WebSocket is not read while what it is told waits, nor while its feature holds it. */
static bool is_held(const struct http2_stream *s)
{
	const struct exchange *e = &s->exchange;
	return e->waits || (e->state == EXCHANGE_UPGRADED &&
	                    (e->holds || s->out.bytes >= websocket_output_max(e->request.edge)));
}

/* False: the stream may be gone. */
static bool use_tunnel(struct http2_stream *s, struct span bytes)
{
	struct http2 *h = session_of(s);
	int32_t id = s->id;
	s->exchange.on_upgraded(&s->exchange.request, bytes);
	return nghttp2_session_get_stream_user_data(h->session, id) == s;
}

static bool use_body(struct http2_stream *s, struct span bytes)
{
	struct exchange *e = &s->exchange;
	if (!exchange_credit(e, bytes.len) || !exchange_take(e, bytes))
		return false;
	e->body_left -= bytes.len < e->body_left ? bytes.len : e->body_left;
	return true;
}

/* As much as it takes now, from the front. False: the stream may be gone, or what is left is
 * nobody's. */
static bool use(struct http2_stream *s, struct span *bytes)
{
	struct exchange *e = &s->exchange;
	while (bytes->len > 0 && !is_held(s)) {
		struct span piece = *bytes;
		bool goes_on = true;
		if (e->state == EXCHANGE_UPGRADED) {
			piece.len = piece.len < PIECE_BYTES ? piece.len : PIECE_BYTES;
			consumed(s, piece.len);
			goes_on = use_tunnel(s, piece);
		} else {
			/* What is dropped opens no window: the client has its answer. */
			if (e->state == EXCHANGE_READING && !e->discard) {
				consumed(s, piece.len);
				goes_on = use_body(s, piece);
			}
		}
		if (!goes_on)
			return false;
		*bytes = span_of(piece.at + piece.len, bytes->len - piece.len);
	}
	return true;
}

static void keep(struct http2_stream *s, struct span bytes)
{
	size_t had = s->in != NULL ? s->in->len : 0;
	check(had + bytes.len <= HTTP2_STREAM_BYTES); /* it is not consumed: the window holds it */
	s->in = xrealloc(s->in, sizeof *s->in + had + bytes.len);
	memcpy(s->in->bytes + had, bytes.at, bytes.len);
	s->in->len = had + bytes.len;
	s->exchange.request.edge->waiting.in_bytes += bytes.len;
}

void http2_stream_take(struct http2_stream *s, struct span bytes)
{
	struct http2 *h = session_of(s);
	nghttp2_session_consume_connection(h->session, bytes.len);
	if (s->in == NULL && !use(s, &bytes))
		return;
	if (bytes.len > 0)
		keep(s, bytes);
}

static void all_used(struct http2_stream *s)
{
	struct exchange *e = &s->exchange;
	bool was_whole = e->body_whole;
	set_reads(s, false);
	e->body_whole = true;
	if (e->state == EXCHANGE_UPGRADED)
		http2_stream_reset(s, NGHTTP2_CANCEL); /* half a WebSocket is none */
	else if (e->state == EXCHANGE_READING && !was_whole && !e->discard && !e->waits)
		exchange_dispatch(e);
}

void http2_stream_end(struct http2_stream *s)
{
	s->whole = true;
	if (s->in == NULL)
		all_used(s);
}

void http2_stream_go_on(struct http2_stream *s)
{
	struct http2_input *in = s->in;
	if (in == NULL || is_held(s))
		return;
	struct span bytes = span_of(in->bytes, in->len);
	struct edge *edge = s->exchange.request.edge;
	s->in = NULL;
	edge->waiting.in_bytes -= in->len;
	bool goes_on = use(s, &bytes);
	if (goes_on && bytes.len > 0)
		keep(s, bytes);
	else if (goes_on && s->whole)
		all_used(s);
	free(in);
}

/* ---- heads out ---- */

static void submitted(struct http2_stream *s, int result)
{
	if (result != 0)
		nghttp2_submit_rst_stream(session_of(s)->session, NGHTTP2_FLAG_NONE, s->id,
		                          NGHTTP2_INTERNAL_ERROR);
	conn_mark_dirty(s->exchange.conn);
}

static void submit_head(struct http2_stream *s, unsigned status, struct span lines, bool ends)
{
	nghttp2_nv fields[HTTP2_FIELDS_MAX];
	const uint8_t digits[STATUS_DIGITS] = {(uint8_t)('0' + status / 100),
	                                       (uint8_t)('0' + status / 10 % 10),
	                                       (uint8_t)('0' + status % 10)};
	size_t count = http2_head_fields(span_of(digits, sizeof digits), lines, fields);
	submitted(s, nghttp2_submit_headers(session_of(s)->session,
	                                    ends ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE,
	                                    s->id, NULL, fields, count, NULL));
}

/* 2xx to a CONNECT would be a tunnel (RFC 8441 5, RFC 9110 9.3.6): whoever answered it as a GET
 * talks to nobody. True: said. */
static bool no_tunnel_here(struct http2_stream *s, unsigned status, struct span lines)
{
	if (!s->tunnels || status >= 400)
		return false;
	s->mute = true;
	submit_head(s, 400, lines, true);
	return true;
}

static void put_length(struct http1_out *lines, uint64_t length)
{
	http1_put_text(lines, "content-length: ");
	http1_put_number(lines, length);
	http1_put(lines, "\r\n", 2);
}

/* ---- bytes out ---- */

static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *into, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct http2_stream *s = source->ptr;
	size_t n = s->out.bytes < room ? s->out.bytes : room;
	(void)session, (void)id, (void)into, (void)arg;
	if (n > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	s->said_all = n == s->out.bytes;
	s->said_end = s->said_all && s->ends;
	if (s->said_all)
		*flags |= NGHTTP2_DATA_FLAG_EOF |
		          (s->ends ? 0u : (unsigned)NGHTTP2_DATA_FLAG_NO_END_STREAM);
	if (n == 0)
		s->sending = false;
	return (ssize_t)n;
}

void http2_stream_submit(struct http2_stream *s)
{
	const nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = read_data};
	if (s->sending || s->mute)
		return;
	s->sending = true;
	submitted(s, nghttp2_submit_data(session_of(s)->session, NGHTTP2_FLAG_END_STREAM, s->id,
	                                 &provider));
}

static void added(struct http2_stream *s, size_t before)
{
	if (before == 0)
		s->moved_s = now_s(s);
	count_queued(s, before);
	http2_stream_submit(s);
}

static void add_copy(struct http2_stream *s, const struct iovec *iov, int count)
{
	size_t before = s->out.bytes;
	for (int i = 0; i < count; i++)
		if (iov[i].iov_len > 0)
			out_queue_copy(&s->out, iov[i].iov_base, iov[i].iov_len);
	if (s->out.bytes > before)
		added(s, before);
}

/* ---- answers ---- */

void http2_stream_answer(struct exchange *e, unsigned status, struct http1_out *fields,
                         struct span body)
{
	struct http2_stream *s = http2_stream_of(e);
	bool bodiless = status == 204 || status == 304;
	if (no_tunnel_here(s, status, span_of(fields->bytes, fields->len)))
		return;
	if (!bodiless)
		put_length(fields, body.len);
	bool sends = !bodiless && !e->head_only && body.len > 0;
	submit_head(s, status, span_of(fields->bytes, fields->len), !sends);
	if (!sends)
		return;
	const struct iovec iov = {(void *)(uintptr_t)body.at, body.len};
	s->ends = true;
	add_copy(s, &iov, 1);
}

void http2_stream_start(struct exchange *e, unsigned status, struct http1_out *fields,
                        uint64_t length)
{
	struct http2_stream *s = http2_stream_of(e);
	if (no_tunnel_here(s, status, span_of(fields->bytes, fields->len)))
		return;
	if (length != UINT64_MAX)
		put_length(fields, length);
	submit_head(s, status, span_of(fields->bytes, fields->len), false);
}

void http2_stream_upgrade(struct exchange *e, struct http1_out *fields)
{
	check(http2_stream_of(e)->tunnels);
	submit_head(http2_stream_of(e), 200, span_of(fields->bytes, fields->len), false);
}

bool http2_stream_write(struct exchange *e, const struct iovec *iov, int count)
{
	struct http2_stream *s = http2_stream_of(e);
	if (s->mute)
		return true;
	add_copy(s, iov, count);
	return s->out.bytes == 0;
}

bool http2_stream_write_chunk(struct exchange *e, struct chunk *chunk, size_t from, size_t len)
{
	struct http2_stream *s = http2_stream_of(e);
	if (s->mute)
		return true;
	size_t before = s->out.bytes;
	out_queue_push(&s->out, chunk_ref(chunk), (uint32_t)from, (uint32_t)len);
	added(s, before);
	/* What fits leaves in this turn; should it not, the next will wait. */
	return before == 0 && len <= SINK_BYTES && !e->conn->writing;
}

void http2_stream_again(struct exchange *e)
{
	conn_wait_in_line(e->conn);
}

size_t http2_stream_pending(const struct exchange *e)
{
	return ((const struct http2_stream *)e)->out.bytes;
}

void http2_stream_finish(struct exchange *e)
{
	struct http2_stream *s = http2_stream_of(e);
	s->ends = true;
	http2_stream_submit(s);
}

void http2_stream_cut(struct exchange *e)
{
	http2_stream_reset(http2_stream_of(e), NGHTTP2_INTERNAL_ERROR);
}

/* RFC 9113 8.1: a head that is not the last. */
void http2_stream_expect(struct exchange *e)
{
	submit_head(http2_stream_of(e), 100, (struct span){0}, false);
}

/* What came with the request is not needed any more; the answer may take long to leave. */
void http2_stream_ended(struct exchange *e)
{
	struct http2_stream *s = http2_stream_of(e);
	s->moved_s = now_s(s);
	set_reads(s, !s->whole);
	request_forget(&e->request);
	conn_mark_dirty(e->conn);
}

void http2_stream_refuse(struct http2_stream *s, unsigned status, const char *reason)
{
	struct http2 *h = session_of(s);
	int32_t id = s->id;
	bool whole = s->whole;
	leave(s);
	exchange_abandon(&s->exchange);
	refuse_head(h, id, whole, status, reason);
}

/* ---- events ---- */

static bool write_frame(void *to, const struct sse_frame *frame)
{
	struct exchange *e = to;
	if (e->conn == NULL || e->head_only)
		return true;
	e->wants_drain =
	        !http2_stream_write_chunk(e, frame->chunk, frame->bare_from, frame->bare_len);
	return !e->wants_drain;
}

const struct sink_kind *http2_stream_sink(const struct exchange *e)
{
	static const struct sink_kind kind = EXCHANGE_SINK(write_frame);
	(void)e;
	return &kind;
}
