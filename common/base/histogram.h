/* How often something took how long: counts by upper bound (proto/histograms.h), in shared memory.
 * One writing thread each; anybody reads. */
#pragma once

#include "proto/histograms.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUND(ns, text) ns,
static const uint64_t histogram_bounds_ns[] = {HISTOGRAM_BOUNDS(HISTOGRAM_BOUND)};
#undef HISTOGRAM_BOUND
enum { HISTOGRAM_BUCKETS = sizeof histogram_bounds_ns / sizeof *histogram_bounds_ns };

struct histogram {
	_Atomic uint64_t
	        counts[HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last: beyond all bounds */
	_Atomic uint64_t sum_ns;
};

static inline void histogram_raise(_Atomic uint64_t *at, uint64_t n)
{
	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
	                      memory_order_relaxed);
}

/* NULL is fine: nobody wants to know. */
static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
	size_t i = 0;
	if (histogram == NULL)
		return;
	while (i < HISTOGRAM_BUCKETS && ns > histogram_bounds_ns[i])
		i++;
	histogram_raise(&histogram->counts[i], 1);
	histogram_raise(&histogram->sum_ns, ns);
}
