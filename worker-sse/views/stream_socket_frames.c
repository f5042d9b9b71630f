#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/store/offset.h"
#include "worker-sse/views/stream_socket_parts.h"

enum {
	LENGTH_BYTES = 4, /* of the object of a binary message */
	FIRST_TEXT = 0x81,
	FIRST_BINARY = 0x82, /* whole ones: RFC 6455 5.2 */
};

/* ---- frames ---- */

size_t stream_socket_begin(struct sse_builder *b)
{
	size_t begun = b->len;
	sse_room(b, WEBSOCKET_HEADER_MAX);
	sse_written(b, WEBSOCKET_HEADER_MAX);
	return begun;
}

/* How long the header is, is known when the payload is there: that moves up to it. */
void stream_socket_end(struct sse_builder *b, size_t begun, bool binary, struct edge *edge,
                       unsigned window)
{
	uint8_t header[WEBSOCKET_HEADER_MAX], first = binary ? FIRST_BINARY : FIRST_TEXT;
	struct span payload = span_of(b->at + begun + WEBSOCKET_HEADER_MAX,
	                              b->len - begun - WEBSOCKET_HEADER_MAX);
	struct span packed = websocket_packed(edge, window, payload);
	if (packed.at != NULL) {
		payload = packed;
		first |= WEBSOCKET_PACKED;
	}
	size_t len = websocket_header(header, first, payload.len);
	memmove(b->at + begun + len, payload.at, payload.len);
	memcpy(b->at + begun, header, len);
	b->len = begun + len + payload.len;
}

static void put_escaped(struct sse_builder *b, uint8_t c)
{
	if (c == '"' || c == '\\')
		sse_put(b, span_of((const uint8_t[]){'\\', c}, 2));
	else if (c == '\n')
		SSE_PUT(b, "\\n");
	else
		sse_printf(b, "\\u%04x", c);
}

void stream_socket_put(struct sse_builder *b, struct span text)
{
	bool good = utf8_valid(text);
	size_t from = 0;
	SSE_PUT(b, "\"");
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];
		if (c >= 0x20 && c != '"' && c != '\\' && (good || c < 0x80))
			continue;
		sse_put(b, span_of(text.at + from, i - from));
		if (c >= 0x80)
			SSE_PUT(b, "\xef\xbf\xbd");
		else
			put_escaped(b, c);
		from = i + 1;
	}
	sse_put(b, span_of(text.at + from, text.len - from));
	SSE_PUT(b, "\"");
}

/* ---- what subscriptions are told ---- */

static const struct stream_subscription *subscription_of(const struct events_reader *e)
{
	return e->holder;
}

static void put_head(struct sse_builder *b, const struct events_reader *e, const char *type,
                     const struct frame_query *q, uint64_t position)
{
	sse_printf(b, "{\"type\":\"%s\",\"subscription\":", type);
	stream_socket_put(b, span_str(subscription_of(e)->name));
	if (e->single ? q->stream == NULL : e->count == 0 && e->newest == 0)
		return; /* nowhere */
	SSE_PUT(b, ",\"id\":\"");
	events_put_id(b, e, q, position);
	SSE_PUT(b, "\"");
}

static void put_stream(struct sse_builder *b, const struct stream *stream)
{
	SSE_PUT(b, "\"stream\":");
	stream_socket_put(b, span_str(events_path(stream)));
}

static void end_text(struct sse_builder *b, const struct events_reader *e, size_t begun)
{
	const struct stream_subscription *s = subscription_of(e);
	stream_socket_end(b, begun, false, &e->worker->edge,
	                  websocket_window(s->socket->websocket));
}

static const char *encoding_of(const struct stream *stream)
{
	return stream->json ? "json" : sse_needs_base64(stream) ? "binary" : "text";
}

static void put_streams(struct sse_builder *b, struct events_reader *e,
                        const struct stream *const *streams, size_t count)
{
	const struct frame_query q = {.stream = count > 0 ? streams[0] : NULL};
	size_t begun = stream_socket_begin(b);
	put_head(b, e, "streams", &q, e->count > 0 ? e->places[0].position : 0);
	SSE_PUT(b, ",\"streams\":[");
	for (size_t i = 0; i < count; i++) {
		sse_put(b, i > 0 ? SPAN(",{") : SPAN("{"));
		put_stream(b, streams[i]);
		sse_printf(b, ",\"encoding\":\"%s\"}", encoding_of(streams[i]));
	}
	SSE_PUT(b, "]}");
	end_text(b, e, begun);
}

