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

/* Any free port is another one for each name. */
static bool known(const struct listeners *listeners, const struct addrinfo *address, unsigned group)
{
	for (unsigned i = 0; i < listeners->count; i++)
		if ((listeners->each[i].group == group ||
		     listener_port(&listeners->each[i]) != 0) &&
		    listeners->each[i].address_len == address->ai_addrlen &&
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

static void take_family(struct listeners *listeners, const struct addrinfo *found, int family,
                        unsigned group, bool tls)
{
	for (const struct addrinfo *a = found; a != NULL && listeners->count < BOOT_LISTENERS_MAX;
	     a = a->ai_next)
		if (a->ai_family == family && !known(listeners, a, group)) {
			struct listener *listener = &listeners->each[listeners->count++];
			listener_init(listener, a->ai_addr, a->ai_addrlen);
			listener->group = group;
			listener->tls = tls;
		}
}

static bool resolve(struct listeners *listeners, const struct settings_listen *one, unsigned group,
                    bool loopback_only, const char **reason)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	                               .ai_socktype = SOCK_STREAM,
	                               .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	unsigned before = listeners->count;
	int rc = getaddrinfo(one->host, one->port, &hints, &found);
	if (rc != 0) {
		*reason = gai_strerror(rc);
		return false;
	}
	bool allowed = true;
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		allowed = allowed && (!loopback_only || is_loopback(a));
	take_family(listeners, found, AF_INET, group, one->tls);
	take_family(listeners, found, AF_INET6, group, one->tls);
	freeaddrinfo(found);
	if (!allowed)
		*reason = "dev listens on loopback only, and this name leads elsewhere";
	else if (listeners->count == before)
		*reason = listeners->count == BOOT_LISTENERS_MAX
		                  ? "more than 8 addresses"
		                  : "no IPv4 or IPv6 address that is not named already";
	return allowed && listeners->count > before;
}

bool listeners_init(struct listeners *listeners, const char *listen, bool loopback_only,
                    const char **reason)
{
	struct settings_listen one;
	enum settings_listen_result result;
	unsigned group = 0;
	listeners->count = 0;
	while ((result = settings_next_listen(&listen, &one)) == SETTINGS_LISTEN_ONE)
		if (!resolve(listeners, &one, group++, loopback_only, reason))
			return false;
	if (result == SETTINGS_LISTEN_MALFORMED || listeners->count == 0) {
		*reason = "must be HOST:PORT or [IPV6]:PORT";
		return false;
	}
	return true;
}

uint64_t listeners_tls(const struct listeners *listeners)
{
	uint64_t tls = 0;
	for (unsigned i = 0; i < listeners->count; i++)
		tls |= (uint64_t)listeners->each[i].tls << i;
	return tls;
}

bool listeners_adopt(struct listeners *listeners, int fd, unsigned slot)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof address;
	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return false;
	for (unsigned i = 0; i < listeners->count; i++) {
		struct listener *listener = &listeners->each[i];
		bool taken =
		        listener->shared >= 0 ||
		        (slot == LISTENER_SHARED ? listener->count > 0 : listener->fds[slot] >= 0);
		if (taken || !listener_is_at(listener, &address))
			continue;
		if (slot == LISTENER_SHARED)
			listener_share(listener, fd);
		else
			listener_adopt(listener, slot, fd);
		return true;
	}
	return false;
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
		const struct listener *listener = &listeners->each[i];
		bool adopted = listener->count > 0 || listener->shared >= 0;
		int error = adopted ? 0 : listener_probe(listener);
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

/* Port 0 is whatever the first of its group got. */
static const struct listener *first_of(const struct listeners *listeners, unsigned group)
{
	unsigned i = 0;
	while (listeners->each[i].group != group)
		i++;
	return &listeners->each[i];
}

static int open_all(struct listeners *listeners, unsigned slot)
{
	int error = 0;
	for (unsigned i = 0; error == 0 && i < listeners->count; i++) {
		const struct listener *first = first_of(listeners, listeners->each[i].group);
		if (listener_port(&listeners->each[i]) == 0 && first != &listeners->each[i])
			listener_set_port(&listeners->each[i], listener_port(first));
		if (listeners->each[i].fds[slot] < 0)
			error = listener_open(&listeners->each[i], slot);
	}
	if (error != 0)
		listeners_close(listeners, slot);
	return error;
}

int listeners_open(struct listeners *listeners, unsigned slot)
{
	bool any_port[BOOT_LISTENERS_MAX], any = false;
	for (unsigned i = 0; i < listeners->count; i++)
		any |= any_port[i] = listener_port(&listeners->each[i]) == 0;
	int error = open_all(listeners, slot);
	for (int i = 0; error == EADDRINUSE && any && i < FREE_PORT_TRIES; i++) {
		for (unsigned j = 0; j < listeners->count; j++)
			if (any_port[j])
				listener_set_port(&listeners->each[j], 0);
		error = open_all(listeners, slot);
	}
	return error;
}

bool listeners_are_open(const struct listeners *listeners, unsigned slot)
{
	for (unsigned i = 0; i < listeners->count; i++)
		if (listeners->each[i].fds[slot] < 0)
			return false;
	return true;
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
