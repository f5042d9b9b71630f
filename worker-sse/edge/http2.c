#include "worker-sse/edge/http2.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/edge/http2_stream.h"

#include <stdlib.h>

enum {
	PIECE_BYTES = 2048,     /* of input, between two looks at the time */
	PAUSE_BYTES = 64 << 10, /* nothing more is read while so much does not leave */
	FRAME_HEAD_BYTES = 9,   /* RFC 9113 4.1 */
	FRAMES_ROOM = 2048,     /* heads of frames that share a chunk */
	GOODBYE_PING = 0x52,    /* the PING whose answer says that the first GOAWAY has come */
};

static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof preface - 1 == HTTP2_PREFACE_BYTES, "RFC 9113 3.4");

static const uint8_t goodbye_ping[8] = {GOODBYE_PING};

static struct http2 *session_of(const struct conn *conn)
{
	return conn->http2;
}

static struct http2_stream *find(const struct http2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

/* ---- its end ---- */

/* The connection ends with this error. */
static void condemn(struct http2 *h, uint32_t error, const char *why)
{
	if (h->condemned)
		return;
	h->condemned = true;
	h->error = error;
	h->why = why;
	conn_mark_dirty(h->conn);
}

/* False: that is too much, and the connection ends. */
static bool count(struct http2 *h, enum http2_limit limit)
{
	struct edge *edge = h->conn->edge;
	if (h->condemned)
		return false;
	if (http2_limits_take(&h->limits, edge->settings, limit, edge->wheel->now_ms))
		return true;
	http2_limit_count(edge->counters, limit);
	log_info("connection of HTTP/2 ended", "limit=%s", http2_limit_key(limit));
	condemn(h, NGHTTP2_ENHANCE_YOUR_CALM, http2_limit_key(limit));
	return false;
}

static void say_goaway(struct http2 *h, uint32_t error, const char *why)
{
	nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	                      nghttp2_session_get_last_proc_stream_id(h->session), error,
	                      (const uint8_t *)why, why != NULL ? strlen(why) : 0);
}

/* ---- frames that come ---- */

