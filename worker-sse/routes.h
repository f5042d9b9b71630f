/* The table of routes (routes.c). */
#pragma once

#include "worker-sse/edge/route.h"

/* NULL: nothing there. */
const struct route *routes_find(struct span path);
