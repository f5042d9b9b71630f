/* The ring alone: chain, wrap, recovery, locks of the dead, failed syncs. */
#include "common/store/ring_parts.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#define XXH_STATIC_LINKING_ONLY
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { RING_BYTES = 1 << 20 };

struct fixture {
	char dir[64];
	struct ring ring;
	struct ring_position start; /* where its log begins */
};

/* Stands in for libc's: so many of the next syncs fail. */
static int syncs_fail;
static unsigned syncs_done;

int fdatasync(int fd)
{
	if (syncs_fail > 0) {
		syncs_fail--;
		errno = EIO;
		return -1;
	}
	syncs_done++;
	return (int)syscall(SYS_fdatasync, fd);
}

/* So many of the next writes fail; after that so many stop half way. */
static int writes_fail, writes_short;

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	if (writes_fail > 0) {
		writes_fail--;
		errno = EIO;
		return -1;
	}
	if (writes_short > 0) {
		writes_short--;
		return pwrite(fd, iov->iov_base, (iov->iov_len + 1) / 2, at);
	}
	return syscall(SYS_pwritev, fd, iov, count, at, 0);
}

/* As a store does that is alone, with a ring that is there. */
static void open_at(struct fixture *f, struct ring_position start)
{
	char reason[256] = "";
	assert_int_equal(ring_find(&f->ring, f->dir, reason), 0);
	assert_true(f->ring.alone && f->ring.fd >= 0);
	struct ring_finding finding = ring_judge(&f->ring, start);
	assert_int_equal(finding.verdict, RING_SOUND);
	assert_int_equal(ring_recover(&f->ring, start, finding.end, false, reason), 0);
	ring_share(&f->ring);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	char reason[256] = "";
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(f->dir, sizeof f->dir, "/tmp/ringside-ring-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(ring_find(&f->ring, f->dir, reason), 0);
	assert_int_equal(f->ring.fd, -1);
	f->start = ring_first(0, RING_BYTES);
	assert_int_equal(ring_make(&f->ring, f->dir, RING_BYTES, f->start, reason), 0);
	assert_int_equal(ring_recover(&f->ring, f->start, f->start, false, reason), 0);
	ring_share(&f->ring);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	syncs_fail = writes_fail = writes_short = 0;
	ring_close(&f->ring);
	snprintf(command, sizeof command, "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* One record with `len` bytes of `fill`; len a multiple of 8. Returns where it ends. */
static struct ring_position put(struct fixture *f, int fill, size_t len)
{
	uint8_t *body = xmalloc(len);
	memset(body, fill, len);
	struct iovec iov[2] = {{NULL, 0}, {body, len}};
	size_t bytes = sizeof(struct ring_record) + len;
	struct ring_position at;
	ring_lock(&f->ring);
	assert_int_equal(ring_begin(&f->ring, bytes, &at), 0);
	assert_int_equal(ring_write(&f->ring, &at, iov, 2, 1, bytes), 0);
	ring_unlock(&f->ring);
	free(body);
	return ring_tail(&f->ring);
}

static void reboot(struct fixture *f, struct ring_position start)
{
	ring_close(&f->ring);
	open_at(f, start);
}

static void damage(struct fixture *f, uint64_t lsn)
{
	char path[128];
	uint8_t byte;
	snprintf(path, sizeof path, "%s/ring", f->dir);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(lsn % RING_BYTES)), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(lsn % RING_BYTES)), 1);
	close(fd);
}

static void test_recovers_what_chains(void **state)
{
	struct fixture *f = *state;
	struct ring_position middle = {0}, tail = {0};
	for (int i = 0; i < 100; i++) {
		tail = put(f, i, 8 * (size_t)(i + 1));
		if (i == 50)
			middle = tail;
	}
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
	assert_int_equal(ring_tail(&f->ring).hash, tail.hash);
	assert_int_equal(ring_durable(&f->ring), tail.lsn);
	reboot(f, middle);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
	assert_int_equal(ring_checkpoint(&f->ring), middle.lsn);
}

