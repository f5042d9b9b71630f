/* Server-Sent Events as bytes: frames that many readers share (Durable Streams, SSE mode). */
#pragma once

#include "common/chunk.h"
#include "common/store.h"

/* One data event with its control event, or a control event alone, ready for the wire in both
 * forms: within chunked coding [0, chunk->len) and bare [bare_from, bare_from + bare_len). */
struct sse_frame {
	struct chunk *chunk; /* one reference, the frame's */
	uint32_t bare_from, bare_len;
	uint64_t from, to;   /* positions it carries */
	uint64_t cursor;
	bool up_to_date, closed;
};

/* Reads [from, to) and frames it. False: retention took it, or I/O (logged). from == to: a control
 * event alone. */
bool sse_frame_build(struct sse_frame *frame, struct store *store, const struct stream *stream,
                     uint64_t from, uint64_t to, uint64_t cursor);
void sse_frame_finish(struct sse_frame *frame);

/* text/ and application/json go as they are; all else as base64. */
bool sse_needs_base64(const struct stream *stream);
