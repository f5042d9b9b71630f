/* The table of routes (routes.c). */
#pragma once

#include "worker-sse/edge/route.h"

/* NULL: nothing there. */
const struct route *routes_find(struct span path);

/* A refusal of the edge in the form that the route's wire has. False: it has none of its own. */
/* Of a node that follows another: what it does not answer itself is handed on, and so taken. */
bool routes_divert(struct request *request, const struct route *route);
bool routes_refuse(struct request *request, unsigned status, const char *reason);
