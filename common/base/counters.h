/* Counters in shared memory: one slot per worker, made by the supervisor, read by anybody, so that
 * any worker can answer /metrics and /readyz for all. One writer per field: state and identity are
 * the supervisor's, the counters the worker's. They outlive the worker. */
#pragma once

#include "common/base/histogram.h"
#include "common/base/quota.h"
#include "proto/counters.h"
#include "proto/http2_limits.h"
#include "proto/limits.h"
#include "proto/messages.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { COUNTERS_SLOTS = 264, COUNTERS_LINKS_SHOWN = 16 };

enum worker_state {
	WORKER_ABSENT,   /* no such worker wanted */
	WORKER_STARTING, /* or waiting for its restart */
	WORKER_READY,
	WORKER_DRAINING,
	WORKER_FAILED, /* refused its start, or ended too often: it is tried seldom, or never */
};

#define HISTOGRAM_FIELD(name, help)     struct histogram name;
#define COUNTER_FIELD(name, kind, help) _Atomic uint64_t name;
#define LIMITED_FIELD(NAME, label, ...) _Atomic uint64_t limited_##label;
#define CALMED_FIELD(NAME, label, ...)  _Atomic uint64_t calmed_##label;
struct counters_slot {
	_Atomic uint32_t state; /* enum worker_state */
	uint32_t role, slot;
	_Atomic uint32_t pid;
	_Atomic uint64_t generation, restarts, started_ms /* wall */;
	_Atomic uint32_t follows; /* it wants to hear what becomes durable (worker_follow()) */
	_Atomic uint32_t stalled; /* 1 while its store commits nothing (store.commit_timeout) */
	COUNTERS(COUNTER_FIELD)
	LIMITS(LIMITED_FIELD)
	HTTP2_LIMITS(CALMED_FIELD)
	HISTOGRAMS(HISTOGRAM_FIELD)
} __attribute__((aligned(64)));

struct counters {
	uint64_t layout;             /* of this build; written by counters_create() */
	_Atomic uint64_t started_ms; /* of the supervisor, wall */
	_Atomic uint32_t booted;     /* 1 since every wanted worker was ready for the first time */
	/* Links between workers that are not there; of the first, the two slots' indexes: a << 16 |
	 * b. */
	_Atomic uint32_t links_missing, links_shown[COUNTERS_LINKS_SHOWN];
	struct counters_slot slots[COUNTERS_SLOTS];
	/* crowd: what anybody may fill who comes from very many addresses. */
	struct quota quota, crowd;
};

/* Adds to one of my counters; cheap, no lock. `n` may be negative for gauges. */
#define counter_add(slot, name, n)                                                                 \
	atomic_store_explicit(&(slot)->name,                                                       \
	                      atomic_load_explicit(&(slot)->name, memory_order_relaxed) +          \
	                              (uint64_t)(n),                                               \
	                      memory_order_relaxed)
#define counter_set(slot, name, n)                                                                 \
	atomic_store_explicit(&(slot)->name, (uint64_t)(n), memory_order_relaxed)
#define counter_get(slot, name) atomic_load_explicit(&(slot)->name, memory_order_relaxed)

/* A memfd of the right size; the supervisor's. -1 with errno. */
int counters_create(void);
/* Maps it; aborts when that fails. The mapping lives as long as the process. NULL: it was made by a
 * program of another build, whose table of counters is not ours. */
struct counters *counters_map(int fd);

const char *worker_state_name(unsigned state);

/* The name ("sse-0/bridge-0") of a link that is missing, index from 0; false: there are no more, or
 * they are not shown. */
bool counters_missing_link(const struct counters *counters, size_t index, char name[64]);

/* How many workers there are, or are to be, of a set of roles. */
unsigned counters_workers(const struct counters *counters, unsigned set);

/* Slots of this role: [0, this). */
uint32_t counters_slots_of(const struct counters *counters, uint32_t role);

/* None failed, nobody's store is stalled, no link between workers is missing and at least one
 * that listens serves; before everything was ready for the first time, nothing may be starting
 * either. A single crash or a rolling restart thus stays green while others serve. */
bool counters_ready(const struct counters *counters);

struct process_facts {
	uint64_t resident_bytes;
	double cpu_seconds;
};

/* Of the process in a slot, as the kernel counts it now; false: there is none. */
bool counters_process_facts(const struct counters_slot *slot, struct process_facts *facts);

/* Prometheus text format of every slot in use. */
void counters_print(const struct counters *counters, FILE *out);
