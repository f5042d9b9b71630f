/* Length-prefixed frames: u32 length of what follows, u16 message type, body. Big-endian.
 *
 * Bytes go in as they come from a socket, whole frames come out. The ceiling of the type is checked
 * before anything is allocated; a hostile frame condemns its connection, never the process. */
#pragma once

#include "proto/codec.h"

enum { FRAME_HEAD_BYTES = 6 };

struct frame_reader {
	uint8_t *buf; /* owned; a partial frame */
	size_t len, room;
};

enum frame_result {
	FRAME_MORE,      /* all consumed, nothing whole left */
	FRAME_WHOLE,     /* *type and *body are one frame, borrowed until the next call */
	FRAME_CONDEMNED, /* unknown type, too long or too short: close the connection */
};

/* Takes bytes from *in (advancing it) until one frame is whole. */
enum frame_result frame_read(struct frame_reader *reader, struct span *in, unsigned *type,
                             struct span *body);

/* Frees the buffer; the reader may be used again. */
void frame_reader_finish(struct frame_reader *reader);

/* Writes the head of a frame whose body has `body_len` bytes. */
void frame_head(uint8_t head[FRAME_HEAD_BYTES], unsigned type, size_t body_len);
