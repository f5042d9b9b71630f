#include "common/store/state_walk.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* A log of streams that come and go, a state that follows it, and a backing that was checkpointed
 * at some position before or behind that state's. */

enum { PATHS = 60, OPS = 4000, WALKS = 3 };

struct op {
	bool drop;
	int path;
	uint64_t id;
};

struct walker {
	struct world *world;
	struct state_walk walk;
	bool begun;
	bool lived[OPS + 2];       /* by id, in the view when it began */
	unsigned visited[OPS + 2]; /* by id */
};

struct world {
	struct state view;
	char names[PATHS][8]; /* in byte order */
	struct op ops[OPS];
	size_t ops_count, applied, checkpointed;
	uint64_t next_id;
	uint64_t at_head[PATHS], in_view[PATHS]; /* ids */
	struct {
		uint64_t id, lsn;
	} rows[PATHS];
	int broken; /* the row from which on the backing cannot be read; 0: all can */
	unsigned seed;
	struct walker walkers[WALKS];
};

static struct span name_of(const struct world *w, int path)
{
	return span_str(w->names[path]);
}

/* ---- the backing ---- */

static enum row_found load_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn)
{
	const struct world *w = arg;
	for (int i = 0; i < PATHS; i++)
		if (w->rows[i].id != 0 && span_equal(path, name_of(w, i))) {
			*id = w->rows[i].id;
			*lsn = w->rows[i].lsn;
			return ROW_PRESENT;
		}
	return ROW_ABSENT;
}

static enum row_found load_stream(void *arg, uint64_t id, struct stream *into)
{
	const struct world *w = arg;
	for (int i = 0; i < PATHS; i++)
		if (w->rows[i].id == id) {
			into->lsn = w->rows[i].lsn;
			return ROW_PRESENT;
		}
	return ROW_ABSENT;
}

static bool each_path(void *arg, struct span prefix, struct span behind,
                      bool (*visit)(void *, struct span, uint64_t, uint64_t), void *visit_arg)
{
	const struct world *w = arg;
	for (int i = 0; i < PATHS; i++) {
		struct span name = name_of(w, i);
		if (w->rows[i].id == 0 || memcmp(name.at, prefix.at, prefix.len) != 0 ||
		    (behind.len > 0 && memcmp(name.at, behind.at, name.len) <= 0))
			continue;
		if (w->broken != 0 && i >= w->broken)
			return false;
		if (!visit(visit_arg, name, w->rows[i].id, w->rows[i].lsn))
			return true;
	}
	return true;
}

static const struct state_limits limits = {.streams_max = PATHS};

static int setup(void **out)
{
	struct world *w = xcalloc(1, sizeof *w);
	const struct state_backing backing = {
	        .arg = w, .path = load_path, .stream = load_stream, .path_each = each_path};
	state_init(&w->view, &backing, &limits);
	for (int i = 0; i < PATHS; i++)
		snprintf(w->names[i], sizeof w->names[i], "/%c%02d", i < PATHS / 2 ? 'a' : 'b', i);
	w->next_id = 1;
	*out = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	for (size_t i = 0; i < WALKS; i++)
		state_walk_end(&w->walkers[i].walk);
	state_finish(&w->view);
	free(w);
	return 0;
}

/* ---- what goes on ---- */

/* A stream comes on a path that has none, one that is there goes. */
static void write_op(struct world *w, int path)
{
	struct op op = {.drop = w->at_head[path] != 0, .path = path, .id = w->at_head[path]};
	if (w->ops_count == OPS)
		return;
	if (!op.drop)
		op.id = w->next_id++;
	w->at_head[path] = op.drop ? 0 : op.id;
	w->ops[w->ops_count++] = op;
}

static void advance(struct world *w, size_t to)
{
	for (; w->applied < to; w->applied++) {
		const struct op *op = &w->ops[w->applied];
		const struct entry entry = {.kind = op->drop ? ENTRY_DROP : ENTRY_CREATE,
		                            .stream_id = op->id,
		                            .path = name_of(w, op->path)};
		state_apply(&w->view, &entry, w->applied + 1);
		w->in_view[op->path] = op->drop ? 0 : op->id;
	}
}

