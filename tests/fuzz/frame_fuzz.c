/* The bus: bytes from a hostile peer, in pieces. Whole frames decode as their type says or are
 * refused; nothing is read past a frame, and what decodes encodes to the same bytes. */
#include "proto/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DECODE(id, NAME, lname, from)                                                              \
	case id: {                                                                                 \
		struct proto_##lname m;                                                            \
		if (!proto_get_##lname(body, &m))                                                  \
			return;                                                                    \
		struct writer w = {again, again + body.len, true};                                 \
		if (!proto_put_##lname(&w, &m) || w.at != w.end ||                                 \
		    memcmp(again, body.at, body.len) != 0)                                         \
			abort();                                                                   \
		return;                                                                            \
	}

static void decode(unsigned type, struct span body, uint8_t *again)
{
	switch (type) {
		PROTO_ALL(DECODE)
	default:
		abort(); /* of unknown type, yet whole */
	}
}

/* In a block of its own exact size, so that a sanitizer sees an overread. */
static void take(unsigned type, struct span body)
{
	uint8_t *copy = malloc(body.len + 1), *again = malloc(body.len + 1);
	if (copy == NULL || again == NULL)
		abort();
	memmove(copy + 1, body.at, body.len);
	decode(type, span_of(copy + 1, body.len), again);
	free(copy);
	free(again);
}

/* The first byte says how many bytes come at a time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct frame_reader reader = {0};
	struct span left = span_of(data + 1, size - 1);
	size_t piece = data[0] != 0 ? data[0] : size;
	while (left.len != 0) {
		struct span in = span_of(left.at, left.len < piece ? left.len : piece);
		left = span_of(left.at + in.len, left.len - in.len);
		enum frame_result result;
		unsigned type;
		struct span body;
		while ((result = frame_read(&reader, &in, &type, &body)) == FRAME_WHOLE)
			take(type, body);
		if (result == FRAME_CONDEMNED)
			break;
		if (in.len != 0)
			abort();
	}
	frame_reader_finish(&reader);
	return 0;
}
