/* Duels that are over and settled, oldest first, until they are forgotten (market.keep). In memory:
 * made by one walk over the rows when the lease is taken, and added to from then on. An entry says
 * only when to look; what may go is judged by the rows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAST_ID_ROOM = 64 };

struct past {
	struct past_duel {
		uint64_t settled_ms; /* wall clock */
		char duel_id[PAST_ID_ROOM];
	} * duels;
	size_t first, count, room; /* duels[first] to duels[count - 1] */
};

void past_finish(struct past *past);

/* Keeps the order of time; cheap when it is the newest. An id that is too long is left out. */
void past_add(struct past *past, const char *duel_id, uint64_t settled_ms);

/* The number-th oldest, from 0; NULL: there are no more. Borrowed until the next change. */
const struct past_duel *past_at(const struct past *past, size_t number);

void past_remove(struct past *past, size_t number);
