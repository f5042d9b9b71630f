#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/edge/conn.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
	OUT_CHUNK_BYTES = 2048,
	OUT_IOV_MAX = 64,
};

/* ---- the row of pieces ---- */

static void out_pop(struct conn *conn, size_t n)
{
	conn->out_bytes -= n;
	while (n > 0) {
		struct piece *piece = &conn->out[conn->out_from];
		if (n < piece->len) {
			piece->from += (uint32_t)n;
			piece->len -= (uint32_t)n;
			return;
		}
		n -= piece->len;
		chunk_unref(&piece->chunk);
		conn->out_from++;
		conn->out_count--;
	}
	if (conn->out_count == 0) {
		free(conn->out);
		conn->out = NULL;
		conn->out_from = conn->out_room = 0;
	}
}

static void out_push(struct conn *conn, struct chunk *chunk, uint32_t from, uint32_t len)
{
	if (conn->out_from + conn->out_count == conn->out_room) {
		if (conn->out_from > 0 && !conn->writing) {
			memmove(conn->out, conn->out + conn->out_from,
			        conn->out_count * sizeof *conn->out);
			conn->out_from = 0;
		}
		if (conn->out_from + conn->out_count == conn->out_room) {
			conn->out_room = conn->out_room != 0 ? conn->out_room * 2 : 4;
			conn->out = xrealloc(conn->out, conn->out_room * sizeof *conn->out);
		}
	}
	conn->out[conn->out_from + conn->out_count++] = (struct piece){chunk, from, len};
	conn->out_bytes += len;
}

/* Small answers that follow each other share a chunk, and so a write. */
static void out_copy(struct conn *conn, const void *at, size_t len)
{
	if (conn->out_count > 0 && !conn->writing) {
		struct piece *last = &conn->out[conn->out_from + conn->out_count - 1];
		size_t used = (size_t)last->from + last->len;
		if (last->chunk->refs == 1 && used + len <= last->chunk->len) {
			memcpy(last->chunk->bytes + used, at, len);
			last->len += (uint32_t)len;
			conn->out_bytes += len;
			return;
		}
	}
	struct chunk *chunk = chunk_create(len > OUT_CHUNK_BYTES ? len : OUT_CHUNK_BYTES);
	memcpy(chunk->bytes, at, len);
	out_push(conn, chunk, 0, (uint32_t)len);
}

static unsigned out_bufs(const struct conn *conn, uv_buf_t bufs[OUT_IOV_MAX])
{
	unsigned count = 0;
	for (; count < OUT_IOV_MAX && count < conn->out_count; count++) {
		const struct piece *piece = &conn->out[conn->out_from + count];
		bufs[count] = uv_buf_init((char *)piece->chunk->bytes + piece->from, piece->len);
	}
	return count;
}

void conn_drop_output(struct conn *conn)
{
	for (uint32_t i = 0; i < conn->out_count; i++)
		chunk_unref(&conn->out[conn->out_from + i].chunk);
	free(conn->out);
	conn->out = NULL;
	conn->out_from = conn->out_count = conn->out_room = 0;
	conn->out_bytes = 0;
}

size_t conn_undelivered(const struct conn *conn)
{
	int fd, kernel = 0;
	if (uv_fileno((const uv_handle_t *)&conn->tcp, &fd) != 0 ||
	    ioctl(fd, SIOCOUTQ, &kernel) != 0)
		kernel = 0;
	return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp) + (size_t)kernel;
}

/* ---- clients that may be gone ---- */

void conn_probe(struct conn *conn)
{
	const struct exchange *e = conn->first;
	/* RFC 9110 15.2.1: whoever did not ask for a 100 discards it. */
	struct span bytes = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
	if (e->answered)
		bytes = e->chunked_out ? SPAN("3\r\n:\n\n\r\n") : SPAN(":\n\n");
	else if (e->request.close_delimited)
		return; /* HTTP/1.0 knows no such thing: the time-out of its answer ends it */
	const struct iovec iov = {(void *)(uintptr_t)bytes.at, bytes.len};
	if (conn->out_count == 0 && !conn->writing) /* else there is something that asks as well */
		conn_write_now(conn, &iov, 1);
}

