/* Requests that another worker answers: forwarded over the bus, answered with its reply.
 *
 * Who may ask, how large a body may be and that the path is ours has been judged before. 503 with
 * Retry-After when no such worker is there, when call.queue_bytes wait to be sent to it, when it
 * leaves, and after call.timeout: it may have done what was asked, so what must not happen twice
 * carries an Idempotency-Key. A client who leaves is forgotten; the late reply changes nothing. */
#pragma once

#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "proto/codec.h"
#include "worker-sse/edge/request.h"

struct call_options {
	/* Which of the role: slot 0 and whoever is there; else see common/worker/ask.h. */
	unsigned slot;
	uint64_t generation;
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
