#include "tests/doubles/wire_memory.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

static ssize_t memory_read(struct wire *wire, void *into, size_t room)
{
	struct wire_memory *m = wire->state;
	size_t n = m->in_len < room ? m->in_len : room;
	if (m->reset)
		return WIRE_BROKEN;
	if (n == 0)
		return m->in_end ? 0 : WIRE_AGAIN;
	memcpy(into, m->in, n);
	memmove(m->in, m->in + n, m->in_len - n);
	m->in_len -= n;
	return (ssize_t)n;
}

static ssize_t memory_write(struct wire *wire, const struct iovec *iov, int count)
{
	struct wire_memory *m = wire->state;
	size_t taken = 0;
	check(!m->shut && !m->closing);
	if (m->reset)
		return WIRE_BROKEN;
	m->writes++;
	for (int i = 0; i < count && m->takes > 0; i++) {
		size_t n = iov[i].iov_len < m->takes ? iov[i].iov_len : m->takes;
		m->out = xrealloc(m->out, m->out_len + n + 1);
		memcpy(m->out + m->out_len, iov[i].iov_base, n);
		m->out_len += n;
		m->out[m->out_len] = '\0';
		m->takes -= m->takes != SIZE_MAX ? n : 0;
		taken += n;
		if (n < iov[i].iov_len)
			break;
	}
	return (ssize_t)taken;
}

static void memory_want(struct wire *wire, unsigned events)
{
	struct wire_memory *m = wire->state;
	check(!m->closing);
	wire->wants = events;
}

static bool memory_settled(const struct wire *wire)
{
	return !((struct wire_memory *)wire->state)->shaking;
}

static bool memory_speaks_http2(const struct wire *wire)
{
	return ((const struct wire_memory *)wire->state)->http2;
}

static bool memory_shut(struct wire *wire)
{
	struct wire_memory *m = wire->state;
	m->shut = true;
	return !m->reset;
}

static size_t memory_undelivered(const struct wire *wire)
{
	return ((const struct wire_memory *)wire->state)->undelivered;
}

static bool memory_was_reset(const struct wire *wire)
{
	return ((const struct wire_memory *)wire->state)->reset;
}

static bool memory_address(const struct wire *wire, uint8_t out[16])
{
	(void)wire;
	memset(out, 0, 16);
	out[15] = 1; /* ::1 */
	return true;
}

static void memory_close(struct wire *wire)
{
	struct wire_memory *m = wire->state;
	check(!m->closing);
	m->closing = true;
	wire->wants = 0;
}

void wire_memory_open(struct wire_memory *m, struct wire *wire, const struct wire_events *events)
{
	static const struct wire_kind kind = {.read = memory_read,
	                                      .write = memory_write,
	                                      .want = memory_want,
	                                      .shut = memory_shut,
	                                      .settled = memory_settled,
	                                      .speaks_http2 = memory_speaks_http2,
	                                      .undelivered = memory_undelivered,
	                                      .was_reset = memory_was_reset,
	                                      .address = memory_address,
	                                      .close = memory_close};
	m->wire = wire;
	m->takes = SIZE_MAX;
	m->out = xcalloc(1, 1);
	*wire = (struct wire){.kind = &kind, .events = events, .state = m, .fd = -1};
}

void wire_memory_finish(struct wire_memory *m)
{
	free(m->in);
	free(m->out);
	*m = (struct wire_memory){0};
}

static bool wants(const struct wire_memory *m, unsigned event)
{
	return m->wire != NULL && !m->closing && (m->wire->wants & event) != 0;
}

void wire_memory_turn(struct wire_memory *m)
{
	if (wants(m, WIRE_READABLE) && (m->in_len > 0 || m->in_end || m->reset))
		m->wire->events->readable(m->wire);
	if (wants(m, WIRE_WRITABLE) && (m->takes > 0 || m->reset))
		m->wire->events->writable(m->wire);
	if (m->closing && m->wire != NULL) {
		struct wire *wire = m->wire;
		m->wire = NULL;
		wire->events->closed(wire);
	}
}

void wire_memory_give(struct wire_memory *m, struct span bytes)
{
	m->in = xrealloc(m->in, m->in_len + bytes.len + 1);
	memcpy(m->in + m->in_len, bytes.at, bytes.len);
	m->in_len += bytes.len;
	if (wants(m, WIRE_READABLE))
		m->wire->events->readable(m->wire);
}

void wire_memory_give_text(struct wire_memory *m, const char *text)
{
	wire_memory_give(m, span_str(text));
}

void wire_memory_give_end(struct wire_memory *m)
{
	m->in_end = true;
}

void wire_memory_give_reset(struct wire_memory *m)
{
	m->reset = true;
}

void wire_memory_take(struct wire_memory *m, size_t bytes)
{
	m->takes = bytes;
}

void wire_memory_forget(struct wire_memory *m)
{
	m->out_len = 0;
	*m->out = '\0';
}
