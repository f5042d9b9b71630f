#include "worker-sse/views/live_right.h"
#include "common/base/clock.h"
#include "common/domain/rights_live.h"
#include "worker-sse/views/worker.h"

#include <stdio.h>

bool live_right_has(const struct request *request, struct span feed)
{
	char path[LIVE_RIGHT_FEED_MAX + 16];
	const struct settings *s = worker_of(request)->settings;
	if (s->dev || (s->feeds_frames_by_read && s->feeds_spectator_delay_ms == 0))
		return true;
	if (feed.len > LIVE_RIGHT_FEED_MAX)
		return false;
	int len =
	        snprintf(path, sizeof path, "/v1/feeds/%.*s", (int)feed.len, (const char *)feed.at);
	return request_may(request, RIGHT(FRAMES), span_of(path, (size_t)len));
}

bool live_right_to_path(const struct request *request)
{
	const struct settings *s = worker_of(request)->settings;
	const struct rights_live live = {.frames_by_read = s->feeds_frames_by_read,
	                                 .delayed = s->feeds_spectator_delay_ms != 0};
	char of[RIGHTS_LIVE_ROOM];
	return s->dev || !rights_live_later(&live, VERB_READ, request->path, of) ||
	       request_may(request, RIGHT(FRAMES), span_str(of));
}

uint64_t live_right_until_ms(const struct request *request, struct span feed)
{
	uint64_t now_ms = clock_wall_ms();
	uint64_t delay_ms = worker_of(request)->settings->feeds_spectator_delay_ms;
	return delay_ms == 0 || live_right_has(request, feed) ? now_ms : now_ms - delay_ms;
}
