#include "worker-capture/egress.h"
#include "common/check.h"
#include "common/subscription.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- parsing ---- */

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

/* What a browser may take for a number in one of its many spellings: 0x7f.1, 2130706433, 127.1. */
static bool ends_in_number(const char *name)
{
	const char *dot = strrchr(name, '.');
	return isdigit((unsigned char)(dot != NULL ? dot[1] : name[0])) != 0;
}

/* `text` is lower-cased into out->host and judged. */
static bool take_host(struct span text, bool brackets, struct egress_url *out)
{
	struct in6_addr v6;
	struct in_addr v4;
	if (text.len == 0 || text.len > EGRESS_HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++)
		out->host[i] = (char)tolower(text.at[i]);
	out->host[text.len] = '\0';
	if (memchr(text.at, 0, text.len) != NULL)
		return false;
	out->ipv6 = brackets;
	out->literal = brackets || inet_pton(AF_INET, out->host, &v4) == 1;
	if (brackets)
		return inet_pton(AF_INET6, out->host, &v6) == 1 &&
		       inet_ntop(AF_INET6, &v6, out->host, sizeof out->host) != NULL;
	return out->literal || (is_name(out->host) && !ends_in_number(out->host));
}

/* "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT"; port 0 when there is none. */
static bool take_authority(struct span text, struct egress_url *out)
{
	bool brackets = text.len != 0 && text.at[0] == '[';
	const uint8_t *end = text.at + text.len;
	const uint8_t *close = brackets ? memchr(text.at, ']', text.len) : NULL;
	const uint8_t *from = brackets ? close : text.at;
	if (text.len == 0 || from == NULL)
		return false;
	const uint8_t *colon = memchr(from, ':', (size_t)(end - from));
	const uint8_t *host_end = brackets ? close : colon != NULL ? colon : end;
	unsigned port = 0;
	if (brackets && close + 1 != (colon != NULL ? colon : end))
		return false;
	for (const uint8_t *c = colon != NULL ? colon + 1 : end; c < end; c++) {
		if (!isdigit(*c) || (port = port * 10 + (unsigned)(*c - '0')) > 65535)
			return false;
	}
	if (colon != NULL && port == 0)
		return false;
	out->port = (uint16_t)port;
	const uint8_t *host = text.at + brackets;
	return take_host(span_of(host, (size_t)(host_end - host)), brackets, out);
}

bool egress_parse_url(struct span url, struct egress_url *out)
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
	if (!take_authority(span_of(url.at + from, to - from), out))
		return false;
	if (out->port == 0)
		out->port = tls ? 443 : 80;
	return true;
}

/* ---- addresses ---- */

static bool is_link_local_v4(const struct in_addr *ip)
{
	return ntohl(ip->s_addr) >> 16 == 0xa9fe;
}

static bool is_link_local_v6(const struct in6_addr *ip)
{
	static const uint8_t metadata[8] = {0xfd, 0x00, 0x0e, 0xc2};
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return ip->s6_addr[12] == 0xa9 && ip->s6_addr[13] == 0xfe;
	return IN6_IS_ADDR_LINKLOCAL(ip) || memcmp(ip->s6_addr, metadata, sizeof metadata) == 0;
}

static bool is_link_local(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return is_link_local_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr);
	return is_link_local_v6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Link-local is where clouds answer with their secrets: only its own address opens it. */
static bool may_reach(const struct egress_host *host, const struct sockaddr *address)
{
	if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
		return false;
	if (webhook_address_allowed(address, false))
		return true;
	return host->may_be_private && (host->literal || !is_link_local(address));
}

bool egress_pin(struct egress_host *host, const struct addrinfo *found,
                char reason[EGRESS_REASON_MAX])
{
	for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
		if (!may_reach(host, at->ai_addr))
			continue;
		const void *ip = at->ai_family == AF_INET
		                         ? (const void *)&((struct sockaddr_in *)(void *)at->ai_addr)->sin_addr
		                         : &((struct sockaddr_in6 *)(void *)at->ai_addr)->sin6_addr;
		return inet_ntop(at->ai_family, ip, host->address, sizeof host->address) != NULL;
	}
	snprintf(reason, EGRESS_REASON_MAX,
	         "%.120s is at no address that may be reached; capture.allow_private lists the "
	         "private hosts that may be",
	         host->name);
	return false;
}

static bool pin_literal(struct egress_host *host, char reason[EGRESS_REASON_MAX])
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct addrinfo found = {.ai_family = host->ipv6 ? AF_INET6 : AF_INET,
	                         .ai_addr = host->ipv6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4};
	check(inet_pton(found.ai_family, host->name,
	                host->ipv6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) == 1);
	return egress_pin(host, &found, reason);
}

/* ---- the list ---- */

static bool next_item(const char **at, struct span *item)
{
	while (**at == ',' || **at == ' ')
		(*at)++;
	size_t len = strcspn(*at, ", ");
	*item = span_of(*at, len);
	*at += len;
	return len > 0;
}