/* Every byte of the last record counts: with one bit turned it is not there. */
static void test_a_torn_record_ends_the_log(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 64);
	struct ring_position before = put(f, 2, 64), tail = put(f, 3, 64);
	for (uint64_t at = before.lsn; at < tail.lsn; at++) {
		damage(f, at);
		reboot(f, f->start);
		assert_int_equal(ring_tail(&f->ring).lsn, before.lsn);
		damage(f, at);
	}
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
}

/* ---- damage ---- */

/* Five records, each durable before the next is begun. Returns where they end, the first at [0]. */
static void put_durable(struct fixture *f, struct ring_position ends[5])
{
	for (int i = 0; i < 5; i++) {
		ends[i] = put(f, i + 1, 400);
		assert_int_equal(ring_sync(&f->ring), 0);
	}
}

static enum ring_verdict judge_again(struct fixture *f, struct ring_finding *finding)
{
	char reason[256];
	ring_close(&f->ring);
	assert_int_equal(ring_find(&f->ring, f->dir, reason), 0);
	*finding = ring_judge(&f->ring, f->start);
	return finding->verdict;
}

/* Wherever a record is hit that others follow which were begun when it was durable: that is not the
 * end. */
static void test_damage_is_not_the_end(void **state)
{
	struct fixture *f = *state;
	struct ring_position ends[5];
	struct ring_finding finding;
	char reason[256];
	put_durable(f, ends);
	for (uint64_t at = ends[1].lsn; at < ends[2].lsn; at += 3) {
		damage(f, at);
		assert_int_equal(judge_again(f, &finding), RING_DAMAGED);
		assert_int_equal(finding.end.lsn, ends[1].lsn);
		damage(f, at);
	}
	assert_int_equal(judge_again(f, &finding), RING_SOUND);
	/* Given up: what stood behind it proves nothing any more. */
	damage(f, ends[1].lsn + 100);
	assert_int_equal(judge_again(f, &finding), RING_DAMAGED);
	assert_int_equal(ring_recover(&f->ring, f->start, finding.end, true, reason), 0);
	assert_int_equal(ring_tail(&f->ring).lsn, ends[1].lsn);
	put(f, 9, 64);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, ends[1].lsn + 64 + sizeof(struct ring_record));
}

/* What a power cut leaves: one torn, whole ones behind it, none of them durable. */
static void test_a_torn_stretch_is_cut(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 400);
	assert_int_equal(ring_sync(&f->ring), 0);
	struct ring_position end = ring_tail(&f->ring);
	for (int i = 0; i < 5; i++)
		put(f, i, 400);
	damage(f, end.lsn + 50);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, end.lsn);
}

/* The last two records that follow: a hole of any width in front of them. */
static void test_damage_as_wide_as_it_may_be(void **state)
{
	struct fixture *f = *state;
	struct ring_position ends[5];
	struct ring_finding finding;
	char path[128];
	put_durable(f, ends);
	snprintf(path, sizeof path, "%s/ring", f->dir);
	int fd = open(path, O_RDWR);
	static const uint8_t zeros[RING_BYTES];
	size_t len = (size_t)(ends[2].lsn - ends[0].lsn);
	assert_int_equal(pwrite(fd, zeros, len, (off_t)ends[0].lsn), len);
	close(fd);
	assert_int_equal(judge_again(f, &finding), RING_DAMAGED);
	assert_int_equal(finding.end.lsn, ends[0].lsn);
}

