/* The stream cut into pieces of every length. */
#include "worker-link/intake.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/domain/cluster_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { RING_BYTES = 1 << 20, WIRE_ROOM = 64 * 1024 };

struct node {
	char dir[64];
	struct ring ring;
};

static void open_node(struct node *node, struct ring_position start)
{
	char reason[256] = "";
	snprintf(node->dir, sizeof node->dir, "/tmp/ringside-intake-XXXXXX");
	assert_non_null(mkdtemp(node->dir));
	assert_int_equal(ring_find(&node->ring, node->dir, reason), 0);
	assert_int_equal(ring_make(&node->ring, node->dir, RING_BYTES, start, reason), 0);
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

static void put(struct node *node, size_t len)
{
	uint8_t *body = xcalloc(1, len);
	struct iovec iov[2] = {{NULL, 0}, {body, len}};
	size_t bytes = sizeof(struct ring_record) + len;
	struct ring_position at;
	ring_lock(&node->ring);
	assert_int_equal(ring_begin(&node->ring, bytes, &at), 0);
	assert_int_equal(ring_write(&node->ring, &at, iov, 2, 1, bytes), 0);
	ring_unlock(&node->ring);
	free(body);
}

/* Three records of different lengths, and a beat before, between and behind. */
static size_t make_stream(struct node *leader, struct ring_position start, uint8_t *wire)
{
	size_t len = 0, used;
	struct ring_position at = start, end;
	for (size_t i = 0; i < 3; i++)
		put(leader, 8 + 80 * i);
	uint64_t tail = ring_tail(&leader->ring).lsn;
	const struct cluster_beat beat = {
	        .magic = CLUSTER_BEAT_MAGIC, .bytes = sizeof beat, .lsn = tail};
	for (size_t i = 0; i < 4; i++, at = end) {
		memcpy(wire + len, &beat, sizeof beat);
		len += sizeof beat;
		assert_int_equal(ring_wire(&leader->ring, at, at.lsn + 40 + 80 * i, wire + len,
		                           WIRE_ROOM - len, &used, &end),
		                 RING_WIRED);
		len += used;
	}
	return len;
}

static void test_pieces_of_every_length(void **state)
{
	(void)state;
	static uint8_t wire[WIRE_ROOM];
	struct ring_position start = ring_first(0, RING_BYTES);
	struct node leader;
	open_node(&leader, start);
	size_t len = make_stream(&leader, start, wire);
	for (size_t piece = 1; piece <= len; piece += 1 + piece / 8) {
		struct node follower;
		struct intake intake = {0};
		open_node(&follower, start);
		ring_set_role(&follower.ring, RING_FOLLOWS);
		intake_begin(&intake, &follower.ring);
		for (size_t at = 0; at < len; at += piece)
			assert_int_equal(
			        intake_take(&intake, span_of(wire + at,
			                                     piece < len - at ? piece : len - at)),
			        INTAKE_FINE);
		assert_int_equal(ring_tail(&follower.ring).lsn, ring_tail(&leader.ring).lsn);
		assert_int_equal(ring_durable(&follower.ring), ring_tail(&leader.ring).lsn);
		assert_int_equal(intake.end_lsn, ring_tail(&leader.ring).lsn);
		assert_int_equal(intake.len, 0);
		intake_finish(&intake);
		close_node(&follower);
	}
	close_node(&leader);
}

static void test_what_does_not_follow(void **state)
{
	(void)state;
	static uint8_t wire[WIRE_ROOM];
	struct ring_position start = ring_first(0, RING_BYTES), other = ring_first(0, RING_BYTES);
	struct node leader, follower;
	struct intake intake = {0};
	open_node(&leader, start);
	open_node(&follower, other);
	ring_set_role(&follower.ring, RING_FOLLOWS);
	size_t len = make_stream(&leader, start, wire);
	intake_begin(&intake, &follower.ring);
	assert_int_equal(intake_take(&intake, span_of(wire, len)), INTAKE_FOREIGN);
	assert_int_equal(ring_tail(&follower.ring).lsn, other.lsn);
	intake_finish(&intake);
	close_node(&leader);
	close_node(&follower);
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_pieces_of_every_length),
	        cmocka_unit_test(test_what_does_not_follow),
	};
	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
