#include "common/base/address.h"
#include "common/base/hex.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>

/* ---- kinds ---- */

struct v4_net {
	uint32_t net;
	unsigned bits;
	enum address_kind kind;
};

/* The IANA registry of special-purpose addresses (RFC 6890), multicast, and the metadata services
 * that stand at no link-local address. The first that fits counts. */
static const struct v4_net v4_nets[] = {
        {0x646464c8, 32, ADDRESS_METADATA}, /* 100.100.100.200, Alibaba */
        {0xa83f8110, 32, ADDRESS_METADATA}, /* 168.63.129.16, Azure */
        {0xc00000c0, 32, ADDRESS_METADATA}, /* 192.0.0.192, Oracle */
        {0xa9fe0000, 16, ADDRESS_METADATA}, /* 169.254/16, link-local */
        {0x7f000000, 8, ADDRESS_LOOPBACK},
        {0x00000000, 8, ADDRESS_PRIVATE}, /* this network: reaches this machine */
        {0x0a000000, 8, ADDRESS_PRIVATE},
        {0x64400000, 10, ADDRESS_PRIVATE}, /* 100.64/10, carriers */
        {0xac100000, 12, ADDRESS_PRIVATE},
        {0xc0a80000, 16, ADDRESS_PRIVATE},
        {0xc0000000, 24, ADDRESS_PRIVATE}, /* 192.0.0/24, protocols */
        {0xc0000200, 24, ADDRESS_PRIVATE}, /* documentation, and two more */
        {0xc6336400, 24, ADDRESS_PRIVATE},
        {0xcb007100, 24, ADDRESS_PRIVATE},
        {0xc0586300, 24, ADDRESS_PRIVATE}, /* 192.88.99/24, relays of 6to4 */
        {0xc6120000, 15, ADDRESS_PRIVATE}, /* 198.18/15, benchmarks */
        {0xe0000000, 3, ADDRESS_PRIVATE},  /* multicast, reserved, broadcast */
};

static enum address_kind v4_kind(uint32_t ip)
{
	for (size_t i = 0; i < sizeof v4_nets / sizeof *v4_nets; i++)
		if ((ip ^ v4_nets[i].net) >> (32 - v4_nets[i].bits) == 0)
			return v4_nets[i].kind;
	return ADDRESS_PUBLIC;
}

static enum address_kind v4_within(const struct in6_addr *ip, size_t at)
{
	uint32_t v4;
	memcpy(&v4, ip->s6_addr + at, 4);
	return v4_kind(ntohl(v4));
}

/* What stands behind a translator or a tunnel is not this machine. */
static enum address_kind v4_beyond(const struct in6_addr *ip, size_t at)
{
	enum address_kind kind = v4_within(ip, at);
	return kind == ADDRESS_LOOPBACK ? ADDRESS_PRIVATE : kind;
}

struct v6_net {
	uint8_t net[16];
	unsigned bits;
	enum address_kind kind;
	uint8_t v4_at; /* it holds an IPv4 address there, and is what that is; 0: none */
	bool beyond;
};

static const struct v6_net v6_nets[] = {
        {{[15] = 1}, 128, ADDRESS_LOOPBACK, 0, false},
        {{0}, 128, ADDRESS_PRIVATE, 0, false},
        {{[10] = 0xff, [11] = 0xff}, 96, ADDRESS_PUBLIC, 12, false}, /* mapped */
        {{0}, 96, ADDRESS_PUBLIC, 12, false},                        /* compatible */
        {{[8] = 0xff, [9] = 0xff}, 96, ADDRESS_PUBLIC, 12, true},    /* translated, RFC 2765 */
        {{0, 0x64, 0xff, 0x9b}, 96, ADDRESS_PUBLIC, 12, true},       /* NAT64, RFC 6052 */
        {{0x20, 0x02}, 16, ADDRESS_PUBLIC, 2, true},                 /* 6to4 */
        {{0xfe, 0x80}, 10, ADDRESS_METADATA, 0, false},
        {{0xfd, 0x00, 0x0e, 0xc2}, 32, ADDRESS_METADATA, 0, false}, /* Amazon */
        {{0xfd, 0x20, 0x00, 0xce}, 32, ADDRESS_METADATA, 0, false}, /* Google */
        {{0x20, 0x01}, 23, ADDRESS_PRIVATE, 0, false},              /* protocols; Teredo */
        {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_PRIVATE, 0, false},  /* documentation */
        {{0x3f, 0xff}, 20, ADDRESS_PRIVATE, 0, false},              /* documentation */
        {{0x20}, 3, ADDRESS_PUBLIC, 0, false},                      /* all that is routed */
};

static bool v6_within(const struct in6_addr *ip, const struct v6_net *net)
{
	size_t whole = net->bits / 8;
	unsigned rest = net->bits % 8;
	return memcmp(ip->s6_addr, net->net, whole) == 0 &&
	       (rest == 0 || (ip->s6_addr[whole] ^ net->net[whole]) >> (8 - rest) == 0);
}

