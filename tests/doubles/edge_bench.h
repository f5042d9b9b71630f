/* An edge to try connections on: over wires in memory, with a clock by hand and handlers of the
 * test's own. */
#pragma once

#include "tests/doubles/clock_by_hand.h"
#include "tests/doubles/wire_memory.h"
#include "worker-sse/edge/conn.h"

struct edge_bench {
	struct edge edge;
	struct wheel wheel;
	struct settings settings;
	struct counters_slot counters;
	struct counters *all;
	struct busy_poll busy_poll;
	uv_loop_t loop;
	unsigned before; /* calls of before_request() */
};

/* Defaults, but what "key=value" says, NULL-terminated. Routes: see bench_route(). */
struct edge_bench *edge_bench_create(const char *const *settings);
void edge_bench_destroy(struct edge_bench *bench);

/* Who answers everything; zero-initialised but for what the test needs. */
struct route *edge_bench_route(void);

/* A connection that has been accepted and is served. `memory` is zero-initialised. */
struct conn *edge_bench_connect(struct edge_bench *bench, struct wire_memory *memory);

/* What the loop does until nothing more comes of it, without time passing. */
void edge_bench_turn(struct edge_bench *bench, struct wire_memory *memory);
/* So long, with timers on the way. */
void edge_bench_wait(struct edge_bench *bench, struct wire_memory *memory, uint64_t ms);
