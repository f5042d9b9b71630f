#include "worker-capture/egress.h"
#include "common/base/check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- addresses ---- */

static bool same_name(const struct egress_host *host, const char *name)
{
	return strcmp(host->at.name, name) == 0;
}

/* Every host of that name has to do with the same address. */
static bool all_may_reach(const struct egress *egress, const char *name,
                          const struct sockaddr *address)
{
	for (size_t i = 0; i < egress->count; i++)
		if (same_name(&egress->hosts[i], name) &&
		    !address_allowed(egress->hosts[i].reach, address))
			return false;
	return true;
}

static bool refuse(const char *name, char reason[EGRESS_REASON_MAX])
{
	snprintf(reason, EGRESS_REASON_MAX,
	         "%.120s is at no address that may be reached; capture.allow_private lists the "
	         "private hosts that may be",
	         name);
	return false;
}

bool egress_pin(struct egress *egress, const char *name, const struct addrinfo *found,
                char reason[EGRESS_REASON_MAX])
{
	char text[INET6_ADDRSTRLEN];
	while (found != NULL && (!all_may_reach(egress, name, found->ai_addr) ||
	                         !address_text(found->ai_addr, text)))
		found = found->ai_next;
	if (found == NULL)
		return refuse(name, reason);
	for (size_t i = 0; i < egress->count; i++)
		if (same_name(&egress->hosts[i], name))
			memcpy(egress->hosts[i].address, text, sizeof text);
	return true;
}

bool egress_is_first(const struct egress *egress, size_t host)
{
	for (size_t i = 0; i < host; i++)
		if (same_name(&egress->hosts[i], egress->hosts[host].at.name))
			return false;
	return true;
}

/* ---- the list ---- */

/* A host without a port stands for two. */
static enum address_reach reach_of(const struct address_host *host, const char *open)
{
	const struct address_fence fence = {.open = open};
	struct address_host plain = *host, tls = *host;
	if (host->port != 0)
		return address_reach(&fence, host);
	plain.port = 80;
	tls.port = 443;
	enum address_reach one = address_reach(&fence, &plain), other = address_reach(&fence, &tls);
	return one < other ? one : other;
}

static bool add(struct egress *egress, const struct address_host *from, const char *open,
                char reason[EGRESS_REASON_MAX])
{
	for (size_t i = 0; i < egress->count; i++)
		if (same_name(&egress->hosts[i], from->name) &&
		    egress->hosts[i].at.port == from->port)
			return true;
	if (egress->count == EGRESS_HOSTS_MAX) {
		snprintf(reason, EGRESS_REASON_MAX, "more than %d hosts", EGRESS_HOSTS_MAX);
		return false;
	}
	struct egress_host *host = &egress->hosts[egress->count++];
	*host = (struct egress_host){.at = *from, .reach = reach_of(from, open)};
	if (!from->literal)
		return true;
	if (!address_host_allowed(host->reach, from))
		return refuse(from->name, reason);
	snprintf(host->address, sizeof host->address, "%.45s", from->name);
	return true;
}

static bool add_list(struct egress *egress, const char *list, const char *open,
                     char reason[EGRESS_REASON_MAX])
{
	struct address_host host;
	struct span item;
	while (address_list_next(&list, &item)) {
		if (!address_parse_host(item, &host)) {
			snprintf(reason, EGRESS_REASON_MAX, "'%.*s' is no HOST or HOST:PORT",
			         (int)(item.len < 100 ? item.len : 100), (const char *)item.at);
			return false;
		}
		if (!add(egress, &host, open, reason))
			return false;
	}
	return true;
}

bool egress_init(struct egress *egress, const char *url, const char *allow, const char *allow_more,
                 const char *open, char reason[EGRESS_REASON_MAX])
{
	struct address_host own;
	*egress = (struct egress){0};
	if (!address_parse_url(span_str(url), &own)) {
		snprintf(reason, EGRESS_REASON_MAX,
		         "the url must be http or https, with a host and without a user");
		return false;
	}
	return add(egress, &own, open, reason) && add_list(egress, allow, open, reason) &&
	       add_list(egress, allow_more, open, reason);
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
	struct address_host to;
	if (!address_parse_url(url, &to))
		return false;
	for (size_t i = 0; i < egress->count; i++) {
		const struct egress_host *host = &egress->hosts[i];
		bool port = host->at.port == to.port ||
		            (host->at.port == 0 && (to.port == 80 || to.port == 443));
		if (port && !host->peer && same_name(host, to.name))
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
		if (host->at.literal)
			fprintf(out, ipv6 ? "EXCLUDE [%s] , " : "EXCLUDE %s , ", host->at.name);
		else if (*host->address != '\0')
			fprintf(out, ipv6 ? "MAP %s [%s] , " : "MAP %s %s , ", host->at.name,
			        host->address);
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
		const char *left = host->at.ipv6 ? "[" : "", *right = host->at.ipv6 ? "]" : "";
		unsigned port = host->at.port != 0 ? host->at.port : 443;
		fprintf(out, ";%s%s%s:%u", left, host->at.name, right, port);
		if (host->at.port == 0)
			fprintf(out, ";%s%s%s:80", left, host->at.name, right);
	}
	check(fclose(out) == 0);
	return text;
}
