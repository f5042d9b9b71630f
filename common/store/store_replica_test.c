/* A store that is another one's copy: its log comes by hand here, as the link brings it. */
#include "common/store/store.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { RING_BYTES = 1 << 20, DIR_ROOM = 64, PATH_ROOM = 128 };

struct node {
	char dir[DIR_ROOM];
	struct store *store;
};

struct fixture {
	struct node leader, follower;
	uint8_t wire[RING_BYTES];
};

static void path_of(const struct node *node, const char *name, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s/%s", node->dir, name);
}

static int open_node(struct node *node, char reason[256])
{
	const struct store_options options = {.dir = node->dir,
	                                      .ring_bytes = RING_BYTES,
	                                      .map_bytes = 64 << 20,
	                                      .readers_max = 126,
	                                      .checkpoint_ms = 60000,
	                                      .chunk_bytes = 16384,
	                                      .limits = {.streams_max = 1000,
	                                                 .producers_per_stream_max = 100,
	                                                 .producer_idle_ms = 3600000},
	                                      .maintain = false};
	return store_open(&node->store, &options, reason);
}

static void open_well(struct node *node)
{
	char reason[256] = "";
	int error = open_node(node, reason);
	if (error != 0)
		fail_msg("%s", reason);
}

static void reopen(struct node *node)
{
	store_close(&node->store);
	open_well(node);
}

