/* How long nothing has served. Pure: time is a parameter (monotonic ms). One per fleet,
 * zero-initialised. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct outage {
	uint64_t since_ms; /* 0: none */
};

struct outage_facts {
	bool serves; /* an SSE worker is ready */
	bool failed; /* one that is wanted has ended unasked, or could not be started, since it last
	              * served for long: a slow first start is no outage */
};

/* True: it has lasted for limit_ms (worker.give_up; 0: never). */
bool outage_step(struct outage *outage, const struct outage_facts *facts, uint64_t limit_ms,
                 uint64_t now_ms);

/* The supervisor itself did not run for gap_ms: that time does not count. */
void outage_forgive(struct outage *outage, uint64_t gap_ms);
