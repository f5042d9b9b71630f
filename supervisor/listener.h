/* The listening sockets of one address: one SO_REUSEPORT socket per SSE slot, owned by the
 * supervisor, so that a worker's death closes nothing and its replacement accepts what queued up.
 *
 * A classic BPF program tells the kernel which sockets get new connections. A socket can thus be
 * taken out of service long before it is closed: nobody is ever reset by scaling down. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	LISTENER_SLOTS_MAX = 257,
	LISTENER_BACKLOG = 65535, /* the kernel cuts it to net.core.somaxconn */
	/* A handshake answered before the steering changed completes on the old socket: so long
	 * such a socket stays in service. */
	LISTENER_SETTLE_MS = 1000,
	LISTENER_PROGRAM_MAX = 2 + 2 * LISTENER_SLOTS_MAX + 1,
};

struct listener {
	struct sockaddr_storage address; /* with the real port once the first socket listens */
	socklen_t address_len;
	int fds[LISTENER_SLOTS_MAX]; /* by slot; -1: none */
	/* A socket that whoever started us has opened (LISTEN_FDS); -1: none. Then all slots have
	 * this one: only who opened it could add others to the port. */
	int shared;
	/* Slots in the order in which the kernel numbers their sockets. */
	unsigned order[LISTENER_SLOTS_MAX];
	unsigned count;
	bool steered[LISTENER_SLOTS_MAX]; /* what the kernel was told last, by slot */
	bool steering_works, steering_stale;
	bool tls;       /* for its URL */
	unsigned group; /* those of one name in `listen`: a free port is the same on all */
	char url[128];  /* "http://127.0.0.1:4437"; valid once a socket listens */
};

/* Copies an IPv4 or IPv6 address; nothing is opened yet. */
void listener_init(struct listener *listener, const struct sockaddr *address, socklen_t len);

/* 0 until the first socket listens, where any port was asked for. Only while none listens it may be
 * set. */
uint16_t listener_port(const struct listener *listener);
void listener_set_port(struct listener *listener, uint16_t port);

/* Refuses an address that somebody else listens on: with SO_REUSEPORT the kernel would let two
 * programs of the same user share it silently. 0 or an errno. */
int listener_probe(const struct listener *listener);

/* Takes over a socket that listens there already: of a slot, in the kernel's order of them, or to
 * be shared by all. */
void listener_adopt(struct listener *listener, unsigned slot, int fd);
void listener_share(struct listener *listener, int fd);
/* Does it listen on that address? Of one where any port was asked for, whatever the port. */
bool listener_is_at(const struct listener *listener, const struct sockaddr_storage *address);

/* Binds and listens for a slot that has no socket. It gets connections once steered to, except the
 * very first. 0 or an errno. */
int listener_open(struct listener *listener, unsigned slot);

/* Closes it; connections in its queue are reset. Nothing happens when there is none. */
void listener_close(struct listener *listener, unsigned slot);
void listener_finish(struct listener *listener);

/* New connections go to the slots with active[slot] from now on, each with the same chance. Slots
 * without a socket are passed over; with none left the kernel takes any. 0 or an errno: the kernel
 * does not support it and spreads over all. */
int listener_steer(struct listener *listener, const bool active[LISTENER_SLOTS_MAX]);

/* Is somebody waiting to be accepted, by this slot alone? */
bool listener_queue_waits(const struct listener *listener, unsigned slot);

/* Pure: the program that picks one of `positions` at random. Returns its length; `program` has
 * LISTENER_PROGRAM_MAX places; count > 0. */
unsigned listener_program(struct sock_filter *program, const unsigned *positions, unsigned count);
