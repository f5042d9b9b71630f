/* Which workers should exist. Pure. */
#pragma once

#include "common/base/settings.h"

enum { PLAN_SSE_MAX = 256 };

struct plan {
	unsigned sse, bridge, capture; /* slots 0 to n - 1 of each role */
};

/* `cpus` is what "auto" stands for. `replacing` is true while SSE workers are restarted one by one:
 * a single one gets company for that time, so that somebody accepts connections throughout. */
struct plan plan_make(const struct settings *settings, unsigned cpus, bool replacing);
