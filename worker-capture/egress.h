/* Where a browser may go. Pure: parsing, judging, and the flags that Chromium is given.
 *
 * Three layers stand behind one list. (1) The browser process resolves nothing but the list's
 * names, pinned to addresses that were judged here, and knows no way but a dead proxy to any other
 * host or port: this holds for every request, WebSockets and workers included. (2) Documents are
 * stopped before they are requested. (3) What became the page after all is judged again. UDP is not
 * covered by the first layer: session.h says how that is closed. */
#pragma once

#include "common/base/address.h"

#include <netdb.h>

enum {
	EGRESS_HOSTS_MAX = 32,
	EGRESS_REASON_MAX = 256,
};

struct egress_host {
	struct address_host at; /* port 0: 80 and 443 */
	enum address_reach reach;
	bool peer; /* only its name is resolved, for UDP; no request goes there */
	char address[INET6_ADDRSTRLEN]; /* where it was found, "" until egress_pin() */
};

struct egress {
	struct egress_host hosts[EGRESS_HOSTS_MAX];
	size_t count;
};

/* The url's own host and port, then comma-separated lists of HOST, HOST:PORT or [IPV6]:PORT.
 * `open` lists those among them whose address may be private (address.h). False: the reason says
 * what is wrong or forbidden. Addresses are judged at once, names by egress_pin(). */
bool egress_init(struct egress *egress, const char *url, const char *allow, const char *allow_more,
                 const char *open, char reason[EGRESS_REASON_MAX]);

/* Comma-separated HOST or [IPV6] that whoever runs the suite named for WebRTC (STUN, TURN),
 * wherever they are. */
bool egress_add_peers(struct egress *egress, const char *hosts, char reason[EGRESS_REASON_MAX]);

/* The browser knows one address for a name, so all hosts of that name get the first address that
 * each of them may reach, on its port. False: there is none; the reason says it. */
bool egress_pin(struct egress *egress, const char *name, const struct addrinfo *found,
                char reason[EGRESS_REASON_MAX]);
/* Is it the first of its name, so that one question is enough? */
bool egress_is_first(const struct egress *egress, size_t host);

/* May a document come from there? Every other scheme than http and https is refused. */
bool egress_allows(const struct egress *egress, struct span url);

/* Values of --host-resolver-rules and --proxy-bypass-list; to be freed. */
char *egress_resolver_rules(const struct egress *egress);
char *egress_bypass_list(const struct egress *egress);
