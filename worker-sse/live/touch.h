/* Reading a stream with a sliding TTL renews it. */
#pragma once

#include "common/store/store.h"

/* Submits a renewal, at most every stream_touch_interval_ms(); nobody waits for it. */
void touch_stream(struct store *store, const struct stream *stream, uint64_t wall_ms);
