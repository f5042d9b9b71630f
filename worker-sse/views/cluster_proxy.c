/* What this node cannot answer itself goes to the node that it follows, as it came, and the answer
 * comes back as it is, piece by piece. Who may ask was judged here, and is judged there again. */
#include "common/base/check.h"
#include "common/base/http_post.h"
#include "common/base/log.h"
#include "common/store/offset.h"
#include "proto/link_states.h"
#include "worker-sse/views/cluster_parts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

enum {
	FIELDS_MAX = 48,
	WRITE_TIMEOUT_MS = 60000, /* of what changes something, all of it */
	CONNECT_TIMEOUT_MS = 3000,
	HEAD_TIMEOUT_MS = 60000, /* of what reads, beyond http.long_poll_timeout */
	LOOK_MS = 1000,          /* whether the other node is still there */
	URL_ROOM = 16384,
};

/* A request on its way, and the answer. */
struct handed {
	struct request *request; /* NULL: who asked has left */
	struct cluster *cluster;
	struct handed *prev, *next;
	bool changes;
	bool begun, bodiless, paused, isolated;
	uint64_t head_due_ms; /* UINT64_MAX: libcurl looks after it */
	struct wheel_node look;
	uint64_t content_length; /* UINT64_MAX: not said */
	struct header fields[FIELDS_MAX];
	size_t fields_count;
};

/* ---- the request ---- */

#define HEADER_NAME(NAME, text) [HEADER_##NAME] = text,
static const char *const header_names[HEADER_COUNT] = {REQUEST_HEADERS(HEADER_NAME)};
#undef HEADER_NAME

/* About this connection, or said anew. */
static bool stays_here(enum request_header header)
{
	return header == HEADER_CONNECTION || header == HEADER_UPGRADE ||
	       header == HEADER_X_FORWARDED_FOR || header == HEADER_X_FORWARDED_HOST ||
	       header == HEADER_X_FORWARDED_PROTO || header == HEADER_SEC_WEBSOCKET_KEY ||
	       header == HEADER_SEC_WEBSOCKET_VERSION || header == HEADER_SEC_WEBSOCKET_PROTOCOL ||
	       header == HEADER_SEC_WEBSOCKET_EXTENSIONS;
}

struct lines {
	char *at[HEADER_COUNT + 8];
	size_t count;
};

static void add_line(struct lines *lines, const char *name, struct span value)
{
	size_t len = strlen(name) + value.len + 3;
	char *line = xmalloc(len);
	/* libcurl sends a field without a value for "Name;" only. */
	if (value.len == 0)
		snprintf(line, len, "%s;", name);
	else
		snprintf(line, len, "%s: %.*s", name, (int)value.len, (const char *)value.at);
	lines->at[lines->count++] = line;
}

/* Whom the limits there are to mean, too (http.trust_forwarded there). */
static void add_origin(struct lines *lines, const struct request *r)
{
	uint8_t address[16];
	char text[INET6_ADDRSTRLEN] = "", line[2 * INET6_ADDRSTRLEN + 600], base[1024];
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	request_address(r, address);
	bool v4 = memcmp(address, mapped, sizeof mapped) == 0;
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, text, sizeof text);
	add_line(lines, "X-Forwarded-For", span_str(text));
	snprintf(line, sizeof line, v4 ? "for=%s" : "for=\"[%s]\"", text);
	add_line(lines, "Forwarded", span_str(line));
	size_t len = request_base_url(r, base, sizeof base);
	bool tls = len > 8 && memcmp(base, "https://", 8) == 0;
	add_line(lines, "X-Forwarded-Proto", tls ? SPAN("https") : SPAN("http"));
	size_t scheme = tls ? 8 : 7;
	if (len > scheme)
		add_line(lines, "X-Forwarded-Host", span_of(base + scheme, len - scheme));
}

static void add_headers(struct lines *lines, const struct request *r)
{
	for (size_t i = 0; i < HEADER_COUNT; i++)
		if (r->headers[i].at != NULL && !stays_here((enum request_header)i))
			add_line(lines, header_names[i], r->headers[i]);
	if (r->headers[HEADER_CONTENT_TYPE].at == NULL)
		lines->at[lines->count++] = xmemdup_text("Content-Type:", 13);
	if (r->headers[HEADER_ACCEPT].at == NULL)
		lines->at[lines->count++] = xmemdup_text("Accept:", 7);
	add_origin(lines, r);
}

/* What may be sent twice: libcurl repeats by itself what a kept connection that is dead may have
 * taken. A header that makes a write so does it only where it is heeded: Producer-Id in appends. Of
 * Idempotency-Key only who answers knows. */
