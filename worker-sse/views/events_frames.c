#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "worker-sse/views/events_parts.h"

#include <jansson.h>
#include <stdlib.h>

enum {
	FRAME_BYTES = 256 * 1024, /* then the next message goes into the next frame: each has an id,
	                             and small ones grow by it */
	NAME_MAX_BYTES = 128,     /* of an event */
};

static void put_id(struct sse_builder *b, const struct events_reader *e,
                   const struct frame_query *q, uint64_t position)
{
	const struct event_place one = {q->stream != NULL ? q->stream->id : 0, position};
	bool single = e == NULL || e->single;
	size_t needed = EVENT_ID_ROOM + (single ? 1 : e->count) * EVENT_ID_PLACE_ROOM;
	SSE_PUT(b, "id: ");
	char *text = sse_room(b, needed);
	sse_written(b, single ? event_id_print(0, &one, 1, text)
	                      : event_id_print(e->newest, e->places, e->count, text));
	SSE_PUT(b, "\n");
}

/* EventSource fires handlers of its own for the first two, and we send the others: what was
 * published under such a name goes out without one. */
static bool reserved(struct span name)
{
	static const struct span names[] = {SPAN("error"),     SPAN("open"),    SPAN("reset"),
	                                    SPAN("heartbeat"), SPAN("streams"), SPAN("expired")};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal(name, names[i]))
			return true;
	return false;
}

static void put_event_name(struct sse_builder *b, struct span name)
{
	if (reserved(name))
		return;
	SSE_PUT(b, "event: ");
	sse_put(b, name);
	SSE_PUT(b, "\n");
}

/* The member as a name, when it can be one. */
static void put_member(struct sse_builder *b, const char *member, struct span message)
{
	json_t *doc = json_take(message, JSON_DECODE_ANY, NULL, NULL);
	const char *name = json_string_value(json_object_get(doc, member));
	size_t len = json_string_length(json_object_get(doc, member));
	if (name != NULL && len > 0 && len <= NAME_MAX_BYTES && strlen(name) == len &&
	    strpbrk(name, "\r\n") == NULL)
		put_event_name(b, span_of(name, len));
	json_decref(doc);
}

static void put_name(struct sse_builder *b, const struct events_reader *e,
                     const struct stream *stream, struct span message)
{
	if (e == NULL || e->naming == EVENTS_NAMING_NONE)
		return;
	if (e->naming == EVENTS_NAMING_STREAM)
		put_event_name(b, span_of(events_path(stream), stream->path_len - EVENTS_ROOT_LEN));
	else if (stream->json)
		put_member(b, e->member, message);
}

static void set_place(struct events_reader *e, uint64_t stream_id, uint64_t position)
{
	for (size_t i = 0; e != NULL && i < e->count; i++)
		if (e->places[i].stream_id == stream_id)
			e->places[i].position = position;
}

struct framing {
	const struct frame_query *q;
	bool base64;
	uint64_t to; /* behind the last message put */
};

static bool put_message(void *arg, const struct store_message *message)
{
	struct framing *f = arg;
	struct sse_builder *b = f->q->builder;
	struct events_reader *e = f->q->owner;
	set_place(e, f->q->stream->id, message->ends_at);
	put_id(b, e, f->q, message->ends_at);
	put_name(b, e, f->q->stream, message->bytes);
	if (f->base64)
		sse_put_data_base64(b, message->bytes);
	else
		sse_put_data(b, message->bytes);
	SSE_PUT(b, "\n");
	f->to = message->ends_at;
	return b->len < waiting_piece(f->q->waiting, FRAME_BYTES);
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	struct framing f = {.q = q, .base64 = sse_needs_base64(q->stream)};
	sse_begin(b);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message, &f) !=
	    STORE_READ_OK)
		return false;
	sse_end(b, frame);
	frame->to = f.to;
	return true;
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct sse_builder *b = q->builder;
	(void)variant;
	sse_begin(b);
	SSE_PUT(b, "event: heartbeat\n");
	put_id(b, q->owner, q, q->from);
	sse_printf(b, "data: {\"now\":%llu}\n\n", (unsigned long long)clock_wall_ms());
	sse_end(b, frame);
	return true;
}

static void put_json_text(struct sse_builder *b, const char *text)
{
	json_t *string = json_string(text);
	char *quoted = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
	sse_put(b, quoted != NULL ? span_str(quoted) : SPAN("\"\""));
	free(quoted);
	json_decref(string);
}

static void put_reset(struct sse_builder *b, struct events_reader *e, const struct frame_query *q,
                      const char *reason)
{
	SSE_PUT(b, "event: reset\n");
	put_id(b, e, q, q->to);
	SSE_PUT(b, "data: {\"stream\":");
	put_json_text(b, events_path(q->stream));
	sse_printf(b, ",\"reason\":\"%s\"}\n\n", reason);
}

