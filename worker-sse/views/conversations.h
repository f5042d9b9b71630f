/* Conversations over HTTP ("sessions" on these wires): the registry of /sessions, and what is said
 * in one, /v1/sessions/ID/... docs/conversations.md has the routes.
 *
 * /streams/NAME is /v1/stream/streams/NAME, and /v1/stream/sessions/ID the events of conversation
 * ID: other names of the same. */
#pragma once

#include "worker-sse/edge/request.h"

struct sse_worker;

/* Takes over an old registry's sessions.json, finds out how many conversations there are. 0, or the
 * worker's exit code after saying why it cannot start. After fanout_create(). */
int conversations_start(struct sse_worker *w);

/* This worker stops: whoever waits for a conversation is answered. */
void conversations_drain(struct sse_worker *w);

/* /sessions, /sessions/ID */
void conversations_registry(struct request *request);
/* /v1/sessions/ID/... */
void conversations_handle(struct request *request);
/* /health, /health/live, /health/ready */
void conversations_health(struct request *request);
/* /streams/NAME */
void conversations_stream(struct request *request);
/* /v1/stream/sessions/...: one segment is a conversation's events, all else as it is. */
void conversations_events(struct request *request);

/* Refusals of the edge, as these wires have them: JSON. */
void conversations_refuse(struct request *request, unsigned status, const char *reason);
