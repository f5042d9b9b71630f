#include "worker-sse/edge/dev_guard.h"
#include "common/base/origin.h"

#include <stdlib.h>
#include <string.h>

/* "name[:port]", the name of IPv6 in brackets. */
static void split_host(struct span host, struct span *name, struct span *port)
{
	size_t end = host.len;
	*port = (struct span){0};
	for (size_t i = host.len; i-- > 0 && host.at[i] != ']';)
		if (host.at[i] == ':') {
			*port = span_of(host.at + i + 1, host.len - i - 1);
			end = i;
			break;
		}
	*name = span_of(host.at, end);
}

static bool ends_with(struct span text, struct span end)
{
	return text.len >= end.len &&
	       span_equal_nocase(span_of(text.at + text.len - end.len, end.len), end);
}

/* "127." and three numbers: a name such as 127.evil.example is none. */
static bool is_loopback4(struct span name)
{
	size_t dots = 0;
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] != '.' && (name.at[i] < '0' || name.at[i] > '9'))
			return false;
		dots += name.at[i] == '.';
	}
	return dots == 3 && memcmp(name.at, "127.", 4) == 0;
}

/* "localhost", anything below it, 127.0.0.0/8 or [::1], with a port or without. */
static bool host_is_loopback(struct span host)
{
	struct span name, port;
	split_host(host, &name, &port);
	if (name.len > 0 && name.at[name.len - 1] == '.')
		name.len--; /* the root's dot */
	return span_equal_nocase(name, SPAN("localhost")) || ends_with(name, SPAN(".localhost")) ||
	       span_equal(name, SPAN("[::1]")) || (name.len >= 7 && is_loopback4(name));
}

static struct span without_scheme(struct span url)
{
	static const struct span schemes[] = {SPAN("http://"), SPAN("https://")};
	for (size_t i = 0; i < 2; i++)
		if (url.len > schemes[i].len &&
		    span_equal_nocase(span_of(url.at, schemes[i].len), schemes[i]))
			return span_of(url.at + schemes[i].len, url.len - schemes[i].len);
	return (struct span){0};
}

static bool is_public(struct span host, const char *public_url)
{
	struct span own = without_scheme(span_str(public_url));
	const uint8_t *slash = own.len > 0 ? memchr(own.at, '/', own.len) : NULL;
	if (slash != NULL)
		own.len = (size_t)(slash - own.at);
	return own.len > 0 && span_equal_nocase(host, own);
}

static bool same_port(struct span a, struct span b)
{
	struct span name, port_a, port_b;
	split_host(a, &name, &port_a);
	split_host(b, &name, &port_b);
	return span_equal(port_a.len > 0 ? port_a : SPAN("80"),
	                  port_b.len > 0 ? port_b : SPAN("80"));
}

/* This machine's names are one: a page opened as localhost may ask 127.0.0.1, at the same port. */
static bool is_own(const struct dev_visit *visit)
{
	static const struct span http = {(const uint8_t *)"http://", 7};
	struct span origin = visit->origin, at = without_scheme(origin);
	char own[ORIGIN_ROOM];
	if (origin_of_url(visit->base_url, own) && origin_same(origin, span_str(own)))
		return true;
	return at.len > 0 && span_equal_nocase(span_of(origin.at, http.len), http) &&
	       host_is_loopback(at) && visit->host.len > 0 && host_is_loopback(visit->host) &&
	       same_port(at, visit->host);
}

/* A name without a dot is nobody's to point here, save by whoever answers for names in this very
 * network; and what says not even what it is, is no browser but somebody's netcat. */
static bool names_us(const struct dev_visit *visit)
{
	struct span host = visit->host;
	return host.len == 0 || host_is_loopback(host) || is_public(host, visit->public_url) ||
	       (!visit->browser && visit->origin.at == NULL &&
	        memchr(host.at, '.', host.len) == NULL);
}

unsigned dev_guard(const struct dev_visit *visit, const char **reason)
{
	*reason = NULL;
	if (!names_us(visit)) {
		*reason = "dev answers to this machine's own names only (or http.public_url)";
		return 421;
	}
	if (visit->origin.at == NULL || visit->preflight || visit->listed || is_own(visit))
		return 0;
	*reason = "dev lets no page of another origin in; name it in http.allowed_origin";
	return 403;
}
