/* Between reading and fan-out: answering one request with a page. */
#pragma once

#include "worker-sse/edge/request.h"
#include "worker-sse/worker.h"

/* Answers 200 with what stands behind `from`, up to a page; cursor 0: no Stream-Cursor. */
void streams_reply_page(struct request *request, struct stream *stream, uint64_t from,
                        uint64_t cursor);

/* Answers 204: nothing behind `from`; the stream's tail and whether it is closed. */
void streams_reply_nothing(struct request *request, const struct stream *stream, uint64_t cursor);
