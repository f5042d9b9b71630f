#include "worker-sse/edge/exchange_sink.h"
#include "worker-sse/edge/conn.h"

static void tell_gone(struct request *request)
{
	request->holder_events->gone(request->feature);
}

static void tell_drained(struct request *request)
{
	request->holder_events->drained(request->feature);
}

void exchange_sink_hold(void *to, void *holder, const struct sink_events *events)
{
	struct request *request = to;
	request->feature = holder;
	request->holder_events = events;
	request->on_gone = tell_gone;
	request->on_drain = tell_drained;
	request->comments = true;
	request_forget(request);
}

void exchange_sink_release(void *to)
{
	struct request *request = to;
	request->feature = NULL;
	request->on_gone = NULL;
	request->on_drain = NULL;
}

size_t exchange_sink_pending(const void *to)
{
	return reply_pending(to);
}

void exchange_sink_end(void *to, enum sink_end how)
{
	if (how == SINK_CUT)
		reply_abort(to);
	else
		reply_end(to);
}

/* A request is the beginning of its exchange: nothing is read to find the lines. */
void exchange_sink_prefetch_far(const void *to)
{
	const struct exchange *e = to;
	__builtin_prefetch(e);
	__builtin_prefetch(&e->conn);
	__builtin_prefetch(&e->wants_drain);
}

void exchange_sink_prefetch_near(const void *to)
{
	const struct conn *conn = ((const struct exchange *)to)->conn;
	if (conn == NULL)
		return;
	__builtin_prefetch(&conn->wire);
	__builtin_prefetch(&conn->wire.fd);
	__builtin_prefetch(&conn->writing);
}
