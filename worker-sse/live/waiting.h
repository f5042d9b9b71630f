/* What waits in this worker's memory for its clients: answers that they do not take, pages under
 * way, input that cannot be used yet. All together stay at limits.waiting_bytes_total, or what the
 * memory limit leaves: the nearer they are to it, the smaller is the piece that the next may have.
 * Nobody is cut for what others hold. Loop thread only. */
#pragma once

#include "common/base/counters.h"

enum {
	WAITING_PIECE_MIN = 4096, /* everybody has so much, whatever there is */
	WAITING_SMALL = 64 << 10, /* so much may wait for a connection without being asked about */
};

struct waiting {
	size_t max;
	size_t in_bytes; /* read and not used yet; all else is in chunks */
};

/* The ceiling, as it is at the moment; keeps the metrics. */
void waiting_set(struct waiting *waiting, size_t max, struct counters_slot *counters);

/* How many bytes the next piece may have, of those that come piece by piece. */
size_t waiting_piece(const struct waiting *waiting, size_t most);

/* How many bytes may wait for one client before something is done about it: no less than
 * WAITING_SMALL, no more than `most`, the setting for it. */
size_t waiting_room(const struct waiting *waiting, size_t most);

/* For what comes in one piece only: is there room? Small ones always have it, and one that is
 * larger than the ceiling has it while nearly nothing else waits. */
bool waiting_fits(const struct waiting *waiting, size_t bytes);
