#include "worker-sse/views/call.h"
#include "common/worker/call.h"
#include "common/base/check.h"
#include "common/store/offset.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/views/live_right.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEADERS_MAX = 16 };

/* A request that waits for its reply. */
struct call_waiting {
	uint64_t id;
	struct request *request;
	struct call_options options; /* but the path */
};

/* ---- waiting ---- */

/* The request is the caller's again. */
static struct request *take_back(struct call_waiting *call)
{
	struct request *request = call->request;
	request->on_gone = NULL;
	request->feature = call->options.kept;
	free(call);
	return request;
}

static void fail(struct request *request, const struct call_options *options, unsigned status,
                 const char *reason)
{
	if (options->on_failed != NULL)
		options->on_failed(request, reason);
	else
		reply_error(request, status, reason);
}

static void on_gone(struct request *request)
{
	struct call_waiting *call = request->feature;
	void (*gone)(struct request *) = call->options.on_gone;
	asks_forget(worker_of(request)->asks, call->id);
	take_back(call);
	if (gone != NULL)
		gone(request);
}

/* What came, instead of a reply. */
static const char *reason_of(enum ask_outcome outcome)
{
	switch (outcome) {
	case ASK_SENT:
	case ASK_ANSWERED:
		break;
	case ASK_UNFIT:
		return "the worker that knows cannot be asked this";
	case ASK_ABSENT:
		return "no worker for this is running";
	case ASK_STALE:
		return "the worker that had this has gone";
	case ASK_FULL:
		return "the worker that knows has too much to do";
	case ASK_GONE:
		return "the worker that knows has gone; another is on its way";
	case ASK_LATE:
		return "the worker that knows did not answer in time";
	}
	return NULL;
}

static void on_outcome(void *arg, enum ask_outcome outcome, const struct party *from,
                       const struct proto_call_reply *m)
{
	struct call_waiting *call = arg;
	const struct call_options options = call->options;
	struct request *request = take_back(call);
	(void)from;
	if (outcome != ASK_ANSWERED)
		fail(request, &options, 503, reason_of(outcome));
	else if (m->status > 599 || !reply_status_known((unsigned)m->status))
		reply_error(request, 500, "the worker that knows gave no proper answer");
	else if (options.on_reply != NULL)
		options.on_reply(request, m);
	else
		call_relay(request, m);
}

/* ---- asking ---- */

static enum call_method method_of(const struct request *request)
{
	switch (request->method) {
	case METHOD_GET:
	case METHOD_HEAD:
	case METHOD_OPTIONS:
	case METHOD_OTHER:
		return CALL_GET;
	case METHOD_POST:
		return CALL_POST;
	case METHOD_PUT:
		return CALL_PUT;
	case METHOD_PATCH:
		return CALL_PATCH;
	case METHOD_DELETE:
		return CALL_DELETE;
	}
	return CALL_GET;
}

/* NULL, or why it cannot be forwarded. */
static const char *unfit(const struct proto_call *m, unsigned *status)
{
	*status = 414;
	if (m->path.len > PROTO_CALL_PATH_MAX)
		return "this path is too long";
	if (m->query.len > PROTO_CALL_QUERY_MAX)
		return "this query is too long";
	*status = 413;
	if (m->body.len > PROTO_CALL_BODY_MAX)
		return "the body has more than a megabyte";
	*status = 400;
#define CALL_TOO_LONG(X, member, NAME, title, max)                                                 \
	if (m->member.len > (max))                                                                 \
		return title " has more than " #max " bytes";
	FORWARDED_HEADERS(CALL_TOO_LONG, )
#undef CALL_TOO_LONG
	return m->idempotency_key.at != NULL && m->idempotency_key.len == 0
	               ? "an Idempotency-Key is not empty"
	               : NULL;
}