/* A checkpoint needs the ring that it was made from: garbage, zeros and another one are not it. */
static void test_a_foreign_ring(void **state)
{
	struct fixture *f = *state;
	struct ring_finding finding;
	char path[128];
	uint8_t *noise = xmalloc(RING_BYTES);
	put(f, 1, 400);
	assert_int_equal(ring_sync(&f->ring), 0);
	f->start = ring_tail(&f->ring);
	assert_int_equal(judge_again(f, &finding), RING_SOUND);
	snprintf(path, sizeof path, "%s/ring", f->dir);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < RING_BYTES; i++)
			noise[i] = round == 0 ? 0 : (uint8_t)(i * 2654435761u >> 13);
		int fd = open(path, O_RDWR);
		assert_int_equal(pwrite(fd, noise, RING_BYTES, 0), RING_BYTES);
		close(fd);
		assert_int_equal(judge_again(f, &finding), RING_FOREIGN);
		assert_int_equal(ring_blank(&f->ring), round == 0);
	}
	free(noise);
	/* For teardown. */
	char reason[256];
	assert_int_equal(ring_make(&f->ring, f->dir, RING_BYTES, ring_first(0, RING_BYTES), reason),
	                 0);
}

/* Releases before said nothing of the durable mark: 0 stood there, and the log began at 0. */
static void test_a_ring_of_an_older_release(void **state)
{
	struct fixture *f = *state;
	struct ring_position ends[5], none = {0}, at = none;
	struct ring_record record;
	char path[128], reason[256];
	uint8_t bytes[512];
	ring_close(&f->ring);
	assert_int_equal(ring_find(&f->ring, f->dir, reason), 0);
	assert_int_equal(ring_recover(&f->ring, none, none, false, reason), 0);
	put_durable(f, ends);
	snprintf(path, sizeof path, "%s/ring", f->dir);
	int fd = open(path, O_RDWR);
	for (int i = 0; i < 5; i++) {
		assert_true(ring_record_at(&f->ring, at.lsn, &record));
		assert_int_equal(pread(fd, bytes, record.bytes, (off_t)at.lsn), record.bytes);
		record.undurable = 0;
		memcpy(bytes, &record, sizeof record);
		record.hash = XXH3_64bits_withSeed(bytes + 8, record.bytes - 8, at.hash);
		memcpy(bytes, &record, sizeof record);
		assert_int_equal(pwrite(fd, bytes, record.bytes, (off_t)at.lsn), record.bytes);
		at = (struct ring_position){at.lsn + record.bytes, record.hash};
	}
	close(fd);
	reboot(f, none);
	assert_int_equal(ring_tail(&f->ring).lsn, at.lsn);
	assert_int_equal(ring_tail(&f->ring).hash, at.hash);
	damage(f, ends[1].lsn + 100);
	reboot(f, none);
	assert_int_equal(ring_tail(&f->ring).lsn, ends[1].lsn);
}

/* ---- who lives ---- */

static bool child_is_alone(const char *dir)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct ring ring;
		char reason[256];
		int error = ring_find(&ring, dir, reason);
		_exit(error != 0 ? 2 : ring.alone);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 1;
}

/* The control file is believed while somebody has the ring open, and not longer, whatever it says.
 */
