/* Accepting: from the socket that the supervisor owns, within limits. */
#include "common/check.h"
#include "common/log.h"
#include "proto/roles.h"
#include "worker-sse/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>

enum { BACKLOG = 4096 };

struct address {
	uint8_t bytes[16];
	uint32_t connections;
	UT_hash_handle hh;
};

static bool address_of(const uv_tcp_t *tcp, uint8_t bytes[16])
{
	struct sockaddr_storage name;
	int len = sizeof name;
	memset(bytes, 0, 16);
	if (uv_tcp_getpeername(tcp, (struct sockaddr *)&name, &len) != 0)
		return false;
	if (name.ss_family == AF_INET6)
		memcpy(bytes, &((struct sockaddr_in6 *)&name)->sin6_addr, 16);
	else
		memcpy(bytes, &((struct sockaddr_in *)&name)->sin_addr, 4);
	return true;
}

/* False: its address has all it may. */
static bool count_address(struct sse_worker *w, struct conn *conn)
{
	uint64_t max = w->settings->limits_connections_per_address;
	uint8_t bytes[16];
	if (max == 0 || !address_of(&conn->tcp, bytes))
		return true;
	struct address *address;
	HASH_FIND(hh, w->addresses, bytes, sizeof bytes, address);
	if (address == NULL) {
		address = xcalloc(1, sizeof *address);
		memcpy(address->bytes, bytes, sizeof bytes);
		HASH_ADD(hh, w->addresses, bytes, sizeof bytes, address);
	}
	if (address->connections >= max)
		return false;
	address->connections++;
	conn->address = address;
	return true;
}

void listen_forget_address(struct sse_worker *w, struct conn *conn)
{
	struct address *address = conn->address;
	if (address == NULL || --address->connections > 0)
		return;
	HASH_DELETE(hh, w->addresses, address);
	free(address);
}

static void on_refused_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* One write that a fresh socket takes at once, then closed. */
static void refuse(struct conn *conn, const char *answer)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)answer, (unsigned)strlen(answer));
	counter_add(conn->worker->counters, connections_refused_total, 1);
	uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
	conn->tcp.data = conn;
	uv_close((uv_handle_t *)&conn->tcp, on_refused_closed);
}

static void admit(struct sse_worker *w, struct conn *conn)
{
	if (w->conns_count >= w->settings->limits_connections)
		refuse(conn, "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
		             "content-length: 32\r\n\r\nlimits.connections is reached   \n");
	else if (!count_address(w, conn))
		refuse(conn, "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n"
		             "content-length: 33\r\n\r\ntoo many connections from here   \n");
	else
		conn_start(conn);
}

/* Out of descriptors: the reserve lets one more in, to be turned away rather than left hanging. */
static void shed(struct sse_worker *w)
{
	log_warn("out of file descriptors", "connections=%zu", w->conns_count);
	counter_add(w->counters, connections_refused_total, 1);
	close(w->reserve_fd);
	int fd = accept(BOOT_FD_LISTEN, NULL, NULL);
	if (fd >= 0)
		close(fd);
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct sse_worker *w = listener->data;
	if (status == UV_EMFILE || status == UV_ENFILE) {
		shed(w);
		return;
	}
	if (status < 0)
		return;
	struct conn *conn = xcalloc(1, sizeof *conn);
	conn->worker = w;
	uv_tcp_init(w->worker->loop, &conn->tcp);
	conn->tcp.data = conn;
	if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0)
		uv_close((uv_handle_t *)&conn->tcp, on_refused_closed);
	else
		admit(w, conn);
}

int listen_start(struct sse_worker *w)
{
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uv_tcp_init(w->worker->loop, &w->listener);
	w->listener.data = w;
	int rc = uv_tcp_open(&w->listener, BOOT_FD_LISTEN);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&w->listener, BACKLOG, on_connection);
	if (rc != 0) {
		log_error("cannot listen", "error=\"%s\"", uv_strerror(rc));
		return EXIT_FAILED;
	}
	w->listening = true;
	return 0;
}

/* What the kernel has accepted for us would be reset when the socket closes: it is served first. */
void listen_drain(struct sse_worker *w)
{
	if (!w->listening)
		return;
	for (;;) {
		int fd = accept4(BOOT_FD_LISTEN, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		struct conn *conn = xcalloc(1, sizeof *conn);
		conn->worker = w;
		uv_tcp_init(w->worker->loop, &conn->tcp);
		if (uv_tcp_open(&conn->tcp, fd) != 0) {
			close(fd);
			conn->tcp.data = conn;
			uv_close((uv_handle_t *)&conn->tcp, on_refused_closed);
			continue;
		}
		conn_start(conn);
	}
	w->listening = false;
	uv_close((uv_handle_t *)&w->listener, NULL);
}
