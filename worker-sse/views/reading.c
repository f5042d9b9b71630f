#include "worker-sse/views/reading.h"
#include "common/base/clock.h"
#include "common/store/state.h"

bool reading_allowed(const struct request *request, const struct stream *stream)
{
	return request_may(request, RIGHT(READ), span_of(stream->path, stream->path_len));
}

static bool may_read(void *arg, const struct stream *stream)
{
	return reading_allowed(arg, stream);
}

bool reading_goes_on(const struct request *request, const struct live_reader *reader)
{
	return request_may(request, RIGHT(READ), (struct span){0}) &&
	       fanout_follows_only(reader, may_read, (void *)(uintptr_t)request);
}

void reading_expires(const struct request *request, struct live_reader *reader)
{
	uint64_t expires_ms = request->identity->expires_ms, now_ms = clock_wall_ms();
	uint64_t left_ms = expires_ms > now_ms ? expires_ms - now_ms : 0;
	if (expires_ms != UINT64_MAX)
		fanout_expire_at(reader, request->edge->wheel->now_ms + left_ms);
}

static void judge(struct request *request)
{
	struct live_reader *reader = request->feature;
	if (reading_goes_on(request, reader))
		reading_expires(request, reader);
	else
		fanout_leave(reader, FANOUT_END_EXPIRED);
}

void reading_bind(struct request *request, struct live_reader *reader,
                  void (*on_judge)(struct request *request))
{
	request->on_judge = on_judge != NULL ? on_judge : judge;
	reading_expires(request, reader);
}
