/* One connection's life: reading, parsing, exchanges in order, writing, time limits. */
#include "worker-sse/conn.h"
#include "common/check.h"
#include "common/log.h"
#include "worker-sse/cors.h"

#include <stdlib.h>

enum {
	READ_BYTES = 65536,
	OUT_CHUNK_BYTES = 2048,
	OUT_IOV_MAX = 64,
	OUT_PAUSE_BYTES = 1 << 20, /* no further request while so much waits to be sent */
	LINGER_MS = 2000,
	FIELDS_ROOM = 1000,
};

static void parse(struct conn *conn);
static void advance(struct conn *conn);

/* ---- time ---- */

static void wait_for(struct conn *conn, enum conn_wait wait)
{
	const struct settings *s = conn->worker->settings;
	uint64_t ms = 0;
	conn->wait = (uint8_t)wait;
	switch (wait) {
	case WAIT_NOTHING:
		wheel_cancel(&conn->timer);
		return;
	case WAIT_REQUEST:
		ms = s->http_keepalive_timeout_ms;
		break;
	case WAIT_HEAD:
		ms = s->http_header_timeout_ms;
		break;
	case WAIT_BODY:
		ms = s->http_body_timeout_ms;
		break;
	case WAIT_WRITE:
		ms = s->http_write_timeout_ms;
		break;
	case WAIT_LINGER:
		ms = LINGER_MS;
		break;
	}
	wheel_set(&conn->worker->wheel, &conn->timer, conn->worker->now_ms + ms);
}

/* ---- closing ---- */

static void exchange_free(struct exchange *e)
{
	e->request.worker->body_bytes -= e->body_counted;
	if (e->body_owned)
		free(e->request.body);
	chunk_unref(&e->held);
	free(e);
}

static void on_closed(uv_handle_t *handle)
{
	struct conn *conn = handle->data;
	free(conn);
}

/* A request that somebody still works on is left to him: his answer frees it. */
static void abandon(struct exchange *e)
{
	e->conn = NULL;
	if (e->dispatched && !e->ended) {
		if (e->request.on_gone == NULL)
			return;
		e->request.on_gone(&e->request);
	}
	exchange_free(e);
}

