/* Answers: heads, bodies, streams; and what features ask of a request. */
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/cookie.h"
#include "worker-sse/edge/http1_out.h"
#include "worker-sse/edge/limits.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- heads ---- */

bool reply_status_known(unsigned status)
{
	return http1_status_line(status) != NULL;
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

static void count_status(struct edge *edge, unsigned status)
{
	if (status < 300)
		counter_add(edge->counters, responses_2xx_total, 1);
	else if (status < 400)
		counter_add(edge->counters, responses_3xx_total, 1);
	else if (status < 500)
		counter_add(edge->counters, responses_4xx_total, 1);
	else
		counter_add(edge->counters, responses_5xx_total, 1);
}

static bool has_header(const struct header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return true;
	return false;
}

/* RFC 6750 3. A 403 that has nothing to do with rights has none. */
static void put_challenge(const struct exchange *e, struct http1_out *head, unsigned status)
{
	enum refusal refusal = e->request.refusal;
	const char *error = refusal_error(refusal);
	if (refusal == REFUSAL_NONE && status == 403)
		return;
	if (refusal == REFUSAL_NONE && e->request.headers[HEADER_AUTHORIZATION].at != NULL)
		error = "invalid_token"; /* whoever refused it knew more of it */
	http1_put_text(head, "www-authenticate: Bearer realm=\"ringside\"");
	if (*error != '\0') {
		http1_put_text(head, ", error=\"");
		http1_put_text(head, error);
		http1_put_text(head, "\"");
	}
	http1_put_text(head, "\r\n");
}

/* What an answer of this status may not be without (RFC 9110 15.5.2, 15.5.6), whoever gave it. */
static void put_needed(struct exchange *e, struct http1_out *head, unsigned status,
                       const struct header *headers, size_t count)
{
	if ((status == 401 || status == 403) && !has_header(headers, count, "www-authenticate"))
		put_challenge(e, head, status);
	const struct identity *identity = e->request.identity;
	if (status == 401 && identity != NULL && identity->way == IDENTITY_COOKIE) {
		http1_put_text(head, "set-cookie: ");
		http1_put_text(head, cookie_gone(request_over_tls(&e->request)));
		http1_put_text(head, "\r\n");
	}
	if (status == 503 && !has_header(headers, count, "retry-after"))
		http1_put_text(head, "retry-after: 5\r\n");
	if (status == 405 && e->route != NULL && !has_header(headers, count, "allow")) {
		char allow[ROUTE_ALLOW_ROOM];
		route_allow(e->route, allow);
		http1_put_text(head, "allow: ");
		http1_put_text(head, allow);
		http1_put_text(head, "\r\n");
	}
}

/* What every protocol says, each in its own way. */
static void build_fields(struct exchange *e, struct http1_out *head, unsigned status,
                         const struct header *headers, size_t count)
{
	struct edge *edge = e->request.edge;
	head->len = 0;
	count_status(edge, status);
	log_debug("request", "status=%u method=%s path=\"%.*s\"", status,
	          method_name(e->request.method), (int)e->request.path.len, e->request.path.at);
	check(reply_status_known(status));
	http1_put(head, edge->date, EDGE_DATE_BYTES);
	struct span common = e->request.bare_headers
	                             ? cors_bare_headers()
	                             : cors_headers(&edge->cors, e->request.headers[HEADER_ORIGIN]);
	http1_put(head, common.at, common.len);
	if (e->conn != NULL && e->conn->tls)
		http1_put_text(head, edge->hsts);
	for (size_t i = 0; i < count; i++) {
		http1_put_text(head, headers[i].name);
		http1_put(head, ": ", 2);
		http1_put_value(head, headers[i].value);
		http1_put(head, "\r\n", 2);
	}
	if (status == 401 || status == 403 || status == 405 ||
	    (status == 503 && e->request.refusal == REFUSAL_NO_KEYS))
		put_needed(e, head, status, headers, count);
}

/* ---- whole answers ---- */

static void count_time(const struct exchange *e)
{
	histogram_add(&e->request.edge->counters->request, clock_monotonic_ns() - e->begun_ns);
}

void reply(struct request *request, unsigned status, const struct header *headers, size_t count,
           struct span body)
{
	struct exchange *e = request->exchange;
	struct http1_out head;
	if (e == NULL) {
		request->answer(request, status, body);
		return;
	}
	check(e->state == EXCHANGE_READING || e->state == EXCHANGE_WORKING);
	if (request->method == METHOD_GET && !waiting_fits(&request->edge->waiting, body.len)) {
		reply_error(request, 503, "too many answers wait for clients that do not read");
		return;
	}
	count_time(e);
	if (e->conn == NULL) {
		exchange_end(e);
		return;
	}
	build_fields(e, &head, status, headers, count);
	e->conn->protocol->answer(e, status, &head, body);
	exchange_end(e);
}

bool request_left(const struct request *request)
{
	return request->exchange != NULL && request->exchange->conn == NULL;
}

void request_hold(struct request *request, bool hold)
{
	struct exchange *e = request->exchange;
	e->holds = hold;
	if (!hold && e->conn != NULL)
		e->conn->protocol->released(e->conn);
}

void request_rename(struct request *request, struct span path, struct span query)
{
	struct exchange_head *head = request->exchange->head;
	uint8_t *name = xmalloc(path.len + query.len + 1);
	memcpy(name, path.at, path.len);
	if (query.len > 0)
		memcpy(name + path.len, query.at, query.len);
	free(head->name); /* after the copy: one name may be made of another */
	head->name = name;
	request->path = span_of(name, path.len);
	request->query = query.at != NULL ? span_of(name + path.len, query.len) : query;
}

struct span request_asked_query(const struct request *request)
{
	const struct exchange_head *head = request->exchange->head;
	bool kept = head != NULL && head->query.at != NULL && head->name == NULL;
	return kept ? head->query : request->query;
}

void request_bare_headers(struct request *request)
{
	request->bare_headers = true;
}

void reply_error(struct request *request, unsigned status, const char *reason)
{
	char text[512];
	int len = snprintf(text, sizeof text, "%s\n", reason);
	char after[16];
	struct edge *edge = request->edge;
	snprintf(after, sizeof after, "%u", status == 429 && edge->again_s > 0 ? edge->again_s : 1);
	const struct header headers[] = {{"content-type", SPAN("text/plain; charset=utf-8")},
	                                 {"cache-control", SPAN("no-store")},
	                                 {"retry-after", span_str(after)}};
	bool again = status == 429 || status == 503;
	edge->again_s = 0;
	reply(request, status, headers, again ? 3 : 2, span_of(text, (size_t)len));
}

unsigned request_forbidden(const struct request *request)
{
	return request->headers[HEADER_PRODUCER_ID].at != NULL ? 401 : 403;
}

/* Each want once: a game that posts for ever is in the log, and does not fill it. */
static void say_unconfigured(struct edge *edge, const char *reason)
{
	size_t i = 0;
	while (i < EDGE_WANTS_MAX && edge->wants_said[i] != NULL && edge->wants_said[i] != reason)
		i++;
	if (i == EDGE_WANTS_MAX || edge->wants_said[i] == reason)
		return;
	edge->wants_said[i] = reason;
	log_warn("requests are refused", "why=\"%s\"", reason);
}

static enum verb first_of(unsigned verbs)
{
	unsigned v = 0;
	while (v < VERB_COUNT - 1 && !(verbs & 1u << v))
		v++;
	return (enum verb)v;
}

/* ---- limits ---- */

static void say_again(struct edge *edge, uint64_t again_ms)
{
	edge->again_s = (uint32_t)((again_ms + 999) / 1000);
}

bool request_take(struct request *request, unsigned limit)
{
	uint64_t again_ms = limits_take(request, (enum limit)limit);
	if (again_ms == 0)
		return true;
	say_again(request->edge, again_ms);
	reply_error(request, 429, limit_said((enum limit)limit));
	return false;
}

bool request_may_guess(struct request *request)
{
	uint64_t again_ms = limits_left(request, LIMIT_BAD_CREDENTIALS);
	if (again_ms == 0)
		return true;
	say_again(request->edge, again_ms);
	reply_error(request, 429, limit_said(LIMIT_BAD_CREDENTIALS));
	return false;
}

bool request_hold_reader(struct request *request)
{
	enum identity_way way = request->identity->way;
	bool nobody = way == IDENTITY_ANONYMOUS || way == IDENTITY_OTHER;
	uint16_t *place = &request->exchange->reader_place;
	if (!nobody || request->edge->settings->dev || *place != 0 ||
	    limits_hold_reader(request, place))
		return true;
	reply_error(request, 429, limit_said(LIMIT_READERS));
	return false;
}

/* What is asked of one who guesses: 429 in place of the 401 that says how close he was. */
static bool guesses(struct request *request, enum refusal refusal)
{
	if (refusal_status(refusal) != 401 || refusal == REFUSAL_MISSING ||
	    request->exchange == NULL)
		return false;
	uint64_t again_ms = limits_take(request, LIMIT_BAD_CREDENTIALS);
	say_again(request->edge, again_ms);
	return again_ms != 0;
}

void reply_refusal(struct request *request, enum refusal refusal)
{
	request->refusal = (uint8_t)refusal;
	if (guesses(request, refusal))
		reply_error(request, 429, limit_said(LIMIT_BAD_CREDENTIALS));
	else
		reply_error(request, refusal_status(refusal),
		            refusal == request->identity->refusal && request->identity->why != NULL
		                    ? request->identity->why
		                    : refusal_reason(refusal, VERB_READ, request->path));
}

unsigned request_refusal(struct request *request, unsigned verbs, struct span path,
                         const char **reason)
{
	enum refusal refusal =
	        identities_refusal(request->edge->identities, request->identity, verbs, path);
	struct span about = path.at != NULL ? path : request->path;
	request->refusal = (uint8_t)refusal;
	*reason = refusal_reason(refusal, first_of(verbs), about);
	if (refusal == request->identity->refusal && request->identity->why != NULL)
		*reason = request->identity->why;
	if (refusal == REFUSAL_UNCONFIGURED)
		say_unconfigured(request->edge, *reason);
	if (guesses(request, refusal)) {
		*reason = limit_said(LIMIT_BAD_CREDENTIALS);
		return 429;
	}
	return refusal == REFUSAL_FORBIDDEN ? request_forbidden(request) : refusal_status(refusal);
}

bool request_may(const struct request *request, unsigned verbs, struct span path)
{
	return identities_refusal(request->edge->identities, request->identity, verbs, path) ==
	       REFUSAL_NONE;
}

unsigned request_verbs(const struct request *request)
{
	return route_verbs(request->exchange->route, request->method);
}

struct span request_resource(const struct request *request, char room[REQUEST_RESOURCE_ROOM])
{
	const struct route *route = request->exchange->route;
	return route->resource != NULL ? route->resource(request->path, room) : request->path;
}

/* ---- streamed answers ---- */

void reply_start(struct request *request, unsigned status, const struct header *headers,
                 size_t count, uint64_t content_length)
{
	struct exchange *e = request->exchange;
	struct http1_out head;
	exchange_enter(e, EXCHANGE_STREAMING);
	count_time(e);
	if (e->conn == NULL)
		return;
	e->measured = content_length != UINT64_MAX;
	build_fields(e, &head, status, headers, count);
	e->conn->protocol->start(e, status, &head, content_length);
}

void reply_upgrade(struct request *request, const struct header *headers, size_t count,
                   void (*on_bytes)(struct request *request, struct span bytes))
{
	struct exchange *e = request->exchange;
	struct http1_out head;
	check(e->conn != NULL && !request->edge->draining);
	exchange_enter(e, EXCHANGE_UPGRADED);
	count_time(e);
	e->on_upgraded = on_bytes;
	build_fields(e, &head, 101, headers, count);
	e->conn->protocol->upgrade(e, &head);
}

bool reply_write(struct request *request, const struct iovec *iov, int count)
{
	struct exchange *e = request->exchange;
	if (e->conn == NULL || e->head_only)
		return true;
	bool taken = e->conn->protocol->write(e, iov, count);
	e->wants_drain |= !taken; /* who was told to wait is told when it is over */
	return taken;
}

bool reply_write_chunk(struct request *request, struct chunk *chunk, size_t from, size_t len)
{
	struct exchange *e = request->exchange;
	check(e->state == EXCHANGE_UPGRADED);
	if (e->conn == NULL)
		return true;
	bool taken = e->conn->protocol->write_chunk(e, chunk, from, len);
	e->wants_drain |= !taken;
	return taken;
}

void reply_again(struct request *request)
{
	struct exchange *e = request->exchange;
	check(e->conn != NULL);
	e->wants_drain = true;
	e->conn->protocol->again(e);
}

size_t reply_pending(const struct request *request)
{
	const struct exchange *e = request->exchange;
	return e->conn != NULL ? e->conn->protocol->pending(e) : 0;
}

void reply_end(struct request *request)
{
	struct exchange *e = request->exchange;
	request->on_gone = NULL;
	request->on_drain = NULL;
	e->wants_drain = false;
	if (e->conn != NULL)
		e->conn->protocol->end(e);
	exchange_end(e);
}

void reply_abort(struct request *request)
{
	struct exchange *e = request->exchange;
	request->on_gone = NULL;
	if (e->conn == NULL) {
		exchange_end(e);
		return;
	}
	exchange_enter(e, EXCHANGE_ANSWERED);
	e->conn->protocol->cut(e);
}

struct sink request_sink(struct request *request)
{
	const struct exchange *e = request->exchange;
	const struct protocol *protocol =
	        e->conn != NULL ? e->conn->protocol : request->edge->http1;
	return (struct sink){protocol->sink(e), request};
}
