#include "tests/doubles/fanout_bench.h"
#include "common/base/check.h"
#include "worker-sse/live/fanout_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- views ---- */

static bool put_frame(struct sse_frame *frame, const struct frame_query *q, const char *name)
{
	struct sse_builder *b = q->builder;
	struct span payload;
	if (!sse_read(b, q->store, q->stream, q->from, q->to, &payload))
		return false;
	sse_begin(b);
	if (q->variant != 0)
		sse_printf(b, "v%u", (unsigned)q->variant);
	sse_printf(b, "<%s%u-%u ", name, (unsigned)q->from, (unsigned)q->to);
	sse_put(b, payload);
	SSE_PUT(b, ">");
	sse_end(b, frame);
	return true;
}

static bool shared_frame(struct sse_frame *frame, const struct frame_query *query)
{
	return put_frame(frame, query, "");
}

static bool own_frame(struct sse_frame *frame, const struct frame_query *query)
{
	char name[32];
	snprintf(name, sizeof name, "%s ", ((const struct listener *)query->owner)->name);
	return put_frame(frame, query, name);
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *query, uint64_t *variant)
{
	(void)variant;
	check(query->from == query->to);
	sse_begin(query->builder);
	SSE_PUT(query->builder, "~");
	sse_end(query->builder, frame);
	return true;
}

static bool farewell(struct sse_frame *frame, const struct frame_query *query, enum fanout_end why)
{
	sse_begin(query->builder);
	sse_printf(query->builder, "!%d", (int)why);
	sse_end(query->builder, frame);
	return true;
}

bool fanout_bench_lost(struct sse_frame *frame, const struct frame_query *query,
                       enum fanout_end why)
{
	sse_begin(query->builder);
	sse_printf(query->builder, "?%d %u ", (int)why, (unsigned)query->to);
	sse_end(query->builder, frame);
	return true;
}

static void left(void *owner)
{
	struct listener *l = owner;
	l->left++;
	l->reader = NULL;
}

static void news(void *owner, struct stream *stream, uint64_t position, uint64_t variant,
                 enum fanout_news what)
{
	struct listener *l = owner;
	check(stream->pins > 0 && l->reader == NULL && variant == l->variant);
	l->told++;
	l->news = what;
	l->position = position;
}

const struct fanout_view fanout_bench_shared = {.name = "shared",
                                                .shared = true,
                                                .frame = shared_frame,
                                                .heartbeat = heartbeat,
                                                .farewell = farewell,
                                                .left = left},
                         fanout_bench_own = {.name = "own",
                                             .frame = own_frame,
                                             .heartbeat = heartbeat,
                                             .farewell = farewell,
                                             .left = left},
                         fanout_bench_news = {.name = "news", .left = left, .news = news};

/* ---- life ---- */

static void on_readers(void *context, int change)
{
	((struct fanout_bench *)context)->readers += change;
}

struct fanout_bench *fanout_bench_create(const char *const *settings)
{
	struct fanout_bench *b = xcalloc(1, sizeof *b);
	char reason[SETTINGS_REASON_MAX];
	settings_init(&b->settings);
	for (; settings != NULL && *settings != NULL; settings++) {
		const char *equals = strchr(*settings, '=');
		check(settings_set(&b->settings, span_of(*settings, (size_t)(equals - *settings)),
		                   span_str(equals + 1), reason));
	}
	store_bench_open(&b->store);
	wheel_init(&b->wheel, clock_by_hand_ms());
	check(uv_loop_init(&b->loop) == 0);
	waiting_set(&b->waiting, 64 << 20, &b->counters);
	b->fanout = fanout_create(&(struct fanout_options){.loop = &b->loop,
	                                                   .wheel = &b->wheel,
	                                                   .settings = &b->settings,
	                                                   .waiting = &b->waiting,
	                                                   .counters = &b->counters,
	                                                   .store = b->store.store,
	                                                   .on_readers = on_readers,
	                                                   .context = b});
	return b;
}

/* A worker's fan-out lives as long as its process: nothing else frees it. */
static void free_fanout(struct fanout *fanout)
{
	check(fanout->readers == NULL && fanout->all == NULL && fanout->behind == NULL);
	sse_builder_finish(&fanout->builder);
	free(fanout->created);
	free(fanout);
}

void fanout_bench_destroy(struct fanout_bench *b)
{
	fanout_bench_turn(b);
	check(b->readers == 0);
	uv_close((uv_handle_t *)&b->fanout->more, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	check(uv_loop_close(&b->loop) == 0);
	store_set_follower(b->store.store, NULL, NULL);
	free_fanout(b->fanout);
	check(chunk_bytes() == 0);
	store_bench_close(&b->store);
	settings_finish(&b->settings);
	free(b);
}

bool fanout_bench_join(struct fanout_bench *b, struct listener *l, const struct fanout_view *view,
                       const char *path, uint64_t from)
{
	struct sink sink = {0};
	if (view->news == NULL)
		sink = sink_memory_of(&l->sink);
	struct live_reader *reader = fanout_join(b->fanout, sink, view, l, l->variant,
	                                         l->end_ms != 0 ? l->end_ms : UINT64_MAX);
	l->reader = reader;
	return fanout_add(reader, store_bench_find(&b->store, path), from);
}

bool fanout_bench_more(struct fanout_bench *b)
{
	return uv_is_active((const uv_handle_t *)&b->fanout->more) != 0;
}

unsigned fanout_bench_turn(struct fanout_bench *b)
{
	unsigned turns = 0;
	do {
		fanout_turn(b->fanout);
		turns++;
	} while (fanout_bench_more(b));
	return turns;
}

/* Nothing is written by it, and everything before it is done. */
static void finish_writes(struct store_bench *store)
{
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/no-such-stream")};
	store_bench_do(store, &c);
	check(c.verdict == VERDICT_NOT_FOUND);
}

void fanout_bench_wait(struct fanout_bench *b, uint64_t ms)
{
	for (uint64_t passed = 0; passed < ms; passed += WHEEL_TICK_MS) {
		clock_by_hand_advance_ms(WHEEL_TICK_MS);
		wheel_run(&b->wheel, clock_by_hand_ms());
		finish_writes(&b->store);
		fanout_bench_turn(b);
	}
}
