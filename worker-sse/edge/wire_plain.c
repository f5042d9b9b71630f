#include "worker-sse/edge/client_address.h"
#include "worker-sse/edge/wire.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

static size_t plain_undelivered(const struct wire *wire)
{
	int bytes = 0;
	return ioctl(wire->fd, SIOCOUTQ, &bytes) == 0 ? (size_t)bytes : 0;
}

static bool plain_was_reset(const struct wire *wire)
{
	struct tcp_info info;
	socklen_t len = sizeof info;
	return getsockopt(wire->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

static bool plain_address(const struct wire *wire, uint8_t out[16])
{
	return client_address_of(wire->fd, out);
}

static void on_closed(uv_handle_t *handle)
{
	struct wire *wire = (struct wire *)((uint8_t *)handle - offsetof(struct wire, poll));
	wire->events->closed(wire);
}

static void plain_close(struct wire *wire)
{
	uv_close((uv_handle_t *)&wire->poll, on_closed);
	close(wire->fd);
	wire->fd = -1;
}

bool wire_plain_open(struct wire *wire, uv_loop_t *loop, int fd, const struct wire_events *events)
{
	static const struct wire_kind plain = {.read = plain_read,
	                                       .write = plain_write,
	                                       .want = plain_want,
	                                       .shut = plain_shut,
	                                       .undelivered = plain_undelivered,
	                                       .was_reset = plain_was_reset,
	                                       .address = plain_address,
	                                       .close = plain_close};
	if (uv_poll_init(loop, &wire->poll, fd) != 0)
		return false;
	wire->kind = &plain;
	wire->events = events;
	wire->fd = fd;
	wire->wants = 0;
	return true;
}
