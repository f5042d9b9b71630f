#include "worker-sse/live/sse.h"
#include "common/base/check.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

enum {
	CHUNK_PREFIX = 16, /* the length of a chunk in hex, and CRLF */
	READ_SLICE = 1 << 20,
};

/* Grows; kept between frames. */
struct out {
	uint8_t *at;
	size_t len, room;
};
static struct out out, payload; /* one thread */

static uint8_t *out_room(struct out *o, size_t len)
{
	if (o->room - o->len < len) {
		o->room = (o->len + len) * 2;
		o->at = xrealloc(o->at, o->room);
	}
	return o->at + o->len;
}

static void out_put(struct out *o, struct span bytes)
{
	memcpy(out_room(o, bytes.len), bytes.at, bytes.len);
	o->len += bytes.len;
}

void sse_begin(void)
{
	out.len = 0;
}

size_t sse_len(void)
{
	return out.len;
}

void sse_put(struct span bytes)
{
	out_put(&out, bytes);
}

static void __attribute__((format(printf, 1, 0))) put_format(const char *format, va_list arguments)
{
	enum { ROOM = 512 };
	char *at = (char *)out_room(&out, ROOM);
	int len = vsnprintf(at, ROOM, format, arguments);
	check(len >= 0 && len < ROOM);
	out.len += (size_t)len;
}

void sse_printf(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	put_format(format, arguments);
	va_end(arguments);
}

void sse_comment(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	SSE_PUT(":");
	put_format(format, arguments);
	SSE_PUT("\n\n");
	va_end(arguments);
}

void sse_put_data(struct span bytes)
{
	const uint8_t *at = bytes.at, *end = bytes.at + bytes.len;
	for (;;) {
		const uint8_t *stop = at;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		if (at < end && *at == ' ')
			SSE_PUT("data: ");
		else
			SSE_PUT("data:");
		sse_put(span_of(at, (size_t)(stop - at)));
		SSE_PUT("\n");
		if (stop == end)
			return;
		at = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
	}
}

void sse_put_data_base64(struct span bytes)
{
	SSE_PUT("data:");
	uint8_t *at = out_room(&out, bytes.len / 3 * 4 + 8);
	out.len += (size_t)EVP_EncodeBlock(at, bytes.at, (int)bytes.len);
	SSE_PUT("\n");
}

void sse_end(struct sse_frame *frame)
{
	char prefix[CHUNK_PREFIX + 1];
	if (out.len == 0)
		sse_comment("%s", "");
	size_t prefix_len = (size_t)snprintf(prefix, sizeof prefix, "%zx\r\n", out.len);
	struct chunk *chunk = chunk_create(prefix_len + out.len + 2);
	memcpy(chunk->bytes, prefix, prefix_len);
	memcpy(chunk->bytes + prefix_len, out.at, out.len);
	memcpy(chunk->bytes + prefix_len + out.len, "\r\n", 2);
	chunk_unref(&frame->chunk);
	*frame = (struct sse_frame){
	        .chunk = chunk, .bare_from = (uint32_t)prefix_len, .bare_len = (uint32_t)out.len};
}

void sse_frame_finish(struct sse_frame *frame)
{
	chunk_unref(&frame->chunk);
}

bool sse_needs_base64(const struct stream *stream)
{
	return !stream->json &&
	       !(stream->content_type_len >= 5 &&
	         span_equal_nocase(span_of(stream->content_type, 5), SPAN("text/")));
}

bool sse_read(struct store *store, const struct stream *stream, uint64_t from, uint64_t to,
              struct span *read)
{
	payload.len = 0;
	*out_room(&payload, 1) = 0;
	payload.len = 1;
	while (from < to) {
		struct store_slice slice;
		if (store_read(store, stream, from, to, READ_SLICE, &slice) != STORE_READ_OK)
			return false;
		for (int i = 0; i < slice.count; i++)
			out_put(&payload, span_of(slice.iov[i].iov_base, slice.iov[i].iov_len));
		from = slice.to;
		store_slice_release(store, &slice);
	}
	out_room(&payload, 1);
	*read = span_of(payload.at + 1, payload.len - 1);
	return true;
}
