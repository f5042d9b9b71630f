#include "common/store/state_walk.h"
#include "common/base/check.h"

void state_walk_begin(struct state_walk *walk, struct state *state, struct span prefix)
{
	struct state_path *paths = state->paths;
	bool possible = prefix.len <= sizeof walk->prefix;
	if (!possible)
		prefix.len = sizeof walk->prefix;
	*walk = (struct state_walk){.state = state,
	                            .next = state->walks,
	                            .previous = &state->walks,
	                            .mark = state->overlay_lsn,
	                            .ids_end = possible ? state->next_id : 0,
	                            .at = paths,
	                            .prefix_len = (uint16_t)prefix.len};
	if (prefix.len > 0)
		memcpy(walk->prefix, prefix.at, prefix.len);
	if (paths != NULL)
		walk->last = state->paths_last;
	if (walk->next != NULL)
		walk->next->previous = &walk->next;
	state->walks = walk;
}

void state_walk_end(struct state_walk *walk)
{
	if (walk->state == NULL)
		return;
	*walk->previous = walk->next;
	if (walk->next != NULL)
		walk->next->previous = walk->previous;
	walk->state = NULL;
}

struct slice {
	struct state_walk *walk;
	size_t rows_left;
	bool (*visit)(void *arg, struct span path, uint64_t id);
	void *arg;
	bool full, stopped;
};

static bool begins_with(struct span path, const struct state_walk *walk)
{
	return path.len >= walk->prefix_len &&
	       (walk->prefix_len == 0 || memcmp(path.at, walk->prefix, walk->prefix_len) == 0);
}

static void go_through_overlay(struct slice *slice)
{
	struct state_walk *walk = slice->walk;
	while (walk->at != NULL && !slice->stopped) {
		struct state_path *path = walk->at;
		struct span name = span_of(path->path, path->len);
		if (slice->rows_left == 0) {
			slice->full = true;
			return;
		}
		slice->rows_left--;
		walk->at = path == walk->last ? NULL : path->next;
		if (path->lsn >= walk->mark && path->id != 0 && path->id < walk->ids_end &&
		    begins_with(name, walk))
			slice->stopped = !slice->visit(slice->arg, name, path->id);
	}
}

/* A row of the backing, unless it is the overlay's to show: it changed since, or is not there any
 * more. */
static bool take_row(void *arg, struct span path, uint64_t id, uint64_t lsn)
{
	struct slice *slice = arg;
	struct state_walk *walk = slice->walk;
	if (slice->rows_left == 0) {
		slice->full = true;
		return false;
	}
	slice->rows_left--;
	check(path.len <= sizeof walk->behind);
	memcpy(walk->behind, path.at, path.len);
	walk->behind_len = (uint16_t)path.len;
	if (lsn >= walk->mark || id >= walk->ids_end)
		return true;
	const struct state_path *newer = state_overlay_path(walk->state, path);
	if (newer == NULL || newer->id == id)
		slice->stopped = !slice->visit(slice->arg, path, id);
	return !slice->stopped;
}

static void go_through_backing(struct slice *slice)
{
	struct state_walk *walk = slice->walk;
	const struct state_backing *backing = &walk->state->backing;
	if (backing->path_each != NULL &&
	    !backing->path_each(backing->arg, span_of(walk->prefix, walk->prefix_len),
	                        span_of(walk->behind, walk->behind_len), take_row, slice))
		walk->unreadable = true;
}

enum state_walk_result state_walk_step(struct state_walk *walk, size_t rows_max,
                                       bool (*visit)(void *arg, struct span path, uint64_t id),
                                       void *arg)
{
	struct slice slice = {.walk = walk, .rows_left = rows_max, .visit = visit, .arg = arg};
	if (walk->lost)
		return STATE_WALK_LOST;
	go_through_overlay(&slice);
	if (!slice.full && !slice.stopped)
		go_through_backing(&slice);
	if (slice.full)
		return STATE_WALK_MORE;
	return walk->unreadable && !slice.stopped ? STATE_WALK_UNREADABLE : STATE_WALK_DONE;
}

void state_walks_leave(struct state *state, const struct state_path *path)
{
	for (struct state_walk *walk = state->walks; walk != NULL; walk = walk->next) {
		if (walk->at == path)
			walk->at = path == walk->last ? NULL : path->next;
		else if (walk->last == path)
			walk->last = path->previous;
	}
}

uint64_t state_walks_bound(const struct state *state, uint64_t lsn)
{
	for (const struct state_walk *walk = state->walks; walk != NULL; walk = walk->next)
		if (walk->mark < lsn)
			lsn = walk->mark;
	return lsn;
}

void state_walks_lose(struct state *state)
{
	for (struct state_walk *walk = state->walks; walk != NULL; walk = walk->next) {
		walk->lost = true;
		walk->state = NULL;
	}
	state->walks = NULL;
}
