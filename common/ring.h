/* The write-ahead ring: a file of fixed size that all processes append records to, in one order.
 *
 * LSN is a byte position in an endless log; it stands at LSN modulo the ring's size. A record never
 * wraps; a pad record fills the end. The hash of a record is seeded with that of the record before
 * it, so that a stale record can never continue the chain. A control file, mapped, carries the locks
 * and marks; it is volatile and rebuilt by the first opener after a boot.
 *
 * Writers keep `reserve` bytes free in front of the checkpoint mark and say how far they are going to
 * write before they do: a reader that has copied bytes at LSN l knows that they are whole when
 * ring_holds(l) is still true. */
#pragma once

#include "proto/bytes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

struct ring_position {
	uint64_t lsn;
	uint64_t hash; /* of the record that ends there */
};

struct ring_record {
	uint64_t hash; /* XXH3-64 of everything behind it, seeded with the hash before */
	uint32_t magic, bytes; /* bytes: of the whole record, a multiple of 8 */
	uint64_t lsn;
	uint32_t entries; /* RING_PAD: nothing, up to the end of the file */
	uint32_t unused;
};
_Static_assert(sizeof(struct ring_record) == 32, "log format");
enum { RING_PAD = 0xffffffff };

struct ring_control {
	_Atomic uint32_t ready;
	uint32_t layout;
	char boot_id[40];
	pthread_mutex_t write_lock, sync_lock, checkpoint_lock; /* robust, shared */
	struct ring_position tail[2]; /* two: a writer killed mid-update leaves the other whole */
	_Atomic uint32_t tail_index;
	_Atomic uint64_t writing; /* the ring is being overwritten up to here, less its size */
	_Atomic uint64_t durable;
	_Atomic uint64_t checkpoint;
	_Atomic uint64_t checkpoint_at_ms; /* monotonic, of the last round of maintenance */
	_Atomic uint64_t room_bytes; /* the log may be this far ahead of the checkpoint and still fit */
	_Atomic int refuse;    /* 0, ENOSPC: growing commands are refused (checkpointer's word) */
	_Atomic int io_error;  /* a sync failed: nothing is acknowledged until a repair */
	_Atomic uint32_t syncs; /* tried so far; a futex */
	_Atomic uint32_t sync_waiters; /* a hint: a killed one stays counted */
};

struct ring {
	int fd;
	uint64_t bytes, reserve, record_max;
	const uint8_t *map; /* read-only */
	struct ring_control *control;
};

/* Opens or creates DIR/ring and DIR/control. `start` is where the checkpoint stands: the first
 * opener since boot scans the chain from there. *fresh: the ring file did not exist.
 * The caller holds the open lock of the store. 0 or errno with a reason. */
int ring_open(struct ring *ring, const char *dir, uint64_t bytes, struct ring_position start,
              bool *fresh, char reason[256]);
void ring_close(struct ring *ring);

/* Locks; a dead owner's lock is taken over (all shared state changes atomically). */
void ring_lock(struct ring *ring);
void ring_unlock(struct ring *ring);
bool ring_checkpoint_trylock(struct ring *ring, unsigned wait_ms);
void ring_checkpoint_unlock(struct ring *ring);

struct ring_position ring_tail(const struct ring *ring);
uint64_t ring_durable(const struct ring *ring);
uint64_t ring_checkpoint(const struct ring *ring);

/* Are the bytes at `lsn` still (or again, after a copy) those of that position? */
bool ring_holds(const struct ring *ring, uint64_t lsn);

/* The bytes at `lsn` up to the end of the file. */
struct span ring_at(const struct ring *ring, uint64_t lsn);

/* The record at `lsn`, not verified by hash (below the tail it was verified by its writer). Bounds
 * are checked. False: not a record (lapped). */
bool ring_record_at(const struct ring *ring, uint64_t lsn, struct ring_record *record);

/* Is there room for a record of up to `bytes`, with a pad before it? Under the lock. */
bool ring_has_room(const struct ring *ring, size_t bytes);

/* Under the lock: where a record of up to `bytes` would begin; writes the pad if one is needed. From
 * here on readers know that this much may be overwritten. 0 or errno. */
int ring_begin(struct ring *ring, size_t bytes, struct ring_position *at);

/* Under the lock: writes one record at *at (from ring_begin) and publishes it as the tail. iov[0] is
 * left for the head. `bytes` counts everything. 0 or errno; then nothing is published. */
int ring_write(struct ring *ring, struct ring_position *at, struct iovec *iov, size_t iov_count,
               uint32_t entries, size_t bytes);

/* Makes everything below the tail at the time of the call durable: one sync covers what every process
 * has written before it. 0 or errno. After a failure the pages may be gone from the kernel's mind as
 * clean: the region is rewritten from the map until a sync succeeds, and only then anything is durable.
 *
 * One process syncs at a time, by ring_sync_trylock() ... ring_sync_locked() ... ring_sync_unlock().
 * The others wait for its end by ring_sync_wait(), and mostly find their records durable then. */
bool ring_sync_trylock(struct ring *ring);
int ring_sync_locked(struct ring *ring);
void ring_sync_unlock(struct ring *ring);
/* `seen` is ring_syncs() from before the trylock that failed. May return early. */
uint32_t ring_syncs(const struct ring *ring);
void ring_sync_wait(struct ring *ring, uint32_t seen);
/* All of it, waiting. */
int ring_sync(struct ring *ring);

void ring_set_checkpoint(struct ring *ring, uint64_t lsn);

/* Follows the hash chain from `from` as far as it goes; for recovery and check. */
struct ring_position ring_scan(const struct ring *ring, struct ring_position from);
