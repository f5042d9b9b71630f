/* Which of the connections whose stream has ended is due next. Thousands may leave at once and wait
 * for a minute: 32 bytes for each, in one piece. Pure. */
#pragma once

#include "common/domain/connection.h"

struct connection_due {
	uint64_t due_ms;     /* monotonic */
	uint64_t generation; /* of the stream: another one has another */
	uint8_t id[CONNECTION_ID_BYTES];
};

/* Zero-initialised; its room goes with what waits. */
struct connection_dues {
	struct connection_due *heap;
	size_t count, room;
};

void connection_dues_put(struct connection_dues *dues, const struct connection_due *due);
/* The one that is due first; NULL: none waits. Until the next change. */
const struct connection_due *connection_dues_first(const struct connection_dues *dues);
/* Takes that one out. */
void connection_dues_pop(struct connection_dues *dues);
