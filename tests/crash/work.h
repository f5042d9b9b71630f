/* A run: processes with asynchronous clients over one store, who append (with and without
 * producers), create, close, delete, fork, put values and do transactions, and say in the trace
 * what they ask and what they are answered. Retention trims, checkpoints run, the ring wraps. */
#pragma once

#include "common/store/store.h"

struct work_options {
	const char *dir;
	uint32_t generation;              /* from 1 on: ops and names differ by it */
	uint32_t processes, clients, ops; /* ops of each client */
	uint64_t ring_bytes, retention_bytes, checkpoint_ms;
	uint32_t seed;
	bool observe; /* first of all says what the store holds: that must stay */
	bool backup;  /* makes one, half way through, as DIR/backup */
	bool kill;    /* ends processes at random times by SIGKILL, and starts others */
	bool real;    /* the store is Ringside's, which has more in it than REAL_ROOT */
	bool faulty;  /* the first process has the faults of DISK_FAULT; refusals are no surprise */
};

/* Streams that the clients of real programs make, below it named as ours are. */
#define REAL_ROOT "/v1/stream/t"

enum { WORK_CLEAN, WORK_DIED, WORK_SURPRISED, WORK_HUNG };

/* One of the above; surprised: a client was refused what nothing stands against. Told on standard
 * output. */
int work(const struct work_options *options);

extern const struct span work_type; /* content type of all streams */
struct store_options work_store_options(const char *dir, uint64_t ring_bytes,
                                        uint64_t retention_bytes, bool maintain);
/* The name without REAL_ROOT. */
const char *work_own_name(const char *path);
/* store.epoch; 0: none. */
uint64_t work_epoch(struct store *store);
