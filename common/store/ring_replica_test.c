/* A ring whose records come from another one: chain, wrap, cut, what does not belong. */
#include "common/store/ring_parts.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { RING_BYTES = 1 << 20, WIRE_ROOM = RING_BYTES };

struct node {
	char dir[64];
	struct ring ring;
};

struct fixture {
	struct node leader, follower;
	struct ring_position start;
	uint8_t wire[WIRE_ROOM];
};

static void open_node(struct node *node, uint64_t bytes, struct ring_position start)
{
	char reason[256] = "";
	snprintf(node->dir, sizeof node->dir, "/tmp/ringside-ring-XXXXXX");
	assert_non_null(mkdtemp(node->dir));
	assert_int_equal(ring_find(&node->ring, node->dir, reason), 0);
	assert_int_equal(ring_make(&node->ring, node->dir, bytes, start, reason), 0);
	assert_int_equal(ring_recover(&node->ring, start, start, false, reason), 0);
	ring_share(&node->ring);
}

static void close_node(struct node *node)
{
	char command[128];
	ring_close(&node->ring);
	snprintf(command, sizeof command, "rm -rf %s", node->dir);
	assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	log_set_level(LOG_LEVEL_ERROR);
	f->start = ring_first(0, RING_BYTES);
	open_node(&f->leader, RING_BYTES, f->start);
	open_node(&f->follower, RING_BYTES, f->start);
	ring_set_role(&f->follower.ring, RING_FOLLOWS);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close_node(&f->leader);
	close_node(&f->follower);
	free(f);
	return 0;
}

/* One record of `len` bytes of `fill`, len a multiple of 8. Returns where it ends. */
static struct ring_position put(struct node *node, int fill, size_t len)
{
	uint8_t *body = xmalloc(len);
	memset(body, fill, len);
	struct iovec iov[2] = {{NULL, 0}, {body, len}};
	size_t bytes = sizeof(struct ring_record) + len;
	struct ring_position at;
	ring_lock(&node->ring);
	assert_int_equal(ring_begin(&node->ring, bytes, &at), 0);
	assert_int_equal(ring_write(&node->ring, &at, iov, 2, 1, bytes), 0);
	ring_unlock(&node->ring);
	free(body);
	return ring_tail(&node->ring);
}

static void assert_position(struct ring_position is, struct ring_position expected)
{
	assert_int_equal(is.lsn, expected.lsn);
	assert_int_equal(is.hash, expected.hash);
}

/* Takes all of it, and says how many records that were. */
static unsigned take_all(struct fixture *f, struct span wire)
{
	unsigned count = 0;
	while (wire.len > 0) {
		size_t taken;
		assert_int_equal(ring_take(&f->follower.ring, wire, &taken), RING_TAKEN);
		assert_in_range(taken, sizeof(struct ring_record), wire.len);
		wire = span_of(wire.at + taken, wire.len - taken);
		count++;
	}
	ring_raise(&f->follower.ring, ring_tail(&f->follower.ring));
	return count;
}

/* What the leader has behind the follower's tail. */
static struct span wire(struct fixture *f)
{
	struct ring_position end;
	size_t used;
	struct ring_position from = ring_tail(&f->follower.ring);
	assert_int_equal(ring_wire(&f->leader.ring, from, ring_tail(&f->leader.ring).lsn, f->wire,
	                           sizeof f->wire, &used, &end),
	                 RING_WIRED);
	return span_of(f->wire, used);
}

static void ship(struct fixture *f)
{
	while (ring_tail(&f->follower.ring).lsn < ring_tail(&f->leader.ring).lsn)
		assert_true(take_all(f, wire(f)) > 0);
}

static void assert_alike(struct fixture *f)
{
	struct ring_position tail = ring_tail(&f->leader.ring);
	assert_position(ring_tail(&f->follower.ring), tail);
	assert_int_equal(ring_durable(&f->follower.ring), tail.lsn);
	assert_position(ring_synced(&f->follower.ring), tail);
}

