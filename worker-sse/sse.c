#include "worker-sse/sse.h"
#include "common/check.h"
#include "common/offset.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { CHUNK_PREFIX = 16, READ_SLICE = 1 << 20 };

/* Grows; kept between frames. */
struct out {
	uint8_t *at;
	size_t len, room;
};

static uint8_t *out_room(struct out *out, size_t len)
{
	if (out->room - out->len < len) {
		out->room = (out->len + len) * 2;
		out->at = xrealloc(out->at, out->room);
	}
	return out->at + out->len;
}

static void out_put(struct out *out, const void *at, size_t len)
{
	memcpy(out_room(out, len), at, len);
	out->len += len;
}

#define OUT(out, literal) out_put(out, literal, sizeof(literal) - 1)

bool sse_needs_base64(const struct stream *stream)
{
	return !stream->json && !(stream->content_type_len >= 5 &&
	                          span_equal_nocase(span_of(stream->content_type, 5), SPAN("text/")));
}

/* The payload, read whole: it is bounded by its maker. */
static bool read_payload(struct out *payload, struct store *store, const struct stream *stream,
                         uint64_t from, uint64_t to)
{
	payload->len = 0;
	if (stream->json)
		OUT(payload, "[");
	while (from < to) {
		struct store_slice slice;
		if (store_read(store, stream, from, to, READ_SLICE, &slice) != STORE_READ_OK)
			return false;
		for (int i = 0; i < slice.count; i++)
			out_put(payload, slice.iov[i].iov_base, slice.iov[i].iov_len);
		from = slice.to;
		store_slice_release(store, &slice);
	}
	return true;
}

/* One data: line per line. A line that begins with a space gets another before it, because a parser
 * takes one away. CR, LF and CRLF end lines alike. */
static void put_lines(struct out *out, const uint8_t *at, const uint8_t *end)
{
	for (;;) {
		const uint8_t *stop = at;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		if (at < end && *at == ' ')
			OUT(out, "data: ");
		else
			OUT(out, "data:");
		out_put(out, at, (size_t)(stop - at));
		OUT(out, "\n");
		if (stop == end)
			return;
		at = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
	}
}

static void put_base64(struct out *out, const struct out *payload)
{
	size_t room = payload->len / 3 * 4 + 8;
	OUT(out, "data:");
	uint8_t *at = out_room(out, room);
	out->len += (size_t)EVP_EncodeBlock(at, payload->at, (int)payload->len);
	OUT(out, "\n");
}

static void put_data(struct out *out, struct out *payload, const struct stream *stream)
{
	OUT(out, "event: data\n");
	if (stream->json) {
		/* "m1,m2," as "[m1,m2]" */
		payload->at[payload->len - 1] = ']';
		put_lines(out, payload->at, payload->at + payload->len);
	} else if (sse_needs_base64(stream)) {
		put_base64(out, payload);
	} else {
		put_lines(out, payload->at, payload->at + payload->len);
	}
	OUT(out, "\n");
}

static void put_control(struct out *out, const struct sse_frame *frame, const struct stream *stream)
{
	char text[256], offset[OFFSET_ROOM];
	offset_print(stream->lineage, frame->to, offset);
	int len = snprintf(text, sizeof text, "event: control\ndata:{\"streamNextOffset\":\"%s\"", offset);
	out_put(out, text, (size_t)len);
	if (frame->closed)
		OUT(out, ",\"upToDate\":true,\"streamClosed\":true");
	else {
		len = snprintf(text, sizeof text, ",\"streamCursor\":\"%llu\"%s",
		               (unsigned long long)frame->cursor,
		               frame->up_to_date ? ",\"upToDate\":true" : "");
		out_put(out, text, (size_t)len);
	}
	OUT(out, "}\n\n");
}

bool sse_frame_build(struct sse_frame *frame, struct store *store, const struct stream *stream,
                     uint64_t from, uint64_t to, uint64_t cursor)
{
	static struct out payload, out; /* one thread */
	*frame = (struct sse_frame){.from = from, .to = to, .cursor = cursor};
	frame->up_to_date = to == stream->tail;
	frame->closed = frame->up_to_date && stream->closed;
	out.len = 0;
	if (from < to) {
		if (!read_payload(&payload, store, stream, from, to))
			return false;
		put_data(&out, &payload, stream);
	}
	put_control(&out, frame, stream);
	char prefix[CHUNK_PREFIX + 1];
	int prefix_len = snprintf(prefix, sizeof prefix, "%zx\r\n", out.len);
	frame->chunk = chunk_create((size_t)prefix_len + out.len + 2);
	memcpy(frame->chunk->bytes, prefix, (size_t)prefix_len);
	memcpy(frame->chunk->bytes + prefix_len, out.at, out.len);
	memcpy(frame->chunk->bytes + prefix_len + out.len, "\r\n", 2);
	frame->bare_from = (uint32_t)prefix_len;
	frame->bare_len = (uint32_t)out.len;
	return true;
}

void sse_frame_finish(struct sse_frame *frame)
{
	chunk_unref(&frame->chunk);
}
