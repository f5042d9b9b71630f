/* One request on a connection: from its head to whoever answers it. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/dev_guard.h"
#include "worker-sse/edge/limits.h"

#include <stdlib.h>

enum {
	BODY_SPARE = 8,         /* handlers may write behind the body */
	BODY_ROOM_FIRST = 4096, /* more only as it comes: a promised length costs nothing */
	BODY_SMALL = 65536,     /* larger ones leave an eighth of the budget to those */
};

static enum method method_of(struct span name)
{
	static const struct {
		const char *name;
		enum method method;
	} rows[] = {{"GET", METHOD_GET},    {"POST", METHOD_POST},     {"PUT", METHOD_PUT},
	            {"HEAD", METHOD_HEAD},  {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS},
	            {"PATCH", METHOD_PATCH}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(name, span_str(rows[i].name)))
			return rows[i].method;
	return METHOD_OTHER;
}

/* ---- life ---- */

struct exchange *exchange_create(struct conn *conn, size_t size, const struct http1_head *head,
                                 const uint8_t *bytes)
{
	struct exchange *e = xcalloc(1, size);
	struct exchange_head *kept = exchange_head_create(head, bytes);
	const uint8_t *copy = kept->bytes;
	e->conn = conn;
	e->head = kept;
	e->begun_ns = clock_monotonic_ns();
	e->request = (struct request){
	        .edge = conn->edge,
	        .headers = kept->headers,
	        .method = method_of(head->method),
	        .path = exchange_head_moved(head->path, bytes, head->bytes, copy),
	        .query = exchange_head_moved(head->query, bytes, head->bytes, copy),
	        .close_delimited = head->minor == 0,
	        .exchange = e};
	turn_note(&conn->edge->turn, e->begun_ns);
	e->head_only = e->request.method == METHOD_HEAD;
	e->close_after = !head->keep_alive || conn->edge->draining;
	e->body_chunked = head->chunked;
	e->body_left = head->length_present ? head->content_length : 0;
	e->body_whole = !head->chunked && e->body_left == 0;
	e->body_late_ns = e->begun_ns + conn->edge->settings->http_body_timeout_ms * 1000000;
	return e;
}

static void forget_body(struct exchange *e)
{
	e->request.edge->body_bytes -= e->body_counted;
	e->body_counted = 0;
	if (e->body_owned)
		free(e->request.body);
	e->body_owned = false;
	e->request.body = NULL;
	e->request.body_len = e->request.body_room = 0;
}

static void forget_head(struct exchange *e)
{
	exchange_head_free(e->head);
	e->head = NULL;
}

void exchange_free(struct exchange *e)
{
	forget_body(e);
	forget_head(e);
	identity_release(&e->request.identity);
	limits_release_reader(e->request.edge, e->reader_place);
	free(e);
}

void request_forget(struct request *request)
{
	static const struct span nothing[HEADER_COUNT];
	struct exchange *e = request->exchange;
	forget_body(e);
	forget_head(e);
	request->headers = nothing;
	request->path = request->query = (struct span){0};
}

void exchange_abandon(struct exchange *e)
{
	e->conn = NULL;
	if (exchange_state_works(e->state)) {
		if (e->request.on_gone == NULL)
			return;
		e->request.on_gone(&e->request);
	}
	exchange_free(e);
}

void exchange_drained(struct exchange *e)
{
	e->wants_drain = false;
	if (e->request.on_drain != NULL)
		e->request.on_drain(&e->request);
}

void exchange_enter(struct exchange *e, enum exchange_state state)
{
	check(exchange_state_follows((enum exchange_state)e->state, state));
	e->state = (uint8_t)state;
}

void exchange_end(struct exchange *e)
{
	struct conn *conn = e->conn;
	exchange_enter(e, e->state == EXCHANGE_READING ? EXCHANGE_REFUSED : EXCHANGE_ANSWERED);
	if (conn == NULL) {
		exchange_free(e);
		return;
	}
	conn->protocol->ended(e);
}

void exchange_dispatch(struct exchange *e)
{
	exchange_enter(e, EXCHANGE_WORKING);
	struct edge *edge = e->request.edge;
	edge->options.before_request(edge->options.context);
	if (edge->options.divert == NULL || !edge->options.divert(&e->request, e->route))
		e->route->handler(&e->request);
}

