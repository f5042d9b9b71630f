#include "tests/doubles/sink_memory.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

static void hold(void *to, void *holder, const struct sink_events *events)
{
	struct sink_memory *m = to;
	check(m->holder == NULL && !m->over);
	m->holder = holder;
	m->events = events;
}

static void release(void *to)
{
	struct sink_memory *m = to;
	check(m->holder != NULL);
	m->holder = NULL;
}

static bool write_frame(void *to, const struct sse_frame *frame)
{
	struct sink_memory *m = to;
	check(m->holder != NULL && !m->over && m->count < SINK_MEMORY_FRAMES_MAX);
	m->frames[m->count++] = chunk_ref(frame->chunk);
	m->text = xrealloc(m->text, m->text_len + frame->bare_len + 1);
	memcpy(m->text + m->text_len, frame->chunk->bytes + frame->bare_from, frame->bare_len);
	m->text_len += frame->bare_len;
	m->text[m->text_len] = '\0';
	m->pending += m->blocks ? frame->chunk->len : 0;
	if (m->on_write != NULL)
		m->on_write(m);
	return !m->blocks;
}

static size_t pending(const void *to)
{
	return ((const struct sink_memory *)to)->pending;
}

static void end(void *to, enum sink_end how)
{
	struct sink_memory *m = to;
	check(m->holder == NULL && !m->over);
	m->over = true;
	m->end = how;
}

static void prefetch(const void *to)
{
	const struct sink_memory *m = to;
	check(!m->over); /* what is fetched for may not be gone */
}

struct sink sink_memory_of(struct sink_memory *memory)
{
	static const struct sink_kind kind = {.hold = hold,
	                                      .release = release,
	                                      .write = write_frame,
	                                      .pending = pending,
	                                      .end = end,
	                                      .prefetch_far = prefetch,
	                                      .prefetch_near = prefetch};
	return (struct sink){&kind, memory};
}

void sink_memory_finish(struct sink_memory *m)
{
	sink_memory_forget(m);
	free(m->text);
	m->text = NULL;
}

const char *sink_memory_text(const struct sink_memory *m)
{
	return m->text != NULL ? m->text : "";
}

void sink_memory_forget(struct sink_memory *m)
{
	while (m->count > 0)
		chunk_unref(&m->frames[--m->count]);
	m->text_len = 0;
	if (m->text != NULL)
		*m->text = '\0';
}

void sink_memory_drain(struct sink_memory *m)
{
	m->blocks = false;
	m->pending = 0;
	if (m->holder != NULL)
		m->events->drained(m->holder);
}

void sink_memory_go(struct sink_memory *m)
{
	check(m->holder != NULL);
	m->events->gone(m->holder);
	check(m->holder == NULL); /* it has been released */
	m->over = true;
}
