/* A sink before the sink: what has been written is paid for with time. Who follows is blocked
 * meanwhile, as by a client that takes nothing, and keeps its place. */
#include "common/base/check.h"
#include "worker-sse/views/connection_parts.h"

#include <stdlib.h>

enum { AHEAD_MS = 1000 }; /* so much at once is fine */

/* Of one that has been faster. */
struct connection_pause {
	struct wheel_node timer; /* first */
	struct connection_stream *stream;
};

size_t connection_pending(const struct connection_stream *s)
{
	return s->below.kind->pending(s->below.to);
}

static void end_pause(struct connection_stream *s)
{
	if (s->pause != NULL)
		wheel_cancel(&s->pause->timer);
	free(s->pause);
	s->pause = NULL;
}

static void on_drained(void *holder)
{
	struct connection_stream *s = holder;
	s->blocked = false;
	if (s->pause == NULL)
		connections_of(s)->reader_events->drained(s->reader);
}

static void on_gone(void *holder)
{
	struct connection_stream *s = holder;
	connections_of(s)->reader_events->gone(s->reader);
	connection_stream_free(s);
}

static void on_time(struct wheel_node *node)
{
	struct connection_stream *s = ((struct connection_pause *)node)->stream;
	end_pause(s);
	if (!s->blocked)
		connections_of(s)->reader_events->drained(s->reader);
}

static void begin_pause(struct connection_stream *s, uint64_t until_ms)
{
	struct sse_worker *w = worker_of(s->request);
	s->pause = xcalloc(1, sizeof *s->pause);
	s->pause->timer.due = on_time;
	s->pause->stream = s;
	wheel_set(&w->wheel, &s->pause->timer, until_ms);
	counter_add(w->counters, chat_paused_total, 1);
}

static void hold(void *to, void *holder, const struct sink_events *events)
{
	static const struct sink_events ours = {.drained = on_drained, .gone = on_gone};
	struct connection_stream *s = to;
	s->reader = holder;
	connections_of(s)->reader_events = events; /* the fan-out has one for all */
	s->below.kind->hold(s->below.to, s, &ours);
}

static void release(void *to)
{
	struct connection_stream *s = to;
	end_pause(s);
	s->below.kind->release(s->below.to);
}

static bool write_paced(void *to, const struct sse_frame *frame)
{
	struct connection_stream *s = to;
	struct sse_worker *w = worker_of(s->request);
	uint64_t now_ms = w->wheel.now_ms, rate = w->settings->connections_replay_rate;
	s->blocked = !s->below.kind->write(s->below.to, frame);
	if (s->next_ms < now_ms)
		s->next_ms = now_ms;
	if (rate > 0)
		s->next_ms += frame->bare_len * UINT64_C(1000) / rate;
	if (s->next_ms > now_ms + AHEAD_MS && s->pause == NULL)
		begin_pause(s, s->next_ms - AHEAD_MS);
	return !s->blocked && s->pause == NULL;
}

static size_t pending(const void *to)
{
	return connection_pending(to);
}

static void end(void *to, enum sink_end how)
{
	struct connection_stream *s = to;
	s->below.kind->end(s->below.to, how);
	connection_stream_free(s);
}

static void prefetch_first(const void *to)
{
	__builtin_prefetch(to);
	__builtin_prefetch((const uint8_t *)to + 64);
}

static void prefetch_far(const void *to)
{
	const struct connection_stream *s = to;
	__builtin_prefetch(s->places);
	s->below.kind->prefetch_far(s->below.to);
}

static void prefetch_near(const void *to)
{
	const struct connection_stream *s = to;
	s->below.kind->prefetch_near(s->below.to);
}

struct sink connection_paced(struct connection_stream *s, struct sink below)
{
	static const struct sink_kind kind = {.hold = hold,
	                                      .release = release,
	                                      .write = write_paced,
	                                      .pending = pending,
	                                      .end = end,
	                                      .prefetch_far = prefetch_far,
	                                      .prefetch_near = prefetch_near,
	                                      .prefetch_first = prefetch_first};
	s->below = below;
	return (struct sink){&kind, s};
}
