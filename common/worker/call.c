#include "common/worker/call.h"
#include "common/base/check.h"
#include "common/base/js_text.h"
#include "common/base/json_take.h"
#include "common/base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEADERS_ROOM = 4096 };

struct calls {
	struct worker *worker;
	const struct call_route *routes;
	size_t count;
	void *context;
	void (*before)(void *context); /* NULL: there is nothing to do */
	size_t open;
};

struct calls *calls_create(struct worker *worker, const struct call_route *routes, size_t count,
                           void *context)
{
	struct calls *calls = xcalloc(1, sizeof *calls);
	*calls = (struct calls){
	        .worker = worker, .routes = routes, .count = count, .context = context};
	return calls;
}

void calls_before(struct calls *calls, void (*before)(void *context))
{
	calls->before = before;
}

size_t calls_open(const struct calls *calls)
{
	return calls->open;
}

/* The bytes move behind the call. */
static uint8_t *keep(struct span *span, struct span from, uint8_t *at)
{
	if (from.len != 0)
		memcpy(at, from.at, from.len);
	*span = span_of(at, from.len);
	return at + from.len;
}

/* Everything the call points to, in one block behind it. */
static struct call *call_create(struct calls *calls, const struct party *from,
                                const struct proto_call *m)
{
#define CALL_LEN(type, name, max) +m->name.len
	struct call *call = xcalloc(1, sizeof *call + (0 PROTO_CALL_SPANS(CALL_LEN)));
#undef CALL_LEN
	uint8_t *at = (uint8_t *)(call + 1);
	call->method = (enum call_method)m->method;
	call->context = calls->context;
	call->calls = calls;
	call->id = m->id;
	call->may = m->may;
	call->configured = m->configured;
	call->from = from != NULL ? *from : (struct party){0};
#define CALL_KEEP(type, name, max) at = keep(&call->name, m->name, at);
	PROTO_CALL_SPANS(CALL_KEEP)
#undef CALL_KEEP
	calls->open++;
	return call;
}

static bool path_fits(const char *path, struct span asked)
{
	size_t len = strlen(path);
	return path[len - 1] == '/' ? asked.len > len && memcmp(asked.at, path, len) == 0
	                            : span_equal(asked, span_str(path));
}

static void dispatch(struct calls *calls, struct call *call)
{
	unsigned methods = 0;
	if (calls->before != NULL)
		calls->before(calls->context);
	for (size_t i = 0; i < calls->count; i++) {
		const struct call_route *route = &calls->routes[i];
		if (!path_fits(route->path, call->path))
			continue;
		methods |= route->methods;
		if (call->method < CALL_METHOD_COUNT &&
		    (route->methods & 1u << call->method) != 0) {
			route->handler(call);
			return;
		}
	}
	if (methods == 0)
		call_refuse(call, 404, "nothing here");
	else
		call_refuse_method(call, methods, "this method is not for this path");
}

void calls_take(struct calls *calls, const struct party *from, const struct proto_call *m)
{
	struct worker *worker = calls->worker;
	struct call *call = call_create(calls, from, m);
	if (!role_answers(role_of(worker->program->role), role_of(from->role)))
		call_refuse(call, 403, "calls of this role are not answered here");
	else if (m->generation != 0 && m->generation != worker->generation)
		call_refuse(call, CALL_MISDIRECTED, "this was for my predecessor");
	else
		dispatch(calls, call);
}

void calls_local(struct calls *calls, enum call_method method, const char *path, const char *body,
                 void (*answer)(void *arg, unsigned status, struct span body), void *arg)
{
	const char *mark = strchr(path, '?');
	const struct proto_call m = {.method = (uint8_t)method,
	                             .may = UINT64_MAX,
	                             .configured = UINT64_MAX,
	                             .path = span_of(path, strcspn(path, "?")),
	                             .query = span_str(mark != NULL ? mark + 1 : ""),
	                             .content_type = SPAN("application/json"),
	                             .body = span_str(body)};
	struct call *call = call_create(calls, NULL, &m);
	call->local = true;
	call->answer = answer;
	call->answer_arg = arg;
	dispatch(calls, call);
}

