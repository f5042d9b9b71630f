/* Ref-counted bytes: one frame on many connections. One thread only. */
#pragma once

#include "proto/bytes.h"
#include <stdlib.h>

struct chunk {
	uint32_t refs;
	uint32_t len;  /* its owner may say that less of it is used */
	uint32_t room; /* as it was made */
	uint8_t bytes[];
};

/* One reference, the caller's. Aborts when memory is gone: a frame is bounded by its maker. */
struct chunk *chunk_create(size_t len);

void chunk_free(struct chunk *chunk); /* chunk_unref()'s */

/* Bytes of all chunks that there are. */
size_t chunk_bytes(void);

static inline struct chunk *chunk_ref(struct chunk *chunk)
{
	chunk->refs++;
	return chunk;
}

/* Drops one reference and sets the pointer to NULL; NULL is fine. */
static inline void chunk_unref(struct chunk **chunk)
{
	if (*chunk != NULL && --(*chunk)->refs == 0)
		chunk_free(*chunk);
	*chunk = NULL;
}
