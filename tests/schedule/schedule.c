/* Schedules of the ring: processes that append, sync, follow and checkpoint, in an order by seed,
 * with deaths and failing disks (sim.h).
 *
 *     schedule [--seed N] [--count N] [--seconds N]
 *
 * Judged at all times: what was acknowledged stands in the chain that a power failure leaves, which
 * is never taken for damage; what a follower has copied and found whole is what was written there;
 * in the end all get on. Prints the seed that fails: `--seed N --count 1` is the same run. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/ring_parts.h"
#include "tests/schedule/sim.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	OPS_MAX = 512,
	APPENDS = 6, /* of a process */
	BODY_MAX = 3000,
	TRIES_MAX = 200,
};

#define ULL(n) ((unsigned long long)(n))

/* A record that was written, by the position where it began. The later of one position counts. */
struct op {
	uint64_t from, to, id;
	uint32_t bytes;
	bool acknowledged;
};

static struct ring ring;
static struct ring_control control;
static struct op ops[OPS_MAX];
static uint32_t ops_count;
static struct ring_position checkpoint;
static uint64_t seed, schedules, failures, records, images;
static bool failed;

static void fault(const char *what, uint64_t at)
{
	if (!failed)
		printf("FAILED: seed %llu: %s, at %llu\n", ULL(seed), what, ULL(at));
	failed = true;
}

/* ---- records ---- */

static void fill(uint8_t *at, uint32_t bytes, uint64_t id)
{
	for (uint32_t i = 0; i < bytes; i += 8) {
		uint64_t word = id << 16 | i >> 3;
		memcpy(at + i, &word, 8);
	}
}

static bool holds(const uint8_t *at, uint32_t bytes, uint64_t id)
{
	for (uint32_t i = 0; i < bytes; i += 8) {
		uint64_t word = id << 16 | i >> 3;
		if (memcmp(at + i, &word, 8) != 0)
			return false;
	}
	return true;
}

/* One whose write failed may have got there all the same, and show again when the kernel reads the
 * page that was written over it anew. */
static bool somebody_wrote(uint64_t from, const uint8_t *body, size_t bytes)
{
	for (uint32_t i = 0; i < ops_count; i++)
		if (ops[i].from == from && ops[i].bytes == bytes &&
		    holds(body, ops[i].bytes, ops[i].id))
			return true;
	return false;
}

/* ---- a process ---- */

static void make_room(void)
{
	if (ring_sync(&ring) != 0 || !ring_checkpoint_trylock(&ring, 0))
		return;
	uint64_t durable = ring_durable(&ring);
	struct ring_position to = ring_scan(&ring, checkpoint, durable);
	if (to.lsn != durable)
		fault("the chain breaks below the durable mark", to.lsn);
	checkpoint = to; /* as LMDB has it: what stands below is nobody's need any more */
	ring_set_checkpoint(&ring, to.lsn);
	ring_checkpoint_unlock(&ring);
}

static bool lock_with_room(size_t bytes)
{
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		ring_lock(&ring);
		if (ring_has_room(&ring, bytes))
			return true;
		ring_unlock(&ring);
		make_room();
	}
	return false;
}

/* As the commit thread does (common/store/store_commit.c); NULL: not written. */
static struct op *write_one(uint32_t *cuts)
{
	uint8_t body[BODY_MAX + 8];
	uint32_t bytes = 8 + sim_below(BODY_MAX / 8 - 1) * 8;
	struct iovec iov[2] = {{0}, {body, bytes}};
	struct ring_position at;
	if (atomic_load(&control.io_error) != 0 && ring_sync(&ring) != 0)
		return NULL;
	if (!lock_with_room(sizeof(struct ring_record) + bytes))
		return NULL;
	*cuts = ring_cuts(&ring);
	struct op *op = NULL;
	if (ring_begin(&ring, sizeof(struct ring_record) + bytes, &at) == 0) {
		check(ops_count < OPS_MAX);
		op = &ops[ops_count++];
		*op = (struct op){.from = at.lsn, .id = ops_count, .bytes = bytes};
		fill(body, bytes, op->id);
		if (ring_write(&ring, &at, iov, 2, 1, sizeof(struct ring_record) + bytes) == 0)
			op->to = at.lsn;
		else
			op = NULL;
	}
	ring_unlock(&ring);
	return op;
}

static bool is_done(const struct op *op, uint32_t cuts, bool *durable)
{
	uint64_t mark = ring_durable(&ring); /* first, then the cuts */
	bool cut = ring_cuts(&ring) != cuts;
	*durable = op->to <= mark && !cut;
	return op->to <= mark || cut;
}

static void sync_one(struct op *op, uint32_t cuts)
{
	bool durable = false, failing = false;
	while (!failing && !is_done(op, cuts, &durable)) {
		uint32_t seen = ring_syncs(&ring);
		if (ring_sync_trylock(&ring)) {
			failing = ring_sync_locked(&ring) != 0;
			ring_sync_unlock(&ring);
		} else {
			ring_sync_wait(&ring, seen);
		}
	}
	op->acknowledged = durable;
}

static void append_some(uint32_t number)
{
	(void)number;
	for (int i = 0; i < APPENDS; i++) {
		uint32_t cuts;
		struct op *op = write_one(&cuts);
		if (op != NULL)
			sync_one(op, cuts);
	}
}

