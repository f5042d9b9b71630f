/* Durable Streams over HTTP: the surface of /v1/stream/. streams.c writes, streams_read.c reads,
 * fanout.c keeps the live readers. */
#pragma once

#include "worker-sse/edge/request.h"
#include "worker-sse/views/worker.h"

/* Bodies of streams are other people's, under our origin: none of them runs script here, nor is
 * anything but what it says it is (nosniff stands on every answer). On every answer that tells a
 * stream's content type. */
#define STREAMS_POLICY_NAME "content-security-policy"
#define STREAMS_POLICY      SPAN("sandbox")

/* Every method of every stream. */
void streams_handle(struct request *request);

/* GET, in streams_read.c. */
void streams_read(struct request *request);

/* The living stream at the request's path; else answers 404 or 410 and returns NULL. */
struct stream *streams_find(struct request *request);