static void test_control_is_believed_by_liveness(void **state)
{
	struct fixture *f = *state;
	char command[256];
	put(f, 1, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	snprintf(command, sizeof command, "cp %s/control %s/earlier", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	struct ring_position tail = put(f, 2, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_false(child_is_alone(f->dir));
	ring_close(&f->ring);
	assert_true(child_is_alone(f->dir));
	snprintf(command, sizeof command, "cp %s/earlier %s/control", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	open_at(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
	assert_int_equal(ring_durable(&f->ring), tail.lsn);
}

/* A lock that stood still in the volume's image is nobody's. */
static void test_locks_of_another_life(void **state)
{
	struct fixture *f = *state;
	char command[256];
	ring_lock(&f->ring);
	snprintf(command, sizeof command, "cp %s/control %s/earlier", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	ring_unlock(&f->ring);
	ring_close(&f->ring);
	snprintf(command, sizeof command, "cp %s/earlier %s/control", f->dir, f->dir);
	assert_int_equal(system(command), 0);
	open_at(f, f->start);
	assert_int_equal(pthread_mutex_trylock(&f->ring.control->write_lock), 0);
	ring_unlock(&f->ring);
}

/* A program that we started lives on: it has nothing of ours. */
static void test_no_child_inherits_the_life_lock(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	char byte;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execlp("sleep", "sleep", "600", (char *)NULL);
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0); /* it has executed */
	close(ends[0]);
	assert_int_equal(close(f->ring.fd), 0); /* without a word, as a killed process leaves it */
	f->ring.fd = -1;
	assert_true(child_is_alone(f->dir));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	ring_close(&f->ring);
	open_at(f, f->start);
}

/* Without its control file nobody can join those who live; they are not disturbed. */
static void test_control_removed_under_the_living(void **state)
{
	struct fixture *f = *state;
	struct ring other;
	char path[128], reason[256];
	snprintf(path, sizeof path, "%s/control", f->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ring_find(&other, f->dir, reason), EBADMSG);
	put(f, 1, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
}

/* A whole record of an older life stands right behind the new tail, but chains on another one. */
static void test_a_stale_record_never_continues(void **state)
{
	struct fixture *f = *state;
	struct ring_position first = put(f, 1, 256);
	put(f, 2, 256);
	put(f, 3, 256);
	damage(f, first.lsn + 100);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, first.lsn);
	struct ring_position again = put(f, 4, 256);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, again.lsn);
}

/* Round and round with sizes that never divide the file: pads chain too, and no record wraps. */
static void test_wraps_with_pads(void **state)
{
	struct fixture *f = *state;
	struct ring_position from = f->start;
	for (size_t i = 0; ring_tail(&f->ring).lsn < 5 * RING_BYTES; i++) {
		size_t len = 8 * (1 + i * 7919 % 9000);
		if (!ring_has_room(&f->ring, len + sizeof(struct ring_record))) {
			from = ring_tail(&f->ring);
			ring_set_checkpoint(&f->ring, from.lsn);
		}
		struct ring_position tail = put(f, (int)i, len);
		uint64_t start = tail.lsn - len - sizeof(struct ring_record);
		struct ring_record record;
		assert_true(ring_record_at(&f->ring, start, &record));
		assert_int_equal(record.bytes, len + sizeof record);
		assert_true(start % RING_BYTES + record.bytes <= RING_BYTES);
		assert_true(ring_holds(&f->ring, start));
	}
	struct ring_position tail = ring_tail(&f->ring);
	reboot(f, from);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
	assert_false(ring_holds(&f->ring, tail.lsn - RING_BYTES - 8));
	assert_false(ring_holds(&f->ring, tail.lsn + 8));
}

/* Writers stay behind the checkpoint by more than the longest record. */
static void test_full_until_the_checkpoint_moves(void **state)
{
	struct fixture *f = *state;
	while (ring_has_room(&f->ring, 4096 + sizeof(struct ring_record)))
		put(f, 7, 4096);
	assert_true(ring_tail(&f->ring).lsn + f->ring.reserve <= RING_BYTES);
	ring_set_checkpoint(&f->ring, ring_tail(&f->ring).lsn);
	assert_true(ring_has_room(&f->ring, 4096 + sizeof(struct ring_record)));
}

/* Readers are told before the first byte is overwritten. */
static void test_announces_what_it_overwrites(void **state)
{
	struct fixture *f = *state;
	while (ring_tail(&f->ring).lsn < RING_BYTES / 4 * 3)
		put(f, 7, 4096);
	ring_set_checkpoint(&f->ring, ring_tail(&f->ring).lsn);
	struct ring_position at;
	size_t bytes = f->ring.record_max;
	assert_true(ring_has_room(&f->ring, bytes));
	assert_true(ring_holds(&f->ring, 0));
	ring_lock(&f->ring);
	assert_int_equal(ring_begin(&f->ring, bytes, &at), 0);
	assert_int_equal(at.lsn, RING_BYTES);
	assert_false(ring_holds(&f->ring, 0));
	assert_false(ring_holds(&f->ring, bytes - 8));
	assert_true(ring_holds(&f->ring, bytes));
	ring_unlock(&f->ring);
}

/* Whoever waits for another process's sync needs none of its own. */
static void test_one_sync_for_all(void **state)
{
	struct fixture *f = *state;
	int begun[2], go[2];
	char byte = 0;
	assert_int_equal(pipe(begun) | pipe(go), 0);
	struct ring_position tail = put(f, 1, 64);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool locked = ring_sync_trylock(&f->ring);
		(void)!write(begun[1], &byte, 1);
		(void)!read(go[0], &byte, 1);
		int error = ring_sync_locked(&f->ring);
		ring_sync_unlock(&f->ring);
		_exit(locked && error == 0 ? 0 : 1);
	}
	assert_int_equal(read(begun[0], &byte, 1), 1);
	uint32_t seen = ring_syncs(&f->ring);
	assert_false(ring_sync_trylock(&f->ring));
	assert_int_equal(write(go[1], &byte, 1), 1);
	while (ring_syncs(&f->ring) == seen)
		ring_sync_wait(&f->ring, seen);
	assert_int_equal(ring_durable(&f->ring), tail.lsn);
	unsigned done = syncs_done;
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(syncs_done, done);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(begun[i]);
		close(go[i]);
	}
}

/* All locks outlive an owner that is killed. */
static void test_locks_of_the_dead(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 64);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ring_lock(&f->ring);
		(void)!ring_checkpoint_trylock(&f->ring, 0);
		(void)!ring_sync_trylock(&f->ring);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(ring_checkpoint_trylock(&f->ring, 1000));
	ring_checkpoint_unlock(&f->ring);
	put(f, 2, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(ring_durable(&f->ring), ring_tail(&f->ring).lsn);
}

/* After a failed sync the next one proves nothing: everything is written again first. */
static void test_failed_sync_is_repaired(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	uint64_t durable = ring_durable(&f->ring);
	struct ring_position tail = put(f, 2, 64);
	syncs_fail = 3;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ring_sync(&f->ring), EIO);
		assert_int_equal(ring_durable(&f->ring), durable);
		assert_int_not_equal(atomic_load(&f->ring.control->io_error), 0);
	}
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(ring_durable(&f->ring), tail.lsn);
	assert_int_equal(atomic_load(&f->ring.control->io_error), 0);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
}