static void drop_place(struct events_reader *e, uint64_t stream_id)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->places[i].stream_id == stream_id) {
			e->places[i] = e->places[--e->count];
			return;
		}
}

/* Says so and goes on; a reader whose only stream was deleted has nothing to go on with. */
static bool lost(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	struct events_reader *e = q->owner;
	bool gone = why == FANOUT_END_GONE;
	if (gone && (e == NULL || (e->count == 1 && e->patterns_count == 0)))
		return false;
	if (gone)
		drop_place(e, q->stream->id);
	else
		set_place(e, q->stream->id, q->to);
	sse_begin(b);
	put_reset(b, e, q, gone ? "deleted" : "trimmed");
	sse_end(b, frame);
	return true;
}

static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	if (why == FANOUT_END_GONE && q->stream != NULL)
		put_reset(b, q->owner, q, "deleted");
	else if (why == FANOUT_END_LAG)
		sse_comment(
		        b, " further behind than limits.reader_lag_bytes; resume from the last id");
	else if (why == FANOUT_END_DRAIN)
		sse_comment(b, " this worker stops; resume from the last id");
	else if (why == FANOUT_END_EXPIRED)
		SSE_PUT(b, "event: expired\ndata: {}\n\n");
	else if (why == FANOUT_END_RESUME)
		sse_comment(b, " resume from the last id");
	else
		return false;
	sse_end(b, frame);
	return true;
}

/* With patterns there may always be another stream. */
static bool finished(void *owner, const struct stream *stream)
{
	struct events_reader *e = owner;
	if (e == NULL || e->patterns_count == 0)
		return false;
	drop_place(e, stream->id);
	return true;
}

static void reader_free(void *owner)
{
	struct events_reader *e = owner;
	if (e == NULL)
		return;
	if (e->previous != NULL) {
		*e->previous = e->next;
		if (e->next != NULL)
			e->next->previous = e->previous;
	}
	for (size_t i = 0; i < e->patterns_count; i++)
		free(e->patterns[i]);
	free(e->places);
	free(e->member);
	free(e);
}

static const struct fanout_view one_stream = {.name = "events",
                                              .shared = true,
                                              .frame = build,
                                              .heartbeat = heartbeat,
                                              .farewell = farewell,
                                              .lost = lost,
                                              .left = reader_free};
static const struct fanout_view several_streams = {.name = "events of several streams",
                                                   .frame = build,
                                                   .heartbeat = heartbeat,
                                                   .farewell = farewell,
                                                   .lost = lost,
                                                   .finished = finished,
                                                   .left = reader_free};

const struct fanout_view *events_view(bool several)
{
	return several ? &several_streams : &one_stream;
}

/* The lines of an event whose block has been begun, or begins here. */
void events_put_streams(struct sse_builder *b, const struct stream *const *streams, size_t count)
{
	SSE_PUT(b, "event: streams\ndata: [");
	for (size_t i = 0; i < count; i++) {
		sse_put(b, i > 0 ? SPAN(",{\"stream\":") : SPAN("{\"stream\":"));
		put_json_text(b, events_path(streams[i]));
		sse_put(b, sse_needs_base64(streams[i]) ? SPAN(",\"encoding\":\"base64\"}")
		                                        : SPAN(",\"encoding\":\"utf-8\"}"));
	}
	SSE_PUT(b, "]\n\n");
}

/* retry and an id before anything else: a connection that breaks now resumes from here. They stand
 * in an event with a name and data, because some clients hand a block without data to their user as
 * an empty message. */
void events_put_opening(struct sse_builder *b, struct events_reader *e,
                        const struct events_starts *starts)
{
	struct sse_worker *w = worker_of(starts->wish->request);
	struct frame_query q = {.store = w->store, .waiting = &w->edge.waiting};
	const struct stream **streams = xmalloc((starts->count + 1) * sizeof *streams);
	if (starts->count > 0)
		q = (struct frame_query){.store = w->store,
		                         .waiting = &w->edge.waiting,
		                         .stream = starts->at[0].stream,
		                         .from = starts->at[0].from,
		                         .to = starts->at[0].from};
	sse_printf(b, "retry: %llu\n", (unsigned long long)w->settings->http_events_retry_ms);
	put_id(b, e, &q, q.from);
	for (size_t i = 0; i < starts->count; i++)
		streams[i] = starts->at[i].stream;
	events_put_streams(b, streams, starts->count);
	free(streams);
	for (size_t i = 0; i < starts->count; i++) {
		const struct events_start *s = &starts->at[i];
		const struct frame_query at = {.store = w->store,
		                               .waiting = &w->edge.waiting,
		                               .stream = s->stream,
		                               .to = s->from};
		if (s->reset != NULL)
			put_reset(b, e, &at, s->reset);
	}
}
