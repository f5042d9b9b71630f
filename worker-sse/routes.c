#include "worker-sse/routes.h"
#include "worker-sse/views/acme.h"
#include "worker-sse/views/account_events.h"
#include "worker-sse/views/bet_sync.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/call.h"
#include "worker-sse/edge/cors_preflight.h"
#include "worker-sse/edge/limits.h"
#include "worker-sse/views/connections.h"
#include "worker-sse/views/conversations.h"
#include "worker-sse/views/events.h"
#include "worker-sse/views/feed_newest.h"
#include "worker-sse/views/health.h"
#include "worker-sse/views/hls.h"
#include "worker-sse/views/hub.h"
#include "worker-sse/views/login.h"
#include "worker-sse/views/pages.h"
#include "worker-sse/views/signalling.h"
#include "worker-sse/views/stream_kit.h"
#include "worker-sse/views/stream_socket.h"
#include "worker-sse/views/streaming.h"
#include "worker-sse/views/streams.h"
#include "worker-sse/views/subscriptions.h"

#include <stdio.h>

static void ask_bridge(struct request *request)
{
	call_forward(request, ROLE_BRIDGE);
}

static void ask_for_account(struct request *request)
{
	if (request->method != METHOD_POST || request_take(request, LIMIT_ACCOUNTS))
		call_forward(request, ROLE_BRIDGE);
}

static void ask_capture(struct request *request)
{
	call_forward(request, ROLE_CAPTURE);
}

/* ---- what rights are about ---- */

static struct span below(struct span path, const char *prefix)
{
	size_t len = strlen(prefix);
	return span_of(path.at + len, path.len - len);
}

static struct span first_segment(struct span rest)
{
	const uint8_t *slash = rest.len > 0 ? memchr(rest.at, '/', rest.len) : NULL;
	return span_of(rest.at, slash != NULL ? (size_t)(slash - rest.at) : rest.len);
}

/* The path up to the end of the segment behind the prefix. */
static struct span up_to_segment(struct span path, const char *prefix)
{
	struct span segment = first_segment(below(path, prefix));
	return span_of(path.at, (size_t)(segment.at - path.at) + segment.len);
}

/* Several, or none that has a name yet: the handler asks about each. */
static struct span no_one_thing(struct span path, char room[REQUEST_RESOURCE_ROOM])
{
	(void)path, (void)room;
	return (struct span){0};
}

static struct span the_source(struct span path, char room[REQUEST_RESOURCE_ROOM])
{
	static const char source[] = "/v1/source/";
	(void)room;
	return path.len > sizeof source - 1 && memcmp(path.at, source, sizeof source - 1) == 0
	               ? up_to_segment(path, source)
	               : path;
}

static struct span the_video(struct span path, char room[REQUEST_RESOURCE_ROOM])
{
	(void)room;
	return up_to_segment(path, "/v1/hls/");
}

/* Watching the roster is reading its stream. */
static struct span the_roster(struct span path, char room[REQUEST_RESOURCE_ROOM])
{
	(void)path, (void)room;
	return SPAN("/v1/stream/hub/roster");
}

/* "/stream/ID", of "/stream/session/ID" too. */
static struct span the_session(struct span path, char room[REQUEST_RESOURCE_ROOM])
{
	static const struct span alias = {(const uint8_t *)"session", 7};
	struct span rest = below(path, "/stream/"), id = first_segment(rest);
	if (span_equal(id, alias) && rest.len == id.len)
		return (struct span){0}; /* orders one */
	if (span_equal(id, alias))
		id = first_segment(below(rest, "session/"));
	/* No id is longer than fits; a longer one is nobody's, cut or not. */
	int len = snprintf(room, REQUEST_RESOURCE_ROOM, "/stream/%.*s",
	                   (int)(id.len < REQUEST_RESOURCE_ROOM ? id.len : REQUEST_RESOURCE_ROOM),
	                   (const char *)id.at);
	return span_of(room, (size_t)len < REQUEST_RESOURCE_ROOM ? (size_t)len
	                                                         : REQUEST_RESOURCE_ROOM - 1);
}

/* ---- the table ---- */

enum {
	ASKS_NONE = 0,
	ASKS_READ = RIGHT(READ),
	ASKS_POST = RIGHT(POST),
	ASKS_OPERATE = RIGHT(OPERATE),
	ASKS_RENDER = RIGHT(RENDER),
	ASKS_PICTURE = RIGHT(RENDER) | RIGHT(VIEW),
	/* Of conversations, whose owners may more: the handler judges about which. */
	ASKS_TALK = RIGHT(READ) | RIGHT(APPEND) | RIGHT(CREATE) | RIGHT(DELETE),
	ANY_METHOD = (1u << (METHOD_OTHER + 1)) - 1,
	REGISTRY_BODY_MAX = 1000000, /* the original's */
	TALK_BODY_MAX = 16 << 20,    /* conversations.message_bytes has the rest to say */
};

