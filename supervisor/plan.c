#include "supervisor/plan.h"

#include <stdlib.h>
#include <string.h>

struct plan plan_make(const struct settings *settings, unsigned cpus, bool replacing)
{
	unsigned sse = cpus;
	if (strcmp(settings->sse_workers, "auto") != 0)
		sse = (unsigned)strtoul(settings->sse_workers, NULL, 10);
	if (sse < 1)
		sse = 1;
	if (sse > PLAN_SSE_MAX)
		sse = PLAN_SSE_MAX;
	if (sse == 1 && replacing)
		sse = 2;
	return (struct plan){.sse = sse,
	                     .bridge = (unsigned)settings->bridge_workers,
	                     .capture = (unsigned)settings->capture_workers};
}