static void checkpoint(struct world *w, size_t to)
{
	for (; w->checkpointed < to; w->checkpointed++) {
		const struct op *op = &w->ops[w->checkpointed];
		w->rows[op->path].id = op->drop ? 0 : op->id;
		w->rows[op->path].lsn = w->checkpointed + 1;
	}
}

static void evict(struct world *w, size_t keep)
{
	size_t to = w->checkpointed < w->applied ? w->checkpointed : w->applied;
	state_evict(&w->view, to + 1, keep);
}

static size_t between(size_t from, size_t to)
{
	return from + (size_t)rand() % (to - from + 1);
}

static void go_on(struct world *w)
{
	int path = rand() % PATHS;
	switch (rand() % 8) {
	case 0:
	case 1:
	case 2:
		write_op(w, path);
		break;
	case 3:
		advance(w, between(w->applied, w->ops_count));
		break;
	case 4:
		checkpoint(w, between(w->checkpointed, w->ops_count));
		break;
	case 5:
		evict(w, (size_t)rand() % 10);
		break;
	default:
		state_find_exact(&w->view, name_of(w, path));
		break;
	}
}

/* ---- walking ---- */

static bool visit(void *arg, struct span path, uint64_t id)
{
	struct walker *walker = arg;
	struct world *w = walker->world;
	bool lives = false;
	for (int i = 0; i < PATHS; i++)
		lives |= w->in_view[i] == id && span_equal(path, name_of(w, i));
	assert_true(lives && id != 0 && id < walker->walk.ids_end);
	walker->visited[id]++;
	state_find_exact(&w->view, path);
	return true;
}

static void begin(struct world *w, struct walker *walker, const char *prefix)
{
	memset(walker, 0, sizeof *walker);
	walker->world = w;
	walker->begun = true;
	for (int i = 0; i < PATHS; i++)
		if (strncmp(w->names[i], prefix, strlen(prefix)) == 0)
			walker->lived[w->in_view[i]] = true;
	walker->lived[0] = false;
	state_walk_begin(&walker->walk, &w->view, span_str(prefix));
}

static void expect(const struct world *w, uint64_t id, bool right, const char *what)
{
	if (!right)
		fail_msg("seed %u: stream %llu %s", w->seed, (unsigned long long)id, what);
}

/* Who lived at its beginning and does still, was visited; nobody twice, and nobody beside. */
static void finish(struct world *w, struct walker *walker)
{
	for (uint64_t id = 1; id < w->next_id; id++) {
		expect(w, id, walker->visited[id] <= 1, "was visited twice");
		expect(w, id, walker->visited[id] == 0 || walker->lived[id], "was not there");
	}
	for (int i = 0; i < PATHS; i++) {
		uint64_t id = w->in_view[i];
		if (w->at_head[i] == id && walker->lived[id])
			expect(w, id, walker->visited[id] == 1, "was not visited");
	}
	state_walk_end(&walker->walk);
	walker->begun = false;
}

/* Steps each walk, or begins it; true: one has ended. */
static bool walk_on(struct world *w, struct walker *walker)
{
	static const char *const prefixes[] = {"", "", "/a", "/b"};
	if (!walker->begun) {
		begin(w, walker, prefixes[rand() % 4]);
		return false;
	}
	switch (state_walk_step(&walker->walk, (size_t)rand() % 7, visit, walker)) {
	case STATE_WALK_MORE:
		return false;
	case STATE_WALK_DONE:
		finish(w, walker);
		return true;
	case STATE_WALK_UNREADABLE:
	case STATE_WALK_LOST:
		break;
	}
	fail();
	return true;
}

static void test_every_path_is_visited_once(void **state)
{
	unsigned ended = 0;
	for (unsigned seed = 1; seed <= 300; seed++) {
		teardown(state);
		setup(state);
		struct world *w = *state;
		w->seed = seed;
		srand(seed);
		for (int i = 0; i < 2000; i++) {
			go_on(w);
			if (rand() % 3 == 0)
				ended += walk_on(w, &w->walkers[rand() % WALKS]);
		}
	}
	assert_true(ended > 1000);
}

