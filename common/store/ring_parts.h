/* Inside the ring: what its files share. Nobody else includes this. */
#pragma once

#include "common/store/ring.h"

static const uint32_t ring_magic = 0x52494e47;

/* 0 or errno; uses up the iovecs. */
int ring_write_all(int fd, struct iovec *iov, size_t count, uint64_t at);

/* Writes [from, to) again from the page cache and syncs. Nobody else may be changing it. 0 or
 * errno. */
int ring_rewrite(const struct ring *ring, uint64_t from, uint64_t to);

/* Does the record, from ring_record_at(), continue one with that hash? Reads all of it. */
bool ring_follows(const struct ring *ring, uint64_t hash, const struct ring_record *record);

/* How far the log was durable when this was begun, at least. */
uint64_t ring_durable_then(const struct ring_record *record);

/* Of a record's head and what stands behind it: seeded with that of the record before. */
uint64_t ring_hash_record(uint64_t seed, const struct ring_record *record, const struct iovec *rest,
                          size_t count);

/* Of a robust lock, with what pthread_mutex_*lock() said: is it ours, that of a dead one too? */
bool ring_lock_taken(pthread_mutex_t *lock, int result);

/* Who waits by ring_sync_wait() looks again. */
void ring_wake_syncs(struct ring *ring);

/* Under the sync lock. */
void ring_raise_locked(struct ring *ring, struct ring_position to);

struct ring_position ring_slots_get(const struct ring_slots *slots);
void ring_slots_set(struct ring_slots *slots, struct ring_position position);
