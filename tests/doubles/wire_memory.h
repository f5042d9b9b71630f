/* A wire in memory: what the other side sends is given to it, what it gets is kept, and how much it
 * takes is said beforehand. */
#pragma once

#include "proto/bytes.h"
#include "worker-sse/edge/wire.h"

struct wire_memory {
	struct wire *wire; /* NULL: closed, and its holder told */
	uint8_t *in;       /* given, not read */
	size_t in_len;
	bool in_end;  /* the other side sends no more, */
	bool reset;   /* ... or has reset it */
	uint8_t *out; /* written, with a NUL behind it */
	size_t out_len;
	size_t takes;       /* so many bytes more, until wire_memory_take() */
	size_t undelivered; /* as the kernel would say it */
	bool shut, closing, shaking;
	bool http2;      /* as if agreed upon while shaking hands */
	unsigned writes; /* calls */
};

/* `memory` is zero-initialised; takes everything. */
void wire_memory_open(struct wire_memory *memory, struct wire *wire,
                      const struct wire_events *events);
void wire_memory_finish(struct wire_memory *memory);

/* The other side sends this; who wants to read hears of it, once. */
void wire_memory_give(struct wire_memory *memory, struct span bytes);
void wire_memory_give_text(struct wire_memory *memory, const char *text);
/* ... sends no more; ... resets the connection. */
void wire_memory_give_end(struct wire_memory *memory);
void wire_memory_give_reset(struct wire_memory *memory);
/* It takes so many bytes, beginning with none; who waits for that hears of it. */
void wire_memory_take(struct wire_memory *memory, size_t bytes);
/* The loop's part, until nothing more comes of it: events that are wanted, the end of what is
 * closing. */
void wire_memory_turn(struct wire_memory *memory);
/* What was written is forgotten. */
void wire_memory_forget(struct wire_memory *memory);
