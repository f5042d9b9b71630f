/* A store in a directory of its own that does nothing by itself, unless it is to: no checkpoint, no
 * sweep, no retention. What is done to it has happened, and been seen, when the call returns. */
#pragma once

#include "common/store/store.h"

struct store_bench {
	struct store *store;
	char dir[64];
	bool maintains; /* set before it is opened: it does all that by itself, as in a worker */
};

enum { STORE_BENCH_RING_BYTES = 4 << 20 };

/* `bench` is zero-initialised. */
void store_bench_open(struct store_bench *bench);
void store_bench_close(struct store_bench *bench);

/* Waits for this very command, whatever else is under way. */
void store_bench_do(struct store_bench *bench, struct command *command);

/* Each must succeed. The stream belongs to the store's view; pin it to keep it. */
struct stream *store_bench_create(struct store_bench *bench, const char *path, const char *type);
void store_bench_append(struct store_bench *bench, const char *path, struct span message);
void store_bench_append_text(struct store_bench *bench, const char *path, const char *text);
void store_bench_end_stream(struct store_bench *bench, const char *path);
void store_bench_delete(struct store_bench *bench, const char *path);
void store_bench_trim(struct store_bench *bench, const char *path, uint64_t to);
/* NULL: there is none. */
struct stream *store_bench_find(struct store_bench *bench, const char *path);

/* The log goes once round, with appends to `path`, while the view stays where it is. It sees that
 * at the next store_collect(). */
void store_bench_overrun(struct store_bench *bench, const char *path);
