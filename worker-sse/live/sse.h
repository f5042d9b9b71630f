/* Server-Sent Events as bytes (WHATWG HTML, 9.2): frames that many readers share. */
#pragma once

#include "common/base/chunk.h"
#include "common/store/store.h"

/* Some events, ready for the wire in both forms: within chunked coding [0, chunk->len) and bare
 * [bare_from, bare_from + bare_len). */
struct sse_frame {
	struct chunk *chunk; /* one reference, the frame's */
	uint32_t bare_from, bare_len;
	uint64_t from, to; /* positions it carries; the fan-out's. A view may end it sooner than it
	                      was asked for: `to`, else 0 */
	bool closed;       /* it tells that the stream is closed */
};

void sse_frame_finish(struct sse_frame *frame);

/* ---- a frame in the making; one at a time, in one buffer that is kept ---- */

void sse_begin(void);
void sse_put(struct span bytes);
#define SSE_PUT(literal) sse_put(SPAN(literal))
void sse_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A comment, in a block of its own: known clients skip a whole block that begins with one. */
void sse_comment(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "data:" lines: CR, LF and CRLF end lines alike; a line that begins with a space gets another
 * before it, because a parser takes one away. */
void sse_put_data(struct span bytes);
void sse_put_data_base64(struct span bytes);
/* How much was put since sse_begin(). */
size_t sse_len(void);
/* Makes the frame of what was put since sse_begin(). When that is nothing it is an empty comment: a
 * chunk without bytes would end the answer. */
void sse_end(struct sse_frame *frame);

/* ---- payload ---- */

/* text/ and application/json go as they are; all else as base64. */
bool sse_needs_base64(const struct stream *stream);

/* [from, to) read whole: it is bounded by the caller. Valid until the next call; one writable byte
 * is before and behind it. False: retention took it, or I/O (logged). */
bool sse_read(struct store *store, const struct stream *stream, uint64_t from, uint64_t to,
              struct span *payload);
