/* Requests that another worker answers: forwarded over the bus, answered with its reply.
 *
 * Who may ask, how large a body may be and that the path is ours has been judged before. 503 with
 * Retry-After when no such worker is there, when call.queue_bytes wait to be sent to it, when it
 * leaves, and after call.timeout: it may have done what was asked, so what must not happen twice
 * carries an Idempotency-Key. A client who leaves is forgotten; the late reply changes nothing. */
#pragma once

#include "common/worker/call.h"
#include "proto/codec.h"
#include "worker-sse/edge/request.h"

struct sse_worker;

struct call_options {
	struct span path;   /* asked of the other worker; at NULL: the request's */
	bool authorization; /* show it the Authorization header itself, not only the principal */
	/* Gets the request back with the reply, whose spans live until it returns. NULL:
	 * call_relay(). */
	void (*on_reply)(struct request *request, const struct proto_call_reply *reply);
	/* There will be no reply, for this constant reason; the request is the asker's again. NULL:
	 * it is answered with 503. For one whose streamed answer has begun. */
	void (*on_failed)(struct request *request, const char *reason);
	/* The client has left. NULL: nothing to do. */
	void (*on_gone)(struct request *request);
	void *kept; /* request->feature in all three */
};

/* Takes the request over. `role` is ROLE_BRIDGE or ROLE_CAPTURE. */
void call_send(struct request *request, unsigned role, const struct call_options *options);
/* The same without options: a handler of its own for the route table. */
void call_forward(struct request *request, unsigned role);
/* Answers with what the other worker said. */
void call_relay(struct request *request, const struct proto_call_reply *reply);

/* Asks without a request, for what lives on a connection of its own. Everything is copied.
 * `on_answer` is called once and later, with NULL when there is no answer; NULL itself: nobody
 * waits for it. */
struct call_question {
	enum call_method method;
	struct span path, query, principal, content_type, body;
};
typedef void call_on_answer(void *arg, const struct proto_call_reply *reply);
/* The number of the question, for call_forget(); 0: there is nobody to ask, or no room in the queue
 * to him, and on_answer is not called. */
uint64_t call_ask(struct sse_worker *w, unsigned role, const struct call_question *question,
                  call_on_answer *on_answer, void *arg);
/* Whoever asked is gone; a number that is no longer waited for does no harm. */
void call_forget(struct sse_worker *w, uint64_t id);

/* A worker has gone: what it was asked is answered with 503. */
void calls_peer_gone(struct sse_worker *w, const struct party *gone);