/* What costs the client nothing is counted before it is looked at. */
static bool admit_frame(struct http2 *h, const nghttp2_frame_hd *hd)
{
	switch (hd->type) {
	case NGHTTP2_DATA:
		return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0 ||
		       count(h, HTTP2_EMPTY_FRAMES);
	case NGHTTP2_HEADERS:
		return true;
	case NGHTTP2_RST_STREAM:
		counter_add(h->conn->edge->counters, http2_resets_total, 1);
		return count(h, HTTP2_RESETS);
	case NGHTTP2_SETTINGS:
		return count(h, HTTP2_SETTINGS);
	case NGHTTP2_PING:
		return count(h, HTTP2_PINGS);
	case NGHTTP2_WINDOW_UPDATE:
		return count(h, HTTP2_WINDOW_UPDATES);
	case NGHTTP2_CONTINUATION:
		return count(h, HTTP2_CONTINUATIONS);
	case NGHTTP2_PRIORITY:
		if (hd->stream_id == 0) /* RFC 9113 6.3; nghttp2 reads over them all */
			condemn(h, NGHTTP2_PROTOCOL_ERROR, "PRIORITY of no stream");
		return count(h, HTTP2_EMPTY_FRAMES);
	default:
		return count(h, HTTP2_EMPTY_FRAMES);
	}
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct http2 *h = arg;
	(void)session;
	if (h->conn->closing || !admit_frame(h, hd))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (hd->type == NGHTTP2_HEADERS && h->conn->wait == WAIT_HEAD)
		conn_touch(h->conn);
	h->in_block = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION;
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	(void)session;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	http2_head_begin(&h->head, h->conn->edge->settings->limits_header_bytes);
	h->large = false;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
	struct http2 *h = arg;
	(void)session, (void)flags;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers: nobody asks for them */
	if (http2_head_add(&h->head, span_of(name, name_len), span_of(value, value_len)) ||
	    h->large)
		return 0;
	h->large = true;
	return count(h, HTTP2_HEADER_BOMBS) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* RFC 9113 8.2.1: a field that is not valid makes the request malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
	(void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
	(void)flags, (void)arg;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *at,
                   size_t len, void *arg)
{
	struct http2 *h = arg;
	struct http2_stream *s = find(h, id);
	(void)flags;
	if (s != NULL)
		http2_stream_take(s, span_of(at, len));
	else
		nghttp2_session_consume_connection(session, len);
	return h->conn->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Which request was the last is said when it is sent: others may come by then. */
static void say_final_goaway(struct http2 *h)
{
	h->final_due = true;
	conn_mark_dirty(h->conn);
}

static void on_whole_request(struct http2 *h, const nghttp2_frame *frame)
{
	bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	struct http2_stream *s = find(h, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http2_stream_begin(h, frame->hd.stream_id, ends);
	else if (ends && s != NULL)
		http2_stream_end(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		h->in_block = false;
		on_whole_request(h, frame);
		break;
	case NGHTTP2_SETTINGS:
		h->settled |= !ack;
		break;
	case NGHTTP2_PING:
		if (ack && h->draining &&
		    memcmp(frame->ping.opaque_data, goodbye_ping, sizeof goodbye_ping) == 0)
			say_final_goaway(h);
		break;
	default:
		break;
	}
	return h->conn->closing ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct http2_stream *s = find(arg, id);
	(void)session, (void)error;
	if (s != NULL)
		http2_stream_closed(s);
	return 0;
}

/* ---- frames that go ---- */

/* Heads of frames lie side by side, and are freed with the last of them. */
static void put_frame_head(struct http2 *h, const uint8_t *head)
{
	if (h->frames != NULL && h->frames->refs == 1)
		h->frames->len = 0;
	if (h->frames == NULL || h->frames->len + FRAME_HEAD_BYTES > FRAMES_ROOM) {
		chunk_unref(&h->frames);
		h->frames = chunk_create(FRAMES_ROOM);
		h->frames->len = 0;
	}
	struct chunk *chunk = h->frames;
	memcpy(chunk->bytes + chunk->len, head, FRAME_HEAD_BYTES);
	out_queue_push(&h->conn->out, chunk_ref(chunk), chunk->len, FRAME_HEAD_BYTES);
	chunk->len += FRAME_HEAD_BYTES;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t len, nghttp2_data_source *source, void *arg)
{
	struct http2 *h = arg;
	struct http2_stream *s = source->ptr;
	(void)session, (void)frame;
	if (h->conn->out.bytes >= HTTP2_FILL_BYTES) {
		h->more = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	put_frame_head(h, head);
	out_queue_move(&s->out, &h->conn->out, len);
	http2_stream_sent(s, len);
	http2_limits_give(&h->limits, HTTP2_WINDOW_UPDATES, 2);
	if (s->said_all) {
		s->sending = false;
		h->resubmit |= s->out.bytes > 0 || s->ends;
	} else if (len < HTTP2_TINY_BYTES) {
		count(h, HTTP2_TINY_WINDOWS);
	}
	return 0;
}

/* A mistake of the client's that cost us a stream. */
static bool is_mistake(uint32_t error)
{
	return error != NGHTTP2_NO_ERROR && error != NGHTTP2_CANCEL &&
	       error != NGHTTP2_INTERNAL_ERROR;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)session;
	if (frame->hd.type == NGHTTP2_RST_STREAM && is_mistake(frame->rst_stream.error_code))
		count(arg, HTTP2_RESETS);
	return 0;
}

/* ---- output ---- */

static void submit_again(struct http2 *h)
{
	h->resubmit = false;
	for (struct exchange *e = h->first; e != NULL; e = e->next) {
		struct http2_stream *s = http2_stream_of(e);
		if (!s->sending && (s->out.bytes > 0 || (s->ends && !s->said_end)))
			http2_stream_submit(s);
	}
}

static void fill(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	const uint8_t *at;
	ssize_t n = 0;
	h->more = false;
	if (conn->lingering || conn->writing)
		return;
	if ((h->condemned || h->final_due) && !h->final) {
		h->final = true;
		say_goaway(h, h->condemned ? h->error : NGHTTP2_NO_ERROR, h->why);
	}
	do {
		while (!h->more && (n = nghttp2_session_mem_send(h->session, &at)) > 0) {
			out_queue_copy(&conn->out, at, (size_t)n);
			h->more = conn->out.bytes >= HTTP2_FILL_BYTES;
		}
		if (!h->resubmit)
			break;
		submit_again(h);
	} while (!h->more);
	if (n < 0)
		condemn(h, NGHTTP2_INTERNAL_ERROR, NULL);
}

/* ---- turns ---- */

static struct http2_stream *next_to_drain(const struct http2 *h)
{
	for (struct exchange *e = h->first; e != NULL; e = e->next)
		if (e->wants_drain && http2_stream_of(e)->out.bytes == 0)
			return http2_stream_of(e);
	return NULL;
}

/* Streams that were blocked and are no more go on, each once. False: the turn is over. */
static bool drain_streams(struct conn *conn, unsigned most)
{
	struct http2 *h = session_of(conn);
	for (; most > 0 && !conn->closing && !conn->lingering; most--) {
		struct http2_stream *s = next_to_drain(h);
		if (s == NULL)
			return true;
		turn_note(&conn->edge->turn, clock_monotonic_ns());
		if (conn->task.lined || conn->edge->turn.over)
			return false;
		http2_stream_rotate(s);
		exchange_drained(&s->exchange);
	}
	return true;
}

static void use_held(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	struct exchange *next;
	for (struct exchange *e = h->first; e != NULL && !conn->closing; e = next) {
		next = e->next;
		http2_stream_go_on(http2_stream_of(e));
	}
}

static bool is_done(const struct http2 *h)
{
	bool over =
	        !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
	return over || (h->final && h->streams == 0);
}

static void flushed(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	chunk_unref(&h->frames);
	if (conn->lingering)
		return;
	chunk_unref(&h->frames);
	if (h->condemned && !h->final) {
		conn_mark_dirty(conn); /* it is told first */
		return;
	}
	if (h->condemned || (is_done(h) && !h->more)) {
		conn_finish(conn);
		return;
	}
	use_held(conn);
	if (conn->closing)
		return;
	if (h->more || !drain_streams(conn, h->streams))
		conn_wait_in_line(conn);
	if (conn->in_len > 0)
		conn_parse(conn);
}

static void go_on(struct conn *conn)
{
	if (conn->lingering)
		return;
	if (conn->out.count == 0)
		drain_streams(conn, 1);
	conn_mark_dirty(conn);
}

static bool answers(const struct conn *conn)
{
	return !conn->hungry && !conn->unread;
}

/* ---- input ---- */

static void take(struct conn *conn, struct span *in)
{
	struct http2 *h = session_of(conn);
	while (in->len > 0 && !conn->closing && !conn->lingering && !h->condemned) {
		if (conn->edge->turn.over) {
			conn->hungry = true;
			conn_wait_in_line(conn);
			break;
		}
		if (conn->out.bytes >= PAUSE_BYTES && conn->writing)
			break;
		size_t piece = in->len < PIECE_BYTES ? in->len : PIECE_BYTES;
		ssize_t n = nghttp2_session_mem_recv(h->session, in->at, piece);
		if (n < 0 && !conn->closing)
			condemn(h,
			        n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
			                                 : NGHTTP2_PROTOCOL_ERROR,
			        nghttp2_strerror((int)n));
		piece = n < 0 ? in->len : (size_t)n;
		*in = span_of(in->at + piece, in->len - piece);
		conn_mark_dirty(conn);
	}
}

/* ---- time ---- */

static unsigned wait_for(const struct conn *conn)
{
	const struct http2 *h = session_of(conn);
	if (!h->settled || h->in_block)
		return WAIT_HEAD;
	if (h->queued > 0 || h->reading > 0 || (h->draining && !h->final))
		return WAIT_STREAMS;
	return h->streams > 0 ? WAIT_NOTHING : WAIT_REQUEST;
}

static bool is_body_late(const struct http2_stream *s, uint64_t now_ms)
{
	const struct exchange *e = &s->exchange;
	return s->reads && e->state == EXCHANGE_READING && !e->waits &&
	       now_ms * 1000000 >= e->body_late_ns;
}

/* RFC 9113 8.1: it has its answer, and need not say the rest; but a reset in the middle of its body
 * makes clients lose the answer, so that it has a while, as far as its window goes. */
static bool is_said(const struct http2_stream *s, uint64_t now_ms)
{
	return exchange_state_over(s->exchange.state) && s->out.bytes == 0 && !s->whole &&
	       now_ms >= s->moved_s * 1000ull + 1000 + HTTP2_LINGER_MS;
}

static bool is_stuck(const struct http2_stream *s, uint64_t now_ms)
{
	uint64_t timeout_ms = s->exchange.request.edge->settings->http_write_timeout_ms;
	return s->out.bytes > 0 && now_ms >= s->moved_s * 1000ull + 1000 + timeout_ms;
}

/* Nothing is late in a stream that makes another wait. */
static void look_at_streams(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	struct edge *edge = conn->edge;
	uint64_t now_ms = edge->wheel->now_ms;
	struct exchange *next;
	for (struct exchange *e = h->first; e != NULL && !conn->closing; e = next) {
		struct http2_stream *s = http2_stream_of(e);
		next = e->next;
		if (is_body_late(s, now_ms)) {
			counter_add(edge->counters, timeouts_total, 1);
			exchange_refuse(e, 408, "the body did not come");
		} else if (is_stuck(s, now_ms)) {
			counter_add(edge->counters, timeouts_total, 1);
			http2_stream_reset(s, NGHTTP2_CANCEL);
		} else if (is_said(s, now_ms)) {
			http2_stream_reset(s, NGHTTP2_NO_ERROR);
		}
	}
	if (h->draining && now_ms - h->goodbye_ms >= HTTP2_GOODBYE_MS)
		say_final_goaway(h);
	conn_mark_dirty(conn);
	conn_touch(conn);
	wheel_set(edge->wheel, &conn->timer, conn->since_ms + conn_limit_ms(conn));
}

static void time_is_up(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	switch ((enum conn_wait)conn->wait) {
	case WAIT_HEAD:
		counter_add(conn->edge->counters, timeouts_total, 1);
		condemn(h, h->settled ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_SETTINGS_TIMEOUT,
		        "http.header_timeout");
		return;
	case WAIT_REQUEST:
		say_final_goaway(h);
		return;
	case WAIT_STREAMS:
		look_at_streams(conn);
		return;
	case WAIT_HANDSHAKE:
	case WAIT_FIRST:
	case WAIT_BODY:
	case WAIT_WRITE:
	case WAIT_LINGER:
	case WAIT_GONE:
	case WAIT_NOTHING:
		return;
	}
}

static bool over(const struct conn *conn)
{
	return conn->eof && !conn->lingering;
}

/* ---- all of its exchanges ---- */

static void judge(struct conn *conn)
{
	struct exchange *next;
	for (struct exchange *e = session_of(conn)->first; e != NULL && !conn->closing; e = next) {
		next = e->next;
		exchange_judge(e);
	}
}

static void admit_waiting(struct conn *conn)
{
	struct exchange *next;
	for (struct exchange *e = session_of(conn)->first; e != NULL && !conn->closing; e = next) {
		next = e->next;
		if (e->waits)
			exchange_admit_again(e);
	}
}

static void released(struct conn *conn)
{
	conn_mark_dirty(conn); /* what was held is used behind the flush */
}

static bool refuse_stalled(struct conn *conn, uint64_t before_ns)
{
	bool any = false;
	struct exchange *next;
	for (struct exchange *e = session_of(conn)->first; e != NULL; e = next) {
		next = e->next;
		if (e->begun_ns > before_ns || !exchange_waits_for_store(e))
			continue;
		http2_stream_refuse(http2_stream_of(e), 503,
		                    "the log stands still; nothing is promised");
		any = true;
	}
	return any;
}

static bool gone(const struct conn *conn)
{
	(void)conn;
	return false;
}

/* RFC 9113 6.8: the first GOAWAY says that there will be another; the last, when the first has
 * come, which requests are served. What is on the way between them is. */
static void drain(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	if (h->draining || conn->lingering || h->condemned)
		return;
	h->draining = true;
	h->goodbye_ms = conn->edge->wheel->now_ms;
	nghttp2_submit_shutdown_notice(h->session);
	nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, goodbye_ping);
	conn_mark_dirty(conn);
}

static void abandon(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	while (h->first != NULL)
		http2_stream_closed(http2_stream_of(h->first));
}

static void finish(struct conn *conn)
{
	struct http2 *h = session_of(conn);
	counter_add(conn->edge->counters, http2_connections, -1);
	nghttp2_session_del(h->session);
	http2_head_finish(&h->head);
	chunk_unref(&h->frames);
	free(h);
	conn->http2 = NULL;
}

static void ignore(struct exchange *e)
{
	(void)e;
}

/* ---- beginning ---- */

static nghttp2_session_callbacks *callbacks_of(void)
{
	static nghttp2_session_callbacks *callbacks; /* the same for all, and for ever */
	if (callbacks != NULL)
		return callbacks;
	check(nghttp2_session_callbacks_new(&callbacks) == 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	return callbacks;
}

static const nghttp2_option *options_of(void)
{
	static nghttp2_option *options;
	if (options != NULL)
		return options;
	check(nghttp2_option_new(&options) == 0);
	nghttp2_option_set_no_auto_window_update(options, 1);
	nghttp2_option_set_no_closed_streams(options, 1);
	nghttp2_option_set_max_continuations(options, HTTP2_CONTINUATIONS_MAX);
	/* Ours come first, and have names. */
	nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX, UINT32_MAX);
	return options;
}

static enum protocol_begins begins(struct span bytes)
{
	size_t len = bytes.len < HTTP2_PREFACE_BYTES ? bytes.len : HTTP2_PREFACE_BYTES;
	if (len == 0 || memcmp(bytes.at, preface, len) != 0)
		return PROTOCOL_NO;
	return len < HTTP2_PREFACE_BYTES ? PROTOCOL_SO_FAR : PROTOCOL_YES;
}

static void begin(struct conn *conn)
{
	struct edge *edge = conn->edge;
	const struct settings *s = edge->settings;
	const nghttp2_settings_entry entries[] = {
	        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)s->http2_streams},
	        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)s->limits_header_bytes},
	        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
	        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
	struct http2 *h = xcalloc(1, sizeof *h);
	check(nghttp2_session_server_new2(&h->session, callbacks_of(), h, options_of()) == 0);
	check(nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries,
	                              sizeof entries / sizeof *entries) == 0);
	check(nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
	                                            HTTP2_WINDOW_BYTES) == 0);
	h->conn = conn;
	h->last = &h->first;
	conn->protocol = edge->http2;
	conn->http2 = h;
	counter_add(edge->counters, http2_connections, 1);
	counter_add(edge->counters, http2_connections_total, 1);
	if (edge->draining)
		drain(conn);
	conn_mark_dirty(conn);
}