static bool repeatable(const struct request *r)
{
	static const struct span streams = SPAN("/v1/stream/");
	bool stream = r->path.len > streams.len && memcmp(r->path.at, streams.at, streams.len) == 0;
	return r->method == METHOD_GET || r->method == METHOD_HEAD ||
	       (r->method == METHOD_POST && stream && r->headers[HEADER_PRODUCER_ID].at != NULL);
}

static const char *method_name(enum method method)
{
	switch (method) {
	case METHOD_GET:
		return "GET";
	case METHOD_HEAD:
		return "HEAD";
	case METHOD_POST:
		return "POST";
	case METHOD_PUT:
		return "PUT";
	case METHOD_DELETE:
		return "DELETE";
	case METHOD_PATCH:
		return "PATCH";
	case METHOD_OPTIONS:
	case METHOD_OTHER:
		break;
	}
	return NULL;
}

/* ---- the answer ---- */

static void handed_free(struct handed *h)
{
	DL_DELETE(h->cluster->handed, h);
	wheel_cancel(&h->look);
	for (size_t i = 0; i < h->fields_count; i++) {
		free((void *)(uintptr_t)h->fields[i].name);
		free((void *)(uintptr_t)h->fields[i].value.at);
	}
	free(h);
}

/* What every answer of this node has of its own, and what is about the other connection. */
static bool is_ours(struct span name)
{
	static const char *const ours[] = {"connection",
	                                   "keep-alive",
	                                   "transfer-encoding",
	                                   "date",
	                                   "server",
	                                   "strict-transport-security",
	                                   "x-content-type-options",
	                                   "cross-origin-resource-policy",
	                                   "content-length",
	                                   NULL};
	static const struct span cors = SPAN("access-control-");
	for (size_t i = 0; ours[i] != NULL; i++)
		if (span_equal_nocase(name, span_str(ours[i])))
			return true;
	return name.len > cors.len && span_equal_nocase(span_of(name.at, cors.len), cors);
}

