/* Server-Sent Events as bytes (WHATWG HTML, 9.2): frames that many readers share. */
#pragma once

#include "common/base/chunk.h"
#include "common/store/store.h"

/* Some events, ready for the wire in both forms: bare [bare_from, bare_from + bare_len), and within
 * chunked coding [chunked_from, sse_chunked_end()). */
struct sse_frame {
	struct chunk *chunk; /* one reference, the frame's */
	uint32_t chunked_from, bare_from, bare_len;
	bool closed;       /* it tells that the stream is closed */
	uint64_t from, to; /* positions it carries; the fan-out's. A view may end it sooner than it
	                      was asked for: `to`, else 0 */
};

/* Behind the line end that ends a chunk. */
static inline uint32_t sse_chunked_end(const struct sse_frame *frame)
{
	return frame->bare_from + frame->bare_len + 2;
}

void sse_frame_finish(struct sse_frame *frame);

/* ---- a frame in the making ---- */

/* Its bytes; the room is kept from frame to frame, unless one was large. Zero-initialised; one
 * thread. */
struct sse_builder {
	uint8_t *at;
	size_t len, room;
	struct {
		uint8_t *at;
		size_t room;
	} payload; /* of sse_read() */
};

void sse_builder_finish(struct sse_builder *builder);

/* Empties it: each frame begins so. */
void sse_begin(struct sse_builder *builder);
void sse_put(struct sse_builder *builder, struct span bytes);
#define SSE_PUT(builder, literal) sse_put(builder, SPAN(literal))
void sse_printf(struct sse_builder *builder, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Room for so many bytes more, for whoever writes them itself and then says how many. */
char *sse_room(struct sse_builder *builder, size_t len);
void sse_written(struct sse_builder *builder, size_t len);
/* A comment, in a block of its own: known clients skip a whole block that begins with one. */
void sse_comment(struct sse_builder *builder, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* "data:" lines: CR, LF and CRLF end lines alike; a line that begins with a space gets another
 * before it, because a parser takes one away. */
void sse_put_data(struct sse_builder *builder, struct span bytes);
void sse_put_data_base64(struct sse_builder *builder, struct span bytes);
/* Makes the frame of what was put since sse_begin(). When that is nothing it is an empty comment: a
 * chunk without bytes would end the answer. */
void sse_end(struct sse_builder *builder, struct sse_frame *frame);
/* The same, for frames that each have one reader: *spare is the caller's chunk, NULL at first, and
 * used again as soon as nobody else has it. */
void sse_end_in(struct sse_builder *builder, struct sse_frame *frame, struct chunk **spare);

/* What many readers share of a frame, behind a head that is each one's own: made once, and the head
 * is written in front of it for one reader after another. Zero-initialised; one thread. */
struct sse_tail {
	struct chunk *chunk; /* NULL: there is none */
	size_t head_len;     /* of the head in front of it now; SIZE_MAX: none yet */
	size_t prefix_len;   /* of what is in front of that */
};

enum { SSE_HEAD_MAX = 238 }; /* bytes of a head */

/* Makes it of what was put since sse_begin(), at least a byte. */
void sse_end_tail(struct sse_builder *builder, struct sse_tail *tail);
/* The frame of this head and what is behind it. A chunk that somebody has not written yet stays as
 * it is, and the tail is copied: whoever takes bytes at once costs none. */
void sse_tail_frame(struct sse_tail *tail, struct span head, struct sse_frame *frame);
void sse_tail_finish(struct sse_tail *tail);

/* ---- payload ---- */

/* text/ and application/json go as they are; all else as base64. */
bool sse_needs_base64(const struct stream *stream);

/* [from, to) read whole: it is bounded by the caller. Valid until the builder's next
 * call; one writable byte is before and behind it. False: retention took it, or I/O (logged). */
bool sse_read(struct sse_builder *builder, struct store *store, const struct stream *stream,
              uint64_t from, uint64_t to, struct span *payload);
