/* A streamed answer as a sink (live/sink.h): what it is for every protocol. How a frame is written
 * is the protocol's own. */
#pragma once

#include "worker-sse/live/sink.h"

void exchange_sink_hold(void *to, void *holder, const struct sink_events *events);
void exchange_sink_release(void *to);
size_t exchange_sink_pending(const void *to);
void exchange_sink_end(void *to, enum sink_end how);
void exchange_sink_prefetch_far(const void *to);
void exchange_sink_prefetch_near(const void *to);

/* A struct sink_kind. */
#define EXCHANGE_SINK(write_)                                                                      \
	{                                                                                          \
		.hold = exchange_sink_hold, .release = exchange_sink_release, .write = write_,     \
		.pending = exchange_sink_pending, .end = exchange_sink_end,                        \
		.prefetch_far = exchange_sink_prefetch_far,                                        \
		.prefetch_near = exchange_sink_prefetch_near                                       \
	}
