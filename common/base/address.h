/* Where this suite, and what it starts for others, may connect to: webhooks, market.webhook_url,
 * sessions.validate_url, browsers, outputs, the servers of WebRTC. Pure.
 *
 * What somebody else names reaches public addresses only. Whoever runs the suite opens more by
 * lists of
 *
 *     HOST   HOST:PORT   [IPV6]   [IPV6]:PORT   *
 *
 * (comma-separated; without a port: each of its ports),
 * and where clouds keep their secrets (link-local, metadata services) is open to nothing but its
 * own address, named as such: neither * nor a name that leads there is enough. What counts is the
 * address that is connected to, not what a name led to a moment earlier (DNS rebinding). */
#pragma once

#include "proto/bytes.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { ADDRESS_NAME_MAX = 253 };

enum address_kind {
	ADDRESS_PUBLIC,
	ADDRESS_LOOPBACK,
	ADDRESS_PRIVATE,  /* and every other that the internet does not route, multicast too */
	ADDRESS_METADATA, /* link-local, and where clouds answer machines about themselves */
	ADDRESS_OTHER,    /* neither IPv4 nor IPv6 */
};

/* An IPv4 address within an IPv6 one (mapped, NAT64, 6to4, ...) counts as what it leads to. */
enum address_kind address_kind(const struct sockaddr *address);

struct address_host {
	char name[ADDRESS_NAME_MAX + 1]; /* lower case; IPv6 without brackets, in its usual form */
	uint16_t port;                   /* 0: none was given */
	bool literal, ipv6;              /* the name is an address */
};

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT. Numbers only as addresses in their usual form: what a
 * browser or a library may take for one (0x7f.1, 2130706433, 127.1) is no name. False: it is
 * anything else. */
bool address_parse_host(struct span text, struct address_host *host);

/* Of an http or https url, the port filled in by its scheme; no user in it, no control characters,
 * no backslash. */
bool address_parse_url(struct span url, struct address_host *host);

enum { ADDRESS_URL_SHOWN_ROOM = 300 };
/* What may be shown of an http or https url whose path, query or user may be secrets (a webhook's):
 * scheme, host, a port that is not the scheme's own, and eight digits that are the same for the
 * same url: "https://example.org/#1a2b3c4d". Of what is none: the digits alone, behind "#". */
void address_url_shown(const char *url, char out[ADDRESS_URL_SHOWN_ROOM]);

/* What of a list can be said when it is configured. False: *bad is the first item that is none. */
bool address_list_fits(const char *list, struct span *bad);
/* The next item of a list; false: no more. */
bool address_list_next(const char **list, struct span *item);

/* Who opened what. */
struct address_fence {
	const char *open; /* list of hosts that may be at private addresses; NULL: none */
	bool loopback;    /* loopback is open to everybody (dev) */
	bool own; /* whoever runs the suite named the host: private addresses are open to it */
};

/* What a fence opens for one host, each more than the one before. */
enum address_reach { REACH_PUBLIC, REACH_LOOPBACK, REACH_PRIVATE, REACH_ANY };

/* host->port 0: whatever port is meant, so that an entry with a port opens nothing. */
enum address_reach address_reach(const struct address_fence *fence,
                                 const struct address_host *host);
/* Of a url that whoever runs the suite configured. */
enum address_reach address_reach_of_own(const char *url);
bool address_allowed(enum address_reach reach, const struct sockaddr *address);

/* As much as can be said without asking anybody: addresses are judged, and names that always mean
 * this machine or a metadata service. True for other names: what they lead to is judged when it is
 * known. */
bool address_host_allowed(enum address_reach reach, const struct address_host *host);

/* Its own address, or a name that always means this machine? */
bool address_host_is_loopback(const struct address_host *host);

/* Room for the longest address as text. False: it is neither IPv4 nor IPv6. */
bool address_text(const struct sockaddr *address, char out[INET6_ADDRSTRLEN]);