/* ISATAP (RFC 5214) says in any network's address which IPv4 address stands behind it. */
static bool is_isatap(const struct in6_addr *ip)
{
	return (ip->s6_addr[8] & 0xfc) == 0 && ip->s6_addr[9] == 0 && ip->s6_addr[10] == 0x5e &&
	       ip->s6_addr[11] == 0xfe;
}

static enum address_kind v6_kind(const struct in6_addr *ip)
{
	for (size_t i = 0; i < sizeof v6_nets / sizeof *v6_nets; i++) {
		const struct v6_net *net = &v6_nets[i];
		if (!v6_within(ip, net))
			continue;
		if (net->v4_at != 0)
			return net->beyond ? v4_beyond(ip, net->v4_at) : v4_within(ip, net->v4_at);
		return net->kind == ADDRESS_PUBLIC && is_isatap(ip) ? v4_beyond(ip, 12) : net->kind;
	}
	return ADDRESS_PRIVATE;
}

enum address_kind address_kind(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return v4_kind(ntohl(
		        ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return v6_kind(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
	return ADDRESS_OTHER;
}

bool address_text(const struct sockaddr *address, char out[INET6_ADDRSTRLEN])
{
	const void *ip = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (address->sa_family == AF_INET)
		ip = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
	return (address->sa_family == AF_INET || address->sa_family == AF_INET6) &&
	       inet_ntop(address->sa_family, ip, out, INET6_ADDRSTRLEN) != NULL;
}

/* ---- hosts ---- */

static bool is_name(const char *name)
{
	size_t label = 0;
	for (const char *c = name; *c != '\0'; c++) {
		bool fits = islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-' ||
		            *c == '_';
		if (*c == '.' ? label == 0 : !fits || ++label > 63)
			return false;
		label = *c == '.' ? 0 : label;
	}
	return label > 0;
}

/* What may be taken for a number in one of its many spellings: 0x7f.1, 2130706433, 127.1. */
static bool ends_in_number(const char *name)
{
	const char *dot = strrchr(name, '.');
	return isdigit((unsigned char)(dot != NULL ? dot[1] : name[0])) != 0;
}

/* `text` is lower-cased into host->name and judged. */
static bool take_name(struct span text, bool brackets, struct address_host *host)
{
	struct in6_addr v6;
	struct in_addr v4;
	if (text.len == 0 || text.len > ADDRESS_NAME_MAX || memchr(text.at, 0, text.len) != NULL)
		return false;
	for (size_t i = 0; i < text.len; i++)
		host->name[i] = (char)tolower(text.at[i]);
	host->name[text.len] = '\0';
	host->ipv6 = brackets;
	host->literal = brackets || inet_pton(AF_INET, host->name, &v4) == 1;
	if (brackets)
		return inet_pton(AF_INET6, host->name, &v6) == 1 &&
		       inet_ntop(AF_INET6, &v6, host->name, sizeof host->name) != NULL;
	return host->literal || (is_name(host->name) && !ends_in_number(host->name));
}

bool address_parse_host(struct span text, struct address_host *host)
{
	bool brackets = text.len != 0 && text.at[0] == '[';
	const uint8_t *end = text.at + text.len;
	const uint8_t *close = brackets ? memchr(text.at, ']', text.len) : NULL;
	const uint8_t *from = brackets ? close : text.at;
	if (text.len == 0 || from == NULL)
		return false;
	const uint8_t *colon = memchr(from, ':', (size_t)(end - from));
	const uint8_t *name_end = brackets ? close : colon != NULL ? colon : end;
	unsigned port = 0;
	if (brackets && close + 1 != (colon != NULL ? colon : end))
		return false;
	for (const uint8_t *c = colon != NULL ? colon + 1 : end; c < end; c++) {
		if (!isdigit(*c) || (port = port * 10 + (unsigned)(*c - '0')) > 65535)
			return false;
	}
	if (colon != NULL && port == 0)
		return false;
	host->port = (uint16_t)port;
	const uint8_t *name = text.at + brackets;
	return take_name(span_of(name, (size_t)(name_end - name)), brackets, host);
}

bool address_parse_url(struct span url, struct address_host *host)
{
	bool tls = url.len > 8 && memcmp(url.at, "https://", 8) == 0;
	bool plain = url.len > 7 && memcmp(url.at, "http://", 7) == 0;
	size_t from = tls ? 8 : 7, to = from;
	if (!tls && !plain)
		return false;
	for (size_t i = 0; i < url.len; i++)
		if (url.at[i] <= ' ' || url.at[i] == 0x7f || url.at[i] == '\\')
			return false;
	while (to < url.len && strchr("/?#", url.at[to]) == NULL)
		to++;
	if (!address_parse_host(span_of(url.at + from, to - from), host))
		return false;
	if (host->port == 0)
		host->port = tls ? 443 : 80;
	return true;
}

/* Users too are secrets; address_parse_url() knows none. */
static bool parse_authority(const char *authority, struct address_host *host)
{
	struct span text = span_of(authority, strcspn(authority, "/?#\\"));
	for (size_t i = text.len; i > 0; i--)
		if (text.at[i - 1] == '@')
			return address_parse_host(span_of(text.at + i, text.len - i), host);
	return address_parse_host(text, host);
}

void address_url_shown(const char *url, char out[ADDRESS_URL_SHOWN_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char id[9], port[8] = "";
	struct address_host host;
	size_t scheme = strncmp(url, "https://", 8) == 0  ? 8
	                : strncmp(url, "http://", 7) == 0 ? 7
	                                                  : 0;
	SHA256((const uint8_t *)url, strlen(url), digest);
	hex_print(digest, 4, id);
	if (scheme == 0 || !parse_authority(url + scheme, &host)) {
		snprintf(out, ADDRESS_URL_SHOWN_ROOM, "#%s", id);
		return;
	}
	if (host.port != 0 && host.port != (scheme == 8 ? 443 : 80))
		snprintf(port, sizeof port, ":%u", (unsigned)host.port);
	snprintf(out, ADDRESS_URL_SHOWN_ROOM, "%.*s%s%s%s%s/#%s", (int)scheme, url,
	         host.ipv6 ? "[" : "", host.name, host.ipv6 ? "]" : "", port, id);
}

/* ---- lists and fences ---- */

bool address_list_next(const char **list, struct span *item)
{
	while (**list == ',' || **list == ' ')
		(*list)++;
	size_t len = strcspn(*list, ", ");
	*item = span_of(*list, len);
	*list += len;
	return len > 0;
}

bool address_list_fits(const char *list, struct span *bad)
{
	struct address_host host;
	while (address_list_next(&list, bad))
		if (!span_equal(*bad, SPAN("*")) && !address_parse_host(*bad, &host))
			return false;
	return true;
}

static enum address_reach reach_by_name(const struct address_host *host)
{
	return host->literal ? REACH_ANY : REACH_PRIVATE;
}

enum address_reach address_reach(const struct address_fence *fence, const struct address_host *host)
{
	enum address_reach reach = fence->own        ? reach_by_name(host)
	                           : fence->loopback ? REACH_LOOPBACK
	                                             : REACH_PUBLIC;
	const char *list = fence->open != NULL ? fence->open : "";
	struct address_host named;
	struct span item;
	while (address_list_next(&list, &item)) {
		enum address_reach opened = REACH_PUBLIC;
		if (span_equal(item, SPAN("*")))
			opened = REACH_PRIVATE;
		else if (address_parse_host(item, &named) && strcmp(named.name, host->name) == 0 &&
		         (named.port == 0 || named.port == host->port))
			opened = reach_by_name(host);
		reach = opened > reach ? opened : reach;
	}
	return reach;
}

enum address_reach address_reach_of_own(const char *url)
{
	static const struct address_fence own = {.own = true};
	struct address_host host = {0};
	return address_parse_url(span_str(url), &host) ? address_reach(&own, &host) : REACH_PRIVATE;
}

bool address_allowed(enum address_reach reach, const struct sockaddr *address)
{
	switch (address_kind(address)) {
	case ADDRESS_PUBLIC:
		return true;
	case ADDRESS_LOOPBACK:
		return reach >= REACH_LOOPBACK;
	case ADDRESS_PRIVATE:
		return reach >= REACH_PRIVATE;
	case ADDRESS_METADATA:
		return reach == REACH_ANY;
	case ADDRESS_OTHER:
		break;
	}
	return false;
}

/* RFC 6761, 6.3: "localhost" and what ends in it. */
static bool means_this_machine(const char *name)
{
	size_t len = strlen(name), tail = sizeof ".localhost" - 1;
	return strcmp(name, "localhost") == 0 ||
	       (len > tail && strcmp(name + len - tail, ".localhost") == 0);
}

/* The address that the host's name is; false: it is a name. */
static bool address_of(const struct address_host *host, struct sockaddr_storage *out)
{
	*out = (struct sockaddr_storage){.ss_family = host->ipv6 ? AF_INET6 : AF_INET};
	void *ip = host->ipv6 ? (void *)&((struct sockaddr_in6 *)(void *)out)->sin6_addr
	                      : &((struct sockaddr_in *)(void *)out)->sin_addr;
	return host->literal && inet_pton(out->ss_family, host->name, ip) == 1;
}

bool address_host_allowed(enum address_reach reach, const struct address_host *host)
{
	struct sockaddr_storage address;
	if (address_of(host, &address))
		return address_allowed(reach, (const struct sockaddr *)&address);
	if (strcmp(host->name, "metadata.google.internal") == 0)
		return false;
	return reach >= REACH_LOOPBACK || !means_this_machine(host->name);
}

bool address_host_is_loopback(const struct address_host *host)
{
	struct sockaddr_storage address;
	if (address_of(host, &address))
		return address_kind((const struct sockaddr *)&address) == ADDRESS_LOOPBACK;
	return means_this_machine(host->name);
}
