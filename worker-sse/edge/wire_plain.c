#include "worker-sse/edge/wire_socket.h"

#include <errno.h>
#include <sys/socket.h>

static ssize_t plain_read(struct wire *wire, void *into, size_t room)
{
	ssize_t n = recv(wire->fd, into, room, MSG_DONTWAIT);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? WIRE_AGAIN : WIRE_BROKEN;
}

static ssize_t plain_write(struct wire *wire, const struct iovec *iov, int count)
{
	const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
	                               .msg_iovlen = (size_t)count};
	/* The path that every delivery takes: of one piece send() costs less. */
	ssize_t n = count == 1 ? send(wire->fd, iov->iov_base, iov->iov_len,
	                              MSG_DONTWAIT | MSG_NOSIGNAL)
	                       : sendmsg(wire->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : WIRE_BROKEN;
}

/* An error is no event for libuv, which then polls no more: reading or writing tells what it is. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct wire *wire = (struct wire *)((uint8_t *)poll - offsetof(struct wire, poll));
	unsigned wanted = wire->wants;
	if (status < 0) {
		wire->wants = 0;
		events = wanted & WIRE_READABLE ? UV_READABLE : UV_WRITABLE;
	}
	if (events & UV_READABLE)
		wire->events->readable(wire);
	if (events & UV_WRITABLE && !uv_is_closing((uv_handle_t *)poll))
		wire->events->writable(wire);
}

static void plain_want(struct wire *wire, unsigned events)
{
	if (wire->wants == events)
		return;
	wire->wants = events;
	if (events == 0)
		uv_poll_stop(&wire->poll);
	else
		uv_poll_start(&wire->poll,
		              (events & WIRE_READABLE ? UV_READABLE : 0) |
		                      (events & WIRE_WRITABLE ? UV_WRITABLE : 0),
		              on_poll);
}

static bool plain_shut(struct wire *wire)
{
	return shutdown(wire->fd, SHUT_WR) == 0;
}

static bool plain_settled(const struct wire *wire)
{
	(void)wire;
	return true;
}

static bool plain_speaks_http2(const struct wire *wire)
{
	(void)wire;
	return false;
}

bool wire_plain_open(struct wire *wire, uv_loop_t *loop, int fd, const struct wire_events *events)
{
	static const struct wire_kind plain = {.read = plain_read,
	                                       .write = plain_write,
	                                       .want = plain_want,
	                                       .shut = plain_shut,
	                                       .settled = plain_settled,
	                                       .speaks_http2 = plain_speaks_http2,
	                                       .undelivered = wire_socket_undelivered,
	                                       .was_reset = wire_socket_was_reset,
	                                       .address = wire_socket_address,
	                                       .close = wire_socket_close};
	if (uv_poll_init(loop, &wire->poll, fd) != 0)
		return false;
	wire->kind = &plain;
	wire->events = events;
	wire->fd = fd;
	wire->wants = 0;
	return true;
}
