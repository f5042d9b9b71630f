#include "proto/frame.h"

#include <stdlib.h>

void frame_head(uint8_t head[FRAME_HEAD_BYTES], unsigned type, size_t body_len)
{
	struct writer w = {head, head + FRAME_HEAD_BYTES, true};
	writer_uint(&w, body_len + 2, 4);
	writer_uint(&w, type, 2);
}

void frame_reader_finish(struct frame_reader *reader)
{
	free(reader->buf);
	*reader = (struct frame_reader){0};
}

/* Moves bytes over until `wanted` are gathered; false: not enough yet. */
static bool gather(struct frame_reader *reader, struct span *in, size_t wanted)
{
	if (reader->room < wanted) {
		uint8_t *grown = realloc(reader->buf, wanted);
		if (grown == NULL)
			abort();
		reader->buf = grown;
		reader->room = wanted;
	}
	size_t take = wanted - reader->len < in->len ? wanted - reader->len : in->len;
	if (take != 0) { /* an empty span may have no address to add to */
		memcpy(reader->buf + reader->len, in->at, take);
		reader->len += take;
		in->at += take;
		in->len -= take;
	}
	return reader->len == wanted;
}

enum frame_result frame_read(struct frame_reader *reader, struct span *in, unsigned *type,
                             struct span *body)
{
	if (reader->len < FRAME_HEAD_BYTES && !gather(reader, in, FRAME_HEAD_BYTES))
		return FRAME_MORE;
	struct reader head = {reader->buf, reader->buf + FRAME_HEAD_BYTES, true};
	size_t length = (size_t)reader_uint(&head, 4);
	*type = (unsigned)reader_uint(&head, 2);
	size_t max = proto_body_max(*type);
	if (max == SIZE_MAX || length < 2 || length - 2 > max)
		return FRAME_CONDEMNED;
	size_t body_len = length - 2;
	if (!gather(reader, in, FRAME_HEAD_BYTES + body_len))
		return FRAME_MORE;
	*body = (struct span){reader->buf + FRAME_HEAD_BYTES, body_len};
	reader->len = 0;
	return FRAME_WHOLE;
}
