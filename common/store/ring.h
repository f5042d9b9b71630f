/* The write-ahead ring: a file of fixed size that all processes append records to, in one order.
 *
 * LSN is a byte position in an endless log; it stands at LSN modulo the ring's size. A record never
 * wraps; a pad record fills the end. The hash of a record is seeded with that of the record before
 * it, so that a stale record can never continue the chain. A control file, mapped, carries the
 * locks and marks. It is believed while somebody lives who has the ring open: each opener holds a
 * shared lock on the file `ring` for life (of the open file description: a child that executes
 * another program has none of it). Who can have it exclusively is alone, and rebuilds the control
 * file from the ring.
 *
 * Writers keep `reserve` bytes free in front of the checkpoint mark and say how far they are going
 * to write before they do: a reader that has copied bytes at LSN l knows that they are whole when
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
	uint64_t hash;         /* XXH3-64 of everything behind it, seeded with the hash before */
	uint32_t magic, bytes; /* bytes: of the whole record, a multiple of 8 */
	uint64_t lsn;
	uint32_t entries; /* RING_PAD: nothing, up to the end of the file */
	/* How far the log was durable when the record was begun: 1 + so many times 8 bytes before
	 * `lsn`. 0: not said (records of releases that left the place empty, or farther than the
	 * number goes). */
	uint32_t undurable;
};
_Static_assert(sizeof(struct ring_record) == 32, "log format");
enum { RING_PAD = 0xffffffff };

/* A position that may be read while it is being replaced: in one of two slots, by an index. */
struct ring_slots {
	struct {
		_Atomic uint64_t lsn, hash;
	} slots[2];             /* a writer killed mid-update leaves the other whole */
	_Atomic uint32_t index; /* counts up; its last bit is the slot that holds */
};

/* Who makes the log durable, and who may write to it. Changes under the lock, by the link only. */
enum ring_role {
	RING_ALONE,   /* this machine's disk does; any process writes */
	RING_LEADS,   /* the link ships what is written here and raises the mark when it is safe */
	RING_FOLLOWS, /* only the link writes: another node's records, byte for byte */
};

/* Layout 3; what was added later stands behind and is 0 when an older release has built it. */
struct ring_control {
	_Atomic uint32_t ready;
	uint32_t layout;
	char boot_id[40];
	pthread_mutex_t write_lock, sync_lock, checkpoint_lock; /* robust, shared */
	struct ring_slots tail;
	_Atomic uint64_t writing; /* the ring is being overwritten up to here, less its size */
	_Atomic uint64_t durable;
	_Atomic uint64_t checkpoint;
	_Atomic uint64_t checkpoint_at_ms; /* monotonic, of the last round of maintenance */
	_Atomic uint64_t
	        room_bytes;     /* the log may be this far ahead of the checkpoint and still fit */
	_Atomic int refuse;     /* 0, ENOSPC: growing commands are refused (checkpointer's word) */
	_Atomic int io_error;   /* a sync failed: nothing is acknowledged until a repair */
	_Atomic uint32_t syncs; /* tried so far; a futex */
	_Atomic uint32_t sync_waiters; /* a hint: a killed one stays counted */
	_Atomic uint32_t locked;       /* built by a release whose openers hold a lock for life */
	_Atomic uint32_t cuts;    /* so often the end of the log, not yet durable, was given up */
	struct ring_slots synced; /* the durable mark, with its hash; under the sync lock */
	_Atomic uint32_t role;    /* enum ring_role */
	_Atomic uint32_t writes;  /* records written while leading; a futex */
};

struct ring {
	int fd; /* -1: there is no file */
	uint64_t bytes, reserve, record_max;
	const uint8_t *map; /* read-only */
	struct ring_control *control;
	bool alone; /* nobody else has it open: found out by ring_find() */
};

/* ---- opening (ring_open.c) ----
 *
 * All of it under the open lock of the store:
 *
 *     ring_find()  ->  alone: ring_judge(), or ring_make(); ring_recover()  ->  ring_share()
 */

/* Opens DIR/ring, if there is one, and DIR/control. 0, also when there is no ring (fd is -1), or
 * errno with a reason; EBADMSG: the control file of a ring in use is not there or not ours. */
int ring_find(struct ring *ring, const char *dir, char reason[256]);

/* Where a log begins that is to follow one up to `lsn` (0: none) in a new file of that size. */
struct ring_position ring_first(uint64_t lsn, uint64_t bytes);

/* A new file in the place of what was there, synced, name and all, for a log from `start` on, a
 * position of ring_first(). 0, or errno with a reason. Writes all of it once. */
int ring_make(struct ring *ring, const char *dir, uint64_t bytes, struct ring_position start,
              char reason[256]);

enum ring_verdict {
	RING_SOUND,   /* the log ends at `end` */
	RING_DAMAGED, /* the chain ends at `end`, but a record at `later` was begun when that was
	                 durable */
	RING_FOREIGN, /* neither does anything go on from `start` nor does it hold what ended there
	               */
};
struct ring_finding {
	enum ring_verdict verdict;
	struct ring_position end;
	uint64_t later;
};
/* What is in the file, for a log whose checkpoint stands at `start`. Reads much of it. Whole
 * records behind a torn one of the same unsynced stretch are what any power cut leaves: that is
 * sound. */
struct ring_finding ring_judge(const struct ring *ring, struct ring_position start);

/* Is there nothing but zeros in the file? */
bool ring_blank(const struct ring *ring);

