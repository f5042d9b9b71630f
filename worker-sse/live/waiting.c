#include "worker-sse/live/waiting.h"
#include "common/base/ceilings.h"
#include "common/base/chunk.h"

enum { NEARLY_NOTHING = 8 }; /* one part in so many */

static size_t used(const struct waiting *w)
{
	return chunk_bytes() + w->in_bytes;
}

void waiting_set(struct waiting *w, size_t max, struct counters_slot *counters)
{
	w->max = max;
	counter_set(counters, waiting_bytes_max, max);
	counter_set(counters, waiting_bytes, used(w));
}

size_t waiting_piece(const struct waiting *w, size_t most)
{
	return ceilings_share(w->max, used(w), WAITING_PIECE_MIN, most);
}

size_t waiting_room(const struct waiting *w, size_t most)
{
	return most <= WAITING_SMALL ? most : ceilings_share(w->max, used(w), WAITING_SMALL, most);
}

bool waiting_fits(const struct waiting *w, size_t bytes)
{
	size_t others = used(w);
	return bytes <= WAITING_SMALL || others + bytes <= w->max ||
	       others <= w->max / NEARLY_NOTHING;
}
