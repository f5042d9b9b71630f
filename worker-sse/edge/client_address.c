#include "worker-sse/edge/client_address.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker-sse/edge/query.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

bool client_address_of(int fd, uint8_t bytes[16])
{
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	memset(bytes, 0, 16);
	if (getpeername(fd, (struct sockaddr *)&name, &len) != 0)
		return false;
	if (name.ss_family == AF_INET6)
		put_ipv6(bytes, &((struct sockaddr_in6 *)&name)->sin6_addr);
	else
		put_ipv4(bytes, &((struct sockaddr_in *)&name)->sin_addr);
	return true;
}

/* Some proxies say the port, too: "a.b.c.d:port", "[ipv6]:port". */
static struct span without_port(struct span text)
{
	const uint8_t *end = text.at + text.len;
	const uint8_t *close = *text.at == '[' ? memchr(text.at, ']', text.len) : NULL;
	const uint8_t *colon = memchr(text.at, ':', text.len);
	if (close != NULL)
		return span_of(text.at + 1, (size_t)(close - text.at - 1));
	if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
		return text;
	return span_of(text.at, (size_t)(colon - text.at));
}

/* The last element is what our own proxy has seen; those before it are hearsay. */
bool client_address_forwarded(struct span list, uint8_t bytes[16])
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr ipv4;
	struct in6_addr ipv6;
	struct span last = list_last(list);
	if (last.len == 0)
		return false;
	last = without_port(last);
	if (last.len >= sizeof text)
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

struct address *client_address_hold(struct address **all, const uint8_t bytes[16], uint64_t max)
{
	struct address *address;
	HASH_FIND(hh, *all, bytes, 16, address);
	if (address != NULL && address->connections >= max)
		return NULL;
	if (address == NULL) {
		address = xcalloc(1, sizeof *address);
		memcpy(address->bytes, bytes, 16);
		HASH_ADD(hh, *all, bytes, sizeof address->bytes, address);
	}
	address->connections++;
	return address;
}

void client_address_release(struct address **all, struct address *address)
{
	if (address == NULL || --address->connections > 0)
		return;
	HASH_DELETE(hh, *all, address);
	free(address);
}