/* ---- refusing ---- */

static void discard_body(struct exchange *e)
{
	e->discard = true;
	e->conn->protocol->discard(e);
}

void exchange_refuse(struct exchange *e, unsigned status, const char *reason)
{
	discard_body(e);
	const struct edge *edge = e->request.edge;
	if (e->route == NULL || edge->options.refuse == NULL ||
	    !edge->options.refuse(&e->request, status, reason))
		reply_error(&e->request, status, reason);
}

static void refuse_method(struct exchange *e)
{
	char allow[ROUTE_ALLOW_ROOM];
	route_allow(e->route, allow);
	const struct header headers[] = {{"allow", span_str(allow)},
	                                 {"content-type", SPAN("text/plain; charset=utf-8")},
	                                 {"cache-control", SPAN("no-store")}};
	discard_body(e);
	reply(&e->request, e->request.method == METHOD_OTHER ? 501 : 405, headers, 3,
	      SPAN("method not allowed here\n"));
}

/* ---- bodies ---- */

/* The budget is taken by what came, not by what was promised or is allocated: the kernel gives
 * pages as they are written. False: others have it. */
static bool body_count(struct exchange *e, size_t needed)
{
	struct edge *edge = e->request.edge;
	size_t others = edge->body_bytes - e->body_counted, max = edge->body_bytes_max;
	if (needed > BODY_SMALL && others > 0)
		max -= max / 8;
	if (others + needed > max) {
		edge->body_refused_ms = edge->wheel->now_ms;
		return false;
	}
	edge->body_bytes += needed - e->body_counted;
	e->body_counted = needed;
	return true;
}

/* Doubles, but not beyond what was announced or is allowed. */
static bool body_grow(struct exchange *e, size_t needed)
{
	struct request *r = &e->request;
	size_t most = e->body_chunked ? e->body_max : r->body_len + (size_t)e->body_left;
	size_t wanted = needed * 2 > BODY_ROOM_FIRST ? needed * 2 : BODY_ROOM_FIRST;
	if (needed + BODY_SPARE <= r->body_len + r->body_room)
		return true;
	if (wanted > most)
		wanted = most;
	uint8_t *grown = realloc(r->body, wanted + BODY_SPARE);
	if (grown == NULL)
		return false;
	r->body = grown;
	e->body_owned = true;
	r->body_room = wanted + BODY_SPARE - r->body_len;
	return true;
}

/* One that takes its time holds what others need. */
static bool gives_way(const struct exchange *e)
{
	struct edge *edge = e->request.edge;
	uint64_t timeout_ms = edge->settings->http_body_timeout_ms;
	if (e->discard || edge->body_refused_ms == 0 ||
	    edge->wheel->now_ms > edge->body_refused_ms + timeout_ms ||
	    edge->wheel->now_ms < e->begun_ns / 1000000 + timeout_ms)
		return false;
	edge->body_refused_ms = 0; /* one for each that was refused */
	return true;
}

/* A byte now and then is silence too: each buys time at http.body_rate_min, but what came long ago
 * is spent. */
bool exchange_credit(struct exchange *e, size_t bytes)
{
	const struct edge *edge = e->request.edge;
	uint64_t rate = edge->settings->http_body_rate_min;
	uint64_t timeout_ns = edge->settings->http_body_timeout_ms * 1000000,
	         most = edge->wheel->now_ms * 1000000 + timeout_ns;
	uint64_t late_ns = rate == 0 ? most : e->body_late_ns + bytes * 1000000000 / rate;
	if (late_ns > most)
		late_ns = most;
	if (late_ns > e->body_late_ns)
		e->body_late_ns = late_ns;
	e->conn->protocol->credited(e);
	if (!gives_way(e))
		return true;
	e->close_after = true;
	exchange_refuse(e, 503, "others need the room that this body takes so long to fill");
	return false;
}

