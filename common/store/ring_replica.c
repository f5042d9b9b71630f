/* A ring that another node's log is written to, or whose records go there. */
#include "common/store/ring_parts.h"
#include "common/base/check.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- roles and marks ---- */

enum ring_role ring_role(const struct ring *ring)
{
	return (enum ring_role)atomic_load_explicit(&ring->control->role, memory_order_acquire);
}

void ring_set_role(struct ring *ring, enum ring_role role)
{
	ring_lock(ring);
	atomic_store(&ring->control->role, role);
	ring_unlock(ring);
	ring_wake_syncs(ring);
}

struct ring_position ring_synced(const struct ring *ring)
{
	return ring_slots_get(&ring->control->synced);
}

/* Without ring_sync_trylock(): nobody syncs here, so a dead owner took no answer of the kernel's
 * along. */
static void lock_marks(struct ring *ring)
{
	pthread_mutex_t *lock = &ring->control->sync_lock;
	check(ring_lock_taken(lock, pthread_mutex_lock(lock)));
}

void ring_raise(struct ring *ring, struct ring_position to)
{
	lock_marks(ring);
	ring_raise_locked(ring, to);
	ring_sync_unlock(ring);
}

bool ring_cut(struct ring *ring, struct ring_position to)
{
	lock_marks(ring);
	ring_lock(ring);
	bool cuts = to.lsn >= ring_durable(ring) && to.lsn < ring_tail(ring).lsn;
	if (cuts) {
		/* before anything can become durable in its place */
		atomic_fetch_add(&ring->control->cuts, 1);
		ring_slots_set(&ring->control->tail, to);
	}
	ring_unlock(ring);
	ring_sync_unlock(ring);
	return cuts;
}

/* ---- taking ---- */

size_t ring_wire_len(const struct ring_record *record)
{
	if (record->magic != ring_magic || record->bytes < sizeof *record || record->bytes % 8 != 0)
		return 0;
	return record->entries == RING_PAD ? sizeof *record : record->bytes;
}

/* Under the lock. Where it stands is published last. */
static enum ring_take_result write_taken(struct ring *ring, struct ring_record *record,
                                         struct iovec *iov)
{
	uint64_t end = record->lsn + record->bytes;
	if (end + ring->reserve > ring_checkpoint(ring) + ring->bytes)
		return RING_TAKE_FULL;
	if (atomic_load(&ring->control->writing) < end)
		atomic_store(&ring->control->writing, end);
	size_t count = record->entries == RING_PAD ? 1 : 2;
	int error = ring_write_all(ring->fd, iov, count, record->lsn % ring->bytes);
	if (error != 0) {
		errno = error;
		return RING_TAKE_FAILED;
	}
	ring_slots_set(&ring->control->tail, (struct ring_position){end, record->hash});
	return RING_TAKEN;
}

/* Is it the record that follows? One that is longer than any of ours, or would cross the end of the
 * file, is of a ring of another size. */
static bool follows_here(const struct ring *ring, const struct ring_record *record,
                         const struct iovec *rest)
{
	struct ring_position tail = ring_tail(ring);
	uint64_t left = ring->bytes - tail.lsn % ring->bytes;
	bool pad = record->entries == RING_PAD;
	return ring_role(ring) == RING_FOLLOWS && record->lsn == tail.lsn &&
	       (pad ? record->bytes == left : record->bytes <= left) &&
	       (pad || record->bytes <= ring->record_max) &&
	       ring_hash_record(tail.hash, record, rest, pad ? 0 : 1) == record->hash;
}

enum ring_take_result ring_take(struct ring *ring, struct span wire, size_t *taken)
{
	struct ring_record record;
	*taken = 0;
	if (wire.len < sizeof record)
		return RING_TAKE_TORN;
	memcpy(&record, wire.at, sizeof record);
	size_t len = ring_wire_len(&record);
	if (len == 0 || (record.entries != RING_PAD && len > ring->record_max))
		return RING_TAKE_FOREIGN;
	if (wire.len < len)
		return RING_TAKE_TORN;
	struct iovec iov[2] = {{&record, sizeof record},
	                       {(void *)(uintptr_t)(wire.at + sizeof record), len - sizeof record}};
	ring_lock(ring);
	enum ring_take_result result = follows_here(ring, &record, iov + 1)
	                                       ? write_taken(ring, &record, iov)
	                                       : RING_TAKE_FOREIGN;
	ring_unlock(ring);
	*taken = result == RING_TAKEN ? len : 0;
	return result;
}

/* ---- giving ---- */

/* One record at `end`, whole and of this chain, copied to `out`. */
static enum ring_wire_result wire_one(const struct ring *ring, struct ring_position *end,
                                      uint64_t to, uint8_t *out, size_t room, size_t *used)
{
	struct ring_record record;
	*used = 0;
	bool there = ring_record_at(ring, end->lsn, &record);
	if (!there || !ring_holds(ring, end->lsn))
		return ring_holds(ring, end->lsn) ? RING_WIRE_FOREIGN : RING_WIRE_LAPPED;
	size_t len = ring_wire_len(&record);
	if (end->lsn + record.bytes > to || len > room)
		return RING_WIRED; /* what went before is all */
	memcpy(out, ring_at(ring, end->lsn).at, len);
	memcpy(&record, out, sizeof record);
	struct iovec rest = {out + sizeof record, len - sizeof record};
	bool follows =
	        ring_hash_record(end->hash, &record, &rest, len > sizeof record) == record.hash;
	if (!ring_holds(ring, end->lsn))
		return RING_WIRE_LAPPED;
	if (!follows)
		return RING_WIRE_FOREIGN;
	*used = len;
	*end = (struct ring_position){end->lsn + record.bytes, record.hash};
	return RING_WIRED;
}

enum ring_wire_result ring_wire(const struct ring *ring, struct ring_position from, uint64_t to,
                                uint8_t *out, size_t room, size_t *used, struct ring_position *end)
{
	uint64_t tail = ring_tail(ring).lsn;
	to = to < tail ? to : tail;
	*used = 0;
	*end = from;
	while (end->lsn < to) {
		size_t len;
		enum ring_wire_result result =
		        wire_one(ring, end, to, out + *used, room - *used, &len);
		if (result != RING_WIRED)
			return result;
		if (len == 0)
			break;
		*used += len;
	}
	return RING_WIRED;
}

uint32_t ring_writes(const struct ring *ring)
{
	return atomic_load(&ring->control->writes);
}

void ring_wait_written(struct ring *ring, uint32_t seen, unsigned wait_ms)
{
	struct timespec patience = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000l};
	syscall(SYS_futex, &ring->control->writes, FUTEX_WAIT, seen, &patience, NULL, 0);
}
