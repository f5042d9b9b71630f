#include "worker-sse/feed_newest.h"
#include "common/check.h"
#include "worker-sse/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { FEED_NAME_MAX = 64 };

struct copy {
	char *at;
	size_t len;
};

static bool take(void *arg, const struct store_message *message)
{
	struct copy *copy = arg;
	free(copy->at); /* one append may hold several */
	*copy = (struct copy){xmemdup_text(message->bytes.at, message->bytes.len), message->bytes.len};
	return true;
}

static struct stream *find(struct request *request)
{
	static const char prefix[] = "/v1/feeds/";
	char path[128];
	struct span name = span_of(request->path.at + sizeof prefix - 1, request->path.len - (sizeof prefix - 1));
	if (name.len > FEED_NAME_MAX || memchr(name.at, '/', name.len) != NULL)
		return NULL;
	int len = snprintf(path, sizeof path, "/v1/stream/feeds/%.*s/frames", (int)name.len, name.at);
	return state_find(store_view(request->worker->store), span_of(path, (size_t)len));
}

void feed_newest_handle(struct request *request)
{
	sse_worker_catch_up(request->worker);
	const struct stream *stream = find(request);
	struct copy copy = {0};
	if (stream != NULL)
		store_scan(request->worker->store, stream, stream->last_start, stream->tail, SIZE_MAX, take, &copy);
	if (copy.at == NULL) {
		reply_error(request, 404, "no such feed");
		return;
	}
	const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-store")}};
	reply(request, 200, headers, 2, span_of(copy.at, copy.len));
	free(copy.at);
}
