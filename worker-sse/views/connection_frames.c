/* How a stream looks: events of conversations, and those of the connection itself. All but the
 * first are called `message`, so that a client needs to know no names; each carries an id of where
 * the stream stands in everything that is watched. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/websocket.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	FRAME_BYTES = 256 * 1024,
	TEXT_FRAME = 0x81,      /* the first byte of a text that is whole: RFC 6455 5.2 */
	HEAD_PLACES = 7,        /* an id of more is rare, and made the long way */
	TAIL_BYTES = 64 * 1024, /* larger text is not kept a second time */
};
static_assert(sizeof "id: " + EVENT_ID_ROOM + HEAD_PLACES * EVENT_ID_PLACE_ROOM <= SSE_HEAD_MAX,
              "it is in front of a tail");

static void put_id(struct sse_builder *b, const struct connection_stream *s)
{
	if (s->framed)
		return; /* its client states what it has */
	SSE_PUT(b, "id: ");
	char *text = sse_room(b, EVENT_ID_ROOM + (size_t)s->count * EVENT_ID_PLACE_ROOM);
	sse_written(b, event_id_print(s->revision, s->places, s->count, text));
	SSE_PUT(b, "\n");
}

/* Before and behind the text of an event, which has `len` bytes. */
static void begin_text(struct sse_builder *b, const struct connection_stream *s, const char *name,
                       size_t len)
{
	if (s->framed) {
		sse_written(b, websocket_header((uint8_t *)sse_room(b, WEBSOCKET_HEADER_MAX),
		                                TEXT_FRAME, len));
	} else {
		SSE_PUT(b, "event: ");
		sse_put(b, span_str(name));
		SSE_PUT(b, "\ndata: ");
	}
}

static void end_text(struct sse_builder *b, const struct connection_stream *s)
{
	if (!s->framed)
		SSE_PUT(b, "\n\n");
}

static void put_json(struct sse_builder *b, const struct connection_stream *s, const char *name,
                     const json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	begin_text(b, s, name, strlen(text));
	sse_put(b, span_str(text));
	end_text(b, s);
	free(text);
}

void connection_put(struct sse_builder *b, const struct connection_stream *s, const char *name,
                    const json_t *event)
{
	put_id(b, s);
	put_json(b, s, name, event);
}

void connection_put_event(struct sse_builder *b, const struct connection_stream *s,
                          const char *type, const char *id, json_t *more)
{
	json_t *event = json_pack("{s:i, s:s}", "v", CONNECTION_PROTOCOL, "type", type);
	check(event != NULL);
	if (id != NULL)
		json_object_set_new(event, "sessionId", json_string(id));
	if (more != NULL)
		json_object_update(event, more);
	connection_put(b, s, "message", event);
	json_decref(event);
	json_decref(more);
}

/* ---- what was stated ---- */

void connection_replay_free(struct connection_replay **replay)
{
	if (*replay != NULL)
		free((*replay)->parts);
	free(*replay);
	*replay = NULL;
}

static bool is_replayed(const struct connection_stream *s)
{
	for (size_t i = 0; i < s->replay->count; i++)
		for (size_t j = 0; j < s->count; j++)
			if (s->places[j].stream_id == s->replay->parts[i].stream_id &&
			    s->places[j].position < s->replay->parts[i].to)
				return false;
	return true;
}

bool connection_put_replayed(struct sse_builder *b, struct connection_stream *s)
{
	struct state *view = store_view(worker_of(s->request)->store);
	char id[CONVERSATION_ID_ROOM];
	if (s->replay == NULL || !is_replayed(s))
		return false;
	json_t *sessions = json_array();
	for (size_t i = 0; i < s->replay->count; i++) {
		const struct connection_replay_part *part = &s->replay->parts[i];
		struct stream *stream = state_find_id(view, part->stream_id);
		if (stream != NULL && connection_conversation(stream, id))
			json_array_append_new(sessions,
			                      json_pack("{s:s, s:I}", "sessionId", id, "replayed",
			                                (json_int_t)part->count));
	}
	connection_put_event(b, s, "reconnected", NULL, json_pack("{s:o}", "sessions", sessions));
	connection_replay_free(&s->replay);
	return true;
}

static void count_replayed(struct connection_stream *s, uint64_t stream_id, uint64_t ends_at)
{
	for (size_t i = 0; s->replay != NULL && i < s->replay->count; i++) {
		struct connection_replay_part *part = &s->replay->parts[i];
		if (part->stream_id != stream_id || ends_at > part->to)
			continue;
		part->count++;
		counter_add(worker_of(s->request)->counters, chat_replayed_total, 1);
	}
}

/* ---- events ---- */

static void set_position(struct connection_stream *s, uint64_t stream_id, uint64_t position)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->places[i].stream_id == stream_id)
			s->places[i].position = position;
}

/* The revision that it was watched since; 0: it has no place. */
static uint64_t drop_stream(struct connection_stream *s, uint64_t stream_id)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->places[i].stream_id == stream_id)
			return connection_place_drop(s, i);
	return 0;
}

