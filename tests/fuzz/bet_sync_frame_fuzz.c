/* A frame and a cursor from hostile bytes: what is taken for a frame gives frames of the other
 * versions within their room. */
#include "worker-sse/views/bet_sync_frame.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bet_sync_frame frame;
	struct bet_sync_cursor cursor;
	if (bet_sync_frame_read(&frame, span_of(data, size))) {
		char *out = malloc(size + BET_SYNC_MORE);
		if (out == NULL || bet_sync_frame_v1(&frame, out) > size + BET_SYNC_MORE ||
		    bet_sync_frame_v3(&frame, out) > size + BET_SYNC_MORE)
			abort();
		free(out);
	}
	if (bet_sync_cursor_read(&cursor, span_of(data, size)) == BET_SYNC_CURSOR_SEQ &&
	    cursor.seq > (uint64_t)1 << 53)
		abort();
	return 0;
}