bool exchange_take(struct exchange *e, struct span data)
{
	struct request *r = &e->request;
	size_t needed = r->body_len + data.len;
	if (e->discard || data.len == 0)
		return true;
	if (needed > e->body_max) {
		exchange_refuse(e, 413, "body larger than limits.body_bytes");
		return false;
	}
	if (!body_count(e, needed) || !body_grow(e, needed)) {
		e->close_after = true;
		exchange_refuse(e, 503, "too many bodies in flight");
		return false;
	}
	memcpy(r->body + r->body_len, data.at, data.len);
	r->body_len = needed;
	r->body_room -= data.len;
	return true;
}

/* ---- admission ---- */

/* False: answered. */
static bool admit_page(struct exchange *e)
{
	struct request *r = &e->request;
	const struct settings *s = r->edge->settings;
	const char *reason;
	char base_url[1024];
	size_t len = request_base_url(r, base_url, sizeof base_url);
	/* A route with a preflight of its own (bet-sync) lets in the origins of a setting of its
	 * own, and asks a token. */
	bool judges_origins = e->route != NULL && e->route->preflight != r->edge->options.preflight;
	struct span origin = r->headers[HEADER_ORIGIN];
	const struct dev_visit visit = {.host = r->headers[HEADER_HOST],
	                                .origin = judges_origins ? (struct span){0} : origin,
	                                .browser = r->headers[HEADER_USER_AGENT].at != NULL,
	                                .preflight = r->method == METHOD_OPTIONS,
	                                .base_url = span_of(base_url, len),
	                                .public_url = s->http_public_url,
	                                .listed =
	                                        origins_find(&r->edge->cors.origins, origin) != 0};
	unsigned status = dev_guard(&visit, &reason);
	if (status != 0)
		exchange_refuse(e, status, reason);
	return status == 0;
}

/* False: answered. */
static bool admit_scheme(struct exchange *e, struct span asked)
{
	char location[HTTPS_LOCATION_ROOM];
	struct span meant = e->request.path;
	e->request.path = asked;
	enum https_answer answer = request_https_only(&e->request, location);
	e->request.path = meant;
	if (answer == HTTPS_NOWHERE)
		exchange_refuse(e, 400, "come by https: no Host says where (http.public_url)");
	if (answer == HTTPS_GOES) {
		const struct header headers[] = {
		        {"location", span_str(location)},
		        {"content-type", SPAN("text/plain; charset=utf-8")},
		        {"cache-control", SPAN("no-store")}};
		discard_body(e);
		reply(&e->request, 308, headers, 3, SPAN("come by https\n"));
	}
	return answer == HTTPS_STAYS;
}

/* What a browser adds by itself, whichever page asks, acts for pages that we know only. */
static bool admit_cookie(struct exchange *e)
{
	struct request *r = &e->request;
	bool acts = (r->method != METHOD_GET && r->method != METHOD_HEAD) ||
	            r->headers[HEADER_UPGRADE].at != NULL;
	if (r->identity->way != IDENTITY_COOKIE || !acts || request_page_trusted(r))
		return true;
	exchange_refuse(e, 403,
	                "a cookie acts for pages of this origin, and of those that "
	                "http.allowed_origin names");
	return false;
}

/* What stands in the query for this node alone; it is kept as it came, since another node may have
 * to be asked the same. */
static void take_out_of_query(struct exchange *e, const char *name)
{
	struct request *r = &e->request;
	struct exchange_head *head = e->head;
	struct span found;
	if (query_find(r->query, name, &found) == 0)
		return;
	if (head->query.at == NULL)
		head->query = span_of(xmemdup_text(r->query.at, r->query.len), r->query.len);
	r->query.len = query_remove((uint8_t *)(uintptr_t)r->query.at, r->query.len, name);
}

/* A token in the query, decoded once (a '+' is one), is the Bearer of who can give no header. It is
 * taken out of the query, as a ticket is. */
static void take_query_token(struct exchange *e)
{
	static const char bearer[] = "Bearer ";
	enum { BEARER_LEN = sizeof bearer - 1 };
	struct request *r = &e->request;
	struct span raw;
	if (!(e->route->methods & ROUTE_QUERY_TOKEN) || query_find(r->query, "token", &raw) == 0)
		return;
	struct span *authorization = &e->head->headers[HEADER_AUTHORIZATION];
	if (authorization->at == NULL) {
		uint8_t *text = xmalloc(BEARER_LEN + raw.len + 1);
		memcpy(text, bearer, BEARER_LEN);
		size_t len = percent_decode(raw, text + BEARER_LEN);
		free(e->head->token);
		e->head->token = text;
		*authorization = span_of(text, BEARER_LEN + (len != SIZE_MAX ? len : 0));
	}
	take_out_of_query(e, "token");
}

