#include "supervisor/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void listener_init(struct listener *listener, const struct sockaddr *address, socklen_t len)
{
	*listener = (struct listener){.steering_works = true, .address_len = len, .shared = -1};
	for (unsigned i = 0; i < LISTENER_SLOTS_MAX; i++)
		listener->fds[i] = -1;
	memcpy(&listener->address, address, len);
}

static in_port_t *port_field(struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)address)->sin6_port
	                                      : &((struct sockaddr_in *)(void *)address)->sin_port;
}

uint16_t listener_port(const struct listener *listener)
{
	struct sockaddr_storage address = listener->address;
	return ntohs(*port_field(&address));
}

void listener_set_port(struct listener *listener, uint16_t port)
{
	*port_field(&listener->address) = htons(port);
	listener->url[0] = '\0';
}

static int bound_socket(const struct listener *listener, bool share)
{
	int family = listener->address.ss_family, on = 1, off = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* Accepted sockets inherit it: one system call less for each. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* [::] serves IPv4 too, whatever net.ipv6.bindv6only says. */
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if ((share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
	    bind(fd, (const struct sockaddr *)&listener->address, listener->address_len) != 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int listener_probe(const struct listener *listener)
{
	int fd = bound_socket(listener, false);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void learn_address(struct listener *listener, int fd)
{
	char host[INET6_ADDRSTRLEN] = "";
	listener->address_len = sizeof listener->address;
	getsockname(fd, (struct sockaddr *)&listener->address, &listener->address_len);
	const struct sockaddr_in *v4 = (const void *)&listener->address;
	const struct sockaddr_in6 *v6 = (const void *)&listener->address;
	bool is_v6 = listener->address.ss_family == AF_INET6;
	inet_ntop(is_v6 ? AF_INET6 : AF_INET,
	          is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, host,
	          sizeof host);
	snprintf(listener->url, sizeof listener->url, is_v6 ? "http%s://[%s]:%u" : "http%s://%s:%u",
	         listener->tls ? "s" : "", host, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

static void take_place(struct listener *listener, unsigned slot, int fd)
{
	if (listener->url[0] == '\0')
		learn_address(listener, fd);
	listener->fds[slot] = fd;
	listener->order[listener->count++] = slot;
	/* A group without a program spreads over all: tell it who was meant so far. */
	if (listener->count == 1) {
		memset(listener->steered, 0, sizeof listener->steered);
		listener->steering_stale = true;
	}
}

void listener_adopt(struct listener *listener, unsigned slot, int fd)
{
	take_place(listener, slot, fd);
}

void listener_share(struct listener *listener, int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	listen(fd, LISTENER_BACKLOG); /* as long as ours, whatever it was opened with */
	listener->shared = fd;
	listener->steering_works = false;
	learn_address(listener, fd);
}

bool listener_is_at(const struct listener *listener, const struct sockaddr_storage *address)
{
	struct sockaddr_storage own = listener->address, other = *address;
	if (own.ss_family != other.ss_family)
		return false;
	if (*port_field(&own) == 0)
		*port_field(&other) = 0;
	/* Scope and flow of IPv6 are no part of it. */
	if (own.ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)&own, *b = (const void *)&other;
		return a->sin6_port == b->sin6_port &&
		       memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
	}
	const struct sockaddr_in *a = (const void *)&own, *b = (const void *)&other;
	return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/* 0 or an errno. */
static int open_shared(struct listener *listener, unsigned slot)
{
	int fd = fcntl(listener->shared, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	take_place(listener, slot, fd);
	return 0;
}

int listener_open(struct listener *listener, unsigned slot)
{
	if (listener->shared >= 0)
		return open_shared(listener, slot);
	int fd = bound_socket(listener, true);
	if (fd < 0)
		return errno;
	if (listen(fd, LISTENER_BACKLOG) != 0) {
		int error = errno;
		close(fd);
		return error;
	}
	take_place(listener, slot, fd);
	return 0;
}

unsigned listener_program(struct sock_filter *program, const unsigned *positions, unsigned count)
{
	unsigned len = 0;
	program[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
	                                              (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	program[len++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count);
	for (unsigned i = 0; i + 1 < count; i++) {
		program[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1);
		program[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, positions[i]);
	}
	program[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, positions[count - 1]);
	return len;
}

static int attach(struct listener *listener, const bool *active)
{
	struct sock_filter code[LISTENER_PROGRAM_MAX];
	unsigned positions[LISTENER_SLOTS_MAX], count = 0;
	for (unsigned i = 0; i < listener->count; i++)
		if (active[listener->order[i]])
			positions[count++] = i;
	if (count == 0)
		for (unsigned i = 0; i < listener->count; i++)
			positions[count++] = i;
	struct sock_fprog program = {
	        .len = (unsigned short)listener_program(code, positions, count), .filter = code};
	int fd = listener->fds[listener->order[0]];
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0
	               ? 0
	               : errno;
}

int listener_steer(struct listener *listener, const bool active[LISTENER_SLOTS_MAX])
{
	bool same = memcmp(listener->steered, active, sizeof listener->steered) == 0;
	if (listener->count == 0 || !listener->steering_works ||
	    (same && !listener->steering_stale))
		return 0;
	int error = attach(listener, active);
	listener->steering_works = error == 0;
	listener->steering_stale = false;
	memcpy(listener->steered, active, sizeof listener->steered);
	return error;
}

static unsigned position_of(const struct listener *listener, unsigned slot)
{
	unsigned at = 0;
	while (at < listener->count && listener->order[at] != slot)
		at++;
	return at;
}

void listener_close(struct listener *listener, unsigned slot)
{
	unsigned at = position_of(listener, slot);
	if (at == listener->count)
		return;
	/* The kernel moves the last socket of the group into the gap; the program that knows its
	 * new number can only follow. In between nothing may lead to the last one. */
	unsigned last = listener->order[listener->count - 1];
	bool meant[LISTENER_SLOTS_MAX];
	memcpy(meant, listener->steered, sizeof meant);
	if (listener->steering_works && listener->count > 1) {
		bool without[LISTENER_SLOTS_MAX];
		memcpy(without, meant, sizeof without);
		without[slot] = without[last] = false;
		attach(listener, without);
	}
	close(listener->fds[slot]);
	listener->fds[slot] = -1;
	listener->order[at] = last;
	listener->count--;
	meant[slot] = false;
	memcpy(listener->steered, meant, sizeof meant);
	if (listener->steering_works && listener->count > 0)
		attach(listener, meant);
}

void listener_finish(struct listener *listener)
{
	for (unsigned i = 0; i < LISTENER_SLOTS_MAX; i++)
		if (listener->fds[i] >= 0)
			close(listener->fds[i]);
	if (listener->shared >= 0)
		close(listener->shared);
	listener->shared = -1;
	for (unsigned i = 0; i < LISTENER_SLOTS_MAX; i++)
		listener->fds[i] = -1;
	listener->count = 0;
}

bool listener_queue_waits(const struct listener *listener, unsigned slot)
{
	struct pollfd poller = {.fd = listener->fds[slot], .events = POLLIN};
	return listener->shared < 0 && poller.fd >= 0 && poll(&poller, 1, 0) == 1 &&
	       (poller.revents & POLLIN) != 0;
}
