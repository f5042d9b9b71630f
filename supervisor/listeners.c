#include "supervisor/listeners.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

enum {
	FREE_PORT_TRIES = 16, /* a port that is free on one address may be taken on another */
	POLL_NS = 50000000,
};

static bool known(const struct listeners *listeners, const struct addrinfo *address)
{
	for (unsigned i = 0; i < listeners->count; i++)
		if (listeners->each[i].address_len == address->ai_addrlen &&
		    memcmp(&listeners->each[i].address, address->ai_addr, address->ai_addrlen) == 0)
			return true;
	return false;
}

static bool is_loopback(const struct addrinfo *address)
{
	if (address->ai_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address->ai_addr)
		                     ->sin_addr.s_addr) >>
		               24 ==
		       127;
	return IN6_IS_ADDR_LOOPBACK(
	        &((const struct sockaddr_in6 *)(const void *)address->ai_addr)->sin6_addr);
}

static void take_family(struct listeners *listeners, const struct addrinfo *found, int family)
{
	for (const struct addrinfo *a = found; a != NULL && listeners->count < BOOT_LISTENERS_MAX;
	     a = a->ai_next)
		if (a->ai_family == family && !known(listeners, a))
			listener_init(&listeners->each[listeners->count++], a->ai_addr,
			              a->ai_addrlen);
}

bool listeners_init(struct listeners *listeners, const char *listen, bool loopback_only,
                    const char **reason)
{
	char host[256], port[8];
	listeners->count = 0;
	if (!settings_split_listen(listen, host, port)) {
		*reason = "must be HOST:PORT or [IPV6]:PORT";
		return false;
	}
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	                               .ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0) {
		*reason = gai_strerror(rc);
		return false;
	}
	bool allowed = true;
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		allowed = allowed && (!loopback_only || is_loopback(a));
	take_family(listeners, found, AF_INET);
	take_family(listeners, found, AF_INET6);
	freeaddrinfo(found);
	if (!allowed)
		*reason = "dev listens on loopback only, and this name leads elsewhere";
	else if (listeners->count == 0)
		*reason = "no IPv4 or IPv6 address";
	return allowed && listeners->count > 0;
}

static bool is_not_here(int error)
{
	return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

static void leave_out(struct listeners *listeners, unsigned index)
{
	listener_finish(&listeners->each[index]);
	memmove(&listeners->each[index], &listeners->each[index + 1],
	        (listeners->count - index - 1) * sizeof *listeners->each);
	listeners->count--;
}

int listeners_probe(struct listeners *listeners, unsigned *left_out)
{
	*left_out = 0;
	for (unsigned i = 0; i < listeners->count;) {
		int error = listener_probe(&listeners->each[i]);
		if (is_not_here(error) && listeners->count > 1) {
			leave_out(listeners, i);
			++*left_out;
		} else if (error != 0) {
			return error;
		} else {
			i++;
		}
	}
	return 0;
}

/* Killed together with its supervisor, a worker that is not its child any more takes some
 * milliseconds to let go of the address. */
int listeners_await(struct listeners *listeners, const char *listen, uint64_t wait_ms,
                    unsigned *left_out)
{
	uint64_t end_ms = clock_monotonic_ms() + wait_ms;
	int error = listeners_probe(listeners, left_out);
	if (error == EADDRINUSE && wait_ms > 0)
		log_warn("address in use, waiting", "listen=%s listen_wait_ms=%" PRIu64, listen,
		         wait_ms);
	while (error == EADDRINUSE && clock_monotonic_ms() < end_ms) {
		nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
		error = listeners_probe(listeners, left_out);
	}
	return error;
}

/* Port 0 is whatever the first one got. */
static int open_all(struct listeners *listeners, unsigned slot)
{
	int error = 0;
	for (unsigned i = 0; error == 0 && i < listeners->count; i++) {
		if (listener_port(&listeners->each[i]) == 0 && i > 0)
			listener_set_port(&listeners->each[i], listener_port(&listeners->each[0]));
		error = listener_open(&listeners->each[i], slot);
	}
	if (error != 0)
		listeners_close(listeners, slot);
	return error;
}

int listeners_open(struct listeners *listeners, unsigned slot)
{
	bool any_port = listener_port(&listeners->each[0]) == 0;
	int error = open_all(listeners, slot);
	for (int i = 0; error == EADDRINUSE && any_port && i < FREE_PORT_TRIES; i++) {
		for (unsigned j = 0; j < listeners->count; j++)
			listener_set_port(&listeners->each[j], 0);
		error = open_all(listeners, slot);
	}
	return error;
}

bool listeners_are_open(const struct listeners *listeners, unsigned slot)
{
	return listeners->each[0].fds[slot] >= 0;
}

void listeners_close(struct listeners *listeners, unsigned slot)
{
	for (unsigned i = 0; i < listeners->count; i++)
		listener_close(&listeners->each[i], slot);
}

void listeners_finish(struct listeners *listeners)
{
	for (unsigned i = 0; i < listeners->count; i++)
		listener_finish(&listeners->each[i]);
}

void listeners_fds(const struct listeners *listeners, unsigned slot, int fds[BOOT_LISTENERS_MAX])
{
	for (unsigned i = 0; i < listeners->count; i++)
		fds[i] = listeners->each[i].fds[slot];
}

int listeners_steer(struct listeners *listeners, const bool active[LISTENER_SLOTS_MAX])
{
	int first = 0;
	for (unsigned i = 0; i < listeners->count; i++) {
		int error = listener_steer(&listeners->each[i], active);
		first = first != 0 ? first : error;
	}
	return first;
}

bool listeners_queue_waits(const struct listeners *listeners, unsigned slot)
{
	for (unsigned i = 0; i < listeners->count; i++)
		if (listener_queue_waits(&listeners->each[i], slot))
			return true;
	return false;
}

const char *listeners_url(const struct listeners *listeners)
{
	return listeners->each[0].url;
}
