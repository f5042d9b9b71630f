#include "worker-sse/views/call.h"
#include "common/worker/call.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/store/offset.h"
#include "worker-sse/edge/auth.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define CTX struct sse_worker
PROTO_INBOX_CALLING(PROTO_HANDLER_ELSEWHERE)

enum { HEADERS_MAX = 16 };

/* A request that waits for its reply, or somebody without one. */
struct call_waiting {
	uint64_t id;
	struct party to;
	struct sse_worker *worker;
	struct request *request;     /* NULL: call_ask() */
	struct call_options options; /* but the path */
	call_on_answer *on_answer;
	void *arg;
	struct wheel_node timer;
	UT_hash_handle hh;
};

/* ---- waiting ---- */

static void remove_waiting(struct call_waiting *call)
{
	HASH_DEL(call->worker->calls, call);
	wheel_cancel(&call->timer);
	free(call);
}

/* Off every list; the request is the caller's again. */
static struct request *take_back(struct call_waiting *call)
{
	struct request *request = call->request;
	request->on_gone = NULL;
	request->feature = call->options.kept;
	remove_waiting(call);
	return request;
}

static void answer_asker(struct call_waiting *call, const struct proto_call_reply *reply)
{
	call_on_answer *on_answer = call->on_answer;
	void *arg = call->arg;
	remove_waiting(call);
	on_answer(arg, reply);
}

static void fail(struct request *request, const struct call_options *options, unsigned status,
                 const char *reason)
{
	counter_add(worker_of(request)->counters, calls_failed_total, 1);
	if (options->on_failed != NULL)
		options->on_failed(request, reason);
	else
		reply_error(request, status, reason);
}

static void give_up(struct call_waiting *call, const char *reason)
{
	const struct call_options options = call->options;
	if (call->request == NULL) {
		counter_add(call->worker->counters, calls_failed_total, 1);
		answer_asker(call, NULL);
	} else {
		fail(take_back(call), &options, 503, reason);
	}
}

static void on_gone(struct request *request)
{
	struct call_waiting *call = request->feature;
	void (*gone)(struct request *) = call->options.on_gone;
	take_back(call);
	if (gone != NULL)
		gone(request);
}

static void on_timer(struct wheel_node *node)
{
	struct call_waiting *call =
	        (struct call_waiting *)((char *)node - offsetof(struct call_waiting, timer));
	give_up(call, "the worker that knows did not answer in time");
}

void calls_peer_gone(struct sse_worker *w, const struct party *gone)
{
	struct call_waiting *call, *next;
	HASH_ITER (hh, w->calls, call, next)
		if (call->to.role == gone->role && call->to.slot == gone->slot)
			give_up(call, "the worker that knows has gone; another is on its way");
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

static struct call_waiting *wait_for_reply(struct sse_worker *w, const struct peer *peer,
                                           uint64_t id)
{
	struct call_waiting *call = xcalloc(1, sizeof *call);
	*call = (struct call_waiting){
	        .id = id, .to = *peer_party(peer), .worker = w, .timer = {.due = on_timer}};
	HASH_ADD(hh, w->calls, id, sizeof call->id, call);
	wheel_set(&w->wheel, &call->timer, w->wheel.now_ms + w->settings->call_timeout_ms);
	return call;
}

static void hold_request(struct call_waiting *call, struct request *request,
                         const struct call_options *options)
{
	call->request = request;
	call->options = *options;
	call->options.path = (struct span){0}; /* borrowed */
	request->feature = call;
	request->on_gone = on_gone;
}

uint64_t call_ask(struct sse_worker *w, unsigned role, const struct call_question *question,
                  call_on_answer *on_answer, void *arg)
{
	struct peer *peer = worker_peer(w->worker, role, 0);
	const struct proto_call m = {.id = ++w->calls_id,
	                             .method = (uint8_t)question->method,
	                             .path = question->path,
	                             .query = question->query,
	                             .principal = question->principal,
	                             .content_type = question->content_type,
	                             .body = question->body};
	unsigned status;
	if (peer == NULL || unfit(&m, &status) != NULL) {
		counter_add(w->counters, calls_failed_total, 1);
		return 0;
	}
	counter_add(w->counters, calls_total, 1);
	if (on_answer != NULL) {
		struct call_waiting *call = wait_for_reply(w, peer, m.id);
		call->on_answer = on_answer;
		call->arg = arg;
	}
	bool sent;
	peer_try(sent, peer, call, CALL, m);
	if (sent)
		return m.id;
	call_forget(w, m.id);
	counter_add(w->counters, calls_refused_total, 1);
	return 0;
}

void call_forget(struct sse_worker *w, uint64_t id)
{
	struct call_waiting *call;
	HASH_FIND(hh, w->calls, &id, sizeof id, call);
	if (call != NULL && call->request == NULL)
		remove_waiting(call);
}

void call_send(struct request *request, unsigned role, const struct call_options *options)
{
	struct sse_worker *w = worker_of(request);
	struct peer *peer = worker_peer(w->worker, role, 0);
	char base_url[1024], principal[AUTH_PRINCIPAL_ROOM];
	unsigned status;
	/* The bridge knows tokens alone; what a session belongs to may be of any scheme. */
	(role == ROLE_CAPTURE ? auth_owner : auth_principal)(request->headers[HEADER_AUTHORIZATION],
	                                                     principal);
	size_t base_len = request_base_url(request, base_url, sizeof base_url);
	struct proto_call m = {.id = ++w->calls_id,
	                       .method = (uint8_t)method_of(request),
	                       .path = options->path.at != NULL ? options->path : request->path,
	                       .query = request->query,
	                       .principal = span_str(principal),
	                       .base_url = span_of(base_url, base_len),
	                       .body = span_of(request->body, request->body_len)};
#define CALL_TAKE_HEADER(X, member, NAME, title, max) m.member = request->headers[HEADER_##NAME];
	FORWARDED_HEADERS(CALL_TAKE_HEADER, )
#undef CALL_TAKE_HEADER
	if (!options->authorization)
		m.authorization = (struct span){0};
	const char *reason = unfit(&m, &status);
	if (reason == NULL && peer == NULL) {
		status = 503;
		reason = "no worker for this is running";
	}
	if (reason != NULL) {
		request->feature = options->kept;
		fail(request, options, status, reason);
		return;
	}
	counter_add(w->counters, calls_total, 1);
	bool sent;
	peer_try(sent, peer, call, CALL, m);
	if (sent) {
		hold_request(wait_for_reply(w, peer, m.id), request, options);
		return;
	}
	counter_add(w->counters, calls_refused_total, 1);
	request->feature = options->kept;
	fail(request, options, 503, "the worker that knows has too much to do");
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

void on_call_reply(struct sse_worker *w, const struct party *from, const struct proto_call_reply *m)
{
	struct call_waiting *call;
	HASH_FIND(hh, w->calls, &m->id, sizeof m->id, call);
	if (call == NULL || !party_equal(&call->to, from))
		return; /* the client or the time has gone */
	if (call->request == NULL) {
		answer_asker(call, m);
		return;
	}
	void (*on_reply)(struct request *, const struct proto_call_reply *) =
	        call->options.on_reply;
	struct request *request = take_back(call);
	if (m->status > 599 || !reply_status_known((unsigned)m->status))
		reply_error(request, 500, "the worker that knows gave no proper answer");
	else if (on_reply != NULL)
		on_reply(request, m);
	else
		call_relay(request, m);
}
