/* A sink in memory: frames that were written are kept, and what becomes of it is said by hand. */
#pragma once

#include "worker-sse/live/sink.h"

enum { SINK_MEMORY_FRAMES_MAX = 256 };

/* Zero-initialised. */
struct sink_memory {
	void *holder; /* NULL: not held, or released */
	const struct sink_events *events;
	struct chunk *frames[SINK_MEMORY_FRAMES_MAX]; /* a reference each */
	size_t count;
	char *text; /* their bare bytes one behind another, with a NUL behind them; NULL: none */
	size_t text_len;
	bool blocks; /* from now on it keeps what is written to it, and says so */
	size_t pending;
	bool over; /* ended, or gone */
	enum sink_end end;
	void (*on_write)(struct sink_memory *memory); /* within write(), when it has the frame */
};

struct sink sink_memory_of(struct sink_memory *memory);
void sink_memory_finish(struct sink_memory *memory);
/* "" at first. */
const char *sink_memory_text(const struct sink_memory *memory);
/* What was written is forgotten. */
void sink_memory_forget(struct sink_memory *memory);
/* It takes everything again, and tells its holder. */
void sink_memory_drain(struct sink_memory *memory);
/* Nobody listens any more. */
void sink_memory_go(struct sink_memory *memory);
