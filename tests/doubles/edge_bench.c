#include "tests/doubles/edge_bench.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

static struct route the_route;

struct route *edge_bench_route(void)
{
	return &the_route;
}

static const struct route *find_route(struct span path)
{
	return span_equal(path, SPAN("/nothing")) ? NULL : &the_route;
}

static void preflight(struct request *request)
{
	reply(request, 204, NULL, 0, (struct span){0});
}

static void before_request(void *context)
{
	((struct edge_bench *)context)->before++;
}

struct edge_bench *edge_bench_create(const char *const *settings)
{
	struct edge_bench *b = xcalloc(1, sizeof *b);
	char reason[SETTINGS_REASON_MAX];
	settings_init(&b->settings);
	b->all = xcalloc(1, sizeof *b->all);
	check(settings_set(&b->settings, SPAN("dev"), SPAN("true"), reason));
	for (; settings != NULL && *settings != NULL; settings++) {
		const char *equals = strchr(*settings, '=');
		check(settings_set(&b->settings, span_of(*settings, (size_t)(equals - *settings)),
		                   span_str(equals + 1), reason));
	}
	check(uv_loop_init(&b->loop) == 0);
	wheel_init(&b->wheel, clock_by_hand_ms());
	busy_poll_init(&b->busy_poll, &b->loop);
	the_route = (struct route){.path = "/", .methods = ~0u, .preflight = preflight};
	edge_init(&b->edge, &(struct edge_options){.loop = &b->loop,
	                                           .wheel = &b->wheel,
	                                           .settings = &b->settings,
	                                           .counters = &b->counters,
	                                           .all = b->all,
	                                           .busy_poll = &b->busy_poll,
	                                           .find_route = find_route,
	                                           .preflight = preflight,
	                                           .before_request = before_request,
	                                           .context = b});
	edge_set_ceilings(&b->edge,
	                  &(struct ceilings){.body_bytes = 64 << 20, .waiting_bytes = 64 << 20});
	return b;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void edge_bench_destroy(struct edge_bench *b)
{
	uv_walk(&b->loop, close_handle, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	check(uv_loop_close(&b->loop) == 0);
	edge_finish(&b->edge);
	settings_finish(&b->settings);
	free(b->all);
	free(b);
}

struct conn *edge_bench_connect(struct edge_bench *b, struct wire_memory *memory)
{
	struct conn *conn = conn_create(&b->edge);
	wire_memory_open(memory, &conn->wire, &conn_wire_events);
	conn_start(conn);
	return conn;
}

void edge_bench_turn(struct edge_bench *b, struct wire_memory *memory)
{
	for (int i = 0; i < 8; i++) { /* in libuv's order: lines, flush, input */
		uv_run(&b->loop, UV_RUN_NOWAIT);
		edge_prepare(&b->edge);
		wire_memory_turn(memory);
	}
}

void edge_bench_wait(struct edge_bench *b, struct wire_memory *memory, uint64_t ms)
{
	for (uint64_t passed = 0; passed < ms; passed += WHEEL_TICK_MS) {
		clock_by_hand_advance_ms(WHEEL_TICK_MS);
		wheel_run(&b->wheel, clock_by_hand_ms());
		edge_bench_turn(b, memory);
	}
}