/* Reads what is durable without a lock: copied first, then known to be whole. */
static void follow(uint32_t number)
{
	uint8_t copy[BODY_MAX + 64];
	uint64_t at = ring_checkpoint(&ring);
	(void)number;
	for (int looks = 0; looks < 60; looks++) {
		struct ring_record record;
		sim_step();
		if (at >= ring_durable(&ring))
			continue;
		bool there = ring_record_at(&ring, at, &record) && ring_holds(&ring, at);
		if (there && record.entries != RING_PAD && record.bytes <= sizeof copy) {
			size_t half = record.bytes / 16 * 8;
			memcpy(copy, ring_at(&ring, at).at, half);
			sim_step();
			memcpy(copy + half, ring_at(&ring, at + half).at, record.bytes - half);
			there = ring_holds(&ring, at);
			if (there &&
			    !somebody_wrote(at, copy + sizeof record, record.bytes - sizeof record))
				fault("a follower read what nobody wrote", at);
			records++;
		}
		at = there ? at + record.bytes : ring_checkpoint(&ring);
	}
}

static void on_death(uint32_t number)
{
	(void)number;
	if (sim_started() < SIM_PROCESSES_MAX)
		sim_start(append_some);
}

/* ---- power failures ---- */

static void look_at_image(void)
{
	static uint8_t image[SIM_RING_BYTES];
	struct ring shown = ring;
	sim_power_failure(image);
	shown.map = image;
	images++;
	struct ring_finding finding = ring_judge(&shown, checkpoint);
	if (finding.verdict != RING_SOUND)
		fault(finding.verdict == RING_DAMAGED ? "a power failure is taken for damage"
		                                      : "the ring is not known any more",
		      finding.end.lsn);
	for (uint32_t i = 0; i < ops_count; i++) {
		const struct op *op = &ops[i];
		if (!op->acknowledged || op->from < checkpoint.lsn)
			continue;
		if (op->to > finding.end.lsn)
			fault("acknowledged, and lost", op->from);
		else if (!holds(ring_at(&shown, op->from).at + sizeof(struct ring_record),
		                op->bytes, op->id))
			fault("acknowledged, and something else stands there", op->from);
	}
}

/* ---- one schedule ---- */

static void make_ring(void)
{
	char reason[256];
	const struct ring_record anchor = {
	        .hash = 4711, .magic = ring_magic, .bytes = sizeof anchor, .entries = RING_PAD};
	ring = (struct ring){.fd = 0,
	                     .bytes = SIM_RING_BYTES,
	                     .record_max = SIM_RING_BYTES / 32 * 10,
	                     .map = sim_cache,
	                     .control = &control,
	                     .alone = true};
	ring.reserve = ring.record_max + 2 * sizeof(struct ring_record);
	struct iovec iov = {(void *)(uintptr_t)&anchor, sizeof anchor};
	check(ring_write_all(0, &iov, 1, 0) == 0);
	checkpoint = (struct ring_position){sizeof anchor, anchor.hash};
	check(ring_recover(&ring, checkpoint, checkpoint, false, reason) == 0);
	memset(&control.write_lock, 0, sizeof control.write_lock);
	memset(&control.sync_lock, 0, sizeof control.sync_lock);
	memset(&control.checkpoint_lock, 0, sizeof control.checkpoint_lock);
}

static void run_schedule(void)
{
	const struct sim_options plain = {.switch_in = 1 + (uint32_t)(seed % 7)};
	struct sim_options options = plain;
	if (seed % 3 != 0)
		options.kill_in = 2000;
	if (seed % 4 == 1)
		options.fail_in = 12;
	failed = false;
	ops_count = 0;
	sim_begin(seed, &options);
	make_ring();
	for (uint64_t i = 0; i < 2 + seed % 2; i++)
		sim_start(append_some);
	sim_start(follow);
	if (!sim_run(on_death, look_at_image))
		fault("they do not get on", ring_durable(&ring));
	look_at_image();
	if (ring_sync(&ring) != 0) /* its disk is well again, whoever is dead */
		fault("nothing can be made durable any more", ring_durable(&ring));
	schedules++;
	failures += failed;
}

static void on_abort(int signal)
{
	char text[64];
	int n = snprintf(text, sizeof text, "FAILED: seed %llu: aborted\n", ULL(seed));
	(void)signal;
	_exit(write(STDOUT_FILENO, text, (size_t)n) == n ? 1 : 2);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
	        {"seed", 1, 0, 's'}, {"count", 1, 0, 'n'}, {"seconds", 1, 0, 't'}, {0, 0, 0, 0}};
	uint64_t count = 0, seconds = 0;
	uint32_t chosen = 0;
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		uint64_t number = strtoull(c == '?' ? "" : optarg, NULL, 10);
		if (c == 's')
			seed = number;
		else if (c == 'n')
			count = number;
		else if (c == 't')
			seconds = number;
		else
			return 2;
	}
	if (seed == 0) {
		check(getrandom(&chosen, sizeof chosen, 0) > 0);
		seed = chosen;
	}
	log_set_level(LOG_LEVEL_ERROR + 1);
	signal(SIGABRT, on_abort);
	printf("seed %llu\n", ULL(seed));
	fflush(stdout);
	uint64_t begun_ms = clock_monotonic_ms();
	for (; failures == 0 &&
	       (count != 0 ? schedules < count : clock_monotonic_ms() < begun_ms + seconds * 1000);
	     seed++)
		run_schedule();
	printf("%llu schedules, %llu power failures, %llu records read by followers in %llu ms, "
	       "%llu "
	       "failed\n",
	       ULL(schedules), ULL(images), ULL(records), ULL(clock_monotonic_ms() - begun_ms),
	       ULL(failures));
	return failures != 0;
}
