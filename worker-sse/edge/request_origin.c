/* From where a request came, and under which name it knows this server. */
#include "worker-sse/edge/client_address.h"
#include "worker-sse/edge/conn.h"

#include <stdio.h>

void request_address(const struct request *request, uint8_t out[16])
{
	const struct conn *conn = request->exchange->conn;
	struct span forwarded = request->headers[HEADER_X_FORWARDED_FOR];
	if (request->edge->settings->http_trust_forwarded && forwarded.at != NULL &&
	    client_address_forwarded(forwarded, out))
		return;
	memset(out, 0, 16);
	if (conn != NULL)
		conn->wire.kind->address(&conn->wire, out);
}

/* Believed only as far as it could be in a URL. */
static bool plausible(struct span host)
{
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.at[i];
		if (c <= 0x20 || c >= 0x7f || c == '/' || c == '?' || c == '#' || c == '"' ||
		    c == '<' || c == '>' || c == ',' || c == '\\')
			return false;
	}
	return host.len > 0;
}

/* Host, or what a trusted proxy says it was. */
static struct span host_asked(const struct request *request)
{
	struct span forwarded = list_last(request->headers[HEADER_X_FORWARDED_HOST]);
	return request->edge->settings->http_trust_forwarded && plausible(forwarded)
	               ? forwarded
	               : request->headers[HEADER_HOST];
}

static bool came_by_tls(const struct request *request)
{
	const struct conn *conn = request->exchange->conn;
	struct span proto = list_last(request->headers[HEADER_X_FORWARDED_PROTO]);
	if (request->edge->settings->http_trust_forwarded && proto.len > 0)
		return span_equal_nocase(proto, SPAN("https"));
	return conn != NULL && conn->tls;
}

size_t request_base_url(const struct request *request, char *out, size_t out_len)
{
	const struct settings *s = request->edge->settings;
	struct span host = host_asked(request);
	if (*s->http_public_url != '\0') {
		int len = snprintf(out, out_len, "%s", s->http_public_url);
		while (len > 0 && out[len - 1] == '/')
			len--;
		return (size_t)len;
	}
	if (host.len == 0)
		host = span_str(s->listen);
	int len = snprintf(out, out_len, "%s://%.*s", came_by_tls(request) ? "https" : "http",
	                   (int)host.len, host.at);
	return len > 0 && (size_t)len < out_len ? (size_t)len : 0;
}

enum page_origin request_page(const struct request *request)
{
	struct span origin = request->headers[HEADER_ORIGIN];
	char base[1024], own[ORIGIN_ROOM];
	if (origin.at == NULL)
		return PAGE_UNSAID;
	size_t len = request_base_url(request, base, sizeof base);
	if (origin_of_url(span_of(base, len), own) && origin_same(origin, span_str(own)))
		return PAGE_OWN;
	return origins_find(&request->edge->cors.origins, origin) != 0 ? PAGE_LISTED : PAGE_FOREIGN;
}

/* "null" may read what it is told by name, but whoever likes can be it. */
bool request_page_trusted(const struct request *request)
{
	enum page_origin page = request_page(request);
	return page == PAGE_OWN ||
	       (page == PAGE_LISTED && !span_equal(request->headers[HEADER_ORIGIN], SPAN("null")));
}

bool request_over_tls(const struct request *request)
{
	static const struct span https = {(const uint8_t *)"https:", 6};
	char base[1024];
	size_t len = request_base_url(request, base, sizeof base);
	return !request->edge->settings->dev ||
	       (len > https.len && span_equal_nocase(span_of(base, https.len), https));
}

/* From this machine: proxies before us, browsers and probes. */
static bool is_local(const struct request *request)
{
	static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127},
	                     loopback6[16] = {0};
	const struct conn *conn = request->exchange->conn;
	uint8_t address[16] = {0};
	/* Of IPv6 the first half is known (client_address.h), which nobody else has. */
	return conn != NULL && conn->wire.kind->address(&conn->wire, address) &&
	       (memcmp(address, mapped, sizeof mapped) == 0 ||
	        memcmp(address, loopback6, sizeof loopback6) == 0);
}

enum https_answer request_https_only(const struct request *request,
                                     char location[HTTPS_LOCATION_ROOM])
{
	const struct https_visit visit = {.path = request->path,
	                                  .query = request->query,
	                                  .host = host_asked(request),
	                                  .over_tls = came_by_tls(request),
	                                  .local = is_local(request)};
	return https_only(&visit, request->edge->settings, location);
}