static void test_takes_what_another_wrote(void **state)
{
	struct fixture *f = *state;
	put(&f->leader, 1, 64);
	put(&f->leader, 2, 4096);
	assert_int_equal(take_all(f, wire(f)), 2);
	assert_alike(f);
	uint64_t at = f->start.lsn;
	assert_memory_equal(ring_at(&f->leader.ring, at).at, ring_at(&f->follower.ring, at).at,
	                    ring_tail(&f->leader.ring).lsn - at);
}

/* Five times round: pads, the mark of what is overwritten, the chain. */
static void test_wraps_alike(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; ring_tail(&f->leader.ring).lsn < 5 * RING_BYTES; i++) {
		put(&f->leader, (int)i, 8 * (1 + i * 7919 % 9000));
		ship(f);
		assert_alike(f);
		ring_set_checkpoint(&f->leader.ring, ring_tail(&f->leader.ring).lsn);
		ring_set_checkpoint(&f->follower.ring, ring_tail(&f->leader.ring).lsn);
		assert_false(ring_holds(&f->follower.ring, 0) &&
		             ring_tail(&f->follower.ring).lsn > 2 * RING_BYTES);
	}
	struct ring_finding finding = ring_judge(&f->follower.ring, ring_tail(&f->follower.ring));
	assert_int_equal(finding.verdict, RING_SOUND);
}

/* A pad goes as its head. */
static void test_a_pad_is_short_on_the_wire(void **state)
{
	struct fixture *f = *state;
	size_t most = 256 * 1024;
	for (int i = 0; i < 3; i++) {
		put(&f->leader, i, most);
		ship(f);
		ring_set_checkpoint(&f->leader.ring, ring_tail(&f->leader.ring).lsn);
		ring_set_checkpoint(&f->follower.ring, ring_tail(&f->leader.ring).lsn);
	}
	put(&f->leader, 4, most); /* 256 KiB less four heads are left: a pad goes before it */
	struct span span = wire(f);
	assert_int_equal(span.len, sizeof(struct ring_record) + most + sizeof(struct ring_record));
	assert_int_equal(take_all(f, span), 2);
	assert_alike(f);
}

static void test_a_torn_shipment(void **state)
{
	struct fixture *f = *state;
	size_t taken = 1;
	put(&f->leader, 1, 512);
	struct span span = wire(f);
	for (size_t len = 0; len < span.len; len++) {
		assert_int_equal(ring_take(&f->follower.ring, span_of(span.at, len), &taken),
		                 RING_TAKE_TORN);
		assert_int_equal(taken, 0);
	}
	assert_position(ring_tail(&f->follower.ring), f->start);
	take_all(f, span);
	assert_alike(f);
}

