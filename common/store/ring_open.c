/* Opening a ring: its files, whether somebody else has it open, and what is in it. */
#include "common/store/ring_parts.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	CONTROL_LAYOUT = 3,
	PATH_ROOM = 4096,
	OLDER_WAIT_MS =
	        3000, /* the supervisor looks into lock.mdb for a moment whenever a worker ends */
	OLDER_LOOK_MS = 20,
};
/* Damage wider than this, in front of the first record that could prove it, is not looked behind: a
 * start reads no more of a ring of many GiB. */
static const uint64_t proof_bytes_max = 1ull << 30;

static int fail(char reason[256], const char *what, const char *dir, const char *file)
{
	int error = errno;
	snprintf(reason, 256, "%s %.150s/%s: %s", what, dir, file, strerror(error));
	return error;
}

int ring_sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error == EINVAL ? 0 : error; /* a file system that cannot */
}

int ring_sync_file_system(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || syncfs(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

/* ---- the life lock ---- */

static bool lock_for_life(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Processes of releases that held no lock for life show only in LMDB's, and only to others. */
static bool used_by_others(const char *dir)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/lock.mdb", dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	bool used = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	if (fd >= 0)
		close(fd);
	return used;
}

static void read_boot_id(char boot_id[40])
{
	memset(boot_id, 0, 40);
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, boot_id, 39);
	(void)n;
	close(fd);
}

/* Could a process of such a release be among the living? */
static bool older_may_live(const struct ring *ring, const char *dir)
{
	const struct ring_control *control = ring->control;
	char boot_id[40];
	read_boot_id(boot_id);
	return atomic_load(&control->ready) && !atomic_load(&control->locked) &&
	       memcmp(control->boot_id, boot_id, sizeof boot_id) == 0 && used_by_others(dir);
}

static bool older_has_it(const struct ring *ring, const char *dir)
{
	static const struct timespec pause = {.tv_nsec = OLDER_LOOK_MS * 1000000l};
	for (int waited_ms = 0; older_may_live(ring, dir); waited_ms += OLDER_LOOK_MS) {
		if (waited_ms >= OLDER_WAIT_MS)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* ---- finding it ---- */

static int map_control(struct ring *ring, const char *dir, char reason[256])
{
	char path[PATH_ROOM];
	void *at = MAP_FAILED;
	snprintf(path, sizeof path, "%s/control", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && ftruncate(fd, sizeof(struct ring_control)) == 0)
		at = mmap(NULL, sizeof(struct ring_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		          0);
	int error = at == MAP_FAILED ? fail(reason, "cannot map", dir, "control") : 0;
	if (fd >= 0)
		close(fd);
	ring->control = error == 0 ? at : NULL;
	return error;
}

/* Mapped by a descriptor that cannot write: the kernel then knows that no page is made dirty
 * through the map, and does not walk the maps of all processes at each sync to make pages clean
 * again. */
static int map_ring(struct ring *ring, const char *dir, char reason[256])
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = fd >= 0 ? mmap(NULL, ring->bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	int error = map == MAP_FAILED ? fail(reason, "cannot map", dir, "ring") : 0;
	if (fd >= 0)
		close(fd);
	ring->map = error == 0 ? map : NULL;
	return error;
}

/* A ring of no use (an empty one, say) is not mapped; it is judged by its size. */
static int take_file(struct ring *ring, const char *dir, int fd, char reason[256])
{
	struct stat st;
	ring->fd = fd;
	if (fstat(fd, &st) != 0)
		return fail(reason, "cannot open", dir, "ring");
	ring->bytes = (uint64_t)st.st_size & ~4095ull;
	ring->record_max = ring->bytes / 32 * 10;
	/* More than a record and a pad: what ended at the checkpoint stands as long as that does.
	 */
	ring->reserve = ring->record_max + 2 * sizeof(struct ring_record);
	ring->alone = lock_for_life(fd, F_WRLCK);
	if (!ring->alone && !lock_for_life(fd, F_RDLCK))
		return fail(reason, "cannot lock", dir, "ring");
	return ring->bytes != 0 ? map_ring(ring, dir, reason) : 0;
}

int ring_find(struct ring *ring, const char *dir, char reason[256])
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", dir);
	*ring = (struct ring){.fd = -1, .alone = true};
	int fd = open(path, O_RDWR | O_CLOEXEC), error = 0;
	if (fd < 0 && errno != ENOENT)
		return fail(reason, "cannot open", dir, "ring");
	if (fd >= 0)
		error = take_file(ring, dir, fd, reason);
	if (error == 0)
		error = map_control(ring, dir, reason);
	const struct ring_control *control = ring->control;
	if (error == 0 && ring->alone && older_has_it(ring, dir)) {
		snprintf(reason, 256, "a process of an older release has the store in %.150s open",
		         dir);
		error = EBUSY;
	}
	if (error == 0 && !ring->alone &&
	    (!atomic_load(&control->ready) || control->layout != CONTROL_LAYOUT)) {
		snprintf(reason, 256,
		         "%.150s/control was removed or overwritten while others use it: stop them",
		         dir);
		error = EBADMSG;
	}
	if (error != 0)
		ring_close(ring);
	return error;
}

void ring_share(struct ring *ring)
{
	check(lock_for_life(ring->fd, F_RDLCK));
}

void ring_close(struct ring *ring)
{
	if (ring->map != NULL)
		munmap((void *)(uintptr_t)ring->map, ring->bytes);
	if (ring->control != NULL)
		munmap(ring->control, sizeof *ring->control);
	if (ring->fd >= 0) {
		lock_for_life(ring->fd, F_UNLCK); /* a thread of ours may be a moment late to end */
		close(ring->fd);
	}
	*ring = (struct ring){.fd = -1};
}

/* ---- making it ---- */

struct ring_position ring_first(uint64_t lsn, uint64_t bytes)
{
	struct ring_position first = {0};
	while (first.hash == 0)
		if (getrandom(&first.hash, sizeof first.hash, 0) < 0)
			check(errno == EINTR);
	first.lsn = (lsn + bytes - 1) / bytes * bytes + sizeof(struct ring_record);
	return first;
}

/* Written once, so that later writes only overwrite: no journal, no allocation, no ENOSPC. In front
 * of the first position stands what would have ended there: by it the ring is known. */
static int fill(int fd, uint64_t bytes, struct ring_position start)
{
	static const uint8_t zeros[1 << 20];
	for (uint64_t at = 0; at < bytes; at += sizeof zeros) {
		struct iovec iov = {(void *)(uintptr_t)zeros, bytes - at < sizeof zeros
		                                                      ? (size_t)(bytes - at)
		                                                      : sizeof zeros};
		int error = ring_write_all(fd, &iov, 1, at);
		if (error != 0)
			return error;
	}
	struct ring_record anchor = {.hash = start.hash,
	                             .magic = ring_magic,
	                             .bytes = sizeof anchor,
	                             .lsn = start.lsn - sizeof anchor,
	                             .entries = RING_PAD};
	struct iovec iov = {&anchor, sizeof anchor};
	int error = ring_write_all(fd, &iov, 1, anchor.lsn % bytes);
	return error != 0 ? error : fsync(fd) == 0 ? 0 : errno;
}

/* Under another name, for a crash while filling. */
static int create(const char *dir, uint64_t bytes, struct ring_position start)
{
	char path[PATH_ROOM], part[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", dir);
	snprintf(part, sizeof part, "%s/ring.part", dir);
	int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : fill(fd, bytes, start);
	if (fd >= 0)
		close(fd);
	if (error == 0 && rename(part, path) != 0)
		error = errno;
	if (error == 0)
		error = ring_sync_directory(dir);
	if (error != 0)
		unlink(part);
	return error;
}

int ring_make(struct ring *ring, const char *dir, uint64_t bytes, struct ring_position start,
              char reason[256])
{
	check(ring->alone);
	ring_close(ring);
	int error = create(dir, bytes & ~4095ull, start);
	if (error != 0)
		return errno = error, fail(reason, "cannot create", dir, "ring");
	error = ring_find(ring, dir, reason);
	check(error != 0 || ring->fd >= 0);
	return error;
}

/* ---- what is in it ---- */

/* Where the next record could begin, from `at` on, by its magic and its place; `to`: nowhere. */
static uint64_t next_head(const struct ring *ring, uint64_t at, uint64_t to,
                          struct ring_record *record)
{
	static const size_t magic_at = offsetof(struct ring_record, magic);
	while (at < to) {
		struct span bytes = ring_at(ring, at);
		uint64_t len = to - at < bytes.len ? to - at : bytes.len;
		for (uint64_t i = 0; i + sizeof *record <= len; i += 8)
			if (memcmp(bytes.at + i + magic_at, &ring_magic, sizeof ring_magic) == 0 &&
			    ring_record_at(ring, at + i, record))
				return at + i;
		at += len;
	}
	return to;
}

/* The chain ends at `end`. A record that follows another by its hash is whole, whatever became of
 * those before; and if it was begun when the log was durable beyond `end`, what stood there was
 * durable. 0: none. */
static uint64_t later_record(const struct ring *ring, struct ring_position start, uint64_t end)
{
	uint64_t to = start.lsn + ring->bytes;
	struct ring_record record, after;
	if (to > end + proof_bytes_max)
		to = end + proof_bytes_max;
	for (uint64_t at = next_head(ring, end, to, &record); at < to;
	     at = next_head(ring, at, to, &record)) {
		uint64_t next = at + record.bytes;
		bool follows = next < to && ring_record_at(ring, next, &after) &&
		               ring_follows(ring, record.hash, &after);
		if (follows && ring_durable_then(&after) > end)
			return next;
		at = follows ? next : at + 8;
	}
	return 0;
}

/* Does it hold the record that ended at this position? */
static bool holds_end_of(const struct ring *ring, struct ring_position position)
{
	struct ring_record record;
	uint64_t from = position.lsn > ring->reserve ? position.lsn - ring->reserve : 0;
	for (uint64_t at = position.lsn; at >= from + sizeof record; at -= 8)
		if (ring_record_at(ring, at - sizeof record, &record) &&
		    record.lsn + record.bytes == position.lsn && record.hash == position.hash)
			return true;
	return false;
}

struct ring_finding ring_judge(const struct ring *ring, struct ring_position start)
{
	struct ring_finding finding = {.end = ring_scan(ring, start, UINT64_MAX)};
	finding.later = later_record(ring, start, finding.end.lsn);
	if (finding.later != 0)
		finding.verdict = RING_DAMAGED;
	else if (finding.end.lsn == start.lsn && start.lsn != 0 && !holds_end_of(ring, start))
		finding.verdict = RING_FOREIGN;
	return finding;
}

bool ring_blank(const struct ring *ring)
{
	for (uint64_t at = 0; at < ring->bytes; at += 8) {
		uint64_t word;
		memcpy(&word, ring->map + at, sizeof word);
		if (word != 0)
			return false;
	}
	return true;
}

/* ---- taking it over ---- */

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

static void build_control(struct ring *ring, struct ring_position start, struct ring_position end)
{
	struct ring_control *control = ring->control;
	memset(control, 0, sizeof *control);
	init_lock(&control->write_lock);
	init_lock(&control->sync_lock);
	init_lock(&control->checkpoint_lock);
	read_boot_id(control->boot_id); /* for older releases, which go by it */
	control->layout = CONTROL_LAYOUT;
	atomic_store(&control->locked, 1);
	atomic_store(&control->room_bytes, UINT64_MAX); /* until the first checkpoint has looked */
	atomic_store(&control->checkpoint, start.lsn);
	ring_slots_set(&control->tail, end);
	ring_slots_set(&control->synced, end);
	atomic_store(&control->writing, end.lsn);
	atomic_store(&control->durable, end.lsn);
	atomic_store(&control->ready, 1);
}

/* Everything that writers could have written behind the end; not what readers may still want. */
static int wipe(const struct ring *ring, struct ring_position start, uint64_t from)
{
	static const uint8_t zeros[1 << 20];
	uint64_t to = start.lsn + ring->bytes - ring->reserve;
	while (from < to) {
		uint64_t offset = from % ring->bytes, n = ring->bytes - offset;
		n = n < to - from ? n : to - from;
		n = n < sizeof zeros ? n : sizeof zeros;
		struct iovec iov = {(void *)(uintptr_t)zeros, n};
		int error = ring_write_all(ring->fd, &iov, 1, offset);
		if (error != 0)
			return error;
		from += n;
	}
	return 0;
}

int ring_recover(struct ring *ring, struct ring_position start, struct ring_position end, bool cut,
                 char reason[256])
{
	check(ring->alone);
	int error = cut ? wipe(ring, start, end.lsn) : 0;
	if (error == 0)
		error = ring_rewrite(ring, start.lsn, end.lsn);
	if (error != 0) {
		snprintf(reason, 256, "cannot sync the log: %s", strerror(error));
		return error;
	}
	struct ring_position whole = ring_scan(ring, start, end.lsn);
	if (whole.lsn != end.lsn)
		log_error("end of the log lost", "from=%llu to=%llu", (unsigned long long)whole.lsn,
		          (unsigned long long)end.lsn);
	build_control(ring, start, whole);
	log_info("log recovered", "checkpoint=%llu tail=%llu", (unsigned long long)start.lsn,
	         (unsigned long long)ring_tail(ring).lsn);
	return 0;
}
