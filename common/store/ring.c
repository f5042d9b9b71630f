/* A ring in use: locks, marks, writing, syncing. */
#include "common/store/ring_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- locks and marks ---- */

/* TSan of this compiler does not know pthread_mutex_clocklock(): it is told what such a lock
 * orders. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define lock_seen(lock)   __tsan_acquire(lock)
#define unlock_seen(lock) __tsan_release(lock)
#else
#define lock_seen(lock)   ((void)(lock))
#define unlock_seen(lock) ((void)(lock))
#endif

bool ring_lock_taken(pthread_mutex_t *lock, int result)
{
	if (result == EOWNERDEAD)
		result = pthread_mutex_consistent(lock);
	return result == 0;
}

void ring_lock(struct ring *ring)
{
	pthread_mutex_t *lock = &ring->control->write_lock;
	check(ring_lock_taken(lock, pthread_mutex_lock(lock)));
}

void ring_unlock(struct ring *ring)
{
	pthread_mutex_unlock(&ring->control->write_lock);
}

/* glibc keeps it there, for the kernel, which must find the locks of the dead. [pthread_mutex_t,
 * robust] */
int ring_lock_holder(const struct ring *ring)
{
	const int *owner = &ring->control->write_lock.__data.__owner;
	return __atomic_load_n(owner, __ATOMIC_RELAXED);
}

bool ring_checkpoint_trylock(struct ring *ring, unsigned wait_ms)
{
	pthread_mutex_t *lock = &ring->control->checkpoint_lock;
	uint64_t ns = clock_monotonic_ns() + wait_ms * 1000000ull;
	struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u),
	                         .tv_nsec = (long)(ns % 1000000000u)};
	bool taken = ring_lock_taken(lock, pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until));
	if (taken)
		lock_seen(lock);
	return taken;
}

void ring_checkpoint_unlock(struct ring *ring)
{
	unlock_seen(&ring->control->checkpoint_lock);
	pthread_mutex_unlock(&ring->control->checkpoint_lock);
}

/* A reader that was overtaken meanwhile sees that the index has moved, and reads again. */
struct ring_position ring_slots_get(const struct ring_slots *slots)
{
	struct ring_position position;
	uint32_t index;
	do {
		index = atomic_load(&slots->index);
		position.lsn = atomic_load(&slots->slots[index & 1].lsn);
		position.hash = atomic_load(&slots->slots[index & 1].hash);
	} while (atomic_load(&slots->index) != index);
	return position;
}

/* One at a time. */
void ring_slots_set(struct ring_slots *slots, struct ring_position position)
{
	uint32_t next = atomic_load(&slots->index) + 1;
	atomic_store(&slots->slots[next & 1].lsn, position.lsn);
	atomic_store(&slots->slots[next & 1].hash, position.hash);
	atomic_store(&slots->index, next);
}

struct ring_position ring_tail(const struct ring *ring)
{
	return ring_slots_get(&ring->control->tail);
}

