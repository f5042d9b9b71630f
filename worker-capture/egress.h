/* Where a browser may go. Pure: parsing, judging, and the flags that Chromium is given.
 *
 * Three layers stand behind one list. (1) The browser process resolves nothing but the list's names,
 * pinned to addresses that were judged here, and knows no way but a dead proxy to any other host or
 * port: this holds for every request, WebSockets and workers included. (2) Documents are stopped
 * before they are requested. (3) What became the page after all is judged again. UDP is not covered by
 * the first layer: session.h says how that is closed. */
#pragma once

#include "proto/bytes.h"

#include <netdb.h>
#include <netinet/in.h>

enum {
	EGRESS_HOSTS_MAX = 32,
	EGRESS_HOST_BYTES_MAX = 253,
	EGRESS_REASON_MAX = 256,
};

struct egress_host {
	char name[EGRESS_HOST_BYTES_MAX + 1]; /* lower case; IPv6 without brackets */
	uint16_t port;                        /* 0: 80 and 443 */
	bool literal, ipv6;                   /* the name is an address */
	bool may_be_private;
	bool peer; /* only its name is resolved, for UDP; no request goes there */
	char address[INET6_ADDRSTRLEN]; /* where it was found, "" until egress_pin() */
};

struct egress {
	struct egress_host hosts[EGRESS_HOSTS_MAX];
	size_t count;
};

struct egress_url {
	char host[EGRESS_HOST_BYTES_MAX + 1]; /* as above */
	uint16_t port;                        /* the scheme's when the url has none */
	bool literal, ipv6;
};

/* http and https only; no user in it, no control characters, no backslash, and numbers only as
 * addresses in their usual form. False: it is anything else. */
bool egress_parse_url(struct span url, struct egress_url *out);

/* The url's own host and port, then comma-separated lists of HOST, HOST:PORT or [IPV6]:PORT.
 * `private_hosts` lists the hosts among them whose address may be loopback, private or link-local; "*"
 * is all of them but link-local ones, where metadata services live. False: the reason says what is
 * wrong or forbidden. Addresses are judged at once, names by egress_pin(). */
bool egress_init(struct egress *egress, const char *url, const char *allow, const char *allow_more,
                 const char *private_hosts, char reason[EGRESS_REASON_MAX]);

/* Comma-separated HOST or [IPV6] that the operator named for WebRTC (STUN, TURN), wherever they are. */
bool egress_add_peers(struct egress *egress, const char *hosts, char reason[EGRESS_REASON_MAX]);

/* Takes the first address that may be reached. False: none may; the reason says it. */
bool egress_pin(struct egress_host *host, const struct addrinfo *found,
                char reason[EGRESS_REASON_MAX]);

/* May a document come from there? Every other scheme than http and https is refused. */
bool egress_allows(const struct egress *egress, struct span url);

/* Values of --host-resolver-rules and --proxy-bypass-list; to be freed. */
char *egress_resolver_rules(const struct egress *egress);
char *egress_bypass_list(const struct egress *egress);
