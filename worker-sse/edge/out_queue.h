/* Bytes on their way to a connection: ranges of shared chunks, in their order. */
#pragma once

#include "common/base/chunk.h"

#include <stdbool.h>
#include <sys/uio.h>

/* A range of a shared chunk. */
struct piece {
	struct chunk *chunk;
	uint32_t from, len;
};

/* Zero-initialised; empty it takes no memory of its own. */
struct out_queue {
	struct piece *pieces;
	uint32_t from, count, room;
	size_t bytes;
};

/* Takes over the reference. */
void out_queue_push(struct out_queue *queue, struct chunk *chunk, uint32_t from, uint32_t len);
/* Small ones that follow each other share a chunk, and so a write. */
void out_queue_copy(struct out_queue *queue, const void *at, size_t len);
/* The first pieces, at most `max`; borrowed. Returns how many. */
int out_queue_iov(const struct out_queue *queue, struct iovec *iov, int max);
/* So many bytes, at most all, have left. */
void out_queue_pop(struct out_queue *queue, size_t bytes);
/* The same bytes go to another: by reference, behind what it has. */
void out_queue_move(struct out_queue *queue, struct out_queue *to, size_t bytes);
void out_queue_drop(struct out_queue *queue);
