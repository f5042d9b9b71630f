#include "worker-sse/edge/cors.h"
#include "common/base/check.h"

#include <stdio.h>

/* Under dev a page needs no token: "*", the default, would let every page in the developer's
 * browser in. */
static bool cors_lets_others_in(const struct settings *settings)
{
	return !settings->dev || strcmp(settings->http_allowed_origin, "*") != 0;
}

char *cors_common_headers(const struct settings *settings)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	check(out != NULL);
	if (!cors_lets_others_in(settings)) {
		fputs("x-content-type-options: nosniff\r\ncross-origin-resource-policy: "
		      "same-origin\r\n",
		      out);
		check(fclose(out) == 0);
		return text;
	}
	fprintf(out,
	        "x-content-type-options: nosniff\r\n"
	        "cross-origin-resource-policy: cross-origin\r\n"
	        "access-control-allow-origin: %s\r\n"
	        "access-control-expose-headers: stream-next-offset, stream-cursor, "
	        "stream-up-to-date, stream-closed, producer-epoch, producer-seq, "
	        "producer-expected-seq, producer-received-seq, etag, link, location, content-type, "
	        "content-encoding, vary, stream-sse-data-encoding, stream-ttl, stream-expires-at, "
	        "retry-after\r\n",
	        settings->http_allowed_origin);
	if (strcmp(settings->http_allowed_origin, "*") != 0)
		fputs("vary: origin\r\n", out);
	check(fclose(out) == 0);
	return text;
}

#define CORS_NAME(X, member, NAME, title, max) title ", "
#define CORS_HEADERS                                                                               \
	FORWARDED_HEADERS(CORS_NAME, )                                                             \
	"if-none-match, last-event-id, stream-seq, stream-ttl, stream-expires-at, stream-closed, " \
	"producer-id, producer-epoch, producer-seq, stream-forked-from, stream-fork-offset, "      \
	"stream-fork-sub-offset"

void cors_preflight(struct request *request)
{
	static const struct header headers[] = {
	        {"access-control-allow-methods",
	         SPAN("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")},
	        {"access-control-allow-headers", SPAN(CORS_HEADERS)},
	        {"access-control-max-age", SPAN("86400")},
	        {"allow", SPAN("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")},
	        {"accept-post", SPAN("application/sdp")},
	};
	static const struct span whep = {(const uint8_t *)"/whep", 5};
	struct span path = request->path;
	bool offers = path.len > whep.len &&
	              span_equal(span_of(path.at + path.len - whep.len, whep.len), whep);
	/* draft-ietf-wish-whep: a client learns by OPTIONS what an offer is to be. */
	reply(request, offers ? 200 : 204, headers,
	      sizeof headers / sizeof *headers - (offers ? 0 : 1), (struct span){0});
}