static bool is_link_local_literal(const struct egress_url *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (host->ipv6)
		return inet_pton(AF_INET6, host->host, &v6) == 1 && is_link_local_v6(&v6);
	return host->literal && inet_pton(AF_INET, host->host, &v4) == 1 && is_link_local_v4(&v4);
}

static bool is_named_private(const struct egress_url *host, const char *private_hosts)
{
	struct egress_url named;
	struct span item;
	while (next_item(&private_hosts, &item)) {
		bool all = span_equal(item, SPAN("*"));
		if (all && !is_link_local_literal(host))
			return true;
		if (!all && take_authority(item, &named) && strcmp(named.host, host->host) == 0)
			return true;
	}
	return false;
}

static bool add(struct egress *egress, const struct egress_url *from, const char *private_hosts,
                char reason[EGRESS_REASON_MAX])
{
	for (size_t i = 0; i < egress->count; i++)
		if (strcmp(egress->hosts[i].name, from->host) == 0 &&
		    egress->hosts[i].port == from->port)
			return true;
	if (egress->count == EGRESS_HOSTS_MAX) {
		snprintf(reason, EGRESS_REASON_MAX, "more than %d hosts", EGRESS_HOSTS_MAX);
		return false;
	}
	struct egress_host *host = &egress->hosts[egress->count++];
	*host = (struct egress_host){.port = from->port,
	                             .literal = from->literal,
	                             .ipv6 = from->ipv6,
	                             .may_be_private = is_named_private(from, private_hosts)};
	memcpy(host->name, from->host, sizeof host->name);
	return !host->literal || pin_literal(host, reason);
}

static bool add_list(struct egress *egress, const char *list, const char *private_hosts,
                     char reason[EGRESS_REASON_MAX])
{
	struct egress_url host;
	struct span item;
	while (next_item(&list, &item)) {
		if (!take_authority(item, &host)) {
			snprintf(reason, EGRESS_REASON_MAX, "'%.*s' is no HOST or HOST:PORT",
			         (int)(item.len < 100 ? item.len : 100), (const char *)item.at);
			return false;
		}
		if (!add(egress, &host, private_hosts, reason))
			return false;
	}
	return true;
}

bool egress_init(struct egress *egress, const char *url, const char *allow, const char *allow_more,
                 const char *private_hosts, char reason[EGRESS_REASON_MAX])
{
	struct egress_url own;
	*egress = (struct egress){0};
	if (!egress_parse_url(span_str(url), &own)) {
		snprintf(reason, EGRESS_REASON_MAX,
		         "the url must be http or https, with a host and without a user");
		return false;
	}
	return add(egress, &own, private_hosts, reason) &&
	       add_list(egress, allow, private_hosts, reason) &&
	       add_list(egress, allow_more, private_hosts, reason);
}

bool egress_add_peers(struct egress *egress, const char *hosts, char reason[EGRESS_REASON_MAX])
{
	size_t before = egress->count;
	if (!add_list(egress, hosts, "*", reason))
		return false;
	for (size_t i = before; i < egress->count; i++)
		egress->hosts[i].peer = true;
	return true;
}

bool egress_allows(const struct egress *egress, struct span url)
{
	struct egress_url to;
	if (!egress_parse_url(url, &to))
		return false;
	for (size_t i = 0; i < egress->count; i++) {
		const struct egress_host *host = &egress->hosts[i];
		bool port = host->port == to.port || (host->port == 0 && (to.port == 80 || to.port == 443));
		if (port && !host->peer && strcmp(host->name, to.host) == 0)
			return true;
	}
	return false;
}

/* ---- flags ---- */

/* The first rule that fits counts. A pinned name keeps its certificate's name. */
char *egress_resolver_rules(const struct egress *egress)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	check(out != NULL);
	for (size_t i = 0; i < egress->count; i++) {
		const struct egress_host *host = &egress->hosts[i];
		bool ipv6 = strchr(host->address, ':') != NULL;
		if (host->literal)
			fprintf(out, ipv6 ? "EXCLUDE [%s] , " : "EXCLUDE %s , ", host->name);
		else if (*host->address != '\0')
			fprintf(out, ipv6 ? "MAP %s [%s] , " : "MAP %s %s , ", host->name, host->address);
	}
	fputs("MAP * ~NOTFOUND", out);
	check(fclose(out) == 0);
	return text;
}

/* "<-loopback>" takes the hidden exception for loopback away. */
char *egress_bypass_list(const struct egress *egress)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	check(out != NULL);
	fputs("<-loopback>", out);
	for (size_t i = 0; i < egress->count; i++) {
		const struct egress_host *host = &egress->hosts[i];
		if (host->peer)
			continue;
		const char *left = host->ipv6 ? "[" : "", *right = host->ipv6 ? "]" : "";
		unsigned port = host->port != 0 ? host->port : 443;
		fprintf(out, ";%s%s%s:%u", left, host->name, right, port);
		if (host->port == 0)
			fprintf(out, ";%s%s%s:80", left, host->name, right);
	}
	check(fclose(out) == 0);
	return text;
}
