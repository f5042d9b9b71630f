#include "worker-sse/edge/https_only.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What those ask who do not follow redirects: probes of health, and who checks that this host is
 * ours (RFC 8555 8.3 begins in the clear). */
static bool stays_in_the_clear(struct span path)
{
	static const char acme[] = "/.well-known/acme-challenge/";
	return span_equal(path, SPAN("/healthz")) || span_equal(path, SPAN("/readyz")) ||
	       (path.len >= sizeof acme - 1 && memcmp(path.at, acme, sizeof acme - 1) == 0);
}

/* Of HOST, HOST:PORT, [IPV6] and [IPV6]:PORT the host; at NULL: it is none that could stand in a
 * Location. */
static struct span without_port(struct span host)
{
	if (host.len == 0)
		return (struct span){0};
	const uint8_t *end =
	        *host.at == '[' ? memchr(host.at, ']', host.len) : memchr(host.at, ':', host.len);
	size_t len = end == NULL ? host.len : (size_t)(end - host.at) + (*end == ']');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = host.at[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
		if (!plain && !(*host.at == '[' && (c == ':' || c == '[' || c == ']')))
			return (struct span){0};
	}
	return len > 0 ? span_of(host.at, len) : (struct span){0};
}

static int put_origin(const struct https_visit *visit, const struct settings *s, char *out)
{
	static const char https[] = "https://";
	const char *url = s->http_public_url;
	struct span host = without_port(visit->host);
	if (strncmp(url, https, sizeof https - 1) == 0) {
		int len = snprintf(out, HTTPS_LOCATION_ROOM, "%s", url);
		while (len > 0 && len < HTTPS_LOCATION_ROOM && out[len - 1] == '/')
			len--;
		return len;
	}
	if (host.at == NULL)
		return -1;
	if (s->http_redirect_port == 443)
		return snprintf(out, HTTPS_LOCATION_ROOM, "https://%.*s", (int)host.len, host.at);
	return snprintf(out, HTTPS_LOCATION_ROOM, "https://%.*s:%" PRIu64, (int)host.len, host.at,
	                s->http_redirect_port);
}

enum https_answer https_only(const struct https_visit *visit, const struct settings *settings,
                             char location[HTTPS_LOCATION_ROOM])
{
	if (settings->http_redirect_port == 0 || visit->over_tls || visit->local ||
	    stays_in_the_clear(visit->path))
		return HTTPS_STAYS;
	int len = put_origin(visit, settings, location);
	if (len < 0 || (size_t)len + visit->path.len + 1 + visit->query.len >= HTTPS_LOCATION_ROOM)
		return HTTPS_NOWHERE;
	snprintf(location + len, HTTPS_LOCATION_ROOM - (size_t)len, "%.*s%s%.*s",
	         (int)visit->path.len, visit->path.at, visit->query.len > 0 ? "?" : "",
	         (int)visit->query.len, visit->query.len > 0 ? (const char *)visit->query.at : "");
	return HTTPS_GOES;
}

void https_hsts(const struct settings *settings, char line[HTTPS_HSTS_ROOM])
{
	*line = '\0';
	if (settings->tls_hsts_max_age_ms > 0)
		snprintf(line, HTTPS_HSTS_ROOM,
		         "strict-transport-security: max-age=%" PRIu64 "%s\r\n",
		         settings->tls_hsts_max_age_ms / 1000,
		         settings->tls_hsts_subdomains ? "; includeSubDomains" : "");
}
