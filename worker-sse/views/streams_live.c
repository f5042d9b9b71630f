#include "worker-sse/views/streams_live.h"
#include "common/base/clock.h"
#include "common/store/offset.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/views/worker.h"
#include "worker-sse/views/streams.h"

enum { FRAME_BYTES = 256 * 1024 }; /* then the next element goes into the next frame */

/* "m1,m2," as "[m1,m2]" */
static void put_json(struct sse_builder *b, struct span payload)
{
	uint8_t *at = (uint8_t *)(uintptr_t)payload.at - 1;
	at[0] = '[';
	at[payload.len] = ']';
	sse_put_data(b, span_of(at, payload.len + 1));
}

static void put_data(struct sse_builder *b, const struct stream *stream, struct span payload)
{
	SSE_PUT(b, "event: data\n");
	if (stream->json)
		put_json(b, payload);
	else if (sse_needs_base64(stream))
		sse_put_data_base64(b, payload);
	else
		sse_put_data(b, payload);
	SSE_PUT(b, "\n");
}

static void put_control(struct sse_builder *b, const struct frame_query *q, bool closed)
{
	char offset[OFFSET_ROOM];
	offset_print(q->stream->lineage, q->to, offset);
	sse_printf(b, "event: control\ndata:{\"streamNextOffset\":\"%s\"", offset);
	if (closed)
		SSE_PUT(b, ",\"upToDate\":true,\"streamClosed\":true");
	else
		sse_printf(b, ",\"streamCursor\":\"%llu\"%s", (unsigned long long)q->variant,
		           q->to == q->stream->tail ? ",\"upToDate\":true" : "");
	SSE_PUT(b, "}\n\n");
}

static bool is_short(void *arg, const struct store_message *message)
{
	struct frame_query *q = arg;
	q->to = message->ends_at;
	return q->to - q->from < waiting_piece(q->waiting, FRAME_BYTES);
}

/* One append of very many elements is not made into one frame in one turn: each element ends at a
 * place of its own. */
static bool shorten(struct frame_query *q)
{
	const struct frame_query whole = *q;
	return !whole.stream->json ||
	       whole.to - whole.from <= waiting_piece(q->waiting, FRAME_BYTES) ||
	       store_scan(q->store, whole.stream, whole.from, whole.to, SIZE_MAX, is_short, q) ==
	               STORE_READ_OK;
}

static bool build(struct sse_frame *frame, const struct frame_query *asked)
{
	struct sse_builder *b = asked->builder;
	struct frame_query q = *asked;
	struct span payload;
	if (!shorten(&q))
		return false;
	bool closed = q.to == q.stream->tail && q.stream->closed;
	sse_begin(b);
	if (q.from < q.to) {
		if (!sse_read(b, q.store, q.stream, q.from, q.to, &payload))
			return false;
		put_data(b, q.stream, payload);
	}
	put_control(b, &q, closed);
	sse_end(b, frame);
	frame->to = q.to;
	frame->closed = closed;
	return true;
}

/* A control event alone: what the client sees of a quiet stream. */
static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct frame_query query = *q;
	uint64_t now = cursor_next(clock_wall_ms(), (struct span){0});
	if (now > *variant)
		*variant = now;
	query.variant = *variant;
	return build(frame, &query);
}

/* Closed without another message. */
static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	return why == FANOUT_END_CLOSED && build(frame, q);
}

static const struct fanout_view view = {.name = "stream",
                                        .shared = true,
                                        .frame = build,
                                        .heartbeat = heartbeat,
                                        .farewell = farewell};

void streams_follow(struct request *request, struct stream *stream, uint64_t from, uint64_t cursor)
{
	struct sse_worker *w = worker_of(request);
	struct header headers[5] = {{"content-type", SPAN("text/event-stream")},
	                            {STREAMS_POLICY_NAME, STREAMS_POLICY},
	                            {"cache-control", SPAN("no-cache")},
	                            {"x-accel-buffering", SPAN("no")}};
	size_t count = 4;
	if (sse_needs_base64(stream))
		headers[count++] = (struct header){"stream-sse-data-encoding", SPAN("base64")};
	reply_start(request, 200, headers, count, UINT64_MAX);
	struct live_reader *reader = fanout_join(w->fanout, request_sink(request), &view, NULL,
	                                         cursor, fanout_lifetime_end(w->fanout));
	reading_bind(request, reader, NULL);
	/* The first and only frame of a reader who is up to date. */
	if (from == stream->tail) {
		struct sse_frame frame = {0};
		const struct frame_query query = {.store = w->store,
		                                  .waiting = &w->edge.waiting,
		                                  .builder = fanout_builder(w->fanout),
		                                  .stream = stream,
		                                  .from = from,
		                                  .to = from,
		                                  .variant = cursor};
		build(&frame, &query);
		fanout_send(reader, &frame);
		sse_frame_finish(&frame);
	}
	fanout_add(reader, stream, from);
}
