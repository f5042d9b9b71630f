/* Answers: heads, bodies, streams; and what features ask of a request. */
#include "worker-sse/edge/conn.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/edge/cors.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- what stands on every answer ---- */

/* RFC 9110 5.6.7, in the "C" locale's names. */
#define DATE_FORMAT "date: %a, %d %b %Y %H:%M:%S GMT\r\n"
enum { DATE_BYTES = sizeof "date: Sat, 01 Jan 2000 00:00:00 GMT\r\n" - 1 };

/* RFC 9110 6.6.1: an origin server with a clock sends the date. Once a second is enough. */
void reply_tick(struct sse_worker *w, uint64_t wall_ms)
{
	time_t now = (time_t)(wall_ms / 1000);
	char line[DATE_BYTES + 1];
	struct tm tm;
	if (now == w->date_s)
		return;
	w->date_s = now;
	check(strftime(line, sizeof line, DATE_FORMAT, gmtime_r(&now, &tm)) == DATE_BYTES);
	memcpy(w->common_headers, line, DATE_BYTES);
}

void reply_prepare(struct sse_worker *w)
{
	char *cors = cors_common_headers(w->settings);
	size_t len = strlen(cors);
	w->common_headers = xmalloc(DATE_BYTES + len);
	w->common_headers_len = DATE_BYTES + len;
	memcpy(w->common_headers + DATE_BYTES, cors, len);
	free(cors);
	reply_tick(w, clock_wall_ms());
}

/* ---- heads ---- */

static const char *status_line(unsigned status)
{
	switch (status) {
#define S(code, text)                                                                              \
	case code:                                                                                 \
		return "HTTP/1.1 " #code " " text "\r\n";
		S(101, "Switching Protocols")
		S(200, "OK")
		S(201, "Created")
		S(202, "Accepted")
		S(204, "No Content")
		S(206, "Partial Content")
		S(304, "Not Modified")
		S(400, "Bad Request")
		S(401, "Unauthorized")
		S(402, "Payment Required")
		S(403, "Forbidden")
		S(404, "Not Found")
		S(405, "Method Not Allowed")
		S(406, "Not Acceptable")
		S(408, "Request Timeout")
		S(409, "Conflict")
		S(410, "Gone")
		S(412, "Precondition Failed")
		S(413, "Content Too Large")
		S(414, "URI Too Long")
		S(415, "Unsupported Media Type")
		S(416, "Range Not Satisfiable")
		S(417, "Expectation Failed")
		S(421, "Misdirected Request")
		S(422, "Unprocessable Content")
		S(426, "Upgrade Required")
		S(428, "Precondition Required")
		S(429, "Too Many Requests")
		S(431, "Request Header Fields Too Large")
		S(500, "Internal Server Error")
		S(501, "Not Implemented")
		S(502, "Bad Gateway")
		S(503, "Service Unavailable")
		S(505, "HTTP Version Not Supported")
		S(507, "Insufficient Storage")
#undef S
	default:
		return NULL;
	}
}

bool reply_status_known(unsigned status)
{
	return status_line(status) != NULL;
}

enum { HEAD_ROOM = 16384 };

struct head {
	uint8_t bytes[HEAD_ROOM];
	size_t len;
};

static void put(struct head *head, const void *at, size_t len)
{
	check(head->len + len <= sizeof head->bytes);
	memcpy(head->bytes + head->len, at, len);
	head->len += len;
}

static void put_text(struct head *head, const char *text)
{
	put(head, text, strlen(text));
}

static void put_number(struct head *head, uint64_t n)
{
	char digits[24];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	put(head, digits + at, sizeof digits - at);
}

/* A value never splits a head: what a client sent may come back in it. */
static void put_value(struct head *head, struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		check(value.at[i] != '\r' && value.at[i] != '\n' && value.at[i] != '\0');
	put(head, value.at, value.len);
}

