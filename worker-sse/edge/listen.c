#include "worker-sse/edge/listen.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "proto/roles.h"
#include "worker-sse/edge/client_address.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/edge/wire_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	REFUSED_MAX = 256,  /* connections beyond the limit that are being told so */
	FDS_RESERVED = 768, /* for the store, the bus to every worker, and those refused */
	ACCEPTS_MAX = 256,  /* at a turn, so that nobody waits for a crowd at the door; */
	ACCEPTS_LINED = 16, /* ... while others wait for their turn: to stand behind them */
	ACCEPT_AGAIN_MS = 100,
	DROP_LOG_MS = 1000,
};

/* False: its address has all it may. */
static bool count_address(struct edge *edge, struct conn *conn)
{
	uint64_t max = edge->settings->limits_connections_per_address;
	uint8_t bytes[16];
	if (max == 0 || !conn->wire.kind->address(&conn->wire, bytes))
		return true;
	conn->address = client_address_hold(&edge->addresses, bytes, max);
	return conn->address != NULL;
}

/* False: too many came from its address within a second. */
static bool admits_another(struct edge *edge, struct conn *conn)
{
	uint8_t bytes[16];
	return edge->settings->limits_new_connections == 0 ||
	       !conn->wire.kind->address(&conn->wire, bytes) || limits_admit(edge, bytes);
}

/* One too many gets its answer; of those there may be REFUSED_MAX at a time, the rest is cut. */
static void admit(struct edge *edge, struct conn *conn)
{
	bool many = !admits_another(edge, conn);
	if (!many && edge->conns_count < edge->conns_max && count_address(edge, conn)) {
		conn_start(conn);
	} else if (edge->conns_count >= edge->conns_max + REFUSED_MAX) {
		counter_add(edge->counters, connections_refused_total, 1);
		conn->wire.kind->close(&conn->wire); /* which frees it */
	} else if (edge->conns_count >= edge->conns_max) {
		conn_refuse(conn, 503, "limits.connections is reached");
	} else if (many) {
		conn_refuse(conn, 429, limit_said(LIMIT_CONNECTIONS));
	} else {
		conn_refuse(conn, 429, "limits.connections_per_address is reached");
	}
}

static int accept_one(int listen_fd)
{
	return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static int listen_fd_of(const struct edge *edge, const uv_poll_t *poll)
{
	return BOOT_FD_LISTEN + (int)(poll - edge->listeners);
}

/* From the n-th listener. */
static bool open_wire(struct edge *edge, struct conn *conn, unsigned listener, int fd)
{
	if (!(edge->listens_tls >> listener & 1))
		return wire_plain_open(&conn->wire, edge->loop, fd, &conn_wire_events);
	conn->tls = conn->shaking = true;
	return edge->tls != NULL &&
	       wire_tls_open(&conn->wire, edge->loop, fd, &conn_wire_events, edge->tls);
}

static void take(struct edge *edge, unsigned listener, int fd)
{
	struct conn *conn = conn_create(edge);
	if (open_wire(edge, conn, listener, fd)) {
		admit(edge, conn);
		return;
	}
	free(conn);
	close(fd);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_accept_again(struct wheel_node *node)
{
	struct edge *edge = (void *)((uint8_t *)node - offsetof(struct edge, accept_again));
	for (unsigned i = 0; edge->listening && i < edge->listeners_count; i++)
		uv_poll_start(&edge->listeners[i], UV_READABLE, on_acceptable);
}

/* There is no descriptor for it, and left in the queue it would wake us for ever: the spare one
 * makes room to accept it and let it go. */
static void drop_one(struct edge *edge, int listen_fd)
{
	if (edge->spare_fd >= 0) {
		close(edge->spare_fd);
		int fd = accept_one(listen_fd);
		if (fd >= 0) {
			close(fd);
			counter_add(edge->counters, connections_dropped_total, 1);
		}
	}
	edge->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (edge->spare_fd < 0) {
		for (unsigned i = 0; i < edge->listeners_count; i++)
			uv_poll_stop(&edge->listeners[i]);
		wheel_set(edge->wheel, &edge->accept_again, edge->wheel->now_ms + ACCEPT_AGAIN_MS);
	}
	if (edge->drop_logged_ms == 0 ||
	    edge->wheel->now_ms - edge->drop_logged_ms >= DROP_LOG_MS) {
		edge->drop_logged_ms = edge->wheel->now_ms;
		log_warn("no descriptor for a connection", "connections=%zu", edge->conns_count);
	}
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct edge *edge = poll->data;
	int listen_fd = listen_fd_of(edge, poll);
	(void)events;
	busy_poll_for(edge->options.busy_poll, edge->settings->http_busy_poll_us * 1000);
	for (int i = 0; status == 0 && i < (edge->turn.over ? ACCEPTS_LINED : ACCEPTS_MAX); i++) {
		int fd = accept_one(listen_fd);
		if (fd >= 0) {
			take(edge, (unsigned)(poll - edge->listeners), fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			drop_one(edge, listen_fd);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

/* A connection is a descriptor: better to answer 503 than to run out of them. */
static uint64_t connections_max(const struct settings *settings)
{
	struct rlimit limit;
	uint64_t max = settings->limits_connections;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= max + FDS_RESERVED)
		return max;
	return limit.rlim_cur > 2 * FDS_RESERVED ? limit.rlim_cur - FDS_RESERVED
	                                         : limit.rlim_cur / 2;
}

/* Those without a number of theirs are what this process has opened since. */
static unsigned sockets_given(void)
{
	unsigned count = 0;
	int listens = 0;
	socklen_t len = sizeof listens;
	while (count < BOOT_LISTENERS_MAX &&
	       getsockopt(BOOT_FD_LISTEN + (int)count, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) ==
	               0 &&
	       listens)
		count++;
	return count;
}

int listen_start(struct edge *edge)
{
	edge->conns_max = connections_max(edge->settings);
	edge->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	edge->accept_again.due = on_accept_again;
	edge->listeners_count = sockets_given();
	for (unsigned i = 0; i < edge->listeners_count; i++) {
		uv_poll_t *poll = &edge->listeners[i];
		if (listen(listen_fd_of(edge, poll), BACKLOG) != 0) {
			log_error("cannot listen", "error=\"%s\"", strerror(errno));
			return EXIT_FAILED;
		}
		uv_poll_init(edge->loop, poll, listen_fd_of(edge, poll));
		poll->data = edge;
		uv_poll_start(poll, UV_READABLE, on_acceptable);
	}
	edge->listening = true;
	return 0;
}

/* What the kernel has accepted for us would be reset when the socket closes: it is served first. */
void listen_drain(struct edge *edge)
{
	if (!edge->listening)
		return;
	for (unsigned i = 0; i < edge->listeners_count; i++) {
		uv_poll_t *poll = &edge->listeners[i];
		int listen_fd = listen_fd_of(edge, poll);
		for (int fd = accept_one(listen_fd); fd >= 0; fd = accept_one(listen_fd))
			take(edge, i, fd);
		uv_close((uv_handle_t *)poll, NULL);
		close(listen_fd);
	}
	edge->listening = false;
	wheel_cancel(&edge->accept_again);
}
