/* Durable Streams, SSE mode: `event: data` with what came, `event: control` with where it ends. */
#pragma once

#include "worker-sse/edge/request.h"

#include "common/store/store.h"

/* Takes the request over: an SSE answer from position `from` on. `cursor` is the first
 * streamCursor. */
void streams_follow(struct request *request, struct stream *stream, uint64_t from, uint64_t cursor);
