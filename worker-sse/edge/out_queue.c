#include "worker-sse/edge/out_queue.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

enum { COPY_CHUNK_BYTES = 2048 };

static void reset_when_empty(struct out_queue *q)
{
	if (q->count > 0)
		return;
	free(q->pieces);
	*q = (struct out_queue){0};
}

void out_queue_pop(struct out_queue *q, size_t bytes)
{
	check(bytes <= q->bytes);
	q->bytes -= bytes;
	while (bytes > 0) {
		struct piece *piece = &q->pieces[q->from];
		if (bytes < piece->len) {
			piece->from += (uint32_t)bytes;
			piece->len -= (uint32_t)bytes;
			return;
		}
		bytes -= piece->len;
		chunk_unref(&piece->chunk);
		q->from++;
		q->count--;
	}
	reset_when_empty(q);
}

void out_queue_push(struct out_queue *q, struct chunk *chunk, uint32_t from, uint32_t len)
{
	if (q->from + q->count == q->room && q->from > q->room / 2) {
		memmove(q->pieces, q->pieces + q->from, q->count * sizeof *q->pieces);
		q->from = 0;
	}
	if (q->from + q->count == q->room) {
		q->room = q->room != 0 ? q->room * 2 : 4;
		q->pieces = xrealloc(q->pieces, q->room * sizeof *q->pieces);
	}
	q->pieces[q->from + q->count++] = (struct piece){chunk, from, len};
	q->bytes += len;
}

void out_queue_move(struct out_queue *q, struct out_queue *to, size_t bytes)
{
	check(bytes <= q->bytes);
	while (bytes > 0) {
		const struct piece *piece = &q->pieces[q->from];
		uint32_t len = bytes < piece->len ? (uint32_t)bytes : piece->len;
		out_queue_push(to, chunk_ref(piece->chunk), piece->from, len);
		out_queue_pop(q, len);
		bytes -= len;
	}
}

void out_queue_copy(struct out_queue *q, const void *at, size_t len)
{
	if (q->count > 0) {
		struct piece *last = &q->pieces[q->from + q->count - 1];
		size_t used = (size_t)last->from + last->len;
		if (last->chunk->refs == 1 && used + len <= last->chunk->len) {
			memcpy(last->chunk->bytes + used, at, len);
			last->len += (uint32_t)len;
			q->bytes += len;
			return;
		}
	}
	struct chunk *chunk = chunk_create(len > COPY_CHUNK_BYTES ? len : COPY_CHUNK_BYTES);
	memcpy(chunk->bytes, at, len);
	out_queue_push(q, chunk, 0, (uint32_t)len);
}

int out_queue_iov(const struct out_queue *q, struct iovec *iov, int max)
{
	int count = 0;
	for (; count < max && (uint32_t)count < q->count; count++) {
		const struct piece *piece = &q->pieces[q->from + (uint32_t)count];
		iov[count] = (struct iovec){piece->chunk->bytes + piece->from, piece->len};
	}
	return count;
}

void out_queue_drop(struct out_queue *q)
{
	for (uint32_t i = 0; i < q->count; i++)
		chunk_unref(&q->pieces[q->from + i].chunk);
	q->count = 0;
	reset_when_empty(q);
}
