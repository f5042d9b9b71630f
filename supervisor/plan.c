#include "supervisor/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof((struct role_places){0}.SSE) == PLAN_LISTENING_MAX + 1,
              "one more while a single one is replaced");

static unsigned plan_listening(const char *setting, unsigned cpus, bool replacing)
{
	unsigned count = cpus;
	if (strcmp(setting, "auto") != 0)
		count = (unsigned)strtoul(setting, NULL, 10);
	if (count < 1)
		count = 1;
	if (count > PLAN_LISTENING_MAX)
		count = PLAN_LISTENING_MAX;
	return count == 1 && replacing ? 2 : count;
}

#define PLAN_COUNT(bit, NAME, name, slots, count, ...) [ROLE_INDEX_##NAME] = (unsigned)(count),
struct plan plan_make(const struct settings *s, unsigned cpus, bool replacing, bool joined)
{
	struct plan plan = {.counts = {ROLES(PLAN_COUNT)}};
	if (settings_follows(s)) {
		plan.counts[ROLE_INDEX_BRIDGE] = plan.counts[ROLE_INDEX_CAPTURE] = 0;
		if (!joined)
			plan.counts[ROLE_INDEX_SSE] = 0;
	}
	return plan;
}
#undef PLAN_COUNT

unsigned plan_total(const struct plan *plan)
{
	unsigned total = 0;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		total += plan->counts[i];
	return total;
}
