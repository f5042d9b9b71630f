#include "common/base/check.h"
#include "worker-sse/views/events_parts.h"

#include <stdlib.h>

enum {
	FRAME_BYTES = 256 * 1024, /* then the next message goes into the next frame: each has an id,
	                             and small ones grow by it */
};

static const struct events_form *form_of(const struct events_reader *e)
{
	return e != NULL ? e->form : &events_text_form;
}

void events_put_id(struct sse_builder *b, const struct events_reader *e,
                   const struct frame_query *q, uint64_t position)
{
	const struct event_place one = {q->stream != NULL ? q->stream->id : 0, position};
	bool single = e == NULL || e->single;
	size_t needed = EVENT_ID_ROOM + (single ? 1 : e->count) * EVENT_ID_PLACE_ROOM;
	char *text = sse_room(b, needed);
	sse_written(b, single ? event_id_print(0, &one, 1, text)
	                      : event_id_print(e->newest, e->places, e->count, text));
}

static void set_place(struct events_reader *e, uint64_t stream_id, uint64_t position)
{
	for (size_t i = 0; e != NULL && i < e->count; i++)
		if (e->places[i].stream_id == stream_id)
			e->places[i].position = position;
}

struct framing {
	const struct frame_query *q;
	const struct events_form *form;
	uint64_t to; /* behind the last message put */
};

static bool put_message(void *arg, const struct store_message *message)
{
	struct framing *f = arg;
	struct sse_builder *b = f->q->builder;
	struct events_reader *e = f->q->owner;
	set_place(e, f->q->stream->id, message->ends_at);
	f->form->message(b, e, f->q, message);
	f->to = message->ends_at;
	return b->len < waiting_piece(f->q->waiting, FRAME_BYTES);
}

bool events_frame(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	struct framing f = {.q = q, .form = form_of(q->owner)};
	sse_begin(b);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message, &f) !=
	    STORE_READ_OK)
		return false;
	sse_end(b, frame);
	frame->to = f.to;
	return true;
}

bool events_heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct sse_builder *b = q->builder;
	(void)variant;
	sse_begin(b);
	form_of(q->owner)->heartbeat(b, q->owner, q);
	sse_end(b, frame);
	return true;
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
bool events_lost(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
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
	form_of(e)->reset(b, e, q, gone ? "deleted" : "trimmed");
	sse_end(b, frame);
	return true;
}

bool events_farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	if (!form_of(q->owner)->farewell(b, q->owner, q, why))
		return false;
	sse_end(b, frame);
	return true;
}

/* With patterns there may always be another stream. */
bool events_finished(void *owner, const struct stream *stream)
{
	struct events_reader *e = owner;
	if (e == NULL || e->patterns_count == 0)
		return false;
	drop_place(e, stream->id);
	return true;
}

void events_left(void *owner)
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

/* An id before anything else: a connection that breaks now resumes from here. It stands in an event
 * with a name and data, because some clients hand a block without data to their user as an empty
 * message. */
static void put_retry(struct sse_builder *b, const struct events_reader *e,
                      const struct frame_query *q, uint64_t retry_ms)
{
	sse_printf(b, "retry: %llu\nid: ", (unsigned long long)retry_ms);
	events_put_id(b, e, q, q->from);
	SSE_PUT(b, "\n");
}

void events_put_opening(struct sse_builder *b, struct events_reader *e,
                        const struct events_starts *starts)
{
	const struct events_form *form = form_of(e);
	struct sse_worker *w = worker_of(starts->wish->request);
	struct frame_query q = {.store = w->store, .waiting = &w->edge.waiting};
	const struct stream **streams = xmalloc((starts->count + 1) * sizeof *streams);
	if (starts->count > 0)
		q = (struct frame_query){.store = w->store,
		                         .waiting = &w->edge.waiting,
		                         .stream = starts->at[0].stream,
		                         .from = starts->at[0].from,
		                         .to = starts->at[0].from};
	for (size_t i = 0; i < starts->count; i++)
		streams[i] = starts->at[i].stream;
	if (form == &events_text_form)
		put_retry(b, e, &q, w->settings->http_events_retry_ms);
	form->streams(b, e, streams, starts->count);
	free(streams);
	for (size_t i = 0; i < starts->count; i++) {
		const struct events_start *s = &starts->at[i];
		const struct frame_query at = {.store = w->store,
		                               .waiting = &w->edge.waiting,
		                               .stream = s->stream,
		                               .to = s->from};
		if (s->reset != NULL)
			form->reset(b, e, &at, s->reset);
	}
}
