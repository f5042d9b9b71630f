#include "common/ring.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY
#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint32_t record_magic = 0x52494e47;
enum { CONTROL_LAYOUT = 3, PATH_ROOM = 4096 };

/* ---- files ---- */

static int fill_with_zeros(int fd, uint64_t from, uint64_t to)
{
	static const uint8_t zeros[1 << 20];
	while (from < to) {
		size_t n = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
		ssize_t w = pwrite(fd, zeros, n, (off_t)from);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? errno : ENOSPC;
		from += (uint64_t)w;
	}
	return fsync(fd) == 0 ? 0 : errno;
}

/* A file whose name is not on disk is lost with the power, whatever was synced into it. */
static int sync_directory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

/* Written once, so that later writes only overwrite: no journal, no allocation, no ENOSPC. It is
 * created under another name, for a crash while filling. */
static int open_ring_file(const char *dir, uint64_t *bytes, bool *fresh, char reason[256])
{
	char path[PATH_ROOM], part[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", dir);
	snprintf(part, sizeof part, "%s/ring.part", dir);
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= 1 << 20) {
		*bytes = (uint64_t)st.st_size;
		*fresh = false;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	*fresh = true;
	fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : fill_with_zeros(fd, 0, *bytes);
	if (error == 0 && rename(part, path) != 0)
		error = errno;
	if (error == 0)
		error = sync_directory(dir);
	if (error == 0)
		return fd;
	snprintf(reason, 256, "cannot create %.150s: %s", path, strerror(error));
	if (fd >= 0)
		close(fd);
	unlink(part);
	errno = error;
	return -1;
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

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

static struct ring_control *map_control(const char *dir)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/control", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	void *at = MAP_FAILED;
	if (ftruncate(fd, sizeof(struct ring_control)) == 0)
		at = mmap(NULL, sizeof(struct ring_control), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		          0);
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

/* First opener since the machine started: what stands in the ring behind the checkpoint and chains
 * on it was written; syncing it makes it durable (some of it may never have been acknowledged). */
static int rebuild_control(struct ring *ring, struct ring_position start, const char *boot_id)
{
	struct ring_control *control = ring->control;
	memset(control, 0, sizeof *control);
	init_lock(&control->write_lock);
	init_lock(&control->sync_lock);
	init_lock(&control->checkpoint_lock);
	memcpy(control->boot_id, boot_id, sizeof control->boot_id);
	control->layout = CONTROL_LAYOUT;
	atomic_store(&control->room_bytes, UINT64_MAX); /* until the first checkpoint has looked */
	atomic_store(&control->checkpoint, start.lsn);
	control->tail[0] = ring_scan(ring, start);
	atomic_store(&control->writing, control->tail[0].lsn);
	if (fdatasync(ring->fd) != 0)
		return errno;
	atomic_store(&control->durable, control->tail[0].lsn);
	log_info("log recovered", "checkpoint=%llu tail=%llu", (unsigned long long)start.lsn,
	         (unsigned long long)control->tail[0].lsn);
	atomic_store(&control->ready, 1);
	return 0;
}

/* Mapped by a descriptor that cannot write: the kernel then knows that no page is made dirty through
 * the map, and does not walk the maps of all processes at each sync to make pages clean again. */
static const uint8_t *map_ring(const char *dir, uint64_t bytes)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/ring", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	int error = errno;
	close(fd);
	errno = error;
	return map != MAP_FAILED ? map : NULL;
}

int ring_open(struct ring *ring, const char *dir, uint64_t bytes, struct ring_position start,
              bool *fresh, char reason[256])
{
	*ring = (struct ring){.bytes = bytes & ~4095ull};
	ring->fd = open_ring_file(dir, &ring->bytes, fresh, reason);
	if (ring->fd < 0)
		return errno;
	ring->record_max = ring->bytes / 32 * 10;
	ring->reserve = ring->record_max;
	ring->map = map_ring(dir, ring->bytes);
	ring->control = ring->map != NULL ? map_control(dir) : NULL;
	if (ring->control == NULL) {
		int error = errno;
		snprintf(reason, 256, "cannot map the log in %.150s: %s", dir, strerror(error));
		close(ring->fd);
		return error;
	}
	char boot_id[40];
	read_boot_id(boot_id);
	int error = 0;
	if (*fresh || !atomic_load(&ring->control->ready) ||
	    ring->control->layout != CONTROL_LAYOUT ||
	    memcmp(ring->control->boot_id, boot_id, sizeof boot_id) != 0)
		error = rebuild_control(ring, start, boot_id);
	if (error != 0)
		snprintf(reason, 256, "cannot sync the log: %s", strerror(error));
	return error;
}

void ring_close(struct ring *ring)
{
	munmap((void *)(uintptr_t)ring->map, ring->bytes);
	munmap(ring->control, sizeof *ring->control);
	close(ring->fd);
}

/* ---- locks and marks ---- */

static bool take(pthread_mutex_t *lock, int result)
{
	if (result == EOWNERDEAD)
		result = pthread_mutex_consistent(lock);
	return result == 0;
}

void ring_lock(struct ring *ring)
{
	pthread_mutex_t *lock = &ring->control->write_lock;
	check(take(lock, pthread_mutex_lock(lock)));
}

void ring_unlock(struct ring *ring)
{
	pthread_mutex_unlock(&ring->control->write_lock);
}

bool ring_checkpoint_trylock(struct ring *ring, unsigned wait_ms)
{
	pthread_mutex_t *lock = &ring->control->checkpoint_lock;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + wait_ms * 1000000ull;
	until.tv_sec += (time_t)(ns / 1000000000u);
	until.tv_nsec = (long)(ns % 1000000000u);
	return take(lock, pthread_mutex_timedlock(lock, &until));
}

void ring_checkpoint_unlock(struct ring *ring)
{
	pthread_mutex_unlock(&ring->control->checkpoint_lock);
}

struct ring_position ring_tail(const struct ring *ring)
{
	return ring->control->tail[atomic_load(&ring->control->tail_index) & 1];
}

uint64_t ring_durable(const struct ring *ring)
{
	return atomic_load(&ring->control->durable);
}

uint64_t ring_checkpoint(const struct ring *ring)
{
	return atomic_load(&ring->control->checkpoint);
}

void ring_set_checkpoint(struct ring *ring, uint64_t lsn)
{
	atomic_store(&ring->control->checkpoint, lsn);
}

bool ring_holds(const struct ring *ring, uint64_t lsn)
{
	atomic_thread_fence(memory_order_acquire);
	return lsn <= ring_tail(ring).lsn &&
	       atomic_load(&ring->control->writing) <= lsn + ring->bytes;
}

struct span ring_at(const struct ring *ring, uint64_t lsn)
{
	uint64_t at = lsn % ring->bytes;
	return span_of(ring->map + at, ring->bytes - at);
}

bool ring_record_at(const struct ring *ring, uint64_t lsn, struct ring_record *record)
{
	struct span bytes = ring_at(ring, lsn);
	if (bytes.len < sizeof *record)
		return false;
	memcpy(record, bytes.at, sizeof *record);
	return record->magic == record_magic && record->lsn == lsn && record->bytes % 8 == 0 &&
	       record->bytes >= sizeof *record && record->bytes <= bytes.len;
}

/* ---- writing ---- */

bool ring_has_room(const struct ring *ring, size_t bytes)
{
	uint64_t tail = ring_tail(ring).lsn;
	uint64_t left = ring->bytes - tail % ring->bytes;
	uint64_t pad = left < bytes + sizeof(struct ring_record) ? left : 0;
	return tail + pad + bytes + ring->reserve <= ring_checkpoint(ring) + ring->bytes;
}

static int write_all(int fd, struct iovec *iov, size_t count, uint64_t at)
{
	while (count > 0) {
		int some = count > IOV_MAX ? IOV_MAX : (int)count;
		ssize_t n = pwritev(fd, iov, some, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		at += (uint64_t)n;
		while (count > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static uint64_t hash_record(uint64_t seed, const struct ring_record *record,
                            const struct iovec *rest, size_t count)
{
	XXH3_state_t state;
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, seed);
	XXH3_64bits_update(&state, &record->magic, sizeof *record - sizeof record->hash);
	for (size_t i = 0; i < count; i++)
		if (rest[i].iov_len != 0)
			XXH3_64bits_update(&state, rest[i].iov_base, rest[i].iov_len);
	return XXH3_64bits_digest(&state);
}

int ring_begin(struct ring *ring, size_t bytes, struct ring_position *at)
{
	*at = ring_tail(ring);
	uint64_t left = ring->bytes - at->lsn % ring->bytes;
	bool fits = left >= bytes + sizeof(struct ring_record);
	uint64_t end = at->lsn + (fits ? 0 : left) + bytes;
	if (atomic_load(&ring->control->writing) < end)
		atomic_store(&ring->control->writing, end);
	if (fits)
		return 0;
	struct ring_record pad = {.magic = record_magic,
	                          .bytes = (uint32_t)left,
	                          .lsn = at->lsn,
	                          .entries = RING_PAD};
	pad.hash = hash_record(at->hash, &pad, NULL, 0);
	struct iovec iov = {&pad, sizeof pad};
	int error = write_all(ring->fd, &iov, 1, at->lsn % ring->bytes);
	*at = (struct ring_position){at->lsn + left, pad.hash};
	return error;
}

static void publish(struct ring *ring, struct ring_position tail)
{
	uint32_t next = (atomic_load(&ring->control->tail_index) & 1) ^ 1;
	ring->control->tail[next] = tail;
	atomic_store(&ring->control->tail_index, next);
}

int ring_write(struct ring *ring, struct ring_position *at, struct iovec *iov, size_t iov_count,
               uint32_t entries, size_t bytes)
{
	struct ring_record record = {.magic = record_magic,
	                             .bytes = (uint32_t)bytes,
	                             .lsn = at->lsn,
	                             .entries = entries};
	record.hash = hash_record(at->hash, &record, iov + 1, iov_count - 1);
	iov[0] = (struct iovec){&record, sizeof record};
	int error = write_all(ring->fd, iov, iov_count, at->lsn % ring->bytes);
	if (error != 0)
		return error;
	*at = (struct ring_position){at->lsn + bytes, record.hash};
	publish(ring, *at);
	return 0;
}

static void raise_durable(struct ring *ring, uint64_t lsn)
{
	uint64_t now = atomic_load(&ring->control->durable);
	while (now < lsn && !atomic_compare_exchange_weak(&ring->control->durable, &now, lsn)) {
	}
}

/* Writes [from, to) again from the page cache. Under the lock: nobody else may be changing it. */
static int rewrite(struct ring *ring, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t offset = from % ring->bytes;
		uint64_t n = ring->bytes - offset < to - from ? ring->bytes - offset : to - from;
		struct iovec iov = {(void *)(uintptr_t)(ring->map + offset), n};
		int error = write_all(ring->fd, &iov, 1, offset);
		if (error != 0)
			return error;
		from += n;
	}
	return fdatasync(ring->fd) == 0 ? 0 : errno;
}

static int repair(struct ring *ring)
{
	ring_lock(ring);
	uint64_t tail = ring_tail(ring).lsn;
	int error = 0;
	if (atomic_load(&ring->control->io_error) != 0)
		error = rewrite(ring, ring_durable(ring), tail);
	atomic_store(&ring->control->io_error, error);
	if (error == 0)
		raise_durable(ring, tail);
	ring_unlock(ring);
	return error;
}

/* One at a time, because the kernel reports a failed write once per descriptor: of two threads one
 * would be told and the other not. And a mutex is not fair, whoever lets go of it takes it again
 * before a waiter is awake: so those who do not get it wait for the end of a sync, not for it. */
bool ring_sync_trylock(struct ring *ring)
{
	pthread_mutex_t *lock = &ring->control->sync_lock;
	return take(lock, pthread_mutex_trylock(lock));
}

int ring_sync_locked(struct ring *ring)
{
	struct ring_control *control = ring->control;
	if (atomic_load(&control->io_error) != 0)
		return repair(ring);
	uint64_t tail = ring_tail(ring).lsn;
	if (tail <= ring_durable(ring))
		return 0;
	if (fdatasync(ring->fd) != 0) {
		int error = errno;
		atomic_store(&control->io_error, error);
		log_error("log not synced", "error=\"%s\"", strerror(error));
		return error;
	}
	raise_durable(ring, tail);
	return 0;
}

void ring_sync_unlock(struct ring *ring)
{
	struct ring_control *control = ring->control;
	pthread_mutex_unlock(&control->sync_lock);
	atomic_fetch_add(&control->syncs, 1);
	if (atomic_load(&control->sync_waiters) != 0)
		syscall(SYS_futex, &control->syncs, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t ring_syncs(const struct ring *ring)
{
	return atomic_load(&ring->control->syncs);
}

void ring_sync_wait(struct ring *ring, uint32_t seen)
{
	static const struct timespec patience = {.tv_nsec = 20000000}; /* its owner may be dead */
	struct ring_control *control = ring->control;
	atomic_fetch_add(&control->sync_waiters, 1);
	syscall(SYS_futex, &control->syncs, FUTEX_WAIT, seen, &patience, NULL, 0);
	atomic_fetch_sub(&control->sync_waiters, 1);
}

int ring_sync(struct ring *ring)
{
	uint32_t seen = ring_syncs(ring);
	while (!ring_sync_trylock(ring)) {
		ring_sync_wait(ring, seen);
		seen = ring_syncs(ring);
	}
	int error = ring_sync_locked(ring);
	ring_sync_unlock(ring);
	return error;
}

struct ring_position ring_scan(const struct ring *ring, struct ring_position from)
{
	struct ring_record record;
	while (ring_record_at(ring, from.lsn, &record)) {
		bool pad = record.entries == RING_PAD;
		struct span bytes = ring_at(ring, from.lsn);
		struct iovec rest = {(void *)(uintptr_t)(bytes.at + sizeof record),
		                     pad ? 0 : record.bytes - sizeof record};
		if (hash_record(from.hash, &record, &rest, 1) != record.hash)
			break;
		from = (struct ring_position){from.lsn + record.bytes, record.hash};
	}
	return from;
}