static void write_file(const struct node *node, const char *name)
{
	char path[PATH_ROOM];
	path_of(node, name, path);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void remove_file(const struct node *node, const char *name)
{
	char path[PATH_ROOM];
	path_of(node, name, path);
	assert_int_equal(unlink(path), 0);
}

static bool has_file(const struct node *node, const char *name)
{
	char path[PATH_ROOM];
	path_of(node, name, path);
	return access(path, F_OK) == 0;
}

static enum verdict run(struct node *node, struct command command)
{
	store_execute(node->store, &command);
	return command.verdict;
}

static enum verdict create(struct node *node)
{
	return run(node, (struct command){.kind = COMMAND_CREATE,
	                                  .path = SPAN("/s"),
	                                  .content_type = SPAN("text/plain")});
}

static enum verdict append(struct node *node, struct span text)
{
	uint32_t size = (uint32_t)text.len;
	return run(node, (struct command){.kind = COMMAND_APPEND,
	                                  .path = SPAN("/s"),
	                                  .content_type = SPAN("text/plain"),
	                                  .body = {&size, 1, text}});
}

static void snapshot(struct fixture *f)
{
	char path[PATH_ROOM], reason[256] = "";
	path_of(&f->follower, STORE_SNAPSHOT_NAME, path);
	assert_int_equal(store_backup(f->leader.store, path, reason), 0);
}

/* All that is durable there. */
static void ship(struct fixture *f)
{
	struct ring *from = store_ring(f->leader.store), *to = store_ring(f->follower.store);
	struct ring_position end;
	size_t used, taken;
	while (ring_tail(to).lsn < ring_durable(from)) {
		assert_int_equal(ring_wire(from, ring_tail(to), ring_durable(from), f->wire,
		                           sizeof f->wire, &used, &end),
		                 RING_WIRED);
		for (size_t at = 0; at < used; at += taken)
			assert_int_equal(ring_take(to, span_of(f->wire + at, used - at), &taken),
			                 RING_TAKEN);
		ring_raise(to, end);
	}
	while (store_advance(f->follower.store, 0)) {
	}
}

static void assert_content(struct node *node, const char *expected)
{
	char text[256] = "";
	struct store_slice slice;
	while (store_advance(node->store, 0)) {
	}
	struct stream *stream = state_find(store_view(node->store), SPAN("/s"));
	assert_non_null(stream);
	assert_int_equal(stream->tail, strlen(expected));
	size_t len = 0;
	for (uint64_t at = 0; at < stream->tail; at = slice.to) {
		assert_int_equal(store_read(node->store, stream, at, stream->tail, 100, &slice),
		                 STORE_READ_OK);
		for (int i = 0; i < slice.count; i++) {
			memcpy(text + len, slice.iov[i].iov_base, slice.iov[i].iov_len);
			len += slice.iov[i].iov_len;
		}
		store_slice_release(node->store, &slice);
	}
	assert_string_equal(text, expected);
}

static uint64_t epoch_of(struct node *node)
{
	struct span value;
	char text[32] = "";
	if (!state_kv_get(store_view(node->store), SPAN("store.epoch"), &value))
		return 0;
	memcpy(text, value.at, value.len);
	return strtoull(text, NULL, 10);
}

/* A leader with a message, and a follower that has its snapshot. */
static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	log_set_level(LOG_LEVEL_ERROR + 1);
	snprintf(f->leader.dir, DIR_ROOM, "/tmp/ringside-leader-XXXXXX");
	snprintf(f->follower.dir, DIR_ROOM, "/tmp/ringside-follower-XXXXXX");
	assert_true(mkdtemp(f->leader.dir) != NULL && mkdtemp(f->follower.dir) != NULL);
	open_well(&f->leader);
	assert_int_equal(create(&f->leader), VERDICT_CREATED);
	assert_int_equal(append(&f->leader, SPAN("one;")), VERDICT_OK);
	write_file(&f->follower, STORE_REPLICA_NAME);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[160];
	store_close(&f->leader.store);
	store_close(&f->follower.store);
	snprintf(command, sizeof command, "rm -rf %s %s", f->leader.dir, f->follower.dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void test_a_copy_goes_on_where_its_snapshot_ends(void **state)
{
	struct fixture *f = *state;
	snapshot(f);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	open_well(&f->follower);
	assert_false(has_file(&f->follower, STORE_SNAPSHOT_NAME));
	assert_int_equal(ring_role(store_ring(f->follower.store)), RING_FOLLOWS);
	assert_content(&f->follower, "one;");
	ship(f);
	assert_content(&f->follower, "one;two;");
	const struct stream *ours = state_find(store_view(f->follower.store), SPAN("/s"));
	const struct stream *theirs = state_find(store_view(f->leader.store), SPAN("/s"));
	assert_int_equal(ours->id, theirs->id);
	assert_int_equal(ours->lineage, theirs->lineage);
	assert_int_equal(epoch_of(&f->follower), epoch_of(&f->leader));
}

static void test_a_copy_takes_no_commands(void **state)
{
	struct fixture *f = *state;
	snapshot(f);
	open_well(&f->follower);
	uint64_t tail = ring_tail(store_ring(f->follower.store)).lsn;
	assert_int_equal(append(&f->follower, SPAN("no")), VERDICT_ELSEWHERE);
	assert_int_equal(ring_tail(store_ring(f->follower.store)).lsn, tail);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	ship(f);
	assert_content(&f->follower, "one;two;");
}

/* Its own checkpoint, its own rows, and the log on top of it. */
static void test_a_copy_starts_again(void **state)
{
	struct fixture *f = *state;
	char reason[256];
	snapshot(f);
	open_well(&f->follower);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	ship(f);
	assert_int_equal(store_checkpoint(f->follower.store, reason), 0);
	assert_int_equal(append(&f->leader, SPAN("three;")), VERDICT_OK);
	ship(f);
	reopen(&f->follower);
	assert_content(&f->follower, "one;two;three;");
	assert_int_equal(append(&f->leader, SPAN("four;")), VERDICT_OK);
	ship(f);
	assert_content(&f->follower, "one;two;three;four;");
}

/* What stops the start of a store of its own: here it comes again. */
static void test_a_copy_without_its_log(void **state)
{
	struct fixture *f = *state;
	char reason[256];
	snapshot(f);
	open_well(&f->follower);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	ship(f);
	assert_int_equal(store_checkpoint(f->follower.store, reason), 0);
	assert_int_equal(append(&f->leader, SPAN("three;")), VERDICT_OK);
	ship(f);
	store_close(&f->follower.store);
	remove_file(&f->follower, "ring");
	open_well(&f->follower);
	assert_content(&f->follower, "one;two;");
	ship(f);
	assert_content(&f->follower, "one;two;three;");
}

static void test_a_copy_of_nothing_is_not_served(void **state)
{
	struct fixture *f = *state;
	char reason[256] = "";
	assert_int_equal(open_node(&f->follower, reason), EAGAIN);
	assert_non_null(strstr(reason, "nothing of it yet"));
}

/* Whoever has the old one open would read on in it. */
static void test_a_snapshot_waits_until_all_have_ended(void **state)
{
	struct fixture *f = *state;
	char reason[256] = "";
	snapshot(f);
	open_well(&f->follower);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	snapshot(f);
	struct node other = f->follower;
	assert_int_equal(open_node(&other, reason), EAGAIN);
	reopen(&f->follower);
	assert_content(&f->follower, "one;two;");
}

/* `cluster leave`: it goes on by itself, and clients are told that something may be missing. */
static void test_a_copy_that_leaves_is_a_store_of_its_own(void **state)
{
	struct fixture *f = *state;
	snapshot(f);
	open_well(&f->follower);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	ship(f);
	remove_file(&f->follower, STORE_REPLICA_NAME);
	reopen(&f->follower);
	assert_int_equal(ring_role(store_ring(f->follower.store)), RING_ALONE);
	assert_int_equal(epoch_of(&f->follower), epoch_of(&f->leader) + 1);
	assert_int_equal(append(&f->follower, SPAN("mine;")), VERDICT_OK);
	assert_content(&f->follower, "one;two;mine;");
	assert_int_equal(append(&f->leader, SPAN("theirs;")), VERDICT_OK);
	struct ring_position end;
	size_t used;
	assert_int_equal(ring_wire(store_ring(f->leader.store),
	                           ring_tail(store_ring(f->follower.store)), UINT64_MAX, f->wire,
	                           sizeof f->wire, &used, &end) == RING_WIRED &&
	                         used > 0,
	                 false);
}

/* Its log was never synced: a power cut takes it, and nobody has it any more. */
static void test_a_copy_leaves_after_a_power_cut(void **state)
{
	struct fixture *f = *state;
	snapshot(f);
	open_well(&f->follower);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	ship(f);
	store_close(&f->follower.store);
	remove_file(&f->follower, "ring");
	remove_file(&f->follower, STORE_REPLICA_NAME);
	open_well(&f->follower);
	assert_int_equal(epoch_of(&f->follower), epoch_of(&f->leader) + 1);
	assert_int_equal(append(&f->follower, SPAN("mine;")), VERDICT_OK);
	reopen(&f->follower);
	assert_int_equal(epoch_of(&f->follower), epoch_of(&f->leader) + 1);
	/* From now on it is as any other: what it has acknowledged may not be missing. */
	store_close(&f->follower.store);
	remove_file(&f->follower, "ring");
	char reason[256];
	assert_int_equal(open_node(&f->follower, reason), EBADMSG);
}

static void done(struct command *command)
{
	(void)command;
}

/* A leader that was replaced while somebody waited for what it had written. */
static void test_a_cut_under_waiting_batches(void **state)
{
	struct fixture *f = *state;
	struct store *store = f->leader.store;
	struct ring *ring = store_ring(store);
	uint32_t size = 5;
	struct ring_position shipped = ring_tail(ring);
	ring_set_role(ring, RING_LEADS);
	struct command lost = {.kind = COMMAND_APPEND,
	                       .done = done,
	                       .path = SPAN("/s"),
	                       .content_type = SPAN("text/plain"),
	                       .body = {&size, 1, SPAN("lost;")}};
	store_submit(store, &lost);
	while (ring_tail(ring).lsn == shipped.lsn)
		usleep(100);
	assert_int_equal(store_collect(store), 0); /* nobody has raised the mark */
	ring_set_role(ring, RING_FOLLOWS);
	assert_true(ring_cut(ring, shipped));
	while (store_collect(store) == 0)
		usleep(100);
	assert_int_equal(lost.verdict, VERDICT_IO_ERROR);
	assert_int_equal(append(&f->leader, SPAN("no")), VERDICT_ELSEWHERE);
	ring_set_role(ring, RING_ALONE);
	assert_int_equal(append(&f->leader, SPAN("two;")), VERDICT_OK);
	assert_content(&f->leader, "one;two;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_a_copy_goes_on_where_its_snapshot_ends),
	        T(test_a_copy_takes_no_commands),
	        T(test_a_copy_starts_again),
	        T(test_a_copy_without_its_log),
	        T(test_a_copy_of_nothing_is_not_served),
	        T(test_a_snapshot_waits_until_all_have_ended),
	        T(test_a_copy_that_leaves_is_a_store_of_its_own),
	        T(test_a_copy_leaves_after_a_power_cut),
	        T(test_a_cut_under_waiting_batches),
#undef T
	};
	return cmocka_run_group_tests_name("store_replica", tests, NULL, NULL);
}
