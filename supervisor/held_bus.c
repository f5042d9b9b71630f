#include "supervisor/held_bus.h"
#include "common/base/check.h"
#include "proto/frame.h"
#include "proto/messages.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct held_bus {
	int fd;
	uv_poll_t poll;
};

/* Descriptors that come along are lost with it: the kernel closes what nobody has room for. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct held_bus *bus = poll->data;
	char nothing[16384];
	ssize_t n;
	(void)events;
	do {
		n = status == 0 ? recv(bus->fd, nothing, sizeof nothing, MSG_DONTWAIT) : 0;
	} while (n > 0);
	if (n == 0)
		uv_poll_stop(poll); /* it ends; the fleet hears of that by itself */
}

struct held_bus *held_bus_create(uv_loop_t *loop, int fd)
{
	struct held_bus *bus = xcalloc(1, sizeof *bus);
	bus->fd = fd;
	bus->poll.data = bus;
	check(uv_poll_init(loop, &bus->poll, fd) == 0);
	check(uv_poll_start(&bus->poll, UV_READABLE, on_readable) == 0);
	return bus;
}

int held_bus_fd(const struct held_bus *bus)
{
	return bus->fd;
}

bool held_bus_drain(struct held_bus *bus, uint64_t due_ms)
{
	uint8_t frame[FRAME_HEAD_BYTES + PROTO_MAX_DRAIN];
	const struct proto_drain message = {.due_ms = due_ms};
	struct writer w = {frame + FRAME_HEAD_BYTES, frame + sizeof frame, true};
	check(proto_put_drain(&w, &message));
	size_t len = (size_t)(w.at - frame);
	frame_head(frame, PROTO_TYPE_DRAIN, len - FRAME_HEAD_BYTES);
	return send(bus->fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

static void on_closed(uv_handle_t *handle)
{
	struct held_bus *bus = handle->data;
	close(bus->fd);
	free(bus);
}

void held_bus_destroy(struct held_bus **out)
{
	struct held_bus *bus = *out;
	*out = NULL;
	if (bus != NULL)
		uv_close((uv_handle_t *)&bus->poll, on_closed);
}
