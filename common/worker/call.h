/* Calls: an HTTP request that another worker answers. Whoever has it checks who asks and sends it
 * on (common/worker/ask.h); the worker that owns the thing answers from a table of its own:
 *
 *     static const struct call_route routes[] = {
 *             {CALL_METHOD(POST), "/stream", on_create},
 *             {CALL_METHOD(DELETE) | CALL_METHOD(PATCH), "/stream/", on_session},
 *     };
 *     calls = calls_create(worker, routes, 2, context);
 *     void on_call(ctx, from, m) { calls_take(ctx->calls, from, m); }
 *
 * For what is forwarded as it comes, the table is made of the rows that the SSE worker has, too:
 *
 *     static const struct call_route routes[] = {FORWARDED_TO_BRIDGE(CALL_ROUTE, CALL_METHOD)};
 *
 * A handler answers at once or later, exactly once, by call_reply() or call_refuse(). An answer to
 * a worker that has gone is dropped: whoever calls has to be able to repeat. Loop thread only. */
#pragma once

#include "common/worker/worker.h"

#include <jansson.h>

enum call_method {
	CALL_GET,
	CALL_HEAD = CALL_GET, /* whoever forwards it drops the body */
	CALL_POST,
	CALL_PUT,
	CALL_PATCH,
	CALL_DELETE,
	CALL_METHOD_COUNT
};
#define CALL_METHOD(name) (1u << CALL_##name)

/* The status by which a question that was for another generation is refused (RFC 9110 15.5.20); the
 * asker hears ASK_STALE (common/worker/ask.h). */
enum { CALL_MISDIRECTED = 421 };

struct calls;

#define CALL_SPAN(type, name, max) struct span name;
/* One under way. Everything lives until it is answered. */
struct call {
	enum call_method method;
	PROTO_CALL_SPANS(CALL_SPAN) /* path, query, principal, ... */
	uint64_t may, configured;   /* verbs, as bits: proto/messages.h */
	void *context;              /* of calls_create() */
	void *state;                /* the handler's */
	bool local;                 /* calls_local(): the admin socket, which may everything */
	struct party from;          /* who asks; role 0: local */
	/* private: */
	void (*answer)(void *arg, unsigned status, struct span body);
	void *answer_arg;
	struct calls *calls;
	uint64_t id;
	char *headers;
};
#undef CALL_SPAN

struct call_route {
	unsigned methods; /* CALL_METHOD() */
	const char
	        *path; /* exact, or a prefix when it ends with '/'; the first that fits is taken */
	void (*handler)(struct call *call);
};
/* Of a row of proto/forwarded.h: its route, its handler's prototype. */
#define CALL_ROUTE(path, methods, read, write, body_bytes_max, handler) {methods, path, handler},
#define CALL_HANDLER(path, methods, read, write, body_bytes_max, handler)                          \
	void handler(struct call *call);

/* The routes are borrowed for good; a role that answers nothing yet has none. */
struct calls *calls_create(struct worker *worker, const struct call_route *routes, size_t count,
                           void *context);
/* From now on `before` is called, with the context, before each call is looked at: what any worker
 * has acknowledged by then has to be visible to it (worker_catch_up()). */
void calls_before(struct calls *calls, void (*before)(void *context));
/* Looks the path up and calls the handler; 404 and 405 are answered here, 403 to a role whose calls
 * this one does not answer (proto/roles.h), and what is for another generation. */
void calls_take(struct calls *calls, const struct party *from, const struct proto_call *m);
/* The same for one that comes from within, by the admin socket: `answer` gets status and body,
 * once. `path` may have a query behind a '?'. `body` is JSON, or empty. Everything is copied. */
void calls_local(struct calls *calls, enum call_method method, const char *path, const char *body,
                 void (*answer)(void *arg, unsigned status, struct span body), void *arg);
size_t calls_open(const struct calls *calls);

/* A header of the answer: Location, Retry-After, ... Neither part holds CR or LF. */
void call_header(struct call *call, const char *name, const char *value);
/* Answers and frees the call. `body` is taken; NULL: none. */
void call_reply(struct call *call, unsigned status, json_t *body);
/* The same with bytes of any type. */
void call_reply_bytes(struct call *call, unsigned status, const char *content_type,
                      struct span body);
/* An error, as every other of the server: text/plain, one line. */
void call_refuse(struct call *call, unsigned status, const char *reason);
/* 405, with Allow made of `methods`, bits of CALL_METHOD(). */
void call_refuse_method(struct call *call, unsigned methods, const char *reason);
/* The body as a JSON tree; NULL: answered with 400. `call` is then gone. */
json_t *call_json(struct call *call);
/* The same, with members called `any`, at any depth, in which texts may be whatever JSON allows:
 * U+0000 too; half of a surrogate pair is U+FFFD then. */
json_t *call_json_with(struct call *call, const char *any);
