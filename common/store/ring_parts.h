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

void ring_slots_set(struct ring_slots *slots, struct ring_position position);