void call_header(struct call *call, const char *name, const char *value)
{
	size_t len = call->headers != NULL ? strlen(call->headers) : 0;
	check(strpbrk(value, "\r\n") == NULL);
	if (call->headers == NULL)
		call->headers = xcalloc(1, HEADERS_ROOM);
	check(len + strlen(name) + strlen(value) + 4 < HEADERS_ROOM);
	sprintf(call->headers + len, "%s: %s\n", name, value);
}

static bool try_reply(const struct call *call, struct peer *peer, unsigned status,
                      const char *content_type, const char *headers, struct span body)
{
	bool sent;
	peer_try(sent, peer, call_reply, CALL_REPLY,
	         {.id = call->id,
	          .status = status,
	          .content_type = span_str(content_type),
	          .headers = span_str(headers),
	          .body = body});
	return sent;
}

/* A large answer that finds the queue full is refused by a small one. */
static void send_reply(const struct call *call, struct peer *peer, unsigned status,
                       const char *content_type, struct span body)
{
	if (try_reply(call, peer, status, content_type, call->headers, body))
		return;
	counter_add(call->calls->worker->mine, calls_refused_total, 1);
	try_reply(call, peer, 503, "text/plain", "", SPAN("too many answers wait to be sent\n"));
}

void call_reply_bytes(struct call *call, unsigned status, const char *content_type,
                      struct span body)
{
	struct calls *calls = call->calls;
	struct peer *peer = worker_peer(calls->worker, call->from.role, call->from.slot);
	if (body.len > PROTO_CALL_BODY_MAX) {
		log_error("answer too long", "bytes=%zu", body.len);
		status = 500;
		content_type = "text/plain";
		body = SPAN("the answer is too long\n");
	}
	if (call->local)
		call->answer(call->answer_arg, status, body);
	else if (peer != NULL && peer_party(peer)->generation == call->from.generation)
		send_reply(call, peer, status, content_type, body);
	calls->open--;
	free(call->headers);
	free(call);
}

void call_reply(struct call *call, unsigned status, json_t *body)
{
	char *text = body != NULL ? js_text(body) : NULL;
	json_decref(body);
	call_reply_bytes(call, status, text != NULL ? "application/json" : "", span_str(text));
	free(text);
}

void call_refuse(struct call *call, unsigned status, const char *reason)
{
	char line[512];
	int len = snprintf(line, sizeof line, "%s\n", reason);
	call_reply_bytes(call, status, "text/plain",
	                 span_of(line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1));
}

void call_refuse_method(struct call *call, unsigned methods, const char *reason)
{
	static const struct {
		unsigned bit;
		const char *names;
	} rows[] = {{CALL_METHOD(GET), "GET, HEAD, "},
	            {CALL_METHOD(POST), "POST, "},
	            {CALL_METHOD(PUT), "PUT, "},
	            {CALL_METHOD(PATCH), "PATCH, "},
	            {CALL_METHOD(DELETE), "DELETE, "}};
	char allow[64] = "";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (methods & rows[i].bit)
			strcat(allow, rows[i].names);
	call_header(call, "allow", strcat(allow, "OPTIONS"));
	call_refuse(call, 405, reason);
}

json_t *call_json_with(struct call *call, const char *any)
{
	json_error_t error = {.text = ""};
	unsigned losses;
	char reason[JSON_ERROR_TEXT_LENGTH + 40];
	json_t *body =
	        json_take(call->body, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
	                  &losses, &error);
	const char *fault = body == NULL                 ? error.text
	                    : json_has_nul(body, any)    ? "U+0000 in a text"
	                    : any == NULL && losses != 0 ? json_loss_text(losses)
	                                                 : NULL;
	if (fault == NULL)
		return body;
	snprintf(reason, sizeof reason,
	         body == NULL ? "the body is no JSON: %s" : "the body is not taken: %s", fault);
	json_decref(body);
	call_refuse(call, 400, reason);
	return NULL;
}

json_t *call_json(struct call *call)
{
	return call_json_with(call, NULL);
}
