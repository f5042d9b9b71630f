/* Which handler answers which path, and who may ask. The table is the program's (routes.c). */
#pragma once

#include "worker-sse/edge/request.h"

#include <assert.h>

/* Which verbs its methods ask for: bits of RIGHT(NAME), of which one is enough. 0: anybody may, or
 * the handler judges. HEAD is as GET. */
struct route_rights {
	uint16_t get, post, put, patch, delete;
};
static_assert(VERB_COUNT <= 16, "verbs are bits of uint16_t");

/* token=... in its query is a Bearer, for clients that can give no header. */
enum { ROUTE_QUERY_TOKEN = 1 << 16 };
/* A node that follows another answers it by itself, where it only reads; in any case. */
enum { ROUTE_READS_HERE = 1 << 17, ROUTE_HERE = 1 << 18 };

struct route {
	const char *path; /* exact, or a prefix when it ends with '/' (not "/" itself) */
	unsigned methods; /* 1 << METHOD_..., and ROUTE_... */
	struct route_rights rights;
	/* What they are asked for: request_resource(). NULL: the path as it is. */
	struct span (*resource)(struct span path, char room[REQUEST_RESOURCE_ROOM]);
	size_t body_bytes_max; /* 0: limits.body_bytes */
	void (*handler)(struct request *request);
	/* Answers OPTIONS. Another one than edge_options.preflight: the route judges the origins of
	 * pages itself. */
	void (*preflight)(struct request *request);
};

unsigned route_verbs(const struct route *route, enum method method);

enum { ROUTE_ALLOW_ROOM = 64 };
/* What Allow says of it: "GET, HEAD, OPTIONS". */
void route_allow(const struct route *route, char out[ROUTE_ALLOW_ROOM]);
