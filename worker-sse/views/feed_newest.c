#include "worker-sse/views/feed_newest.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/feed_lists.h"
#include "worker-sse/views/live_right.h"
#include "worker-sse/views/streaming.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_NAME_MAX = 64, LOOK_BACK_BYTES = 1 << 16 };

static bool take(void *arg, const struct store_message *message)
{
	struct feed_frame *newest = arg;
	struct bet_sync_frame frame;
	if (!bet_sync_frame_read(&frame, message->bytes))
		return true;
	feed_frame_finish(newest); /* one append may hold several */
	newest->at = xmemdup_text(message->bytes.at, message->bytes.len);
	newest->text = span_of(newest->at, message->bytes.len);
	return bet_sync_frame_read(&newest->frame, newest->text);
}

/* Nearly always it is in the last append. */
bool feed_newest_read(struct store *store, const struct stream *stream, struct feed_frame *newest)
{
	uint64_t first = stream->first,
	         from = stream->last_start > first ? stream->last_start : first;
	*newest = (struct feed_frame){0};
	for (uint64_t back = LOOK_BACK_BYTES;; back *= 4) {
		if (store_scan(store, stream, from, stream->tail, SIZE_MAX, take, newest) !=
		    STORE_READ_OK)
			return false;
		if (newest->at != NULL || from == first)
			return newest->at != NULL;
		from = stream->tail - first > back ? stream->tail - back : first;
	}
}

void feed_frame_finish(struct feed_frame *frame)
{
	free(frame->at);
	*frame = (struct feed_frame){0};
}

static struct stream *find(struct request *request, struct span name)
{
	char path[128];
	if (name.len > FEED_NAME_MAX || memchr(name.at, '/', name.len) != NULL)
		return NULL;
	int len =
	        snprintf(path, sizeof path, "/v1/stream/feeds/%.*s/frames", (int)name.len, name.at);
	return state_find(store_view(worker_of(request)->store), span_of(path, (size_t)len));
}

/* What is kept beside the frames. True: it was that. */
static bool handle_rest(struct request *request, struct span feed, struct span rest)
{
	static const struct {
		const char *name;
		void (*handle)(struct request *request, struct span feed);
	} lists[] = {{"standings", feed_lists_standings},
	             {"duels", feed_lists_duels},
	             {"spectator", streaming_newest}};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (span_equal(rest, span_str(lists[i].name))) {
			lists[i].handle(request, feed);
			return true;
		}
	return false;
}

void feed_newest_handle(struct request *request)
{
	static const char prefix[] = "/v1/feeds/";
	struct span name = span_of(request->path.at + sizeof prefix - 1,
	                           request->path.len - (sizeof prefix - 1));
	const uint8_t *slash = memchr(name.at, '/', name.len);
	sse_worker_catch_up(worker_of(request));
	if (slash != NULL &&
	    handle_rest(request, span_of(name.at, (size_t)(slash - name.at)),
	                span_of(slash + 1, name.len - (size_t)(slash - name.at) - 1)))
		return;
	if (slash == NULL && !live_right_has(request, name)) {
		streaming_newest(request, name);
		return;
	}
	const struct stream *stream = find(request, name);
	struct feed_frame newest = {0};
	if (stream == NULL || !feed_newest_read(worker_of(request)->store, stream, &newest)) {
		feed_frame_finish(&newest);
		if (store_view(worker_of(request)->store)->unreadable) {
			reply_error(request, 503, store_unreadable_reason);
			return;
		}
		reply_error(request, 404, "no such feed");
		return;
	}
	const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	reply(request, 200, headers, 2, newest.text);
	feed_frame_finish(&newest);
}
