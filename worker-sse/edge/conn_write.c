#include "common/base/check.h"
#include "worker-sse/edge/conn.h"

enum { OUT_IOV_MAX = 64 };

size_t conn_undelivered(const struct conn *conn)
{
	return conn->out.bytes + conn->wire.kind->undelivered(&conn->wire);
}

/* ---- what the kernel does not take at once ---- */

static void take_out(struct conn *conn, size_t bytes)
{
	counter_add(conn->edge->counters, bytes_out_total, bytes);
	out_queue_pop(&conn->out, bytes);
}

static void flush(struct conn *conn)
{
	struct iovec iov[OUT_IOV_MAX];
	while (conn->out.count > 0 && !conn->writing && !conn->closing) {
		int count = out_queue_iov(&conn->out, iov, OUT_IOV_MAX);
		size_t wanted = 0;
		for (int i = 0; i < count; i++)
			wanted += iov[i].iov_len;
		ssize_t n = conn->wire.kind->write(&conn->wire, iov, count);
		if (n < 0) {
			conn_close(conn);
			return;
		}
		take_out(conn, (size_t)n);
		conn->writing = (size_t)n < wanted;
	}
	if (conn->writing)
		conn->write_left = conn_undelivered(conn);
}

/* The client took something: its time begins anew. */
void conn_on_writable(struct conn *conn)
{
	conn->writing = false;
	conn_touch(conn);
	conn_mark_dirty(conn);
}

void conn_mark_dirty(struct conn *conn)
{
	if (conn->dirty || conn->closing)
		return;
	conn->dirty = true;
	conn->dirty_next = conn->edge->dirty;
	conn->edge->dirty = conn;
}

void conns_flush(struct edge *edge)
{
	while (edge->dirty != NULL) {
		struct conn *conn = edge->dirty;
		edge->dirty = conn->dirty_next;
		conn->dirty = false;
		if (conn->closed) {
			if (!conn->task.lined)
				conn_free(conn);
			continue;
		}
		if (conn->hungry)
			conn_parse(conn);
		if (conn->protocol->fill != NULL && !conn->closing)
			conn->protocol->fill(conn);
		flush(conn);
		if (!conn->closing && conn->out.count == 0)
			conn->protocol->flushed(conn);
		conn_settle(conn);
	}
}

/* ---- writing ---- */

void conn_write_later(struct conn *conn, struct chunk *chunk)
{
	out_queue_push(&conn->out, chunk, 0, chunk->len);
	conn_mark_dirty(conn);
}

/* What waits goes first. An error shows again when the rest is flushed. */
static size_t write_through(struct conn *conn, const struct iovec *iov, int count)
{
	struct iovec all[OUT_IOV_MAX * 2];
	if (conn->writing || conn->closing || conn->out.count > OUT_IOV_MAX || count > OUT_IOV_MAX)
		return 0;
	int pieces = out_queue_iov(&conn->out, all, OUT_IOV_MAX);
	for (int i = 0; i < count; i++)
		all[pieces + i] = iov[i];
	ssize_t n = conn->wire.kind->write(&conn->wire, all, pieces + count);
	if (n <= 0)
		return 0;
	counter_add(conn->edge->counters, bytes_out_total, (size_t)n);
	size_t queued = (size_t)n < conn->out.bytes ? (size_t)n : conn->out.bytes;
	out_queue_pop(&conn->out, queued);
	return (size_t)n - queued;
}

bool conn_write_now(struct conn *conn, const struct iovec *iov, int count)
{
	size_t n = write_through(conn, iov, count);
	for (int i = 0; i < count; i++) {
		size_t skip = n < iov[i].iov_len ? n : iov[i].iov_len;
		n -= skip;
		if (skip < iov[i].iov_len)
			out_queue_copy(&conn->out, (uint8_t *)iov[i].iov_base + skip,
			               iov[i].iov_len - skip);
	}
	if (conn->out.count > 0)
		conn_mark_dirty(conn);
	return conn->out.count == 0;
}

bool conn_write_chunk(struct conn *conn, struct chunk *chunk, size_t from, size_t len)
{
	if (conn->out.count == 0 && !conn->writing && !conn->closing) {
		const struct iovec iov = {chunk->bytes + from, len};
		ssize_t n = conn->wire.kind->write(&conn->wire, &iov, 1);
		size_t taken = n > 0 ? (size_t)n : 0;
		counter_add(conn->edge->counters, bytes_out_total, taken);
		if (taken == len)
			return true;
		from += taken;
		len -= taken;
	}
	out_queue_push(&conn->out, chunk_ref(chunk), (uint32_t)from, (uint32_t)len);
	conn_mark_dirty(conn);
	return false;
}
