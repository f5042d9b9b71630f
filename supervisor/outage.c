#include "supervisor/outage.h"

bool outage_step(struct outage *outage, const struct outage_facts *facts, uint64_t limit_ms,
                 uint64_t now_ms)
{
	if (facts->serves)
		outage->since_ms = 0;
	else if (outage->since_ms == 0 && facts->failed)
		outage->since_ms = now_ms != 0 ? now_ms : 1;
	return limit_ms != 0 && outage->since_ms != 0 && now_ms - outage->since_ms >= limit_ms;
}

void outage_forgive(struct outage *outage, uint64_t gap_ms)
{
	if (outage->since_ms != 0)
		outage->since_ms += gap_ms;
}
