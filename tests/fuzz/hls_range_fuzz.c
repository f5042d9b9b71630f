/* What viewers ask of an HLS output: the part of a file that is sent lies within it, and no name
 * leads out of its directory. The first 8 bytes are the file's size. */
#include "common/base/check.h"
#include "worker-sse/views/hls_range.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole, from, len;
	if (size < sizeof whole)
		return 0;
	memcpy(&whole, data, sizeof whole);
	whole >>= 1; /* as off_t has it */
	size -= sizeof whole;
	uint8_t *copy = malloc(size + 1);
	memcpy(copy, data + sizeof whole, size);
	struct span text = span_of(copy, size);
	switch (hls_range(text, whole, &from, &len)) {
	case HLS_RANGE_WHOLE:
		check(from == 0 && len == whole);
		break;
	case HLS_RANGE_PART:
		check(len > 0 && from < whole && len <= whole - from);
		break;
	case HLS_RANGE_OUTSIDE:
		break;
	}
	if (hls_name_valid(text))
		check(memchr(text.at, '/', text.len) == NULL && *text.at != '.');
	free(copy);
	return 0;
}
