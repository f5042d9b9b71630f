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

size_t request_base_url(const struct request *request, char *out, size_t out_len)
{
	const struct settings *s = request->edge->settings;
	const struct span *headers = request->headers;
	const struct conn *conn = request->exchange->conn;
	struct span host = headers[HEADER_HOST],
	            proto = conn != NULL && conn->tls ? SPAN("https") : SPAN("http");
	if (*s->http_public_url != '\0') {
		int len = snprintf(out, out_len, "%s", s->http_public_url);
		while (len > 0 && out[len - 1] == '/')
			len--;
		return (size_t)len;
	}
	if (s->http_trust_forwarded) {
		if (plausible(list_last(headers[HEADER_X_FORWARDED_HOST])))
			host = list_last(headers[HEADER_X_FORWARDED_HOST]);
		if (span_equal_nocase(list_last(headers[HEADER_X_FORWARDED_PROTO]), SPAN("https")))
			proto = SPAN("https");
		else if (headers[HEADER_X_FORWARDED_PROTO].len > 0)
			proto = SPAN("http");
	}
	if (host.len == 0)
		host = span_str(s->listen);
	int len = snprintf(out, out_len, "%.*s://%.*s", (int)proto.len, proto.at, (int)host.len,
	                   host.at);
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
