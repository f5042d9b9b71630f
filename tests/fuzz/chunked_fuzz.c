/* Chunked bodies from hostile bytes: decoded whole and decoded one byte at a time they are the same
 * body, end at the same place, or are refused at the same place. */
#include "common/base/http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	enum http1_chunked_result result;
	size_t consumed, body_len;
	uint64_t body_hash; /* FNV-1a */
};

/* In pieces of `step` bytes, each in memory of its own size. */
static struct outcome decode(const uint8_t *data, size_t size, size_t step)
{
	struct http1_chunked chunked = {0};
	struct outcome o = {.result = HTTP1_CHUNKED_MORE, .body_hash = 1469598103934665603u};
	for (size_t at = 0; at < size && o.result == HTTP1_CHUNKED_MORE; at += step) {
		size_t len = size - at < step ? size - at : step;
		uint8_t *copy = malloc(len);
		if (copy == NULL)
			abort();
		memcpy(copy, data + at, len);
		struct span in = span_of(copy, len), piece;
		while ((o.result = http1_chunked_read(&chunked, &in, &piece)) ==
		       HTTP1_CHUNKED_DATA) {
			if (piece.at < copy || piece.at + piece.len > copy + len || piece.len == 0)
				abort();
			for (size_t i = 0; i < piece.len; i++)
				o.body_hash = (o.body_hash ^ piece.at[i]) * 1099511628211u;
			o.body_len += piece.len;
		}
		if (o.result == HTTP1_CHUNKED_MORE && in.len != 0)
			abort();
		o.consumed += len - in.len;
		free(copy);
	}
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct outcome whole = decode(data, size, size);
	size_t steps[] = {1, 2, 1 + data[0] % 17u};
	for (size_t i = 0; i < 3; i++) {
		struct outcome cut = decode(data, size, steps[i]);
		if (cut.result != whole.result || cut.consumed != whole.consumed ||
		    cut.body_len != whole.body_len || cut.body_hash != whole.body_hash)
			abort();
	}
	return 0;
}
