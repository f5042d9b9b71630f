#include "worker-sse/live/sse.h"
#include "common/base/check.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CHUNK_PREFIX = 18, /* the length of a chunk in hex, and CRLF */
	READ_SLICE = 1 << 20,
	KEEP_BYTES = 1 << 20,
};

static uint8_t *grow(uint8_t *at, size_t len, size_t *room, size_t more)
{
	if (*room - len >= more)
		return at;
	*room = (len + more) * 2;
	return xrealloc(at, *room);
}

char *sse_room(struct sse_builder *b, size_t len)
{
	b->at = grow(b->at, b->len, &b->room, len);
	return (char *)b->at + b->len;
}

void sse_written(struct sse_builder *b, size_t len)
{
	check(len <= b->room - b->len);
	b->len += len;
}

void sse_builder_finish(struct sse_builder *b)
{
	free(b->at);
	free(b->payload.at);
	*b = (struct sse_builder){0};
}

void sse_begin(struct sse_builder *b)
{
	b->len = 0;
}

void sse_put(struct sse_builder *b, struct span bytes)
{
	memcpy(sse_room(b, bytes.len), bytes.at, bytes.len);
	b->len += bytes.len;
}

static void __attribute__((format(printf, 2, 0)))
put_format(struct sse_builder *b, const char *format, va_list arguments)
{
	enum { ROOM = 512 };
	int len = vsnprintf(sse_room(b, ROOM), ROOM, format, arguments);
	check(len >= 0 && len < ROOM);
	b->len += (size_t)len;
}

void sse_printf(struct sse_builder *b, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	put_format(b, format, arguments);
	va_end(arguments);
}

void sse_comment(struct sse_builder *b, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	SSE_PUT(b, ":");
	put_format(b, format, arguments);
	SSE_PUT(b, "\n\n");
	va_end(arguments);
}

void sse_put_data(struct sse_builder *b, struct span bytes)
{
	const uint8_t *at = bytes.at, *end = bytes.at + bytes.len;
	for (;;) {
		const uint8_t *stop = at;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		if (at < end && *at == ' ')
			SSE_PUT(b, "data: ");
		else
			SSE_PUT(b, "data:");
		sse_put(b, span_of(at, (size_t)(stop - at)));
		SSE_PUT(b, "\n");
		if (stop == end)
			return;
		at = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
	}
}

void sse_put_data_base64(struct sse_builder *b, struct span bytes)
{
	SSE_PUT(b, "data:");
	uint8_t *at = (uint8_t *)sse_room(b, bytes.len / 3 * 4 + 8);
	b->len += (size_t)EVP_EncodeBlock(at, bytes.at, (int)bytes.len);
	SSE_PUT(b, "\n");
}

