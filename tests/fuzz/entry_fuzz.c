/* Log entries from hostile bytes: decoding never reads past them, and what decodes may be applied
 * to any state without harm. */
#include "common/store/state.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy =
	        malloc(size + 1); /* exact size and aligned, so that ASan sees an overread */
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	struct state state;
	const struct state_limits limits = {.streams_max = 1000, .producers_per_stream_max = 10};
	state_init(&state, NULL, &limits);
	uint64_t lsn = 8;
	for (size_t at = 0; at < size;) {
		struct entry entry;
		size_t len = entry_decode(span_of(copy + at, size - at), &entry);
		if (len == 0)
			break;
		state_apply(&state, &entry, lsn++);
		at += len;
	}
	state_evict(&state, lsn, 0);
	state_finish(&state);
	free(copy);
	return 0;
}
