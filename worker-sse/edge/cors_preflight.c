#include "worker-sse/edge/cors_preflight.h"

#define CORS_NAME(X, member, NAME, title, max) title ", "
#define CORS_HEADERS                                                                               \
	FORWARDED_HEADERS(CORS_NAME, )                                                             \
	"if-none-match, last-event-id, stream-seq, stream-ttl, stream-expires-at, stream-closed, " \
	"x-actor-id, x-actor-type, x-session-id, x-connection-id, x-connection-generation, "       \
	"producer-id, producer-epoch, producer-seq, stream-forked-from, stream-fork-offset, "      \
	"stream-fork-sub-offset"

/* A page that no list lets in is told no more than anybody; under dev the answer itself has no
 * origin. */
static bool tells(const struct request *request)
{
	const struct cors *cors = &request->edge->cors;
	struct span origin = request->headers[HEADER_ORIGIN];
	return origin.at == NULL || cors->origins.any || origins_find(&cors->origins, origin) != 0;
}

void cors_preflight(struct request *request)
{
	static const struct header headers[] = {
	        {"accept-post", SPAN("application/sdp")},
	        {"allow", SPAN("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")},
	        {"access-control-allow-methods",
	         SPAN("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS")},
	        {"access-control-allow-headers", SPAN(CORS_HEADERS)},
	        {"access-control-max-age", SPAN("86400")},
	};
	static const struct span whep = {(const uint8_t *)"/whep", 5};
	struct span path = request->path;
	bool offers = path.len > whep.len &&
	              span_equal(span_of(path.at + path.len - whep.len, whep.len), whep);
	size_t from = offers ? 0 : 1, to = tells(request) ? sizeof headers / sizeof *headers : 2;
	/* draft-ietf-wish-whep: a client learns by OPTIONS what an offer is to be. */
	reply(request, offers ? 200 : 204, headers + from, to - from, (struct span){0});
}