void call_send(struct request *request, unsigned role, const struct call_options *options)
{
	struct sse_worker *w = worker_of(request);
	const struct party to = {role, options->slot, options->generation};
	char base_url[1024], room[REQUEST_RESOURCE_ROOM];
	const struct identities *identities = request->edge->identities;
	const struct identity *identity = request->identity;
	struct span resource = request_resource(request, room);
	unsigned status;
	/* The bridge knows tokens alone; what a session belongs to may be of any scheme. */
	bool named = role == ROLE_CAPTURE || identity->way != IDENTITY_OTHER;
	size_t base_len = request_base_url(request, base_url, sizeof base_url);
	struct proto_call m = {.method = (uint8_t)method_of(request),
	                       .path = options->path.at != NULL ? options->path : request->path,
	                       .query = request->query,
	                       .may = identities_may(identities, identity, resource) |
	                              (live_right_to_path(request) ? RIGHT(FRAMES) : 0),
	                       .configured = identities_configured(identities, resource),
	                       .principal = span_str(named ? identity->principal : ""),
	                       .subject = span_str(identity->subject),
	                       .former = identity->former,
	                       .base_url = span_of(base_url, base_len),
	                       .body = span_of(request->body, request->body_len)};
#define CALL_TAKE_HEADER(X, member, NAME, title, max) m.member = request->headers[HEADER_##NAME];
	FORWARDED_HEADERS(CALL_TAKE_HEADER, )
#undef CALL_TAKE_HEADER
	if (!options->authorization)
		m.authorization = (struct span){0};
	const char *reason = unfit(&m, &status);
	struct call_waiting *call = xcalloc(1, sizeof *call);
	*call = (struct call_waiting){.request = request, .options = *options};
	call->options.path = (struct span){0}; /* borrowed */
	request->feature = call;
	request->on_gone = on_gone;
	if (reason == NULL) {
		status = 503;
		reason = reason_of(asks_send(w->asks, &to, &m, on_outcome, call, &call->id));
	}
	if (reason != NULL)
		fail(take_back(call), options, status, reason);
}

void call_forward(struct request *request, unsigned role)
{
	call_send(request, role, &(struct call_options){0});
}

/* ---- the reply ---- */

/* Lines of "name: value" into headers; the names must outlive the reply, so they are copied in
 * place: the NUL goes where the colon was. */
static size_t read_headers(char *text, struct header headers[HEADERS_MAX])
{
	size_t count = 0;
	for (char *line = text, *end; count < HEADERS_MAX && (end = strchr(line, '\n')) != NULL;
	     line = end + 1) {
		char *colon = strstr(line, ": ");
		*end = '\0';
		if (colon == NULL || colon > end)
			continue;
		*colon = '\0';
		headers[count++] = (struct header){line, span_str(colon + 2)};
	}
	return count;
}

void call_relay(struct request *request, const struct proto_call_reply *m)
{
	/* An account's secret is one, too. */
	if (m->status == 401 && request->headers[HEADER_AUTHORIZATION].at != NULL &&
	    !request_take(request, LIMIT_BAD_CREDENTIALS))
		return;
	char *text = xmemdup_text(m->headers.at, m->headers.len);
	struct header headers[HEADERS_MAX + 3];
	bool failed = m->status >= 400;
	size_t count = read_headers(text, headers);
	bool retry = false, known = false;
	for (size_t i = 0; i < count; i++) {
		retry |= strcmp(headers[i].name, "retry-after") == 0;
		known |= strcmp(headers[i].name, "etag") == 0 && m->status == 200 &&
		         etag_matches(request->headers[HEADER_IF_NONE_MATCH], headers[i].value);
	}
	if ((m->status == 429 || m->status == 503) && !retry)
		headers[count++] = (struct header){"retry-after", SPAN("1")};
	if (m->content_type.len > 0)
		headers[count++] = (struct header){"content-type", m->content_type};
	if (failed || request->method != METHOD_GET)
		headers[count++] = (struct header){"cache-control", SPAN("no-store")};
	if (known && (request->method == METHOD_GET || request->method == METHOD_HEAD))
		reply(request, 304, headers, count, (struct span){0});
	else
		reply(request, (unsigned)m->status, headers, count, m->body);
	free(text);
}