static void put_message(struct sse_builder *b, struct events_reader *e, const struct frame_query *q,
                        const struct store_message *message)
{
	const struct stream *stream = q->stream;
	bool binary = !stream->json && (sse_needs_base64(stream) || !utf8_valid(message->bytes));
	size_t begun = stream_socket_begin(b), object = begun + WEBSOCKET_HEADER_MAX + LENGTH_BYTES;
	if (binary) {
		sse_room(b, LENGTH_BYTES);
		sse_written(b, LENGTH_BYTES);
	}
	put_head(b, e, "message", q, message->ends_at);
	SSE_PUT(b, ",");
	put_stream(b, stream);
	if (binary) {
		SSE_PUT(b, "}");
		struct writer w = {b->at + object - LENGTH_BYTES, b->at + object, true};
		writer_uint(&w, b->len - object, LENGTH_BYTES);
		sse_put(b, message->bytes);
	} else if (stream->json) {
		SSE_PUT(b, ",\"json\":");
		sse_put(b, message->bytes);
		SSE_PUT(b, "}");
	} else {
		SSE_PUT(b, ",\"text\":");
		stream_socket_put(b, message->bytes);
		SSE_PUT(b, "}");
	}
	stream_socket_end(b, begun, binary, &e->worker->edge,
	                  websocket_window(subscription_of(e)->socket->websocket));
}

static void put_reset(struct sse_builder *b, struct events_reader *e, const struct frame_query *q,
                      const char *reason)
{
	size_t begun = stream_socket_begin(b);
	put_head(b, e, "reset", q, q->to);
	SSE_PUT(b, ",");
	put_stream(b, q->stream);
	sse_printf(b, ",\"reason\":\"%s\"}", reason);
	end_text(b, e, begun);
}

static void put_heartbeat(struct sse_builder *b, struct events_reader *e,
                          const struct frame_query *q)
{
	size_t begun = stream_socket_begin(b);
	put_head(b, e, "heartbeat", q, q->from);
	sse_printf(b, ",\"now\":%llu}", (unsigned long long)clock_wall_ms());
	end_text(b, e, begun);
}

static const char *end_reason(enum fanout_end why)
{
	switch (why) {
	case FANOUT_END_TIME:
		return "unsubscribed";
	case FANOUT_END_DRAIN:
		return "drain";
	case FANOUT_END_CLOSED:
		return "closed";
	case FANOUT_END_GONE:
		return "deleted";
	case FANOUT_END_LAG:
		return "lag";
	case FANOUT_END_EXPIRED:
		return "expired";
	case FANOUT_END_TRIMMED:
	case FANOUT_END_RESUME:
		break;
	}
	return "resume";
}

static bool put_farewell(struct sse_builder *b, struct events_reader *e,
                         const struct frame_query *q, enum fanout_end why)
{
	((struct stream_subscription *)e->holder)->why = why;
	if (why == FANOUT_END_GONE && q->stream != NULL)
		put_reset(b, e, q, "deleted");
	size_t begun = stream_socket_begin(b);
	put_head(b, e, "end", q, q->from);
	sse_printf(b, ",\"reason\":\"%s\"}", end_reason(why));
	end_text(b, e, begun);
	return true;
}

const struct events_form stream_socket_form = {.streams = put_streams,
                                               .message = put_message,
                                               .reset = put_reset,
                                               .heartbeat = put_heartbeat,
                                               .farewell = put_farewell};

void stream_socket_put_end(struct sse_builder *b, const char *subscription, const char *reason)
{
	SSE_PUT(b, "{\"type\":\"end\",\"subscription\":");
	stream_socket_put(b, span_str(subscription));
	sse_printf(b, ",\"reason\":\"%s\"}", reason);
}

/* ---- what appends are told ---- */

void stream_socket_put_fields(struct sse_builder *b, const struct stream_append_told *told,
                              const struct command *c)
{
	char offset[OFFSET_ROOM];
	if (told->offset) {
		SSE_PUT(b, ",\"offset\":");
		stream_socket_put(b, offset_print(c->lineage, c->tail, offset));
	}
	if (told->closed)
		SSE_PUT(b, ",\"closed\":true");
	if (told->producer_epoch)
		sse_printf(b, ",\"producer\":{\"epoch\":%llu",
		           (unsigned long long)c->producer_epoch);
	if (told->producer_seq)
		sse_printf(b, ",\"seq\":%llu", (unsigned long long)c->producer_seq);
	if (told->producer_epoch)
		SSE_PUT(b, "}");
	if (told->sequence)
		sse_printf(b, ",\"expectedSeq\":%llu,\"receivedSeq\":%llu",
		           (unsigned long long)told->expected_seq,
		           (unsigned long long)told->received_seq);
}
