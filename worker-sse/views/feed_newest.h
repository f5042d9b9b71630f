/* The newest frame of a feed; and GET /v1/feeds/FEED, which answers with it, for whoever begins to
 * follow and has a live right (live_right.h); all others have what spectators do.
 * GET /v1/feeds/FEED/... is what feed_lists.h says. */
#pragma once

#include "common/store/store.h"
#include "worker-sse/views/bet_sync_frame.h"
#include "worker-sse/edge/request.h"

/* A frame with its text. */
struct feed_frame {
	char *at;                    /* malloc */
	struct span text;            /* whole */
	struct bet_sync_frame frame; /* points into it */
};

/* The newest message of the stream that is a frame; what is none is passed over. False: there is
 * none, or it cannot be read. The frame is to be finished in either case. */
bool feed_newest_read(struct store *store, const struct stream *stream, struct feed_frame *newest);
void feed_frame_finish(struct feed_frame *frame);

/* 404: no such feed, or it has not said anything yet. */
void feed_newest_handle(struct request *request);