/* In place of the answer of HTTP/1 that it had when it was not known yet. */
static void refuse(struct conn *conn, unsigned status, const char *reason)
{
	/* An empty SETTINGS, and GOAWAY: no stream, ENHANCE_YOUR_CALM. */
	static const uint8_t frames[] = {0, 0, 0, 4, 0, 0, 0, 0,
	                                 0, /* */
	                                 0, 0, 8, 7, 0, 0, 0, 0,
	                                 0, /* */
	                                 0, 0, 0, 0, 0, 0, 0, NGHTTP2_ENHANCE_YOUR_CALM};
	(void)status, (void)reason;
	out_queue_drop(&conn->out);
	out_queue_copy(&conn->out, frames, sizeof frames);
	conn_mark_dirty(conn);
}

const struct protocol http2_protocol = {.begins = begins,
                                        .begin = begin,
                                        .refuse = refuse,
                                        .take = take,
                                        .fill = fill,
                                        .flushed = flushed,
                                        .go_on = go_on,
                                        .answers = answers,
                                        .over = over,
                                        .wait = wait_for,
                                        .time_is_up = time_is_up,
                                        .judge = judge,
                                        .admit_waiting = admit_waiting,
                                        .released = released,
                                        .refuse_stalled = refuse_stalled,
                                        .gone = gone,
                                        .drain = drain,
                                        .abandon = abandon,
                                        .finish = finish,
                                        .answer = http2_stream_answer,
                                        .start = http2_stream_start,
                                        .upgrade = http2_stream_upgrade,
                                        .write = http2_stream_write,
                                        .write_chunk = http2_stream_write_chunk,
                                        .again = http2_stream_again,
                                        .pending = http2_stream_pending,
                                        .end = http2_stream_finish,
                                        .cut = http2_stream_cut,
                                        .expect = http2_stream_expect,
                                        .ended = http2_stream_ended,
                                        .discard = ignore,
                                        .credited = ignore,
                                        .sink = http2_stream_sink};