static struct sse_tail *tail_of(struct sse_builder *b, const struct connection_stream *s,
                                const struct connection_telling *told)
{
	struct sse_tail *tail = &told->tails[s->framed];
	if (tail->chunk == NULL) {
		sse_begin(b);
		begin_text(b, s, "message", told->events->len);
		sse_put(b, span_of(told->at, told->events->len));
		end_text(b, s);
		sse_end_tail(b, tail);
	}
	return tail;
}

/* The path of nearly all events, which each finds everybody at the one before: all of it is there,
 * and only the id is this one's. False: it is not that simple. */
static bool build_one(struct sse_frame *frame, const struct frame_query *q,
                      const struct connection_telling *told)
{
	struct connection_stream *s = q->owner;
	char head[sizeof "id: " + EVENT_ID_ROOM + HEAD_PLACES * EVENT_ID_PLACE_ROOM];
	size_t len = 0;
	if (told->count != 1 || s->replay != NULL || s->count > HEAD_PLACES ||
	    told->events->len > TAIL_BYTES)
		return false;
	set_position(s, q->stream->id, told->events->ends_at);
	if (!s->framed) {
		memcpy(head, "id: ", 4);
		len = 4 + event_id_print(s->revision, s->places, s->count, head + 4);
		head[len++] = '\n';
	}
	sse_tail_frame(tail_of(q->builder, s, told), span_of(head, len), frame);
	frame->to = told->events->ends_at;
	return true;
}

/* What has been made for all, with ids of its own. */
static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	struct connection_stream *s = q->owner;
	struct connection_telling told;
	size_t max = waiting_piece(q->waiting, FRAME_BYTES);
	uint64_t to = q->from;
	if (!connection_tell(connections_of(s), q, &told))
		return false;
	if (build_one(frame, q, &told))
		return true;
	sse_begin(b);
	for (size_t i = 0; i < told.count && (i == 0 || b->len < max); i++) {
		const struct connection_told_event *event = &told.events[i];
		to = event->ends_at;
		set_position(s, q->stream->id, to);
		count_replayed(s, q->stream->id, to);
		put_id(b, s);
		begin_text(b, s, "message", event->len);
		sse_put(b, span_of(told.at, event->len));
		end_text(b, s);
		told.at += event->len;
	}
	connection_put_replayed(b, s);
	sse_end_in(b, frame, &connections_of(s)->spare);
	frame->to = to;
	return true;
}

/* An event, not a comment, which EventSource tells nobody of. */
static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	(void)variant;
	sse_begin(q->builder);
	connection_put_event(q->builder, q->owner, "ping", NULL,
	                     json_pack("{s:I}", "at", (json_int_t)clock_wall_ms()));
	sse_end(q->builder, frame);
	return true;
}

static bool lost(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct connection_stream *s = q->owner;
	char id[CONVERSATION_ID_ROOM];
	bool gone = why == FANOUT_END_GONE;
	if (!connection_conversation(q->stream, id))
		return false;
	if (gone)
		connection_stream_forget(s, id, drop_stream(s, q->stream->id));
	else
		set_position(s, q->stream->id, q->to);
	sse_begin(q->builder);
	connection_put_event(
	        q->builder, s, "session_reset", id,
	        gone ? json_pack("{s:s}", "reason", "deleted")
	             : json_pack("{s:s, s:I}", "reason", "trimmed", "seq", (json_int_t)q->to));
	connection_put_replayed(q->builder, s);
	sse_end(q->builder, frame);
	return true;
}

static void put_superseded(struct sse_builder *b, const struct connection_stream *s)
{
	char cid[CONNECTION_CID_ROOM];
	connection_cid_print(s->id, cid);
	json_t *event =
	        json_pack("{s:i, s:s, s:s, s:I}", "v", CONNECTION_PROTOCOL, "type", "superseded",
	                  "connectionId", cid, "generation", (json_int_t)s->generation);
	check(event != NULL);
	if (!s->framed)
		SSE_PUT(b, "id: superseded\n");
	put_json(b, s, "message", event);
	json_decref(event);
}

static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct connection_stream *s = q->owner;
	sse_begin(q->builder);
	if (s->superseded)
		put_superseded(q->builder, s);
	else if (why == FANOUT_END_EXPIRED)
		connection_put_event(q->builder, s, "expired", NULL, NULL);
	else if (s->framed)
		return false; /* its close says as much */
	else
		sse_comment(q->builder, " resume from the last id");
	sse_end(q->builder, frame);
	return true;
}

/* Another conversation may be watched at any time. */
static bool finished(void *owner, const struct stream *stream)
{
	drop_stream(owner, stream->id);
	return true;
}

static void left(void *owner)
{
	connection_stream_left(owner);
}

const struct fanout_view connection_view = {.name = "connection",
                                            .frame = build,
                                            .heartbeat = heartbeat,
                                            .farewell = farewell,
                                            .lost = lost,
                                            .finished = finished,
                                            .left = left};