static size_t print_prefix(size_t len, uint8_t out[CHUNK_PREFIX])
{
	size_t digits = 1;
	while (digits < sizeof len * 2 && len >> (4 * digits) != 0)
		digits++;
	for (size_t i = digits; i-- > 0; len >>= 4)
		out[i] = (uint8_t) "0123456789abcdef"[len & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}

/* One that is much too large would be held by whoever takes his time. */
static struct chunk *chunk_again(struct chunk **spare, size_t len)
{
	struct chunk *chunk = *spare;
	if (chunk == NULL || chunk->refs > 1 || chunk->room < len || chunk->room > 2 * len) {
		chunk_unref(spare);
		*spare = chunk = chunk_create(len);
	}
	chunk->len = (uint32_t)len;
	return chunk_ref(chunk);
}

/* One large message is not held in memory for ever. */
static void keep_no_large(struct sse_builder *b)
{
	if (b->room > KEEP_BYTES || b->payload.room > KEEP_BYTES)
		sse_builder_finish(b);
}

void sse_end_in(struct sse_builder *b, struct sse_frame *frame, struct chunk **spare)
{
	uint8_t prefix[CHUNK_PREFIX];
	if (b->len == 0)
		sse_comment(b, "%s", "");
	size_t prefix_len = print_prefix(b->len, prefix), len = prefix_len + b->len + 2;
	struct chunk *chunk = spare != NULL ? chunk_again(spare, len) : chunk_create(len);
	memcpy(chunk->bytes, prefix, prefix_len);
	memcpy(chunk->bytes + prefix_len, b->at, b->len);
	memcpy(chunk->bytes + prefix_len + b->len, "\r\n", 2);
	chunk_unref(&frame->chunk);
	*frame = (struct sse_frame){
	        .chunk = chunk, .bare_from = (uint32_t)prefix_len, .bare_len = (uint32_t)b->len};
	keep_no_large(b);
}

void sse_end(struct sse_builder *b, struct sse_frame *frame)
{
	sse_end_in(b, frame, NULL);
}

/* ---- heads of their own ---- */

enum { TAIL_FROM = CHUNK_PREFIX + SSE_HEAD_MAX }; /* in its chunk: what is in front of it is room */

void sse_end_tail(struct sse_builder *b, struct sse_tail *tail)
{
	check(b->len > 0);
	sse_tail_finish(tail);
	tail->chunk = chunk_create(TAIL_FROM + b->len + 2);
	memcpy(tail->chunk->bytes + TAIL_FROM, b->at, b->len);
	memcpy(tail->chunk->bytes + TAIL_FROM + b->len, "\r\n", 2);
	tail->head_len = SIZE_MAX;
	keep_no_large(b);
}

static void copy_tail(struct sse_tail *tail)
{
	struct chunk *copy = chunk_create(tail->chunk->len);
	memcpy(copy->bytes + TAIL_FROM, tail->chunk->bytes + TAIL_FROM, copy->len - TAIL_FROM);
	chunk_unref(&tail->chunk);
	*tail = (struct sse_tail){.chunk = copy, .head_len = SIZE_MAX};
}

void sse_tail_frame(struct sse_tail *tail, struct span head, struct sse_frame *frame)
{
	uint8_t prefix[CHUNK_PREFIX];
	check(head.len <= SSE_HEAD_MAX);
	if (tail->chunk->refs > 1 && (head.len > 0 || tail->head_len > 0))
		copy_tail(tail);
	struct chunk *chunk = tail->chunk;
	size_t bare_len = head.len + chunk->len - TAIL_FROM - 2, bare_from = TAIL_FROM - head.len;
	if (head.len > 0)
		memcpy(chunk->bytes + bare_from, head.at, head.len);
	if (tail->head_len != head.len) { /* else the length in front of it is the same, too */
		tail->prefix_len = print_prefix(bare_len, prefix);
		memcpy(chunk->bytes + bare_from - tail->prefix_len, prefix, tail->prefix_len);
		tail->head_len = head.len;
	}
	chunk_unref(&frame->chunk);
	*frame = (struct sse_frame){.chunk = chunk_ref(chunk),
	                            .chunked_from = (uint32_t)(bare_from - tail->prefix_len),
	                            .bare_from = (uint32_t)bare_from,
	                            .bare_len = (uint32_t)bare_len};
}

void sse_tail_finish(struct sse_tail *tail)
{
	chunk_unref(&tail->chunk);
	*tail = (struct sse_tail){0};
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

bool sse_read(struct sse_builder *b, struct store *store, const struct stream *stream,
              uint64_t from, uint64_t to, struct span *read)
{
	size_t len = 1; /* one byte before it */
	b->payload.at = grow(b->payload.at, 0, &b->payload.room, len);
	*b->payload.at = 0;
	while (from < to) {
		struct store_slice slice;
		if (store_read(store, stream, from, to, READ_SLICE, &slice) != STORE_READ_OK)
			return false;
		for (int i = 0; i < slice.count; i++) {
			size_t more = slice.iov[i].iov_len;
			b->payload.at = grow(b->payload.at, len, &b->payload.room, more);
			memcpy(b->payload.at + len, slice.iov[i].iov_base, more);
			len += more;
		}
		from = slice.to;
		store_slice_release(store, &slice);
	}
	b->payload.at = grow(b->payload.at, len, &b->payload.room, 1);
	*read = span_of(b->payload.at + 1, len - 1);
	return true;
}