static void fill(struct world *w, int in_backing, int in_all)
{
	for (int i = 0; i < in_all; i++)
		write_op(w, i);
	advance(w, w->ops_count);
	checkpoint(w, (size_t)in_backing);
	evict(w, 0);
}

static void test_a_walk_is_lost_when_the_state_begins_anew(void **state)
{
	struct world *w = *state;
	struct walker *walker = &w->walkers[0];
	fill(w, 20, 40);
	begin(w, walker, "");
	assert_int_equal(state_walk_step(&walker->walk, 30, visit, walker), STATE_WALK_MORE);
	checkpoint(w, w->ops_count);
	state_begin_anew(&w->view, w->checkpointed + 1);
	assert_int_equal(state_walk_step(&walker->walk, 30, visit, walker), STATE_WALK_LOST);
	assert_int_equal(state_walk_step(&walker->walk, 30, visit, walker), STATE_WALK_LOST);
	state_walk_end(&walker->walk);
	begin(w, walker, "");
	assert_int_equal(state_walk_step(&walker->walk, 100, visit, walker), STATE_WALK_DONE);
	finish(w, walker);
}

static void test_a_slice_looks_at_so_many_rows(void **state)
{
	struct world *w = *state;
	struct walker *walker = &w->walkers[0];
	fill(w, 30, 50);
	begin(w, walker, "");
	unsigned slices = 1;
	while (state_walk_step(&walker->walk, 10, visit, walker) == STATE_WALK_MORE) {
		unsigned visited = 0;
		for (uint64_t id = 1; id < w->next_id; id++)
			visited += walker->visited[id];
		assert_true(visited <= 10 * slices);
		slices++;
	}
	/* 20 of the overlay, 50 - 20 of the backing */
	assert_true(slices >= 5);
	finish(w, walker);
}

static bool visit_three(void *arg, struct span path, uint64_t id)
{
	unsigned *left = arg;
	(void)path;
	(void)id;
	return --*left > 0;
}

static void test_a_visitor_stops_it(void **state)
{
	struct world *w = *state;
	struct state_walk walk;
	fill(w, 10, 30);
	for (unsigned count = 1; count < 30; count++) {
		unsigned left = count;
		state_walk_begin(&walk, &w->view, SPAN(""));
		assert_int_equal(state_walk_step(&walk, 100, visit_three, &left), STATE_WALK_DONE);
		assert_int_equal(left, 0);
		state_walk_end(&walk);
		state_walk_end(&walk);
	}
}

static void test_what_cannot_be_read_is_said_at_the_end(void **state)
{
	struct world *w = *state;
	struct walker *walker = &w->walkers[0];
	fill(w, 40, 50);
	w->broken = 35;
	begin(w, walker, "");
	enum state_walk_result result = STATE_WALK_MORE;
	while (result == STATE_WALK_MORE)
		result = state_walk_step(&walker->walk, 7, visit, walker);
	assert_int_equal(result, STATE_WALK_UNREADABLE);
	unsigned visited = 0;
	for (uint64_t id = 1; id < w->next_id; id++)
		visited += walker->visited[id];
	assert_int_equal(visited, 45);
	state_path_each(&w->view, SPAN("/"), visit, walker);
	assert_true(w->view.unreadable);
}

static void test_no_path_begins_with_more_than_a_path_may_have(void **state)
{
	struct world *w = *state;
	struct walker *walker = &w->walkers[0];
	char prefix[600] = {0};
	memset(prefix, 'a', sizeof prefix - 1);
	fill(w, 20, 40);
	begin(w, walker, prefix);
	assert_int_equal(state_walk_step(&walker->walk, 100, visit, walker), STATE_WALK_DONE);
	finish(w, walker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_every_path_is_visited_once),
	        T(test_a_walk_is_lost_when_the_state_begins_anew),
	        T(test_a_slice_looks_at_so_many_rows),
	        T(test_a_visitor_stops_it),
	        T(test_what_cannot_be_read_is_said_at_the_end),
	        T(test_no_path_begins_with_more_than_a_path_may_have),
#undef T
	};
	return cmocka_run_group_tests_name("state_walk", tests, NULL, NULL);
}