/* As the kernel may when it dropped a page that it could not write. */
static void read_again_as_it_was(struct fixture *f, uint64_t lsn)
{
	static const uint8_t zeros[512];
	char path[128];
	snprintf(path, sizeof path, "%s/ring", f->dir);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)lsn), sizeof zeros);
	close(fd);
}

/* After a failed sync the kernel may read a page again as it was on the disk. What then does not
 * verify is not made durable by writing it once more. */
static void test_a_repair_does_not_trust_the_page_cache(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 480);
	assert_int_equal(ring_sync(&f->ring), 0);
	struct ring_position kept = put(f, 2, 480);
	put(f, 3, 480);
	syncs_fail = 1;
	assert_int_equal(ring_sync(&f->ring), EIO);
	read_again_as_it_was(f, kept.lsn);
	assert_int_equal(ring_cuts(&f->ring), 0);
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(ring_cuts(&f->ring), 1);
	assert_int_equal(ring_durable(&f->ring), kept.lsn);
	assert_int_equal(ring_tail(&f->ring).lsn, kept.lsn);
	struct ring_position tail = put(f, 4, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
}

/* What it reads again may be whole and as long as what was written over it: a record whose write
 * was said to have failed. The log goes on behind what is there. */
static void test_a_repair_goes_on_behind_what_is_there(void **state)
{
	struct fixture *f = *state;
	uint8_t former[480 + sizeof(struct ring_record)];
	char path[128];
	struct ring_position kept = put(f, 1, 480);
	assert_int_equal(ring_sync(&f->ring), 0);
	put(f, 9, 480);
	memcpy(former, ring_at(&f->ring, kept.lsn).at, sizeof former);
	ring_slots_set(&f->ring.control->tail, kept);
	put(f, 2, 480);
	syncs_fail = 1;
	assert_int_equal(ring_sync(&f->ring), EIO);
	snprintf(path, sizeof path, "%s/ring", f->dir);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, former, sizeof former, (off_t)kept.lsn), sizeof former);
	close(fd);
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(ring_cuts(&f->ring), 1);
	struct ring_position tail = put(f, 3, 480);
	assert_int_equal(ring_sync(&f->ring), 0);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
}

