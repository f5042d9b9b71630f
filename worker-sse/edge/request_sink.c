/* A streamed answer of HTTP/1 as a sink: whole frames, in chunks or bare. */
#include "worker-sse/edge/conn.h"

static void tell_gone(struct request *request)
{
	request->holder_events->gone(request->feature);
}

static void tell_drained(struct request *request)
{
	request->holder_events->drained(request->feature);
}

static void hold(void *to, void *holder, const struct sink_events *events)
{
	struct request *request = to;
	request->feature = holder;
	request->holder_events = events;
	request->on_gone = tell_gone;
	request->on_drain = tell_drained;
	request->comments = true;
	request_forget(request);
}

static void release(void *to)
{
	struct request *request = to;
	request->feature = NULL;
	request->on_gone = NULL;
	request->on_drain = NULL;
}

static bool write_chunked(void *to, const struct sse_frame *frame)
{
	return reply_write_chunk(to, frame->chunk, 0, frame->chunk->len);
}

static bool write_bare(void *to, const struct sse_frame *frame)
{
	return reply_write_chunk(to, frame->chunk, frame->bare_from, frame->bare_len);
}

static size_t pending(const void *to)
{
	return reply_pending(to);
}

static void end(void *to, enum sink_end how)
{
	if (how == SINK_CUT)
		reply_abort(to);
	else
		reply_end(to);
}

/* A request is the beginning of its exchange: nothing is read to find the lines. */
static void prefetch_far(const void *to)
{
	const struct exchange *e = to;
	__builtin_prefetch(e);
	__builtin_prefetch(&e->conn);
	__builtin_prefetch(&e->wants_drain);
}

static void prefetch_near(const void *to)
{
	const struct conn *conn = ((const struct exchange *)to)->conn;
	if (conn == NULL)
		return;
	__builtin_prefetch(&conn->wire);
	__builtin_prefetch(&conn->wire.fd);
	__builtin_prefetch(&conn->writing);
}

#define SINK_KIND(write_)                                                                          \
	{                                                                                          \
		.hold = hold, .release = release, .write = write_, .pending = pending, .end = end, \
		.prefetch_far = prefetch_far, .prefetch_near = prefetch_near                       \
	}
static const struct sink_kind chunked = SINK_KIND(write_chunked), bare = SINK_KIND(write_bare);
#undef SINK_KIND

struct sink request_sink(struct request *request)
{
	return (struct sink){request->close_delimited ? &bare : &chunked, request};
}
