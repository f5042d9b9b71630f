#include "worker-sse/live/touch.h"
#include "common/base/check.h"

#include <stdlib.h>

static void touched(struct command *c)
{
	free(c);
}

void touch_stream(struct store *store, const struct stream *stream, uint64_t wall_ms)
{
	if (!stream->ttl_present || wall_ms < stream->touched_ms + stream_touch_interval_ms(stream))
		return;
	struct command *c = xcalloc(1, sizeof *c + stream->path_len);
	*c = (struct command){.kind = COMMAND_TOUCH, .done = touched};
	memcpy(c + 1, stream->path, stream->path_len);
	c->path = span_of(c + 1, stream->path_len);
	store_submit(store, c);
}