uint32_t ring_cuts(const struct ring *ring)
{
	return atomic_load(&ring->control->cuts);
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
	return record->magic == ring_magic && record->lsn == lsn && record->bytes % 8 == 0 &&
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

int ring_write_all(int fd, struct iovec *iov, size_t count, uint64_t at)
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

uint64_t ring_hash_record(uint64_t seed, const struct ring_record *record, const struct iovec *rest,
                          size_t count)
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

/* What the head says of the durable mark. */
static uint32_t undurable(const struct ring *ring, uint64_t lsn)
{
	uint64_t behind = (lsn - ring_durable(ring)) / 8;
	return behind < UINT32_MAX ? (uint32_t)behind + 1 : 0;
}

uint64_t ring_durable_then(const struct ring_record *record)
{
	uint64_t behind =
	        record->undurable != 0 ? 8 * ((uint64_t)record->undurable - 1) : record->lsn;
	return behind < record->lsn ? record->lsn - behind : 0;
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
	struct ring_record pad = {.magic = ring_magic,
	                          .bytes = (uint32_t)left,
	                          .lsn = at->lsn,
	                          .entries = RING_PAD,
	                          .undurable = undurable(ring, at->lsn)};
	pad.hash = ring_hash_record(at->hash, &pad, NULL, 0);
	struct iovec iov = {&pad, sizeof pad};
	int error = ring_write_all(ring->fd, &iov, 1, at->lsn % ring->bytes);
	*at = (struct ring_position){at->lsn + left, pad.hash};
	return error;
}

int ring_write(struct ring *ring, struct ring_position *at, struct iovec *iov, size_t iov_count,
               uint32_t entries, size_t bytes)
{
	struct ring_record record = {.magic = ring_magic,
	                             .bytes = (uint32_t)bytes,
	                             .lsn = at->lsn,
	                             .entries = entries,
	                             .undurable = undurable(ring, at->lsn)};
	record.hash = ring_hash_record(at->hash, &record, iov + 1, iov_count - 1);
	iov[0] = (struct iovec){&record, sizeof record};
	int error = ring_write_all(ring->fd, iov, iov_count, at->lsn % ring->bytes);
	if (error != 0)
		return error;
	*at = (struct ring_position){at->lsn + bytes, record.hash};
	ring_slots_set(&ring->control->tail, *at);
	if (ring_role(ring) == RING_LEADS) {
		atomic_fetch_add(&ring->control->writes, 1);
		syscall(SYS_futex, &ring->control->writes, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	return 0;
}

/* Under the sync lock. */
void ring_raise_locked(struct ring *ring, struct ring_position to)
{
	if (to.lsn <= ring_durable(ring))
		return;
	ring_slots_set(&ring->control->synced, to);
	atomic_store(&ring->control->durable, to.lsn);
}

int ring_rewrite(const struct ring *ring, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t offset = from % ring->bytes;
		uint64_t n = ring->bytes - offset < to - from ? ring->bytes - offset : to - from;
		struct iovec iov = {(void *)(uintptr_t)(ring->map + offset), n};
		int error = ring_write_all(ring->fd, &iov, 1, offset);
		if (error != 0)
			return error;
		from += n;
	}
	return fdatasync(ring->fd) == 0 ? 0 : errno;
}

/* What the sync has brought to the disk is what the page cache holds now; that this is what was
 * written, only the hashes tell. The part that does not follow was promised to nobody. */
static int write_back(struct ring *ring)
{
	struct ring_position from = ring_slots_get(&ring->control->synced), tail = ring_tail(ring);
	if (from.lsn > ring_durable(ring)) /* whoever was about to raise it is dead */
		atomic_store(&ring->control->durable, from.lsn);
	if (from.lsn != ring_durable(ring))
		return EIO; /* raised by an older release: nothing to verify by */
	int error = ring_rewrite(ring, from.lsn, tail.lsn);
	if (error != 0)
		return error;
	struct ring_position end = ring_scan(ring, from, tail.lsn);
	/* A page may show what a write that failed had left there before: whole, and as long. */
	if (end.lsn != tail.lsn || end.hash != tail.hash) {
		log_error("end of the log lost",
		          "from=%llu to=%llu advice=\"nothing of it was acknowledged\"",
		          (unsigned long long)end.lsn, (unsigned long long)tail.lsn);
		atomic_fetch_add(&ring->control->cuts,
		                 1); /* before anything can become durable in its place */
		ring_slots_set(&ring->control->tail, end);
	}
	ring_raise_locked(ring, end);
	return 0;
}

static int repair(struct ring *ring)
{
	ring_lock(ring);
	int error = atomic_load(&ring->control->io_error) != 0 ? write_back(ring) : 0;
	atomic_store(&ring->control->io_error, error);
	ring_unlock(ring);
	return error;
}

/* One at a time, because the kernel reports a failed write once per descriptor: of two threads one
 * would be told and the other not. And a mutex is not fair, whoever lets go of it takes it again
 * before a waiter is awake: so those who do not get it wait for the end of a sync, not for it. */
bool ring_sync_trylock(struct ring *ring)
{
	if (ring_role(ring) != RING_ALONE)
		return false; /* who replicates raises the mark */
	pthread_mutex_t *lock = &ring->control->sync_lock;
	int result = pthread_mutex_trylock(lock);
	/* Whoever died while it synced took along what the kernel said to it. Before the lock is
	 * whole again: who dies here leaves it dead. */
	if (result == EOWNERDEAD)
		atomic_store(&ring->control->io_error, EIO);
	return ring_lock_taken(lock, result);
}

int ring_sync_locked(struct ring *ring)
{
	struct ring_control *control = ring->control;
	if (atomic_load(&control->io_error) != 0)
		return repair(ring);
	struct ring_position tail = ring_tail(ring);
	if (tail.lsn <= ring_durable(ring))
		return 0;
	if (fdatasync(ring->fd) != 0) {
		int error = errno;
		atomic_store(&control->io_error, error);
		log_error("log not synced", "error=\"%s\"", strerror(error));
		return error;
	}
	ring_raise_locked(ring, tail);
	return 0;
}

void ring_sync_unlock(struct ring *ring)
{
	pthread_mutex_unlock(&ring->control->sync_lock);
	ring_wake_syncs(ring);
}

void ring_wake_syncs(struct ring *ring)
{
	struct ring_control *control = ring->control;
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
	if (ring_role(ring) != RING_ALONE)
		return 0;
	uint32_t seen = ring_syncs(ring);
	while (!ring_sync_trylock(ring)) {
		if (ring_role(ring) != RING_ALONE)
			return 0;
		ring_sync_wait(ring, seen);
		seen = ring_syncs(ring);
	}
	int error = ring_sync_locked(ring);
	ring_sync_unlock(ring);
	return error;
}

bool ring_follows(const struct ring *ring, uint64_t hash, const struct ring_record *record)
{
	struct span bytes = ring_at(ring, record->lsn);
	struct iovec rest = {(void *)(uintptr_t)(bytes.at + sizeof *record),
	                     record->entries == RING_PAD ? 0 : record->bytes - sizeof *record};
	return ring_hash_record(hash, record, &rest, 1) == record->hash;
}

struct ring_position ring_scan(const struct ring *ring, struct ring_position from, uint64_t to)
{
	struct ring_record record;
	while (from.lsn < to && ring_record_at(ring, from.lsn, &record) &&
	       ring_follows(ring, from.hash, &record))
		from = (struct ring_position){from.lsn + record.bytes, record.hash};
	return from;
}
