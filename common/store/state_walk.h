/* A walk over a state's paths in slices, between which the state goes on.
 *
 * Every stream that lived when the walk began, and still does when its turn comes, is visited
 * exactly once, in no order. Streams created since then are not: whoever follows the log hears of
 * them, and knows them by their ids, which are not below `ids_end`.
 *
 * It needs no list of what was visited. What changed at or above `mark` is in the overlay, where
 * state_evict() leaves it while the walk runs; what changed below is in the backing. So the LSN of
 * a path's row says in which of the two the path is visited, however often rows are brought up,
 * evicted and checkpointed meanwhile. */
#pragma once

#include "common/store/state.h"

enum { STATE_WALK_PATH_MAX = 511 }; /* LMDB has no longer keys */

struct state_walk {
	struct state *state; /* NULL: it does not run */
	struct state_walk *next, **previous;
	uint64_t mark, ids_end;
	struct state_path *at, *last; /* of the overlay; at NULL: it was gone through */
	bool lost, unreadable;
	uint16_t prefix_len, behind_len;
	char prefix[STATE_WALK_PATH_MAX];
	char behind[STATE_WALK_PATH_MAX]; /* the backing was gone through up to here */
};

enum state_walk_result {
	STATE_WALK_MORE,
	STATE_WALK_DONE,       /* or the visitor stopped it */
	STATE_WALK_UNREADABLE, /* done, but there are more that could not be read */
	STATE_WALK_LOST,       /* the state was begun anew meanwhile: begin the walk again */
};

/* Over the paths that begin with `prefix`; what lies beside it in the backing costs nothing. The
 * struct stays where it is until state_walk_end(). */
void state_walk_begin(struct state_walk *walk, struct state *state, struct span prefix);

/* Looks at about `rows_max` rows at most. The visitor may look things up; false stops the walk. */
enum state_walk_result state_walk_step(struct state_walk *walk, size_t rows_max,
                                       bool (*visit)(void *arg, struct span path, uint64_t id),
                                       void *arg);

/* One that never began, or was zeroed, may be ended too. */
void state_walk_end(struct state_walk *walk);

/* ---- for the state ---- */

/* The path is about to be freed. */
void state_walks_leave(struct state *state, const struct state_path *path);
/* At most `lsn`: paths last changed below may be evicted. */
uint64_t state_walks_bound(const struct state *state, uint64_t lsn);
/* What they went by is gone. */
void state_walks_lose(struct state *state);