/* Builds the control file for a log from the checkpoint at `start` to `end`, which is written
 * again, synced and verified: an earlier life may have left pages of it in memory that never
 * reached the disk. `cut`: what stands behind the end is wiped out, so that it is never again taken
 * for a proof of damage. 0, or errno with a reason. */
int ring_recover(struct ring *ring, struct ring_position start, struct ring_position end, bool cut,
                 char reason[256]);

/* From here on others may open it. */
void ring_share(struct ring *ring);

/* A half opened one is fine. */
void ring_close(struct ring *ring);

/* The names in the directory are on disk; or all of the file system it is on. 0 or errno. */
int ring_sync_directory(const char *path);
int ring_sync_file_system(const char *path);

/* ---- in use (ring.c) ---- */

/* The kernel's number of the thread that holds the lock; 0: nobody. For messages. */
int ring_lock_holder(const struct ring *ring);

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

/* Under the lock: where a record of up to `bytes` would begin; writes the pad if one is needed.
 * From here on readers know that this much may be overwritten. 0 or errno. */
int ring_begin(struct ring *ring, size_t bytes, struct ring_position *at);

/* Under the lock: writes one record at *at (from ring_begin) and publishes it as the tail. iov[0]
 * is left for the head. `bytes` counts everything. 0 or errno; then nothing is published. */
int ring_write(struct ring *ring, struct ring_position *at, struct iovec *iov, size_t iov_count,
               uint32_t entries, size_t bytes);

/* Makes everything below the tail at the time of the call durable: one sync covers what every
 * process has written before it. 0 or errno. After a failure the pages may be gone from the
 * kernel's mind as clean, or read again from the disk as they were before: the region is rewritten
 * from the map until a sync succeeds, then verified by its hashes, and only then anything is
 * durable. What does not verify was never promised; it is cut off (ring_cuts()).
 *
 * One process syncs at a time, by ring_sync_trylock() ... ring_sync_locked() ...
 * ring_sync_unlock(). The others wait for its end by ring_sync_wait(), and mostly find their
 * records durable then. */
bool ring_sync_trylock(struct ring *ring);
int ring_sync_locked(struct ring *ring);
void ring_sync_unlock(struct ring *ring);
/* `seen` is ring_syncs() from before the trylock that failed. May return early. */
uint32_t ring_syncs(const struct ring *ring);
void ring_sync_wait(struct ring *ring, uint32_t seen);
/* All of it, waiting. */
int ring_sync(struct ring *ring);

void ring_set_checkpoint(struct ring *ring, uint64_t lsn);

/* How often the end of the log was cut off because it could not be made durable. A position above
 * the durable mark counts only while this has not changed: look at the mark first, then here.
 * Changes under both the sync lock and the lock. */
uint32_t ring_cuts(const struct ring *ring);

/* ---- replication (ring_replica.c) ----
 *
 * A position (lsn, hash) names a history: where two nodes have the same, all before it is the same.
 * So nodes compare it before anything is handed over. On the wire a record is its bytes, a pad its
 * head alone. */

enum ring_role ring_role(const struct ring *ring);
/* Takes the lock. Wakes who waits. */
void ring_set_role(struct ring *ring, enum ring_role role);

/* The durable mark, with its hash. */
struct ring_position ring_synced(const struct ring *ring);

enum ring_take_result {
	RING_TAKEN,
	RING_TAKE_TORN,    /* `wire` ends within a record: more of it is needed */
	RING_TAKE_FOREIGN, /* it is not the one that follows here, or this node does not follow */
	RING_TAKE_FULL,    /* no room before the checkpoint yet: nothing was taken */
	RING_TAKE_FAILED,  /* the disk: errno says why */
};
/* Takes the lock. Writes the first record of `wire` at the tail; *taken: so many bytes of `wire`
 * were that (RING_TAKEN). It is not durable before ring_raise(). */
enum ring_take_result ring_take(struct ring *ring, struct span wire, size_t *taken);

/* The length on the wire of a record with this head; 0: it is none. */
size_t ring_wire_len(const struct ring_record *record);

/* Everything up to `to`, a position of this log, is safe: raises the mark and wakes who waits. */
void ring_raise(struct ring *ring, struct ring_position to);

/* The tail goes back to `to`, a position at or above the durable mark: what stands behind was never
 * acknowledged and never will be (ring_cuts()). First the role, then this, so that nothing is
 * written behind it. False: `to` is below the mark, or not below the tail. */
bool ring_cut(struct ring *ring, struct ring_position to);

enum ring_wire_result {
	RING_WIRED,
	RING_WIRE_LAPPED,  /* the ring has gone on over it: a snapshot is needed */
	RING_WIRE_FOREIGN, /* this log has no such position */
};
/* Copies whole records from `from` on into `out`, as long as they end at or below `to` and the tail
 * and fit; each verified. *end: where it stopped; *used: so many bytes. One that does not fit into
 * `room` ends it. */
enum ring_wire_result ring_wire(const struct ring *ring, struct ring_position from, uint64_t to,
                                uint8_t *out, size_t room, size_t *used, struct ring_position *end);

/* How many records were written while leading; waits until that differs from `seen`, at most so
 * long. */
uint32_t ring_writes(const struct ring *ring);
void ring_wait_written(struct ring *ring, uint32_t seen, unsigned wait_ms);

/* Follows the hash chain from `from` as far as it goes, at most to `to`; for recovery and check. */
struct ring_position ring_scan(const struct ring *ring, struct ring_position from, uint64_t to);
