#include "worker-sse/edge/wire_socket.h"
#include "worker-sse/edge/client_address.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

size_t wire_socket_undelivered(const struct wire *wire)
{
	int bytes = 0;
	return ioctl(wire->fd, SIOCOUTQ, &bytes) == 0 ? (size_t)bytes : 0;
}

bool wire_socket_was_reset(const struct wire *wire)
{
	struct tcp_info info;
	socklen_t len = sizeof info;
	return getsockopt(wire->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

bool wire_socket_address(const struct wire *wire, uint8_t out[16])
{
	return client_address_of(wire->fd, out);
}

static void on_closed(uv_handle_t *handle)
{
	struct wire *wire = (struct wire *)((uint8_t *)handle - offsetof(struct wire, poll));
	wire->events->closed(wire);
}

void wire_socket_close(struct wire *wire)
{
	uv_close((uv_handle_t *)&wire->poll, on_closed);
	close(wire->fd);
	wire->fd = -1;
}
