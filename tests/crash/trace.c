/* Reading a trace; the messages of the workload. */
#include "tests/crash/trace.h"
#include "common/base/check.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 4096 };

/* The word that stands at a multiple of 8. */
static uint64_t body_word(uint32_t op, uint32_t at)
{
	return (uint64_t)op << 32 | (op ^ at >> 9);
}

void body_fill(uint8_t *at, uint32_t bytes, uint32_t op, const char *stream)
{
	struct body_head head = {.magic = BODY_MAGIC, .op = op, .bytes = bytes};
	strncpy(head.stream, stream, sizeof head.stream - 1);
	memcpy(at, &head, sizeof head);
	for (uint32_t i = sizeof head; i < bytes; i += 8) {
		uint64_t word = body_word(op, i);
		memcpy(at + i, &word, bytes - i < 8 ? bytes - i : 8);
	}
}

bool body_whole(const uint8_t *at, uint32_t bytes, uint32_t op)
{
	struct body_head head;
	memcpy(&head, at, sizeof head);
	for (uint32_t i = sizeof head; i < bytes; i += 8) {
		uint64_t word = body_word(op, i);
		if (memcmp(at + i, &word, bytes - i < 8 ? bytes - i : 8) != 0)
			return false;
	}
	return head.bytes == bytes;
}

static void add(struct trace *trace, int *room, const struct trace_event *event)
{
	if (trace->count == *room) {
		*room = *room != 0 ? *room * 2 : 4096;
		trace->items = xrealloc(trace->items, (size_t)*room * sizeof *trace->items);
	}
	trace->items[trace->count++] =
	        (struct trace_item){event, (const uint8_t *)(event + 1), INT_MAX};
}

/* A thread has one call at a time. */
static void pair(struct trace *trace)
{
	static uint32_t tids[THREADS_MAX];
	static int begun[THREADS_MAX];
	int threads = 0;
	for (int i = 0; i < trace->count; i++) {
		const struct trace_event *e = trace->items[i].event;
		bool begin = e->kind == TRACE_WRITE_BEGIN || e->kind == TRACE_SYNC_BEGIN;
		if (!begin && e->kind != TRACE_WRITE_END && e->kind != TRACE_SYNC_END)
			continue;
		int t = 0;
		while (t < threads && tids[t] != e->tid)
			t++;
		if (t == threads) {
			check(threads < THREADS_MAX);
			tids[threads] = e->tid;
			begun[threads++] = -1;
		}
		if (begin) {
			begun[t] = i;
		} else if (begun[t] >= 0) {
			trace->items[begun[t]].other = i;
			trace->items[i].other = begun[t];
			begun[t] = -1;
		}
	}
}

void trace_load(struct trace *trace, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), room = 0;
	check(fd >= 0 && fstat(fd, &st) == 0);
	*trace = (struct trace){.map_bytes = (size_t)st.st_size};
	if (trace->map_bytes > 0)
		trace->map = mmap(NULL, trace->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	check(trace->map != MAP_FAILED);
	close(fd);
	for (size_t at = 0; at + sizeof(struct trace_event) <= trace->map_bytes;) {
		const struct trace_event *e = (const void *)((const uint8_t *)trace->map + at);
		check(e->magic == TRACE_MAGIC);
		size_t bytes = sizeof *e + ((size_t)e->data_bytes + 7) / 8 * 8;
		if (at + bytes > trace->map_bytes)
			break;
		add(trace, &room, e);
		at += bytes;
	}
	pair(trace);
}

void trace_free(struct trace *trace)
{
	free(trace->items);
	if (trace->map != NULL)
		munmap(trace->map, trace->map_bytes);
	*trace = (struct trace){0};
}