/* Any bit of it: nothing of it is taken, and the right one is, after that. */
static void test_a_wrong_hash(void **state)
{
	struct fixture *f = *state;
	size_t taken;
	put(&f->leader, 1, 64);
	struct span span = wire(f);
	for (size_t bit = 0; bit < 8 * span.len; bit++) {
		f->wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
		enum ring_take_result result = ring_take(&f->follower.ring, span, &taken);
		/* Of a length that was changed more may be awaited. */
		assert_true(result == RING_TAKE_FOREIGN || result == RING_TAKE_TORN);
		f->wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_position(ring_tail(&f->follower.ring), f->start);
	take_all(f, span);
	assert_alike(f);
}

/* Twice the same, or one left out. */
static void test_only_what_follows(void **state)
{
	struct fixture *f = *state;
	size_t taken;
	put(&f->leader, 1, 64);
	put(&f->leader, 2, 64);
	struct span span = wire(f), second = span_of(span.at + 96, 96);
	assert_int_equal(ring_take(&f->follower.ring, second, &taken), RING_TAKE_FOREIGN);
	take_all(f, span);
	assert_int_equal(ring_take(&f->follower.ring, span, &taken), RING_TAKE_FOREIGN);
	assert_alike(f);
}

static void test_another_history(void **state)
{
	struct fixture *f = *state;
	size_t used, taken;
	struct ring_position end, fork;
	put(&f->leader, 1, 64);
	ship(f);
	ring_set_role(&f->follower.ring, RING_ALONE);
	fork = put(&f->follower, 2, 64);
	ring_set_role(&f->follower.ring, RING_FOLLOWS);
	put(&f->leader, 3, 64);
	put(&f->leader, 4, 64);
	assert_int_equal(
	        ring_wire(&f->leader.ring, fork, UINT64_MAX, f->wire, sizeof f->wire, &used, &end),
	        RING_WIRE_FOREIGN);
	assert_int_equal(used, 0);
	/* A position within a record is none. */
	struct ring_position within = {f->start.lsn + 8, f->start.hash};
	assert_int_equal(ring_wire(&f->leader.ring, within, UINT64_MAX, f->wire, sizeof f->wire,
	                           &used, &end),
	                 RING_WIRE_FOREIGN);
	assert_int_equal(ring_wire(&f->leader.ring, f->start, UINT64_MAX, f->wire, sizeof f->wire,
	                           &used, &end),
	                 RING_WIRED);
	assert_int_equal(used, 3 * 96);
	assert_int_equal(ring_take(&f->follower.ring, span_of(f->wire + 192, 96), &taken),
	                 RING_TAKE_FOREIGN);
}

static void test_only_a_follower_takes(void **state)
{
	struct fixture *f = *state;
	size_t taken;
	put(&f->leader, 1, 64);
	struct span span = wire(f);
	ring_set_role(&f->follower.ring, RING_LEADS);
	assert_int_equal(ring_take(&f->follower.ring, span, &taken), RING_TAKE_FOREIGN);
	ring_set_role(&f->follower.ring, RING_FOLLOWS);
	take_all(f, span);
}

/* What readers may still want and LMDB has not is never written over. */
static void test_full_until_its_own_checkpoint_moves(void **state)
{
	struct fixture *f = *state;
	size_t taken;
	enum ring_take_result result = RING_TAKEN;
	struct span span;
	for (unsigned i = 0; result == RING_TAKEN; i++) {
		put(&f->leader, (int)i, 64 * 1024);
		ring_set_checkpoint(&f->leader.ring, ring_tail(&f->leader.ring).lsn);
		for (span = wire(f); span.len > 0 && result == RING_TAKEN;
		     span = span_of(span.at + taken, span.len - taken))
			result = ring_take(&f->follower.ring, span, &taken);
	}
	assert_int_equal(result, RING_TAKE_FULL);
	struct ring_position tail = ring_tail(&f->follower.ring);
	assert_in_range(tail.lsn, RING_BYTES / 2, RING_BYTES);
	ring_set_checkpoint(&f->follower.ring, tail.lsn);
	ship(f);
	assert_alike(f);
}

static void test_lapped_is_told(void **state)
{
	struct fixture *f = *state;
	struct ring_position end;
	size_t used;
	for (unsigned i = 0; ring_tail(&f->leader.ring).lsn < 2 * RING_BYTES; i++) {
		put(&f->leader, (int)i, 64 * 1024);
		ring_set_checkpoint(&f->leader.ring, ring_tail(&f->leader.ring).lsn);
	}
	assert_int_equal(ring_wire(&f->leader.ring, f->start, UINT64_MAX, f->wire, sizeof f->wire,
	                           &used, &end),
	                 RING_WIRE_LAPPED);
}

/* No more than what is durable leaves, and no more than there is room for. */
static void test_wires_up_to_a_mark(void **state)
{
	struct fixture *f = *state;
	struct ring_position end, one = put(&f->leader, 1, 64), two = put(&f->leader, 2, 64);
	size_t used;
	put(&f->leader, 3, 64);
	ring_wire(&f->leader.ring, f->start, one.lsn + 8, f->wire, sizeof f->wire, &used, &end);
	assert_int_equal(used, 96);
	assert_position(end, one);
	ring_wire(&f->leader.ring, f->start, UINT64_MAX, f->wire, 200, &used, &end);
	assert_int_equal(used, 192);
	assert_position(end, two);
}

/* A leader that was replaced: what it wrote alone goes, and the other history follows. */
static void test_a_cut_gives_way_to_another_history(void **state)
{
	struct fixture *f = *state;
	put(&f->leader, 1, 64);
	ship(f);
	struct ring_position shipped = ring_tail(&f->follower.ring);
	ring_set_role(&f->follower.ring, RING_LEADS);
	struct ring_position lost = put(&f->follower, 2, 640);
	put(&f->leader, 3, 320);
	ring_set_role(&f->follower.ring, RING_FOLLOWS);
	assert_false(ring_cut(&f->follower.ring, f->start)); /* that is durable */
	assert_false(ring_cut(&f->follower.ring, lost));     /* nothing stands behind it */
	assert_int_equal(ring_cuts(&f->follower.ring), 0);
	assert_true(ring_cut(&f->follower.ring, shipped));
	assert_int_equal(ring_cuts(&f->follower.ring), 1);
	assert_position(ring_tail(&f->follower.ring), shipped);
	ship(f);
	assert_alike(f);
	ring_set_role(&f->follower.ring, RING_LEADS);
	put(&f->follower, 4, 64);
	assert_true(ring_cut(&f->follower.ring, ring_synced(&f->follower.ring)));
	assert_int_equal(ring_cuts(&f->follower.ring), 2);
}

/* The disk of a leader proves nothing: only whoever ships raises the mark. */
static void test_a_leader_does_not_sync(void **state)
{
	struct fixture *f = *state;
	ring_set_role(&f->leader.ring, RING_LEADS);
	uint32_t before = ring_writes(&f->leader.ring);
	struct ring_position tail = put(&f->leader, 1, 64);
	assert_int_equal(ring_writes(&f->leader.ring), before + 1);
	assert_false(ring_sync_trylock(&f->leader.ring));
	assert_int_equal(ring_sync(&f->leader.ring), 0);
	assert_int_equal(ring_durable(&f->leader.ring), f->start.lsn);
	uint32_t seen = ring_syncs(&f->leader.ring);
	ring_raise(&f->leader.ring, tail);
	assert_int_equal(ring_durable(&f->leader.ring), tail.lsn);
	assert_true(ring_syncs(&f->leader.ring) != seen);
	ring_raise(&f->leader.ring, f->start); /* never back */
	assert_int_equal(ring_durable(&f->leader.ring), tail.lsn);
}

static void *write_soon(void *arg)
{
	usleep(20000);
	put(arg, 1, 64);
	return NULL;
}

static void test_a_shipper_is_woken(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	ring_set_role(&f->leader.ring, RING_LEADS);
	uint32_t seen = ring_writes(&f->leader.ring);
	assert_int_equal(pthread_create(&thread, NULL, write_soon, &f->leader), 0);
	while (ring_writes(&f->leader.ring) == seen)
		ring_wait_written(&f->leader.ring, seen, 60000);
	pthread_join(thread, NULL);
	assert_true(ring_tail(&f->leader.ring).lsn > f->start.lsn);
}

/* Its pads stand elsewhere. */
static void test_a_ring_of_another_size(void **state)
{
	struct fixture *f = *state;
	size_t taken, used;
	struct ring_position end;
	struct node small;
	open_node(&small, RING_BYTES / 2, f->start);
	ring_set_role(&small.ring, RING_FOLLOWS);
	enum ring_take_result result = RING_TAKEN;
	for (unsigned i = 0; result == RING_TAKEN; i++) {
		put(&f->leader, (int)i, 40000);
		ring_wire(&f->leader.ring, ring_tail(&small.ring), UINT64_MAX, f->wire,
		          sizeof f->wire, &used, &end);
		result = ring_take(&small.ring, span_of(f->wire, used), &taken);
		ring_set_checkpoint(&small.ring, ring_tail(&small.ring).lsn);
		assert_true(ring_tail(&f->leader.ring).lsn < RING_BYTES);
	}
	assert_int_equal(result, RING_TAKE_FOREIGN);
	close_node(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_takes_what_another_wrote),
	        T(test_wraps_alike),
	        T(test_a_pad_is_short_on_the_wire),
	        T(test_a_torn_shipment),
	        T(test_a_wrong_hash),
	        T(test_only_what_follows),
	        T(test_another_history),
	        T(test_only_a_follower_takes),
	        T(test_full_until_its_own_checkpoint_moves),
	        T(test_lapped_is_told),
	        T(test_wires_up_to_a_mark),
	        T(test_a_cut_gives_way_to_another_history),
	        T(test_a_leader_does_not_sync),
	        T(test_a_shipper_is_woken),
	        T(test_a_ring_of_another_size),
#undef T
	};
	return cmocka_run_group_tests_name("ring_replica", tests, NULL, NULL);
}
