#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "worker-sse/views/events_parts.h"

#include <jansson.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 128 }; /* of an event */

static void put_id(struct sse_builder *b, const struct events_reader *e,
                   const struct frame_query *q, uint64_t position)
{
	SSE_PUT(b, "id: ");
	events_put_id(b, e, q, position);
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

static void put_message(struct sse_builder *b, struct events_reader *e, const struct frame_query *q,
                        const struct store_message *message)
{
	put_id(b, e, q, message->ends_at);
	put_name(b, e, q->stream, message->bytes);
	if (sse_needs_base64(q->stream))
		sse_put_data_base64(b, message->bytes);
	else
		sse_put_data(b, message->bytes);
	SSE_PUT(b, "\n");
}

static void put_heartbeat(struct sse_builder *b, struct events_reader *e,
                          const struct frame_query *q)
{
	SSE_PUT(b, "event: heartbeat\n");
	put_id(b, e, q, q->from);
	sse_printf(b, "data: {\"now\":%llu}\n\n", (unsigned long long)clock_wall_ms());
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

static bool put_farewell(struct sse_builder *b, struct events_reader *e,
                         const struct frame_query *q, enum fanout_end why)
{
	if (why == FANOUT_END_GONE && q->stream != NULL)
		put_reset(b, e, q, "deleted");
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
	return true;
}

/* The lines of an event whose block has been begun, or begins here. */
static void put_streams(struct sse_builder *b, struct events_reader *e,
                        const struct stream *const *streams, size_t count)
{
	(void)e;
	SSE_PUT(b, "event: streams\ndata: [");
	for (size_t i = 0; i < count; i++) {
		sse_put(b, i > 0 ? SPAN(",{\"stream\":") : SPAN("{\"stream\":"));
		put_json_text(b, events_path(streams[i]));
		sse_put(b, sse_needs_base64(streams[i]) ? SPAN(",\"encoding\":\"base64\"}")
		                                        : SPAN(",\"encoding\":\"utf-8\"}"));
	}
	SSE_PUT(b, "]\n\n");
}

const struct events_form events_text_form = {.streams = put_streams,
                                             .message = put_message,
                                             .reset = put_reset,
                                             .heartbeat = put_heartbeat,
                                             .farewell = put_farewell};