bool conn_was_reset(const struct conn *conn)
{
	struct tcp_info info;
	socklen_t len = sizeof info;
	return getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/* ---- what the kernel does not take at once goes through the loop ---- */

struct write {
	uv_write_t req;
	struct conn *conn;
	size_t bytes;
};

static void on_written(uv_write_t *req, int status)
{
	struct write *write = (struct write *)req;
	struct conn *conn = write->conn;
	size_t bytes = write->bytes;
	free(write);
	conn->writing = false;
	if (conn->closing) {
		conn_drop_output(conn);
		return;
	}
	if (status < 0) {
		conn_close(conn);
		return;
	}
	counter_add(conn->edge->counters, bytes_out_total, bytes);
	out_pop(conn, bytes);
	conn_mark_dirty(conn);
}

static void write_rest(struct conn *conn)
{
	uv_buf_t bufs[OUT_IOV_MAX];
	unsigned count = out_bufs(conn, bufs);
	struct write *write = xmalloc(sizeof *write);
	*write = (struct write){.conn = conn};
	for (unsigned i = 0; i < count; i++)
		write->bytes += bufs[i].len;
	conn->writing = true;
	if (uv_write(&write->req, (uv_stream_t *)&conn->tcp, bufs, count, on_written) != 0) {
		conn->writing = false;
		free(write);
		conn_close(conn);
		return;
	}
	conn->write_left = conn_undelivered(conn);
}

static void flush(struct conn *conn)
{
	while (conn->out_count > 0 && !conn->writing && !conn->closing) {
		uv_buf_t bufs[OUT_IOV_MAX];
		unsigned count = out_bufs(conn, bufs);
		size_t wanted = 0;
		for (unsigned i = 0; i < count; i++)
			wanted += bufs[i].len;
		int n = uv_try_write((uv_stream_t *)&conn->tcp, bufs, count);
		if (n < 0 && n != UV_EAGAIN) {
			conn_close(conn);
			return;
		}
		size_t taken = n > 0 ? (size_t)n : 0;
		counter_add(conn->edge->counters, bytes_out_total, taken);
		out_pop(conn, taken);
		if (taken < wanted)
			write_rest(conn);
	}
}

/* All is with the kernel: whoever waited for that goes on. */
static void after_flush(struct conn *conn)
{
	struct exchange *e = conn->first;
	if (conn->lingering)
		return;
	if (e != NULL && e->wants_drain) {
		turn_note(&conn->edge->turn, clock_monotonic_ns());
		if (conn->task.lined || conn->edge->turn.over) {
			conn_wait_in_line(conn);
			return;
		}
		exchange_drained(e);
	}
	if (conn->in_len > 0)
		conn_parse(conn);
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
				free(conn);
			continue;
		}
		if (conn->hungry)
			conn_parse(conn);
		flush(conn);
		if (!conn->closing && conn->out_count == 0)
			after_flush(conn);
		conn_settle(conn);
	}
}

/* ---- writing ---- */

void conn_write_later(struct conn *conn, struct chunk *chunk)
{
	out_push(conn, chunk, 0, chunk->len);
	conn_mark_dirty(conn);
}

bool conn_write_now(struct conn *conn, const struct iovec *iov, int count)
{
	uv_buf_t bufs[OUT_IOV_MAX * 2];
	size_t n = 0;
	if (!conn->writing && conn->out_count <= OUT_IOV_MAX && count <= OUT_IOV_MAX) {
		unsigned pieces = out_bufs(conn, bufs);
		for (int i = 0; i < count; i++)
			bufs[pieces + (unsigned)i] =
			        uv_buf_init(iov[i].iov_base, (unsigned)iov[i].iov_len);
		/* An error shows again when the rest is flushed. */
		int taken = uv_try_write((uv_stream_t *)&conn->tcp, bufs, pieces + (unsigned)count);
		n = taken > 0 ? (size_t)taken : 0;
		counter_add(conn->edge->counters, bytes_out_total, n);
	}
	size_t queued = n < conn->out_bytes ? n : conn->out_bytes;
	if (queued > 0)
		out_pop(conn, queued);
	n -= queued;
	for (int i = 0; i < count; i++) {
		size_t skip = n < iov[i].iov_len ? n : iov[i].iov_len;
		n -= skip;
		if (skip < iov[i].iov_len)
			out_copy(conn, (uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	if (conn->out_count > 0)
		conn_mark_dirty(conn);
	return conn->out_count == 0;
}

/* Nothing is queued in libuv, so its descriptor may be written to directly: on the path that every
 * delivery takes, send() costs less than uv_try_write(). An error shows again when the rest is
 * flushed. */
bool conn_write_chunk(struct conn *conn, struct chunk *chunk, size_t from, size_t len)
{
	if (conn->out_count == 0 && !conn->writing && !conn->closing) {
		ssize_t n = send(conn->fd, chunk->bytes + from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		size_t taken = n > 0 ? (size_t)n : 0;
		counter_add(conn->edge->counters, bytes_out_total, taken);
		if (taken == len)
			return true;
		from += taken;
		len -= taken;
	}
	out_push(conn, chunk_ref(chunk), (uint32_t)from, (uint32_t)len);
	conn_mark_dirty(conn);
	return false;
}

void exchange_write(struct exchange *e, const void *at, size_t len)
{
	if (e->conn->first == e) {
		out_copy(e->conn, at, len);
		conn_mark_dirty(e->conn);
		return;
	}
	size_t used = e->held != NULL ? e->held->len : 0;
	if (e->held == NULL || used + len > e->held_room) {
		e->held_room = (used + len) * 2 + 256;
		struct chunk *grown = chunk_create(e->held_room);
		if (used > 0)
			memcpy(grown->bytes, e->held->bytes, used);
		chunk_unref(&e->held);
		e->held = grown;
	}
	memcpy(e->held->bytes + used, at, len);
	e->held->len = (uint32_t)(used + len);
}
