#include "worker-sse/routes.h"
#include "worker-sse/views/bet_sync.h"
#include "worker-sse/views/call.h"
#include "worker-sse/edge/cors_preflight.h"
#include "worker-sse/views/events.h"
#include "worker-sse/views/feed_newest.h"
#include "worker-sse/views/health.h"
#include "worker-sse/views/hls.h"
#include "worker-sse/views/pages.h"
#include "worker-sse/views/signalling.h"
#include "worker-sse/views/stream_kit.h"
#include "worker-sse/views/streams.h"
#include "worker-sse/views/subscriptions.h"

static void ask_bridge(struct request *request)
{
	call_forward(request, ROLE_BRIDGE);
}

static void ask_capture(struct request *request)
{
	call_forward(request, ROLE_CAPTURE);
}

#define M(name) (1u << METHOD_##name)
#define BRIDGE_ROUTE(path, methods, read, write, body_bytes_max, handler)                          \
	{path,           methods,    PERMISSION_##read, PERMISSION_##write,                        \
	 body_bytes_max, ask_bridge, cors_preflight},
#define CAPTURE_ROUTE(path, methods, read, write, body_bytes_max, handler)                         \
	{path,           methods,     PERMISSION_##read, PERMISSION_##write,                       \
	 body_bytes_max, ask_capture, cors_preflight},

static const struct route routes[] = {
        /* Before the streams: the segment is reserved (Durable Streams, subscriptions). */
        {"/v1/stream/__ds/", M(GET) | M(HEAD) | M(POST) | M(PUT) | M(DELETE), PERMISSION_NONE,
         PERMISSION_NONE, 65536, subscriptions_handle, cors_preflight},
        {"/v1/stream/", M(GET) | M(HEAD) | M(POST) | M(PUT) | M(DELETE), PERMISSION_SUBSCRIBE,
         PERMISSION_PUBLISH, 0, streams_handle, cors_preflight},
        {"/stream", M(POST), PERMISSION_RENDER, PERMISSION_RENDER, 1 << 20, stream_kit_handle,
         cors_preflight},
        {"/stream/", M(GET) | M(HEAD) | M(POST) | M(PATCH) | M(DELETE), PERMISSION_RENDER,
         PERMISSION_RENDER, 1 << 20, stream_kit_handle, cors_preflight},
        {"/api/internal/bet-sync/state", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024,
         bet_sync_state, bet_sync_preflight},
        {"/api/internal/bet-sync/events", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024,
         bet_sync_events, bet_sync_preflight},
        {"/api/streaming/betting/bootstrap", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE,
         1024, bet_sync_state, bet_sync_preflight},
        {"/api/streaming/betting/events", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024,
         bet_sync_events, bet_sync_preflight},
        {"/v1/hls/", M(GET) | M(HEAD), PERMISSION_SUBSCRIBE, PERMISSION_SUBSCRIBE, 1024, hls_handle,
         cors_preflight},
        /* The token in its query is a session's own. */
        {"/v1/signal/", M(GET), PERMISSION_NONE, PERMISSION_NONE, 1024, signalling_handle,
         cors_preflight},
        {"/v1/events", M(GET) | M(HEAD), PERMISSION_SUBSCRIBE, PERMISSION_SUBSCRIBE, 1024,
         events_handle, cors_preflight},
        {"/v1/feeds/", M(GET) | M(HEAD), PERMISSION_SUBSCRIBE, PERMISSION_SUBSCRIBE, 1024,
         feed_newest_handle, cors_preflight},
        {"/", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024, pages_handle,
         cors_preflight},
        {"/page/", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024, pages_handle,
         cors_preflight},
        {"/arena/", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024, pages_handle,
         cors_preflight},
        {"/healthz", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024, health_live,
         cors_preflight},
        {"/readyz", M(GET) | M(HEAD), PERMISSION_NONE, PERMISSION_NONE, 1024, health_ready,
         cors_preflight},
        {"/metrics", M(GET) | M(HEAD), PERMISSION_METRICS, PERMISSION_METRICS, 1024, health_metrics,
         cors_preflight},
        FORWARDED_TO_BRIDGE(BRIDGE_ROUTE, M) FORWARDED_TO_CAPTURE(CAPTURE_ROUTE, M)};

const struct route *routes_find(struct span path)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		size_t len = strlen(routes[i].path);
		bool prefix = len > 1 && routes[i].path[len - 1] == '/';
		if (prefix ? path.len > len && memcmp(path.at, routes[i].path, len) == 0
		           : span_equal(path, span_of(routes[i].path, len)))
			return &routes[i];
	}
	return NULL;
}
