/* A sink before the sink: what has been written is paid for with time. Who follows is blocked
 * meanwhile, as by a client that takes nothing, and keeps its place. */
#include "worker-sse/views/connection_parts.h"

enum { AHEAD_MS = 1000 }; /* so much at once is fine */

static void on_drained(void *holder)
{
	struct connection_pace *p = holder;
	p->blocked = false;
	if (!p->paused)
		p->events->drained(p->holder);
}

static void on_gone(void *holder)
{
	struct connection_pace *p = holder;
	wheel_cancel(&p->timer);
	p->events->gone(p->holder);
	p->over(p);
}

static void on_time(struct wheel_node *node)
{
	struct connection_pace *p =
	        (struct connection_pace *)((char *)node - offsetof(struct connection_pace, timer));
	p->paused = false;
	if (!p->blocked)
		p->events->drained(p->holder);
}

static void hold(void *to, void *holder, const struct sink_events *events)
{
	static const struct sink_events ours = {.drained = on_drained, .gone = on_gone};
	struct connection_pace *p = to;
	p->holder = holder;
	p->events = events;
	p->sink.kind->hold(p->sink.to, p, &ours);
}

static void release(void *to)
{
	struct connection_pace *p = to;
	wheel_cancel(&p->timer);
	p->sink.kind->release(p->sink.to);
}

static bool write_paced(void *to, const struct sse_frame *frame)
{
	struct connection_pace *p = to;
	uint64_t now_ms = p->worker->wheel.now_ms;
	uint64_t rate = p->worker->settings->connections_replay_rate;
	p->blocked = !p->sink.kind->write(p->sink.to, frame);
	if (p->next_ms < now_ms)
		p->next_ms = now_ms;
	if (rate > 0)
		p->next_ms += frame->bare_len * UINT64_C(1000) / rate;
	if (p->next_ms > now_ms + AHEAD_MS && !p->paused) {
		p->paused = true;
		wheel_set(&p->worker->wheel, &p->timer, p->next_ms - AHEAD_MS);
		counter_add(p->worker->counters, chat_paused_total, 1);
	}
	return !p->blocked && !p->paused;
}

static size_t pending(const void *to)
{
	const struct connection_pace *p = to;
	return p->sink.kind->pending(p->sink.to);
}

static void end(void *to, enum sink_end how)
{
	struct connection_pace *p = to;
	p->sink.kind->end(p->sink.to, how);
	p->over(p);
}

static void prefetch_far(const void *to)
{
	const struct connection_pace *p = to;
	p->sink.kind->prefetch_far(p->sink.to);
}

static void prefetch_near(const void *to)
{
	const struct connection_pace *p = to;
	p->sink.kind->prefetch_near(p->sink.to);
}

struct sink connection_paced(struct connection_pace *pace, struct sse_worker *w, struct sink sink,
                             void (*over)(struct connection_pace *pace))
{
	static const struct sink_kind kind = {.hold = hold,
	                                      .release = release,
	                                      .write = write_paced,
	                                      .pending = pending,
	                                      .end = end,
	                                      .prefetch_far = prefetch_far,
	                                      .prefetch_near = prefetch_near};
	*pace = (struct connection_pace){
	        .worker = w, .sink = sink, .over = over, .timer = {.due = on_time}};
	return (struct sink){&kind, pace};
}
