/* Accepting: from the socket that the supervisor owns, within limits. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "proto/roles.h"
#include "worker-sse/edge/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

struct address {
	uint8_t bytes[16];
	uint32_t connections;
	UT_hash_handle hh;
};

/* As IPv6 has it: ::ffff:a.b.c.d. */
static void put_ipv4(uint8_t bytes[16], const void *ipv4)
{
	memset(bytes, 0, 10);
	memset(bytes + 10, 0xff, 2);
	memcpy(bytes + 12, ipv4, 4);
}

/* Whoever has one address of a /64 has all of them. */
static void put_ipv6(uint8_t bytes[16], const struct in6_addr *ipv6)
{
	memcpy(bytes, ipv6, 16);
	if (!IN6_IS_ADDR_V4MAPPED(ipv6))
		memset(bytes + 8, 0, 8);
}

static bool address_of(const uv_tcp_t *tcp, uint8_t bytes[16])
{
	struct sockaddr_storage name;
	int len = sizeof name;
	memset(bytes, 0, 16);
	if (uv_tcp_getpeername(tcp, (struct sockaddr *)&name, &len) != 0)
		return false;
	if (name.ss_family == AF_INET6)
		put_ipv6(bytes, &((struct sockaddr_in6 *)&name)->sin6_addr);
	else
		put_ipv4(bytes, &((struct sockaddr_in *)&name)->sin_addr);
	return true;
}

/* The last element is what our own proxy has seen; those before it are hearsay. */
static bool forwarded_address(struct span list, uint8_t bytes[16])
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr ipv4;
	struct in6_addr ipv6;
	struct span last = list_last(list);
	if (last.len == 0 || last.len >= sizeof text)
		return false;
	memcpy(text, last.at, last.len);
	text[last.len] = '\0';
	if (inet_pton(AF_INET, text, &ipv4) == 1)
		put_ipv4(bytes, &ipv4);
	else if (inet_pton(AF_INET6, text, &ipv6) == 1)
		put_ipv6(bytes, &ipv6);
	else
		return false;
	return true;
}

void request_address(const struct request *request, uint8_t out[16])
{
	const struct conn *conn = request->exchange->conn;
	struct span forwarded = request->headers[HEADER_X_FORWARDED_FOR];
	if (request->worker->settings->http_trust_forwarded && forwarded.at != NULL &&
	    forwarded_address(forwarded, out))
		return;
	memset(out, 0, 16);
	if (conn != NULL)
		address_of(&conn->tcp, out);
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

static void on_never_opened(uv_handle_t *handle)
{
	free(handle->data);
}

static struct conn *conn_alloc(struct sse_worker *w)
{
	struct conn *conn = xcalloc(1, sizeof *conn);
	conn->worker = w;
	uv_tcp_init(w->worker->loop, &conn->tcp);
	conn->tcp.data = conn;
	return conn;
}

/* One too many gets its answer; of those there may be REFUSED_MAX at a time, the rest is cut. */
static void admit(struct sse_worker *w, struct conn *conn)
{
	if (w->conns_count < w->conns_max && count_address(w, conn)) {
		conn_start(conn);
	} else if (w->conns_count >= w->conns_max + REFUSED_MAX) {
		counter_add(w->counters, connections_refused_total, 1);
		uv_close((uv_handle_t *)&conn->tcp, on_never_opened);
	} else if (w->conns_count >= w->conns_max) {
		conn_refuse(conn, 503, "limits.connections is reached");
	} else {
		conn_refuse(conn, 429, "limits.connections_per_address is reached");
	}
}

static int accept_one(int listen_fd)
{
	return accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static int listen_fd_of(const struct sse_worker *w, const uv_poll_t *poll)
{
	return BOOT_FD_LISTEN + (int)(poll - w->listeners);
}

static void take(struct sse_worker *w, int fd)
{
	struct conn *conn = conn_alloc(w);
	if (uv_tcp_open(&conn->tcp, fd) == 0) {
		admit(w, conn);
		return;
	}
	close(fd);
	uv_close((uv_handle_t *)&conn->tcp, on_never_opened);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_accept_again(struct wheel_node *node)
{
	struct sse_worker *w =
	        (void *)((uint8_t *)node - offsetof(struct sse_worker, accept_again));
	for (unsigned i = 0; w->listening && i < w->listeners_count; i++)
		uv_poll_start(&w->listeners[i], UV_READABLE, on_acceptable);
}

/* There is no descriptor for it, and left in the queue it would wake us for ever: the spare one
 * makes room to accept it and let it go. */
static void drop_one(struct sse_worker *w, int listen_fd)
{
	if (w->spare_fd >= 0) {
		close(w->spare_fd);
		int fd = accept_one(listen_fd);
		if (fd >= 0) {
			close(fd);
			counter_add(w->counters, connections_dropped_total, 1);
		}
	}
	w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (w->spare_fd < 0) {
		for (unsigned i = 0; i < w->listeners_count; i++)
			uv_poll_stop(&w->listeners[i]);
		wheel_set(&w->wheel, &w->accept_again, w->wheel.now_ms + ACCEPT_AGAIN_MS);
	}
	if (w->drop_logged_ms == 0 || w->wheel.now_ms - w->drop_logged_ms >= DROP_LOG_MS) {
		w->drop_logged_ms = w->wheel.now_ms;
		log_warn("no descriptor for a connection", "connections=%zu", w->conns_count);
	}
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
	struct sse_worker *w = poll->data;
	int listen_fd = listen_fd_of(w, poll);
	(void)events;
	busy_poll_for(&w->worker->busy_poll, w->settings->http_busy_poll_us * 1000);
	for (int i = 0; status == 0 && i < (w->turn.over ? ACCEPTS_LINED : ACCEPTS_MAX); i++) {
		int fd = accept_one(listen_fd);
		if (fd >= 0) {
			take(w, fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			drop_one(w, listen_fd);
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

int listen_start(struct sse_worker *w)
{
	w->conns_max = connections_max(w->settings);
	w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	w->accept_again.due = on_accept_again;
	w->listeners_count = sockets_given();
	for (unsigned i = 0; i < w->listeners_count; i++) {
		uv_poll_t *poll = &w->listeners[i];
		if (listen(listen_fd_of(w, poll), BACKLOG) != 0) {
			log_error("cannot listen", "error=\"%s\"", strerror(errno));
			return EXIT_FAILED;
		}
		uv_poll_init(w->worker->loop, poll, listen_fd_of(w, poll));
		poll->data = w;
		uv_poll_start(poll, UV_READABLE, on_acceptable);
	}
	w->listening = true;
	return 0;
}

/* What the kernel has accepted for us would be reset when the socket closes: it is served first. */
void listen_drain(struct sse_worker *w)
{
	if (!w->listening)
		return;
	for (unsigned i = 0; i < w->listeners_count; i++) {
		uv_poll_t *poll = &w->listeners[i];
		int listen_fd = listen_fd_of(w, poll);
		for (int fd = accept_one(listen_fd); fd >= 0; fd = accept_one(listen_fd))
			take(w, fd);
		uv_close((uv_handle_t *)poll, NULL);
		close(listen_fd);
	}
	w->listening = false;
	wheel_cancel(&w->accept_again);
}