static void add_field(struct handed *h, struct span name, struct span value)
{
	if (h->fields_count == FIELDS_MAX)
		return;
	char *lower = xmemdup_text(name.at, name.len);
	for (char *c = lower; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	h->fields[h->fields_count++] =
	        (struct header){lower, span_of(xmemdup_text(value.at, value.len), value.len)};
}

static void on_gone(struct request *request)
{
	struct handed *h = request->feature;
	h->request = NULL;
	http_posts_cancel(h->cluster->posts, h);
}

static void on_drain(struct request *request)
{
	struct handed *h = request->feature;
	if (!h->paused)
		return;
	h->paused = false;
	http_posts_resume(h->cluster->posts, h);
}

static void begin_answer(struct handed *h, unsigned status)
{
	struct request *r = h->request;
	wheel_cancel(&h->look);
	h->bodiless = r->method == METHOD_HEAD || status == 204 || status == 304;
	if (!reply_status_known(status))
		status = 503;
	if (h->bodiless) {
		size_t len = r->method == METHOD_HEAD && h->content_length != UINT64_MAX
		                     ? h->content_length
		                     : 0;
		h->request = NULL;
		r->on_gone = NULL;
		reply(r, status, h->fields, h->fields_count, span_of(NULL, len));
		return;
	}
	h->begun = true;
	reply_start(r, status, h->fields, h->fields_count, h->content_length);
	r->on_drain = on_drain;
}

static void on_field(void *arg, unsigned status, struct span name, struct span value)
{
	struct handed *h = arg;
	if (h->request == NULL || h->begun)
		return;
	if (name.len == 0)
		begin_answer(h, status);
	else if (span_equal_nocase(name, SPAN("content-length")))
		number_parse(value, UINT64_MAX - 1, &h->content_length);
	else if (!is_ours(name))
		add_field(h, name, value);
}

static bool on_piece(void *arg, struct span piece)
{
	struct handed *h = arg;
	const struct iovec iov = {(void *)(uintptr_t)piece.at, piece.len};
	if (h->request == NULL)
		return h->bodiless;
	if (!reply_write(h->request, &iov, 1)) {
		h->paused = true;
		http_posts_pause(h->cluster->posts, h);
	}
	return true;
}

static void fail(struct handed *h, const struct http_post_answer *answer)
{
	struct sse_worker *w = h->cluster->worker;
	counter_add(w->counters, cluster_proxy_failures_total, 1);
	log_debug("not handed on", "error=\"%s\"", answer->error);
	reply_error(h->request, 503,
	            answer->sent && h->changes
	                    ? "the node that this one follows did not answer: what became of it "
	                      "is unknown"
	                    : "the node that this one follows is not reached");
}

/* The link of this node: does it say that the other one is not reached? */
static bool is_isolated(const struct sse_worker *w)
{
	const struct counters_slot *link = cluster_link(w);
	return link != NULL && counter_get(link, cluster_state) == LINK_ISOLATED;
}

/* A node that says nothing: the link notices it, for all that waits. Found twice, since it comes
 * back at once where only a connection was lost. */
static void on_look(struct wheel_node *node)
{
	struct handed *h = (struct handed *)((char *)node - offsetof(struct handed, look));
	struct sse_worker *w = h->cluster->worker;
	bool isolated = is_isolated(w);
	if ((isolated && h->isolated) || w->wheel.now_ms >= h->head_due_ms) {
		http_posts_cancel(h->cluster->posts, h); /* on_done() answers */
		return;
	}
	h->isolated = isolated;
	wheel_set(&w->wheel, &h->look, w->wheel.now_ms + LOOK_MS);
}

static void on_done(void *arg, const struct http_post_answer *answer)
{
	struct handed *h = arg;
	struct request *r = h->request;
	if (r != NULL) {
		r->on_gone = NULL;
		r->on_drain = NULL;
		if (!h->begun)
			fail(h, answer);
		else if (answer->status == 0)
			reply_abort(r);
		else
			reply_end(r);
	}
	edge_flush(&h->cluster->worker->edge);
	handed_free(h);
}

/* ---- handing on ---- */

static bool print_url(const struct request *r, char url[URL_ROOM])
{
	const char *base = worker_of(r)->settings->cluster_follow;
	struct span query = request_asked_query(r);
	int len = snprintf(url, URL_ROOM, "%s%.*s%s%.*s", base, (int)r->path.len,
	                   (const char *)r->path.at, query.at != NULL ? "?" : "", (int)query.len,
	                   query.at != NULL ? (const char *)query.at : "");
	return len < URL_ROOM;
}

static void redirect(struct request *r, const char *url)
{
	const struct header headers[] = {{"location", span_str(url)},
	                                 {"cache-control", SPAN("no-store")}};
	reply(r, 307, headers, 2, (struct span){0});
}

/* Nothing that its client sends behind it begins meanwhile: of appends in a row each has a
 * connection of its own to the other node, and would come there in any order. */
static void send_on(struct request *r, const char *url)
{
	struct sse_worker *w = worker_of(r);
	struct cluster *cluster = w->cluster;
	struct handed *h = xcalloc(1, sizeof *h);
	struct lines lines = {.count = 0};
	*h = (struct handed){.request = r,
	                     .cluster = cluster,
	                     .changes = r->method != METHOD_GET && r->method != METHOD_HEAD,
	                     .content_length = UINT64_MAX,
	                     .look = {.due = on_look}};
	h->head_due_ms = h->changes ? UINT64_MAX
	                            : w->wheel.now_ms + w->settings->http_long_poll_timeout_ms +
	                                      HEAD_TIMEOUT_MS;
	DL_APPEND(cluster->handed, h);
	add_headers(&lines, r);
	const struct http_post post = {.url = url,
	                               .method = method_name(r->method),
	                               .bare = true,
	                               .get = !h->changes,
	                               .body = span_of(r->body, r->body_len),
	                               .headers = (const char *const *)lines.at,
	                               .timeout_ms = h->changes ? WRITE_TIMEOUT_MS : 0,
	                               .connect_timeout_ms = CONNECT_TIMEOUT_MS,
	                               .once = !repeatable(r),
	                               .reach = address_reach_of_own(url),
	                               .on_piece = on_piece,
	                               .on_field = on_field};
	r->feature = h;
	r->on_gone = on_gone;
	request_hold(r, true);
	wheel_set(&w->wheel, &h->look, w->wheel.now_ms + LOOK_MS);
	counter_add(w->counters, cluster_proxied_total, 1);
	http_posts_send(cluster->posts, &post, on_done, h);
	for (size_t i = 0; i < lines.count; i++)
		free(lines.at[i]);
}

void cluster_proxy_drain(struct cluster *cluster)
{
	struct handed *h;
	DL_FOREACH(cluster->handed, h)
	if (h->begun && h->content_length == UINT64_MAX)
		http_posts_cancel(cluster->posts, h);
}

void cluster_hand_on(struct request *r)
{
	static char url[URL_ROOM];
	if (r->exchange == NULL)
		reply_error(r, 503, "this node has not come so far");
	else if (!print_url(r, url))
		reply_error(r, 414, "target longer than can be handed on");
	else if (r->headers[HEADER_UPGRADE].at != NULL || method_name(r->method) == NULL)
		reply_error(r, 503, "this node follows another: ask that one for this");
	else if (strcmp(worker_of(r)->settings->cluster_writes, "redirect") == 0)
		redirect(r, url);
	else if ((r->method == METHOD_GET || r->method == METHOD_HEAD) && is_isolated(worker_of(r)))
		reply_error(r, 503, "the node that this one follows is not reached");
	else
		send_on(r, url);
}