/* A ticket is for this one question: nobody that it is handed on to sees it. */
static void hide_ticket(struct exchange *e)
{
	take_out_of_query(e, "ticket");
}

/* False: answered. */
static bool admit_identity(struct exchange *e)
{
	struct request *r = &e->request;
	char room[REQUEST_RESOURCE_ROOM];
	const char *reason;
	unsigned verbs = request_verbs(r);
	unsigned status =
	        verbs != 0 ? request_refusal(r, verbs, request_resource(r, room), &reason) : 0;
	if (status != 0)
		exchange_refuse(e, status, reason);
	return status == 0;
}

bool exchange_waits_for_store(const struct exchange *e)
{
	return e->state == EXCHANGE_WORKING && e->request.on_gone == NULL;
}

static bool has_begun(const struct exchange *e)
{
	return e->state == EXCHANGE_STREAMING || e->state == EXCHANGE_UPGRADED;
}

void exchange_judge(struct exchange *e)
{
	struct request *r = &e->request;
	char room[REQUEST_RESOURCE_ROOM];
	if (r->identity == NULL || !identity_stale(r->identity))
		return;
	r->identity = identity_now(r->identity);
	if (e->state == EXCHANGE_READING)
		admit_identity(e); /* else answered */
	if (!exchange_state_works(e->state))
		return;
	unsigned verbs = request_verbs(r);
	if (r->on_judge != NULL)
		r->on_judge(r);
	else if (has_begun(e) && verbs != 0 && r->path.at != NULL &&
	         !request_may(r, verbs, request_resource(r, room)))
		e->conn->protocol->cut(e);
}

void exchange_admit_again(struct exchange *e)
{
	struct conn *conn = e->conn;
	identity_release(&e->request.identity);
	if (exchange_admit(e, e->expects_continue) && e->body_whole)
		exchange_dispatch(e);
	conn->protocol->released(conn);
}

bool exchange_admit(struct exchange *e, bool expect_continue)
{
	struct request *r = &e->request;
	struct edge *edge = r->edge;
	e->expects_continue = expect_continue;
	struct span asked = r->path; /* where it is sent to by https, too */
	if (edge->options.meant_path != NULL)
		r->path = edge->options.meant_path(edge->options.context, r->path);
	e->route = edge->options.find_route(r->path);
	if (edge->settings->http_redirect_port != 0 && !admit_scheme(e, asked))
		return false;
	if (edge->settings->dev && !admit_page(e))
		return false;
	if (r->method == METHOD_OPTIONS) {
		discard_body(e);
		(e->route != NULL ? e->route->preflight : edge->options.preflight)(r);
		return false;
	}
	if (e->route == NULL) {
		exchange_refuse(e, 404, "nothing here");
		return false;
	}
	if (!(e->route->methods & 1u << r->method)) {
		refuse_method(e);
		return false;
	}
	take_query_token(e);
	r->identity = identities_of(edge->identities, r, clock_wall_ms());
	e->waits = r->identity->refusal == REFUSAL_PENDING;
	if (e->waits)
		return false;
	hide_ticket(e);
	if (!admit_cookie(e) || !admit_identity(e))
		return false;
	e->body_max = e->route->body_bytes_max != 0 ? e->route->body_bytes_max
	                                            : edge->settings->limits_body_bytes;
	if (e->body_max > edge->body_bytes_max)
		e->body_max = edge->body_bytes_max;
	if (e->body_left > e->body_max) {
		exchange_refuse(e, 413,
		                e->body_max == edge->body_bytes_max
		                        ? "body larger than this worker's part of the memory limit"
		                        : "body larger than limits.body_bytes");
		return false;
	}
	if (expect_continue && !e->body_whole)
		e->conn->protocol->expect(e);
	return true;
}