/* For the log. */
static const char *method_name(enum method method)
{
	static const char *const names[] = {
	        [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
	        [METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE", [METHOD_PATCH] = "PATCH",
	        [METHOD_OPTIONS] = "OPTIONS", [METHOD_OTHER] = "other"};
	return names[method];
}

static void count_status(struct sse_worker *w, unsigned status)
{
	if (status < 300)
		counter_add(w->counters, responses_2xx_total, 1);
	else if (status < 400)
		counter_add(w->counters, responses_3xx_total, 1);
	else if (status < 500)
		counter_add(w->counters, responses_4xx_total, 1);
	else
		counter_add(w->counters, responses_5xx_total, 1);
}

static bool has_header(const struct header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return true;
	return false;
}

/* What an answer of this status may not be without (RFC 9110 15.5.2, 15.5.6), whoever gave it. */
static void put_needed(struct exchange *e, struct head *head, unsigned status,
                       const struct header *headers, size_t count)
{
	if (status == 401 && !has_header(headers, count, "www-authenticate")) {
		put_text(head, "www-authenticate: Bearer realm=\"ringside\"");
		put_text(head, e->request.headers[HEADER_AUTHORIZATION].at != NULL
		                       ? ", error=\"invalid_token\"\r\n"
		                       : "\r\n");
	}
	if (status == 405 && e->route != NULL && !has_header(headers, count, "allow")) {
		put_text(head, "allow: ");
		put_text(head, e->route->allow);
		put_text(head, "\r\n");
	}
}

static void build_head(struct exchange *e, struct head *head, unsigned status,
                       const struct header *headers, size_t count)
{
	struct sse_worker *w = e->request.worker;
	head->len = 0;
	count_status(w, status);
	log_debug("request", "status=%u method=%s path=\"%.*s\"", status,
	          method_name(e->request.method), (int)e->request.path.len, e->request.path.at);
	check(reply_status_known(status));
	put_text(head, status_line(status));
	if (e->request.bare_headers) {
		put(head, w->common_headers, DATE_BYTES);
		put_text(head, "x-content-type-options: nosniff\r\n");
	} else
		put(head, w->common_headers, w->common_headers_len);
	for (size_t i = 0; i < count; i++) {
		put_text(head, headers[i].name);
		put(head, ": ", 2);
		put_value(head, headers[i].value);
		put(head, "\r\n", 2);
	}
	if (status == 401 || status == 405)
		put_needed(e, head, status, headers, count);
	if (w->draining)
		e->close_after = true;
	if (e->close_after)
		put_text(head, "connection: close\r\n");
	else if (e->request.close_delimited)
		put_text(head, "connection: keep-alive\r\n");
}

/* ---- whole answers ---- */

static void mark_answered(struct exchange *e)
{
	e->answered = true;
	histogram_add(&e->request.worker->counters->request, clock_monotonic_ns() - e->begun_ns);
}

void reply(struct request *request, unsigned status, const struct header *headers, size_t count,
           struct span body)
{
	struct exchange *e = request->exchange;
	static struct head head; /* one thread, and reply() does not nest */
	check(!e->answered);
	mark_answered(e);
	if (e->conn == NULL) {
		exchange_end(e);
		return;
	}
	build_head(e, &head, status, headers, count);
	bool bodiless = status == 204 || status == 304;
	if (!bodiless) {
		put_text(&head, "content-length: ");
		put_number(&head, body.len);
		put(&head, "\r\n", 2);
	}
	put(&head, "\r\n", 2);
	exchange_write(e, head.bytes, head.len);
	if (!bodiless && !e->head_only && body.len > 0)
		exchange_write(e, body.at, body.len);
	exchange_end(e);
}

void request_hold(struct request *request, bool hold)
{
	struct exchange *e = request->exchange;
	e->holds = hold;
	if (hold || e->conn == NULL)
		return;
	e->conn->hungry = e->conn->in_len > 0;
	conn_mark_dirty(e->conn);
}

void request_bare_headers(struct request *request)
{
	request->bare_headers = true;
}

void reply_error(struct request *request, unsigned status, const char *reason)
{
	char text[512];
	int len = snprintf(text, sizeof text, "%s\n", reason);
	const struct header headers[] = {{"content-type", SPAN("text/plain; charset=utf-8")},
	                                 {"cache-control", SPAN("no-store")},
	                                 {"retry-after", SPAN("1")}};
	bool again = status == 429 || status == 503;
	reply(request, status, headers, again ? 3 : 2, span_of(text, (size_t)len));
}

unsigned request_forbidden(const struct request *request)
{
	return request->headers[HEADER_PRODUCER_ID].at != NULL ? 401 : 403;
}

/* Each want once: a game that posts for ever is in the log, and does not fill it. */
static void say_unconfigured(const char *reason)
{
	static const char *said[PERMISSION_COUNT];
	for (size_t i = 0; i < PERMISSION_COUNT && said[i] != reason; i++)
		if (said[i] == NULL) {
			said[i] = reason;
			log_warn("requests are refused", "why=\"%s\"", reason);
			return;
		}
}

unsigned request_refusal(struct request *request, enum permission permission, const char **reason)
{
	unsigned status = auth_refusal(&request->worker->auth, permission,
	                               request->headers[HEADER_AUTHORIZATION], reason);
	if (status == 503)
		say_unconfigured(*reason);
	return status == 403 ? request_forbidden(request) : status;
}

/* ---- streamed answers ---- */

void reply_start(struct request *request, unsigned status, const struct header *headers,
                 size_t count, uint64_t content_length)
{
	struct exchange *e = request->exchange;
	static struct head head;
	check(!e->answered && (e->conn == NULL || e->conn->first == e));
	mark_answered(e);
	if (e->conn == NULL)
		return;
	if (content_length == UINT64_MAX && request->close_delimited)
		e->close_after = true;
	build_head(e, &head, status, headers, count);
	if (content_length != UINT64_MAX) {
		e->measured = true;
		put_text(&head, "content-length: ");
		put_number(&head, content_length);
		put(&head, "\r\n", 2);
	} else if (!request->close_delimited) {
		e->chunked_out = true;
		put_text(&head, "transfer-encoding: chunked\r\n");
	}
	put(&head, "\r\n", 2);
	exchange_write(e, head.bytes, head.len);
}

void reply_upgrade(struct request *request, const struct header *headers, size_t count)
{
	struct exchange *e = request->exchange;
	static struct head head;
	check(!e->answered && e->conn != NULL && e->conn->first == e && !request->worker->draining);
	mark_answered(e);
	e->upgraded = true;
	e->close_after = false; /* would be said in the head */
	build_head(e, &head, 101, headers, count);
	put(&head, "\r\n", 2);
	exchange_write(e, head.bytes, head.len);
}

static bool took_all(struct exchange *e, bool all)
{
	e->wants_drain = !all;
	return all;
}

bool reply_write(struct request *request, const struct iovec *iov, int count)
{
	enum { IOV_ROOM = 64 };
	struct exchange *e = request->exchange;
	if (e->conn == NULL || e->head_only)
		return true;
	if (!e->chunked_out)
		return took_all(e, conn_write_now(e->conn, iov, count));
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
	return took_all(e, conn_write_now(e->conn, framed, count + 2));
}

bool reply_write_chunk(struct request *request, struct chunk *chunk, size_t from, size_t len)
{
	struct exchange *e = request->exchange;
	if (e->conn == NULL || e->head_only)
		return true;
	return took_all(e, conn_write_chunk(e->conn, chunk, from, len));
}

void reply_again(struct request *request)
{
	struct exchange *e = request->exchange;
	check(e->conn != NULL && e->conn->first == e);
	e->wants_drain = true;
	turn_wait(e->conn);
}

size_t reply_pending(const struct request *request)
{
	const struct exchange *e = request->exchange;
	return e->conn != NULL ? e->conn->out_bytes : 0;
}

void reply_end(struct request *request)
{
	struct exchange *e = request->exchange;
	request->on_gone = NULL;
	request->on_drain = NULL;
	e->wants_drain = false;
	if (request->worker->draining || e->upgraded)
		e->close_after =
		        true; /* the head left before the drain began, or nothing can follow */
	if (e->conn != NULL && e->chunked_out && !e->head_only)
		exchange_write(e, "0\r\n\r\n", 5);
	exchange_end(e);
}

void reply_abort(struct request *request)
{
	struct exchange *e = request->exchange;
	request->on_gone = NULL;
	e->ended = true;
	if (e->conn != NULL)
		conn_close(e->conn);
	else
		exchange_end(e);
}

/* ---- asking ---- */

/* Believed only as far as it could be in a URL. */
static bool plausible(struct span host)
{
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.at[i];
		if (c <= 0x20 || c >= 0x7f || c == '/' || c == '?' || c == '#' || c == '"' ||
		    c == '<' || c == '>' || c == ',' || c == '\\')
			return false;
	}
	return host.len > 0;
}

size_t request_base_url(const struct request *request, char *out, size_t out_len)
{
	const struct settings *s = request->worker->settings;
	const struct span *headers = request->headers;
	struct span host = headers[HEADER_HOST], proto = SPAN("http");
	if (*s->http_public_url != '\0') {
		int len = snprintf(out, out_len, "%s", s->http_public_url);
		while (len > 0 && out[len - 1] == '/')
			len--;
		return (size_t)len;
	}
	if (s->http_trust_forwarded) {
		if (plausible(list_last(headers[HEADER_X_FORWARDED_HOST])))
			host = list_last(headers[HEADER_X_FORWARDED_HOST]);
		if (span_equal_nocase(list_last(headers[HEADER_X_FORWARDED_PROTO]), SPAN("https")))
			proto = SPAN("https");
	}
	if (host.len == 0)
		host = span_str(s->listen);
	int len = snprintf(out, out_len, "%.*s://%.*s", (int)proto.len, proto.at, (int)host.len,
	                   host.at);
	return len > 0 && (size_t)len < out_len ? (size_t)len : 0;
}

bool query_next(struct span *query, struct span *name, struct span *value)
{
	if (query->at == NULL || query->len == 0)
		return false;
	const uint8_t *at = query->at, *end = query->at + query->len;
	const uint8_t *amp = memchr(at, '&', query->len);
	const uint8_t *stop = amp != NULL ? amp : end;
	const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
	*name = span_of(at, (size_t)((equals != NULL ? equals : stop) - at));
	*value = equals != NULL ? span_of(equals + 1, (size_t)(stop - equals - 1))
	                        : span_of(stop, 0);
	*query = amp != NULL ? span_of(amp + 1, (size_t)(end - amp - 1)) : span_of(end, 0);
	return true;
}

unsigned query_find(struct span query, const char *name, struct span *value)
{
	unsigned count = 0;
	struct span found_name, found;
	while (query_next(&query, &found_name, &found))
		if (span_equal(found_name, span_str(name)) && count++ == 0)
			*value = found;
	return count;
}

bool list_next(struct span *list, struct span *element)
{
	if (list->len == 0)
		return false;
	const uint8_t *comma = memchr(list->at, ',', list->len);
	size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;
	struct span e = span_of(list->at, len);
	len += comma != NULL;
	*list = span_of(list->at + len, list->len - len);
	while (e.len > 0 && (*e.at == ' ' || *e.at == '\t'))
		e = span_of(e.at + 1, e.len - 1);
	while (e.len > 0 && (e.at[e.len - 1] == ' ' || e.at[e.len - 1] == '\t'))
		e.len--;
	*element = e;
	return true;
}

struct span list_last(struct span list)
{
	struct span element, last = {0};
	while (list_next(&list, &element))
		if (element.len > 0)
			last = element;
	return last;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t query_decode(struct span in, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < in.len; i++) { /* by pieces: a '+' that was escaped is one */
		size_t piece = in.at[i] == '+' ? 0 : 1;
		while (piece != 0 && i + piece < in.len && in.at[i + piece] != '+')
			piece++;
		if (piece == 0) {
			out[len++] = ' ';
			continue;
		}
		size_t more = percent_decode(span_of(in.at + i, piece), out + len);
		if (more == SIZE_MAX)
			return SIZE_MAX;
		len += more;
		i += piece - 1;
	}
	return len;
}

size_t percent_decode(struct span in, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.at[i];
		if (c == '%') {
			if (in.len - i < 3)
				return SIZE_MAX;
			int high = hex(in.at[i + 1]), low = hex(in.at[i + 2]);
			if (high < 0 || low < 0)
				return SIZE_MAX;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		out[len++] = c;
	}
	return len;
}
