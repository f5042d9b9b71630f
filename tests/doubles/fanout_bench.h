/* A fan-out to try readers on: a real store, a clock by hand, sinks in memory, and views whose
 * frames can be read. A turn comes when it is called for. */
#pragma once

#include "tests/doubles/clock_by_hand.h"
#include "tests/doubles/sink_memory.h"
#include "tests/doubles/store_bench.h"
#include "worker-sse/live/fanout.h"

struct fanout_bench {
	struct store_bench store;
	struct wheel wheel;
	struct settings settings;
	struct counters_slot counters;
	struct waiting waiting;
	uv_loop_t loop;
	struct fanout *fanout;
	int readers; /* as on_readers() says it */
};

/* Defaults, but what "key=value" says, NULL-terminated. */
struct fanout_bench *fanout_bench_create(const char *const *settings);
/* Nobody follows anything any more: that, too, is looked at. */
void fanout_bench_destroy(struct fanout_bench *bench);

/* Somebody who listens. Zero-initialised but for what the test says. */
struct listener {
	const char *name;
	uint64_t variant, end_ms;   /* end_ms 0: never */
	struct sink_memory sink;    /* not of who waits for news */
	struct live_reader *reader; /* NULL: has left */
	unsigned left;              /* calls of the view's left() */
	/* What news() said. */
	unsigned told;
	enum fanout_news news;
	uint64_t position;
};

/* Frames are "<from-to payload>", "v1<..." in variant 1, and with the listener's name before the
 * positions where they are not shared. A heartbeat is "~", a farewell "!3" for FANOUT_END_GONE,
 * 3. Neither lost() nor finished(): a test that wants them makes a copy. */
extern const struct fanout_view fanout_bench_shared, fanout_bench_own, fanout_bench_news;
/* For a copy: goes on, and says "?3 first ". */
bool fanout_bench_lost(struct sse_frame *frame, const struct frame_query *query,
                       enum fanout_end why);

/* False: it has left again. */
bool fanout_bench_join(struct fanout_bench *bench, struct listener *listener,
                       const struct fanout_view *view, const char *path, uint64_t from);
/* Until nobody is left over; how often. */
unsigned fanout_bench_turn(struct fanout_bench *bench);
/* Is somebody left over? */
bool fanout_bench_more(struct fanout_bench *bench);
/* So long, with timers and turns on the way. */
void fanout_bench_wait(struct fanout_bench *bench, uint64_t ms);