/* Killed inside fdatasync(): the kernel told its error to nobody else. So what a sync that nobody
 * heard the end of should have covered is written again too. */
static void test_who_dies_in_a_sync_takes_its_error_along(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 480);
	assert_int_equal(ring_sync(&f->ring), 0);
	struct ring_position kept = put(f, 2, 480);
	put(f, 3, 480);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)!ring_sync_trylock(&f->ring);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	read_again_as_it_was(f, kept.lsn);
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(ring_durable(&f->ring), kept.lsn);
	assert_int_equal(ring_cuts(&f->ring), 1);
}

/* What somebody else's sync covered needs none of ours. */
static void test_sync_of_nothing(void **state)
{
	struct fixture *f = *state;
	put(f, 1, 64);
	assert_int_equal(ring_sync(&f->ring), 0);
	unsigned before = syncs_done;
	assert_int_equal(ring_sync(&f->ring), 0);
	assert_int_equal(syncs_done, before);
}

/* Of a write that failed nothing is published, and what is written next stands in its place. */
static void test_failed_write_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct ring_position before = put(f, 1, 64), at;
	uint8_t body[64] = {0};
	struct iovec iov[2] = {{NULL, 0}, {body, sizeof body}};
	size_t bytes = sizeof(struct ring_record) + sizeof body;
	ring_lock(&f->ring);
	assert_int_equal(ring_begin(&f->ring, bytes, &at), 0);
	writes_fail = 1;
	assert_int_equal(ring_write(&f->ring, &at, iov, 2, 1, bytes), EIO);
	ring_unlock(&f->ring);
	assert_int_equal(ring_tail(&f->ring).lsn, before.lsn);
	writes_short = 3;
	struct ring_position tail = put(f, 3, 64);
	assert_int_equal(writes_short, 0);
	assert_int_equal(tail.lsn, before.lsn + bytes);
	reboot(f, f->start);
	assert_int_equal(ring_tail(&f->ring).lsn, tail.lsn);
	assert_int_equal(ring_tail(&f->ring).hash, tail.hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        T(test_recovers_what_chains),
	        T(test_a_torn_record_ends_the_log),
	        T(test_damage_is_not_the_end),
	        T(test_a_torn_stretch_is_cut),
	        T(test_damage_as_wide_as_it_may_be),
	        T(test_a_foreign_ring),
	        T(test_a_ring_of_an_older_release),
	        T(test_control_is_believed_by_liveness),
	        T(test_locks_of_another_life),
	        T(test_no_child_inherits_the_life_lock),
	        T(test_control_removed_under_the_living),
	        T(test_a_stale_record_never_continues),
	        T(test_wraps_with_pads),
	        T(test_full_until_the_checkpoint_moves),
	        T(test_announces_what_it_overwrites),
	        T(test_one_sync_for_all),
	        T(test_locks_of_the_dead),
	        T(test_failed_sync_is_repaired),
	        T(test_a_repair_does_not_trust_the_page_cache),
	        T(test_a_repair_goes_on_behind_what_is_there),
	        T(test_who_dies_in_a_sync_takes_its_error_along),
	        T(test_sync_of_nothing),
	        T(test_failed_write_leaves_no_trace),
#undef T
	};
	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
