/* What a live reader writes to: an answer in HTTP/1's chunks, a bare one, a stream of HTTP/2, the
 * messages of a WebSocket, a node of a cluster. The fan-out knows no other word for who listens.
 *
 * A sink takes whole frames. What its connection does not take at once it keeps, by reference, and
 * says so: until drained() nothing more is written. Loop thread only. */
#pragma once

#include "worker-sse/live/sse.h"

/* What happens to a sink, told to whoever holds it. */
struct sink_events {
	/* Everything written has left, and others had their turn. */
	void (*drained)(void *holder);
	/* Nobody listens any more. The sink is gone when this returns. Never told from within the
	 * sink's own write() or end(). */
	void (*gone)(void *holder);
};

enum sink_end {
	SINK_WHOLE, /* the answer is complete */
	SINK_CUT,   /* what listens must not take it for complete, and resumes */
};

/* Constant, one for each kind of connection. `to` is what it writes to. */
struct sink_kind {
	/* From here on it tells `holder`; what came with the request is not needed any more. */
	void (*hold)(void *to, void *holder, const struct sink_events *events);
	/* It tells nobody any more, and is to be ended by the caller. */
	void (*release)(void *to);
	/* True: taken; go on. False: blocked. The frame is the caller's. */
	bool (*write)(void *to, const struct sse_frame *frame);
	/* Bytes written but not yet taken by the kernel. */
	size_t (*pending)(const void *to);
	/* Over; the sink is gone. */
	void (*end)(void *to, enum sink_end end);
	/* Fetches into the cache what write() will touch: `far` first, `near` when that is there.
	 */
	void (*prefetch_far)(const void *to);
	void (*prefetch_near)(const void *to);
	/* A write before far, for what lies in front of another sink. NULL: nothing. */
	void (*prefetch_first)(const void *to);
};

/* By value: kind and connection. */
struct sink {
	const struct sink_kind *kind;
	void *to;
};
