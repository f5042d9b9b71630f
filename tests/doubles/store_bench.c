#include "tests/doubles/store_bench.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OVERRUN_APPENDS = 16, OVERRUN_BYTES = 300000, WAIT_US = 50 };

void store_bench_open(struct store_bench *b)
{
	char reason[256] = "";
	const struct store_options options = {
	        .dir = b->dir,
	        .ring_bytes = STORE_BENCH_RING_BYTES,
	        .map_bytes = 64 << 20,
	        .readers_max = 16,
	        .checkpoint_ms = b->maintains ? 20 : 1000,
	        .chunk_bytes = 8192,
	        .streams_cached = 20000,
	        .limits = {.streams_max = 1000, .producers_per_stream_max = 16},
	        .maintain = b->maintains};
	snprintf(b->dir, sizeof b->dir, "/tmp/ringside-bench-XXXXXX");
	check(mkdtemp(b->dir) != NULL);
	if (store_open(&b->store, &options, reason) != 0)
		fatal("store: %s", reason);
}

void store_bench_close(struct store_bench *b)
{
	char command[128];
	store_close(&b->store);
	snprintf(command, sizeof command, "rm -rf %s", b->dir);
	check(system(command) == 0);
}

static void on_done(struct command *c)
{
	c->owner = NULL;
}

void store_bench_do(struct store_bench *b, struct command *c)
{
	c->done = on_done;
	c->owner = c;
	store_submit(b->store, c);
	while (store_collect(b->store) == 0 || c->owner != NULL)
		usleep(WAIT_US);
}

struct stream *store_bench_create(struct store_bench *b, const char *path, const char *type)
{
	struct command c = {
	        .kind = COMMAND_CREATE, .path = span_str(path), .content_type = span_str(type)};
	store_bench_do(b, &c);
	check(c.verdict == VERDICT_CREATED);
	return store_bench_find(b, path);
}

static struct command append_of(const struct stream *stream, struct span message,
                                const uint32_t *size)
{
	return (struct command){.kind = COMMAND_APPEND,
	                        .path = span_of(stream->path, stream->path_len),
	                        .content_type = span_str(stream->content_type),
	                        .body = {size, 1, message}};
}

void store_bench_append(struct store_bench *b, const char *path, struct span message)
{
	const uint32_t size = (uint32_t)message.len;
	struct command c = append_of(store_bench_find(b, path), message, &size);
	store_bench_do(b, &c);
	check(c.verdict == VERDICT_OK);
}

void store_bench_append_text(struct store_bench *b, const char *path, const char *text)
{
	store_bench_append(b, path, span_str(text));
}

static void do_to(struct store_bench *b, struct command c, const char *path)
{
	c.path = span_str(path);
	store_bench_do(b, &c);
	check(c.verdict == VERDICT_OK);
}

void store_bench_end_stream(struct store_bench *b, const char *path)
{
	do_to(b, (struct command){.kind = COMMAND_APPEND, .close = true}, path);
}

void store_bench_delete(struct store_bench *b, const char *path)
{
	do_to(b, (struct command){.kind = COMMAND_DELETE}, path);
}

void store_bench_trim(struct store_bench *b, const char *path, uint64_t to)
{
	const struct stream *stream = store_bench_find(b, path);
	do_to(b, (struct command){.kind = COMMAND_TRIM, .stream_id = stream->id, .trim_to = to},
	      path);
}

struct stream *store_bench_find(struct store_bench *b, const char *path)
{
	return state_find(store_view(b->store), span_str(path));
}

void store_bench_overrun(struct store_bench *b, const char *path)
{
	static struct command commands[OVERRUN_APPENDS];
	static uint8_t body[OVERRUN_BYTES];
	static const uint32_t size = OVERRUN_BYTES;
	char reason[256];
	for (int i = 0; i < OVERRUN_APPENDS; i++) {
		uint64_t durable = store_durable(b->store);
		commands[i] = append_of(store_bench_find(b, path), span_of(body, size), &size);
		store_submit(b->store, &commands[i]);
		while (store_durable(b->store) < durable + OVERRUN_BYTES)
			usleep(WAIT_US);
		check(store_checkpoint(b->store, reason) == 0);
	}
}
