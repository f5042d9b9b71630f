/* The addresses that `listen` names, each with a listener (supervisor/listener.h) of its own. A
 * name may have several: clients try them in an order of their own, so all are served. */
#pragma once

#include "proto/roles.h"
#include "supervisor/listener.h"

struct listeners {
	struct listener each[BOOT_LISTENERS_MAX];
	unsigned count;
};

/* Resolves each HOST:PORT of the list. IPv4 comes first: the URL of the first is the one that
 * people are told. With `loopback_only` a name that leads anywhere else is refused. False: *reason
 * says why. */
bool listeners_init(struct listeners *listeners, const char *listen, bool loopback_only,
                    const char **reason);

/* Takes over a socket that listens at one of the addresses: of a slot, or to be shared by all
 * (slot LISTENER_SHARED). False: it listens at none of them, and stays the caller's. Before
 * listeners_probe(). */
enum { LISTENER_SHARED = LISTENER_SLOTS_MAX };
bool listeners_adopt(struct listeners *listeners, int fd, unsigned slot);

/* listener_probe() of each that has no socket yet. An address of a name that this machine does not
 * have (IPv6 that is turned off) is left out, as long as another one is there; *left_out counts
 * them. 0 or an errno. */
int listeners_probe(struct listeners *listeners, unsigned *left_out);

/* listeners_probe() until the address is free, for wait_ms (listen_wait) at most: blocks. `listen`
 * is how it is called. */
int listeners_await(struct listeners *listeners, const char *listen, uint64_t wait_ms,
                    unsigned *left_out);

/* Of a slot, on all addresses or on none. 0 or an errno. */
int listeners_open(struct listeners *listeners, unsigned slot);
bool listeners_are_open(const struct listeners *listeners, unsigned slot);
void listeners_close(struct listeners *listeners, unsigned slot);
void listeners_finish(struct listeners *listeners);

/* Bit n is set where the n-th of a slot's descriptors speaks TLS. */
uint64_t listeners_tls(const struct listeners *listeners);
/* The descriptors of a slot, `count` of them. */
void listeners_fds(const struct listeners *listeners, unsigned slot, int fds[BOOT_LISTENERS_MAX]);

/* As listener_steer() and listener_queue_waits(). */
int listeners_steer(struct listeners *listeners, const bool active[LISTENER_SLOTS_MAX]);
bool listeners_queue_waits(const struct listeners *listeners, unsigned slot);

/* Of the first address; valid once a socket listens. */
const char *listeners_url(const struct listeners *listeners);