void conn_close(struct conn *conn)
{
	if (conn->closing)
		return;
	struct sse_worker *w = conn->worker;
	conn->closing = true;
	wheel_cancel(&conn->timer);
	*conn->previous = conn->next;
	if (conn->next != NULL)
		conn->next->previous = conn->previous;
	w->conns_count--;
	counter_add(w->counters, connections, -1);
	listen_forget_address(w, conn);
	while (conn->first != NULL) {
		struct exchange *e = conn->first;
		conn->first = e->next;
		abandon(e);
	}
	conn->last = NULL;
	for (uint32_t i = 0; i < conn->out_count; i++)
		if (!conn->writing)
			chunk_unref(&conn->out[conn->out_from + i].chunk);
	if (!conn->writing) {
		free(conn->out);
		conn->out = NULL;
	}
	free(conn->in);
	conn->in = NULL;
	uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

/* ---- writing ---- */

static void out_pop(struct conn *conn, size_t n)
{
	conn->out_bytes -= n;
	while (n > 0) {
		struct piece *piece = &conn->out[conn->out_from];
		if (n < piece->len) {
			piece->from += (uint32_t)n;
			piece->len -= (uint32_t)n;
			return;
		}
		n -= piece->len;
		chunk_unref(&piece->chunk);
		conn->out_from++;
		conn->out_count--;
	}
	if (conn->out_count == 0) {
		free(conn->out);
		conn->out = NULL;
		conn->out_from = conn->out_room = 0;
	}
}

static struct piece *out_push(struct conn *conn, struct chunk *chunk, uint32_t from, uint32_t len)
{
	if (conn->out_from + conn->out_count == conn->out_room) {
		if (conn->out_from > 0 && !conn->writing) {
			memmove(conn->out, conn->out + conn->out_from,
			        conn->out_count * sizeof *conn->out);
			conn->out_from = 0;
		}
		if (conn->out_from + conn->out_count == conn->out_room) {
			conn->out_room = conn->out_room != 0 ? conn->out_room * 2 : 4;
			conn->out = xrealloc(conn->out, conn->out_room * sizeof *conn->out);
		}
	}
	struct piece *piece = &conn->out[conn->out_from + conn->out_count++];
	*piece = (struct piece){chunk, from, len};
	conn->out_bytes += len;
	return piece;
}

static void mark_dirty(struct conn *conn)
{
	if (conn->dirty || conn->closing)
		return;
	conn->dirty = true;
	conn->dirty_next = conn->worker->dirty;
	conn->worker->dirty = conn;
}

/* Small answers that follow each other share a chunk, and so a write. */
static void out_copy(struct conn *conn, const void *at, size_t len)
{
	if (conn->out_count > 0 && !conn->writing) {
		struct piece *last = &conn->out[conn->out_from + conn->out_count - 1];
		size_t used = (size_t)last->from + last->len;
		if (last->chunk->refs == 1 && used + len <= last->chunk->len) {
			memcpy(last->chunk->bytes + used, at, len);
			last->len += (uint32_t)len;
			conn->out_bytes += len;
			return;
		}
	}
	struct chunk *chunk = chunk_create(len > OUT_CHUNK_BYTES ? len : OUT_CHUNK_BYTES);
	memcpy(chunk->bytes, at, len);
	out_push(conn, chunk, 0, (uint32_t)len);
}

struct write {
	uv_write_t req;
	struct conn *conn;
	size_t bytes;
};

static void conn_flush(struct conn *conn);

static void after_drain(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (conn->lingering)
		return;
	if (e != NULL && e->wants_drain) {
		e->wants_drain = false;
		wait_for(conn, WAIT_NOTHING);
		if (e->request.on_drain != NULL)
			e->request.on_drain(&e->request);
	} else {
		if (conn->wait == WAIT_WRITE)
			wait_for(conn, e == NULL ? WAIT_REQUEST : WAIT_NOTHING);
		parse(conn);
	}
}

static void on_written(uv_write_t *req, int status)
{
	struct write *write = (struct write *)req;
	struct conn *conn = write->conn;
	size_t bytes = write->bytes;
	free(write);
	conn->writing = false;
	if (conn->closing) {
		for (uint32_t i = 0; i < conn->out_count; i++)
			chunk_unref(&conn->out[conn->out_from + i].chunk);
		free(conn->out);
		conn->out = NULL;
		conn->out_count = 0;
		return;
	}
	counter_add(conn->worker->counters, bytes_out_total, bytes);
	out_pop(conn, bytes);
	if (status < 0) {
		conn_close(conn);
		return;
	}
	conn_flush(conn);
	if (!conn->closing && conn->out_count == 0)
		after_drain(conn);
}

static void linger(struct conn *conn);

/* What the kernel does not take at once goes through the loop. */
static void write_rest(struct conn *conn)
{
	uv_buf_t bufs[OUT_IOV_MAX];
	unsigned count = 0;
	struct write *write = xmalloc(sizeof *write);
	*write = (struct write){.conn = conn};
	for (; count < OUT_IOV_MAX && count < conn->out_count; count++) {
		struct piece *piece = &conn->out[conn->out_from + count];
		bufs[count] = uv_buf_init((char *)piece->chunk->bytes + piece->from, piece->len);
		write->bytes += piece->len;
	}
	conn->writing = true;
	wait_for(conn, WAIT_WRITE);
	if (uv_write(&write->req, (uv_stream_t *)&conn->tcp, bufs, count, on_written) != 0) {
		conn->writing = false;
		free(write);
		conn_close(conn);
	}
}

static void conn_flush(struct conn *conn)
{
	while (conn->out_count > 0 && !conn->writing && !conn->closing) {
		uv_buf_t bufs[OUT_IOV_MAX];
		unsigned count = 0;
		for (; count < OUT_IOV_MAX && count < conn->out_count; count++) {
			struct piece *piece = &conn->out[conn->out_from + count];
			bufs[count] = uv_buf_init((char *)piece->chunk->bytes + piece->from, piece->len);
		}
		int n = uv_try_write((uv_stream_t *)&conn->tcp, bufs, count);
		if (n == UV_EAGAIN)
			n = 0;
		if (n < 0) {
			conn_close(conn);
			return;
		}
		counter_add(conn->worker->counters, bytes_out_total, n);
		size_t before = conn->out_bytes;
		out_pop(conn, (size_t)n);
		if (n == 0 || (conn->out_count > 0 && (size_t)n < before && count < OUT_IOV_MAX))
			write_rest(conn);
	}
	if (conn->out_count == 0 && conn->lingering && conn->wait != WAIT_LINGER && !conn->closing)
		linger(conn);
}

bool conn_write_now(struct conn *conn, const struct iovec *iov, int count)
{
	uv_buf_t bufs[OUT_IOV_MAX * 2];
	unsigned pieces = 0;
	size_t n = 0;
	if (!conn->writing && conn->out_count <= OUT_IOV_MAX && count <= OUT_IOV_MAX) {
		for (; pieces < conn->out_count; pieces++) {
			struct piece *piece = &conn->out[conn->out_from + pieces];
			bufs[pieces] = uv_buf_init((char *)piece->chunk->bytes + piece->from, piece->len);
		}
		for (int i = 0; i < count; i++)
			bufs[pieces + (unsigned)i] =
			        uv_buf_init(iov[i].iov_base, (unsigned)iov[i].iov_len);
		int taken = uv_try_write((uv_stream_t *)&conn->tcp, bufs, pieces + (unsigned)count);
		n = taken > 0 ? (size_t)taken : 0;
		counter_add(conn->worker->counters, bytes_out_total, n);
	}
	size_t queued = n < conn->out_bytes ? n : conn->out_bytes;
	if (queued > 0)
		out_pop(conn, queued);
	n -= queued;
	for (int i = 0; i < count; i++) {
		size_t skip = n < iov[i].iov_len ? n : iov[i].iov_len;
		n -= skip;
		if (skip < iov[i].iov_len)
			out_copy(conn, (uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	if (conn->out_count > 0)
		mark_dirty(conn);
	return conn->out_count == 0;
}

bool conn_write_chunk(struct conn *conn, struct chunk *chunk, size_t from, size_t len)
{
	if (conn->out_count == 0 && !conn->writing) {
		uv_buf_t buf = uv_buf_init((char *)chunk->bytes + from, (unsigned)len);
		int n = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
		if (n == (int)len) {
			counter_add(conn->worker->counters, bytes_out_total, n);
			return true;
		}
		if (n > 0) {
			counter_add(conn->worker->counters, bytes_out_total, n);
			from += (size_t)n;
			len -= (size_t)n;
		}
	}
	out_push(conn, chunk_ref(chunk), (uint32_t)from, (uint32_t)len);
	mark_dirty(conn);
	return false;
}

void exchange_write(struct exchange *e, const void *at, size_t len)
{
	if (e->conn->first == e) {
		out_copy(e->conn, at, len);
		mark_dirty(e->conn);
		return;
	}
	size_t used = e->held != NULL ? e->held->len : 0;
	if (used + len > e->held_room || e->held == NULL) {
		e->held_room = (used + len) * 2 + 256;
		struct chunk *grown = chunk_create(e->held_room);
		if (used > 0)
			memcpy(grown->bytes, e->held->bytes, used);
		chunk_unref(&e->held);
		e->held = grown;
	}
	memcpy(e->held->bytes + used, at, len);
	e->held->len = (uint32_t)(used + len);
}

void conns_flush(struct sse_worker *w)
{
	while (w->dirty != NULL) {
		struct conn *conn = w->dirty;
		w->dirty = conn->dirty_next;
		conn->dirty = false;
		if (conn->closing)
			continue;
		conn_flush(conn);
		if (!conn->closing && conn->out_count == 0 && conn->first != NULL &&
		    conn->first->wants_drain)
			after_drain(conn);
	}
}

/* ---- exchanges ---- */

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)status;
	free(req);
}

/* The answer has left, but the client may still be sending: reset would take the answer with it. */
static void linger(struct conn *conn)
{
	uv_shutdown_t *req;
	if (conn->eof) {
		conn_close(conn);
		return;
	}
	req = xmalloc(sizeof *req);
	if (uv_shutdown(req, (uv_stream_t *)&conn->tcp, on_shutdown) != 0) {
		free(req);
		conn_close(conn);
		return;
	}
	wait_for(conn, WAIT_LINGER);
}

static void finish_connection(struct conn *conn)
{
	conn->lingering = true;
	while (conn->first != NULL) {
		struct exchange *e = conn->first;
		conn->first = e->next;
		abandon(e);
	}
	conn->last = NULL;
	conn->exchanges = 0;
	mark_dirty(conn);
}

/* Whoever is first now may write what he had to hold back. */
static void promote(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (e == NULL || e->held == NULL)
		return;
	struct chunk *held = e->held;
	e->held = NULL;
	out_push(conn, held, 0, held->len);
	mark_dirty(conn);
}

static void advance(struct conn *conn)
{
	while (conn->first != NULL && conn->first->ended &&
	       (conn->first->body_whole || conn->first->close_after)) {
		struct exchange *e = conn->first;
		if (e->close_after) {
			finish_connection(conn);
			return;
		}
		conn->first = e->next;
		if (conn->first == NULL)
			conn->last = NULL;
		conn->exchanges--;
		exchange_free(e);
		promote(conn);
	}
	if (conn->first == NULL && conn->wait == WAIT_NOTHING)
		wait_for(conn, WAIT_REQUEST);
}

void exchange_end(struct exchange *e)
{
	struct conn *conn = e->conn;
	e->ended = true;
	if (conn == NULL) {
		exchange_free(e);
		return;
	}
	advance(conn);
	if (!conn->closing && conn->in_len > 0)
		parse(conn);
}

/* ---- reading: heads ---- */

#define HEADER_NAME(NAME, text) SPAN(text),
static const struct span header_names[] = {REQUEST_HEADERS(HEADER_NAME)};

/* Lists may come in several fields; everything else at most once. */
static bool header_repeats(enum request_header h)
{
	return h == HEADER_ACCEPT || h == HEADER_ACCEPT_ENCODING || h == HEADER_IF_NONE_MATCH ||
	       h == HEADER_X_FORWARDED_HOST || h == HEADER_X_FORWARDED_PROTO ||
	       h == HEADER_ACCESS_CONTROL_REQUEST_HEADERS;
}

static enum method method_of(struct span name)
{
	static const struct {
		const char *name;
		enum method method;
	} rows[] = {{"GET", METHOD_GET},       {"POST", METHOD_POST},       {"PUT", METHOD_PUT},
	            {"HEAD", METHOD_HEAD},     {"DELETE", METHOD_DELETE},   {"OPTIONS", METHOD_OPTIONS},
	            {"PATCH", METHOD_PATCH}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(name, span_str(rows[i].name)))
			return rows[i].method;
	return METHOD_OTHER;
}

/* The exchange keeps the bytes of the head: all spans of the request point there. */
static struct span moved(struct span s, const uint8_t *from, size_t len, const uint8_t *to)
{
	if (s.at == NULL || s.at < from || s.at > from + len)
		return s;
	return span_of(to + (s.at - from), s.len);
}

static const char *take_headers(struct exchange *e, const struct http1_head *head,
                                const uint8_t *from, const uint8_t *to)
{
	struct span *headers = e->request.headers;
	for (size_t i = 0; i < head->fields_count; i++) {
		const struct http1_field *field = &head->fields[i];
		for (int h = 0; h < HEADER_COUNT; h++) {
			if (field->name.len != header_names[h].len ||
			    !span_equal_nocase(field->name, header_names[h]))
				continue;
			if (headers[h].at != NULL && !header_repeats((enum request_header)h))
				return "a header that may stand once stands twice";
			if (headers[h].at == NULL)
				headers[h] = moved(field->value, from, head->bytes, to);
			break;
		}
	}
	headers[HEADER_HOST] = moved(head->host, from, head->bytes, to);
	return NULL;
}

static struct exchange *exchange_create(struct conn *conn, const struct http1_head *head,
                                        const uint8_t *bytes)
{
	struct exchange *e = xmalloc(sizeof *e + head->bytes);
	uint8_t *copy = (uint8_t *)(e + 1);
	*e = (struct exchange){.conn = conn};
	memcpy(copy, bytes, head->bytes);
	e->request = (struct request){.worker = conn->worker,
	                              .method = method_of(head->method),
	                              .path = moved(head->path, bytes, head->bytes, copy),
	                              .query = moved(head->query, bytes, head->bytes, copy),
	                              .close_delimited = head->minor == 0,
	                              .exchange = e};
	e->head_only = e->request.method == METHOD_HEAD;
	e->close_after = !head->keep_alive || conn->worker->draining;
	e->body_chunked = head->chunked;
	e->body_left = head->length_present ? head->content_length : 0;
	e->body_whole = !head->chunked && e->body_left == 0;
	if (conn->last != NULL)
		conn->last->next = e;
	else
		conn->first = e;
	conn->last = e;
	conn->exchanges++;
	return e;
}

/* Answered before its body was read: what comes of it is dropped, within reason. */
static void refuse(struct exchange *e, unsigned status, const char *reason)
{
	enum { DISCARD_MAX = 256 * 1024 };
	e->discard = true;
	if (e->body_chunked || e->body_left > DISCARD_MAX)
		e->close_after = true;
	reply_error(&e->request, status, reason);
}

static void refuse_head(struct conn *conn, unsigned status, const char *reason)
{
	const struct http1_head nothing = {.path = SPAN("/"), .minor = 1};
	struct exchange *e = exchange_create(conn, &nothing, (const uint8_t *)"");
	e->close_after = true;
	counter_add(conn->worker->counters, requests_total, 1);
	log_debug("request refused", "status=%u reason=\"%s\"", status, reason);
	reply_error(&e->request, status, reason);
}

static bool body_room(struct exchange *e, size_t wanted)
{
	struct sse_worker *w = e->request.worker;
	if (w->body_bytes + wanted > w->settings->limits_body_bytes_total)
		return false;
	uint8_t *grown = realloc(e->request.body, wanted + 8);
	if (grown == NULL)
		return false;
	e->request.body = grown;
	e->body_owned = true;
	w->body_bytes += wanted - e->body_counted;
	e->body_counted = wanted;
	e->request.body_room = wanted + 8 - e->request.body_len;
	return true;
}

/* What is decided by the head alone, before any of the body is read. True: go on. */
static bool admit(struct exchange *e, bool expect_continue)
{
	struct request *r = &e->request;
	struct sse_worker *w = r->worker;
	e->route = route_find(r->path);
	if (r->method == METHOD_OPTIONS) {
		e->discard = true;
		cors_preflight(r);
		return false;
	}
	if (e->route == NULL)
		return refuse(e, 404, "nothing here"), false;
	if (!(e->route->methods & 1u << r->method)) {
		const struct header allow[] = {
		        {"allow", span_str(e->route->allow)},
		        {"content-type", SPAN("text/plain")},
		        {"cache-control", SPAN("no-store")}};
		e->discard = true;
		e->close_after |= e->body_chunked || e->body_left > 0;
		reply(r, r->method == METHOD_OTHER ? 501 : 405, allow, 3,
		      SPAN("method not allowed here\n"));
		return false;
	}
	bool reads = r->method == METHOD_GET || r->method == METHOD_HEAD;
	const char *fault = auth_refusal(&w->auth, reads ? e->route->read : e->route->write,
	                                 r->headers[HEADER_AUTHORIZATION]);
	if (fault != NULL) {
		e->discard = true;
		e->close_after |= e->body_chunked || e->body_left > 65536;
		request_unauthorized(r, fault);
		return false;
	}
	e->body_max = e->route->body_bytes_max != 0 ? e->route->body_bytes_max
	                                            : w->settings->limits_body_bytes;
	if (e->body_left > e->body_max)
		return refuse(e, 413, "body larger than limits.body_bytes"), false;
	if (!e->body_whole && !body_room(e, e->body_chunked ? 4096 : (size_t)e->body_left)) {
		const struct header retry[] = {{"retry-after", SPAN("1")},
		                               {"cache-control", SPAN("no-store")}};
		e->discard = true;
		e->close_after = true;
		reply(r, 503, retry, 2, SPAN("too many bodies in flight\n"));
		return false;
	}
	if (expect_continue && !e->body_whole)
		exchange_write(e, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return true;
}

static void dispatch(struct exchange *e)
{
	struct conn *conn = e->conn;
	e->dispatched = true;
	wait_for(conn, WAIT_NOTHING);
	sse_worker_catch_up(conn->worker);
	e->route->handler(&e->request);
}

/* Consumes one head, or nothing when it is not complete. */
static enum http1_result take_head(struct conn *conn, struct span *in)
{
	static struct http1_field fields[FIELDS_ROOM];
	const struct settings *s = conn->worker->settings;
	const struct http1_limits limits = {s->limits_header_bytes, s->limits_url_bytes};
	struct http1_head head = {.fields = fields, .fields_max = s->limits_headers};
	unsigned status;
	const char *reason;
	enum http1_result result = http1_parse(*in, &limits, &head, &status, &reason);
	if (result == HTTP1_REFUSED) {
		in->len = 0;
		refuse_head(conn, status, reason);
		return result;
	}
	if (result == HTTP1_MORE)
		return result;
	counter_add(conn->worker->counters, requests_total, 1);
	conn->served = true;
	const uint8_t *bytes = in->at;
	struct exchange *e = exchange_create(conn, &head, bytes);
	*in = span_of(in->at + head.bytes, in->len - head.bytes);
	const char *fault = take_headers(e, &head, bytes, (uint8_t *)(e + 1));
	if (fault != NULL) {
		e->close_after = true;
		refuse(e, 400, fault);
	} else if (admit(e, head.expect_continue) && e->body_whole) {
		dispatch(e);
	}
	return result;
}

/* ---- reading: bodies ---- */

static bool body_take(struct exchange *e, struct span data)
{
	struct request *r = &e->request;
	if (e->discard)
		return true;
	if (r->body_len + data.len > e->body_max) {
		e->close_after = true;
		refuse(e, 413, "body larger than limits.body_bytes");
		return false;
	}
	if (r->body_len + data.len + 1 > e->body_counted + 8) {
		size_t wanted = (r->body_len + data.len) * 2;
		if (!body_room(e, wanted < e->body_max ? wanted : e->body_max)) {
			e->close_after = true;
			refuse(e, 503, "too many bodies in flight");
			return false;
		}
	}
	memcpy(r->body + r->body_len, data.at, data.len);
	r->body_len += data.len;
	r->body_room = e->body_counted + 8 - r->body_len;
	return true;
}

static bool take_chunked(struct exchange *e, struct span *in)
{
	for (;;) {
		struct span data;
		switch (http1_chunked_read(&e->chunked_in, in, &data)) {
		case HTTP1_CHUNKED_MORE:
			return true;
		case HTTP1_CHUNKED_DATA:
			if (!body_take(e, data))
				return false;
			break;
		case HTTP1_CHUNKED_END:
			e->body_whole = true;
			return true;
		case HTTP1_CHUNKED_BAD:
			e->close_after = true;
			in->len = 0;
			if (e->discard)
				conn_close(e->conn);
			else
				refuse(e, 400, "malformed chunked body");
			return false;
		}
	}
}

/* Feeds the body of the last exchange. False: the exchange is gone. */
static bool take_body(struct exchange *e, struct span *in)
{
	if (e->body_chunked) {
		if (!take_chunked(e, in))
			return false;
	} else {
		size_t n = in->len < e->body_left ? in->len : (size_t)e->body_left;
		if (!body_take(e, span_of(in->at, n)))
			return false;
		*in = span_of(in->at + n, in->len - n);
		e->body_left -= n;
		e->body_whole = e->body_left == 0;
	}
	if (!e->body_whole) {
		wait_for(e->conn, WAIT_BODY);
		return true;
	}
	if (e->discard)
		advance(e->conn);
	else
		dispatch(e);
	return true;
}

/* May another request begin now? Appends go on in a row; everything else waits for what is before
 * it, so that it reads its own writes. */
static bool may_begin(const struct conn *conn, struct span in)
{
	if (conn->first == NULL)
		return conn->out_bytes < OUT_PAUSE_BYTES;
	bool post = in.len >= 5 && memcmp(in.at, "POST ", 5) == 0;
	const struct exchange *last = conn->last;
	return post && last->request.method == METHOD_POST && !last->close_after && last->dispatched &&
	       conn->exchanges < conn->worker->settings->limits_pipeline &&
	       conn->out_bytes < OUT_PAUSE_BYTES;
}

static void consume(struct conn *conn, struct span *in)
{
	while (in->len > 0 && !conn->closing && !conn->lingering) {
		struct exchange *last = conn->last;
		if (last != NULL && !last->body_whole) {
			if (last->ended && last->close_after)
				return;
			take_body(last, in);
			continue;
		}
		if (!may_begin(conn, *in) || take_head(conn, in) == HTTP1_MORE)
			return;
	}
}

static void keep_rest(struct conn *conn, struct span rest)
{
	if (rest.len == 0) {
		free(conn->in);
		conn->in = NULL;
		conn->in_len = conn->in_room = 0;
		return;
	}
	if (rest.len > conn->in_room) {
		uint8_t *fresh = xmalloc(rest.len);
		memcpy(fresh, rest.at, rest.len);
		free(conn->in);
		conn->in = fresh;
		conn->in_room = (uint32_t)rest.len;
	} else {
		memmove(conn->in, rest.at, rest.len);
	}
	conn->in_len = (uint32_t)rest.len;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);

static void set_reading(struct conn *conn, bool on)
{
	if (conn->reading == on || conn->closing)
		return;
	conn->reading = on;
	if (on)
		uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
	else
		uv_read_stop((uv_stream_t *)&conn->tcp);
}

/* After bytes were used or not: what to wait for, and whether to read on. */
static void settle(struct conn *conn)
{
	if (conn->closing || conn->lingering)
		return;
	const struct settings *s = conn->worker->settings;
	if (conn->first == NULL && conn->in_len > 0 && conn->wait != WAIT_HEAD &&
	    conn->out_count == 0)
		wait_for(conn, WAIT_HEAD);
	/* While answers are under way a little is read ahead, enough to notice that the client left. */
	set_reading(conn, conn->in_len < s->limits_header_bytes + READ_BYTES);
	if (conn->eof && conn->first == NULL && conn->out_count == 0)
		conn_close(conn);
}

static void parse(struct conn *conn)
{
	if (conn->closing || conn->in_len == 0 || conn->lingering) {
		settle(conn);
		return;
	}
	/* A handler may answer at once and come back here: the bytes are taken out meanwhile. */
	uint8_t *bytes = conn->in;
	struct span rest = span_of(bytes, conn->in_len);
	conn->in = NULL;
	conn->in_len = conn->in_room = 0;
	consume(conn, &rest);
	if (!conn->closing)
		keep_rest(conn, rest);
	free(bytes);
	settle(conn);
}

static uint8_t read_buffer[READ_BYTES];

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init((char *)read_buffer, sizeof read_buffer);
}

static void on_eof(struct conn *conn)
{
	const struct exchange *first = conn->first;
	conn->eof = true;
	set_reading(conn, false);
	/* A client may half-close after its request and still want the answer; a stream's reader that
	 * closes its side is gone. */
	bool waits = first != NULL && first->dispatched && first->request.on_gone == NULL;
	if (!waits && conn->out_count == 0)
		conn_close(conn);
	else if (first != NULL && first->request.on_gone != NULL)
		conn_close(conn);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct conn *conn = stream->data;
	if (n == 0 || conn->closing)
		return;
	if (n < 0) {
		if (n == UV_EOF && !conn->lingering)
			on_eof(conn);
		else
			conn_close(conn);
		return;
	}
	counter_add(conn->worker->counters, bytes_in_total, n);
	if (conn->lingering)
		return;
	struct span in = span_of(buf->base, (size_t)n);
	if (conn->in_len > 0) {
		conn->in = xrealloc(conn->in, conn->in_len + in.len);
		memcpy(conn->in + conn->in_len, in.at, in.len);
		conn->in_len += (uint32_t)in.len;
		conn->in_room = conn->in_len;
		parse(conn);
		return;
	}
	consume(conn, &in);
	if (!conn->closing)
		keep_rest(conn, in);
	settle(conn);
}

/* ---- life ---- */

static void on_timeout(struct wheel_node *node)
{
	struct conn *conn = (void *)((uint8_t *)node - offsetof(struct conn, timer));
	switch ((enum conn_wait)conn->wait) {
	case WAIT_HEAD:
	case WAIT_BODY:
		counter_add(conn->worker->counters, timeouts_total, 1);
		if (conn->wait == WAIT_BODY && conn->last != NULL && !conn->last->discard &&
		    !conn->last->body_whole) {
			conn->last->close_after = true;
			refuse(conn->last, 408, "the body did not come");
		} else if (conn->wait == WAIT_HEAD && conn->first == NULL) {
			refuse_head(conn, 408, "the request did not come");
		} else {
			conn_close(conn);
		}
		return;
	case WAIT_WRITE:
		counter_add(conn->worker->counters, timeouts_total, 1);
		conn_close(conn);
		return;
	case WAIT_NOTHING:
	case WAIT_REQUEST:
	case WAIT_LINGER:
		conn_close(conn);
		return;
	}
}

void conn_start(struct conn *conn)
{
	struct sse_worker *w = conn->worker;
	conn->tcp.data = conn;
	conn->timer.due = on_timeout;
	conn->next = w->conns;
	conn->previous = &w->conns;
	if (w->conns != NULL)
		w->conns->previous = &conn->next;
	w->conns = conn;
	w->conns_count++;
	counter_add(w->counters, connections_total, 1);
	counter_add(w->counters, connections, 1);
	uv_tcp_nodelay(&conn->tcp, 1);
	wait_for(conn, WAIT_REQUEST);
	set_reading(conn, true);
}

void conns_drain(struct sse_worker *w)
{
	struct conn *next;
	for (struct conn *conn = w->conns; conn != NULL; conn = next) {
		next = conn->next;
		for (struct exchange *e = conn->first; e != NULL; e = e->next)
			e->close_after = true;
		if (conn->first != NULL || conn->in_len > 0)
			continue;
		if (!conn->served) {
			/* Its first request may be on the way: a reset would lose it. */
			wait_for(conn, WAIT_LINGER);
			continue;
		}
		if (conn->out_count == 0)
			conn_close(conn);
		else
			finish_connection(conn);
	}
}
