/* Which handler answers which path, and who may ask. The table is the program's (routes.c). */
#pragma once

#include "worker-sse/edge/auth.h"
#include "worker-sse/edge/request.h"

struct route {
	const char *path;            /* exact, or a prefix when it ends with '/' (not "/" itself) */
	unsigned methods;            /* 1 << METHOD_... */
	enum permission read, write; /* GET and HEAD; the others */
	size_t body_bytes_max;       /* 0: limits.body_bytes */
	void (*handler)(struct request *request);
	/* Answers OPTIONS. Another one than edge_options.preflight: the route judges the origins of
	 * pages itself. */
	void (*preflight)(struct request *request);
};

enum { ROUTE_ALLOW_ROOM = 64 };
/* What Allow says of it: "GET, HEAD, OPTIONS". */
void route_allow(const struct route *route, char out[ROUTE_ALLOW_ROOM]);
