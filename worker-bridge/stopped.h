/* Markets that stand still because their row cannot be read by this release. In memory, and kept in
 * the cursor's row of their feed, so that the release that can read them again finds them, and
 * reads the frames of theirs that it has missed. */
#pragma once

#include "common/base/hash.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct stopped {
	char feed[65], duel_id[64];
	uint64_t from;     /* position in the feed's frames: none before it is missing */
	UT_hash_handle hh; /* by duel id */
};

/* Unless it is there already. */
void stopped_add(struct stopped **all, const char *feed, const char *duel_id, uint64_t from);
struct stopped *stopped_find(struct stopped *all, const char *duel_id);
void stopped_remove(struct stopped **all, struct stopped *one);
void stopped_finish(struct stopped **all);

/* As it is kept: [{"duelId", "from"}] of one feed; NULL: none of it. New reference. And back; what
 * is malformed is left out. */
json_t *stopped_record(struct stopped *all, const char *feed);
void stopped_read(struct stopped **all, const char *feed, const json_t *list);
