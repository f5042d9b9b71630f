/* Which workers should exist. Pure. */
#pragma once

#include "common/base/settings.h"
#include "proto/roles.h"

enum { PLAN_LISTENING_MAX = 256 };

struct plan {
	unsigned counts[ROLE_COUNT]; /* slots 0 to n - 1 of each role, in the order of ROLES */
};

/* `cpus` is what "auto" stands for. `replacing` is true while workers that listen are restarted one
 * by one: a single one gets company for that time, so that somebody accepts connections throughout.
 * `joined`: a node that follows another has its store; until then only the link runs there, and
 * what decides by itself (bridge, capture) never does. */
struct plan plan_make(const struct settings *settings, unsigned cpus, bool replacing, bool joined);

unsigned plan_total(const struct plan *plan);