#define M(name) (1u << METHOD_##name)
#define LOOKS   (M(GET) | M(HEAD))
#define BOTH(read, write)                                                                          \
	{                                                                                          \
		read, write, write, write, write                                                   \
	}
#define BRIDGE_ROUTE(path, methods, read, write, body_bytes_max, handler)                          \
	{path,       methods,       BOTH(ASKS_##read, ASKS_##write), the_source, body_bytes_max,   \
	 ask_bridge, cors_preflight},
#define CAPTURE_ROUTE(path, methods, read, write, body_bytes_max, handler)                         \
	{path,        methods,       BOTH(ASKS_##read, ASKS_##write), NULL, body_bytes_max,        \
	 ask_capture, cors_preflight},

static const struct route routes[] = {
        /* Before the streams: the segment is reserved (Durable Streams, subscriptions). */
        {"/v1/stream/__ds/",
         LOOKS | M(POST) | M(PUT) | M(DELETE),
         {0},
         NULL,
         65536,
         subscriptions_handle,
         cors_preflight},
        /* Other names of streams: the handler judges about the name that is meant. */
        {"/v1/stream/sessions/", LOOKS | M(POST) | M(PUT) | M(DELETE) | ROUTE_READS_HERE,
         BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, 0, conversations_events, cors_preflight},
        {"/streams/",
         LOOKS | M(POST) | M(PUT) | M(DELETE) | ROUTE_READS_HERE,
         {.get = RIGHT(READ), .post = RIGHT(APPEND), .put = RIGHT(CREATE), .delete = RIGHT(DELETE)},
         no_one_thing,
         0,
         conversations_stream,
         cors_preflight},
        {"/v1/stream/",
         LOOKS | M(POST) | M(PUT) | M(DELETE) | ROUTE_READS_HERE,
         {.get = RIGHT(READ), .post = RIGHT(APPEND), .put = RIGHT(CREATE), .delete = RIGHT(DELETE)},
         NULL,
         0,
         streams_handle,
         cors_preflight},
        {"/stream",
         M(POST),
         {.post = ASKS_RENDER},
         no_one_thing,
         1 << 20,
         stream_kit_handle,
         cors_preflight},
        {"/stream/", LOOKS | M(POST) | M(PATCH) | M(DELETE), BOTH(ASKS_PICTURE, ASKS_PICTURE),
         the_session, 1 << 20, stream_kit_handle, cors_preflight},
        /* These judge by themselves: their refusals are JSON. */
        {"/api/internal/bet-sync/state",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         bet_sync_state,
         bet_sync_preflight},
        {"/api/internal/bet-sync/events",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         bet_sync_events,
         bet_sync_preflight},
        {"/api/streaming/betting/bootstrap",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         bet_sync_state,
         bet_sync_preflight},
        {"/api/streaming/betting/events",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         bet_sync_events,
         bet_sync_preflight},
        {"/api/streaming/", LOOKS, {0}, NULL, 1024, streaming_handle, cors_preflight},
        {"/v1/hls/", LOOKS, {.get = RIGHT(VIEW)}, the_video, 1024, hls_handle, cors_preflight},
        /* The token in its query is a session's own. */
        {"/v1/signal/", M(GET), {0}, NULL, 1024, signalling_handle, cors_preflight},
        {"/ws",
         M(GET) | ROUTE_QUERY_TOKEN,
         {.get = RIGHT(READ)},
         the_roster,
         1024,
         hub_roster_handle,
         cors_preflight},
        /* The handler judges about which agent. */
        {"/ws/agent/",
         M(GET) | ROUTE_QUERY_TOKEN,
         {.get = RIGHT(APPEND)},
         no_one_thing,
         1024,
         hub_agent_handle,
         cors_preflight},
        {"/v1/events",
         LOOKS | ROUTE_READS_HERE,
         {.get = RIGHT(READ)},
         no_one_thing,
         1024,
         events_handle,
         cors_preflight},
        /* The handler judges about each stream that a message names. */
        {"/v1/ws",
         M(GET) | ROUTE_READS_HERE,
         {.get = RIGHT(READ) | RIGHT(APPEND)},
         no_one_thing,
         1024,
         stream_socket_handle,
         cors_preflight},
        {"/v1/feeds/",
         LOOKS | ROUTE_READS_HERE,
         {.get = RIGHT(READ)},
         NULL,
         1024,
         feed_newest_handle,
         cors_preflight},
        {"/", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/page/", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/arena/", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/embed/", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/scene/", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/ops", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, pages_handle, cors_preflight},
        {"/v1/cluster/", LOOKS | ROUTE_HERE, {0}, NULL, 1024, cluster_handle, cors_preflight},
        {"/v1/login", M(POST), {0}, NULL, 1024, login_handle, cors_preflight},
        {"/v1/logout", M(POST), {0}, NULL, 1024, logout_handle, cors_preflight},
        {"/v1/tickets", M(POST), {0}, NULL, 65536, tickets_handle, cors_preflight},
        {"/v1/me", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, me_handle, cors_preflight},
        {"/.well-known/acme-challenge/",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         acme_handle,
         cors_preflight},
        {"/healthz", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, health_live, cors_preflight},
        {"/readyz", LOOKS | ROUTE_READS_HERE, {0}, NULL, 1024, health_ready, cors_preflight},
        {"/metrics",
         LOOKS | ROUTE_READS_HERE,
         {.get = RIGHT(METRICS)},
         NULL,
         1024,
         health_metrics,
         cors_preflight},
        {"/v1/ledger/accounts", LOOKS | M(POST), {0}, NULL, 4096, ask_for_account, cors_preflight},
        {"/v1/ledger/accounts/",
         LOOKS | M(POST),
         {0},
         NULL,
         4096,
         account_events_handle,
         cors_preflight},
        {"/v1/ledger/events",
         LOOKS,
         {.get = ASKS_OPERATE},
         NULL,
         1024,
         account_events_of_all,
         cors_preflight},
        FORWARDED_TO_BRIDGE(BRIDGE_ROUTE, M) FORWARDED_TO_CAPTURE(CAPTURE_ROUTE, M)};

/* Of conversations, whose refusals are JSON, and where a prefix is a path of its own, too. */
static const struct route talk_routes[] = {
        {"/sessions", ANY_METHOD, BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, REGISTRY_BODY_MAX,
         conversations_registry, cors_preflight},
        {"/sessions/", ANY_METHOD, BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, REGISTRY_BODY_MAX,
         conversations_registry, cors_preflight},
        {"/v1/sessions/", ANY_METHOD, BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, TALK_BODY_MAX,
         conversations_handle, cors_preflight},
        {"/api/chat/events", LOOKS, BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, 1024,
         connections_stream, cors_preflight},
        {"/api/chat/ws", M(GET), BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, 1024, connections_socket,
         cors_preflight},
        {"/api/chat/", M(POST), BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, TALK_BODY_MAX,
         connections_handle, cors_preflight},
        {"/api/sessions/suspend", M(POST), BOTH(ASKS_TALK, ASKS_TALK), no_one_thing, 1 << 20,
         connections_beacon, cors_preflight},
        {"/health",
         ANY_METHOD | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         conversations_health,
         cors_preflight},
        {"/health/live",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         conversations_health,
         cors_preflight},
        {"/health/ready",
         LOOKS | ROUTE_READS_HERE,
         {0},
         NULL,
         1024,
         conversations_health,
         cors_preflight},
};

static const struct route *find(const struct route *table, size_t count, struct span path,
                                bool bare)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(table[i].path);
		bool prefix = len > 1 && table[i].path[len - 1] == '/';
		if (prefix ? path.len + bare > len && memcmp(path.at, table[i].path, len) == 0
		           : span_equal(path, span_of(table[i].path, len)))
			return &table[i];
	}
	return NULL;
}

static const struct route *find_talk(struct span path)
{
	return find(talk_routes, sizeof talk_routes / sizeof *talk_routes, path, true);
}

const struct route *routes_find(struct span path)
{
	const struct route *route = find_talk(path);
	bool bare = span_equal(path, SPAN("/ws/agent/")); /* which says that it wants an id */
	return route != NULL ? route : find(routes, sizeof routes / sizeof *routes, path, bare);
}

bool routes_divert(struct request *request, const struct route *route)
{
	bool reads = request->method == METHOD_GET || request->method == METHOD_HEAD;
	if (!cluster_follows(worker_of(request)) || (route->methods & ROUTE_HERE) != 0 ||
	    (reads && (route->methods & ROUTE_READS_HERE) != 0))
		return false;
	cluster_hand_on(request);
	return true;
}

bool routes_refuse(struct request *request, unsigned status, const char *reason)
{
	if (find_talk(request->path) == NULL)
		return false;
	conversations_refuse(request, status, reason);
	return true;
}
