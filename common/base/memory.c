#include "common/base/check.h"
#include "common/base/chunk.h"

#include <stdlib.h>
#include <string.h>

void *xmalloc(size_t size)
{
	void *at = malloc(size != 0 ? size : 1);
	check(at != NULL);
	return at;
}

void *xcalloc(size_t count, size_t size)
{
	void *at = calloc(count, size != 0 ? size : 1);
	check(at != NULL);
	return at;
}

void *xrealloc(void *at, size_t size)
{
	at = realloc(at, size != 0 ? size : 1);
	check(at != NULL);
	return at;
}

char *xmemdup_text(const void *at, size_t len)
{
	char *copy = xmalloc(len + 1);
	if (len != 0)
		memcpy(copy, at, len);
	copy[len] = '\0';
	return copy;
}

static size_t chunks_bytes;

struct chunk *chunk_create(size_t len)
{
	check(len <= UINT32_MAX);
	struct chunk *chunk = xmalloc(sizeof *chunk + len);
	chunk->refs = 1;
	chunk->len = chunk->room = (uint32_t)len;
	chunks_bytes += sizeof *chunk + len;
	return chunk;
}

void chunk_free(struct chunk *chunk)
{
	chunks_bytes -= sizeof *chunk + chunk->room;
	free(chunk);
}

size_t chunk_bytes(void)
{
	return chunks_bytes;
}
