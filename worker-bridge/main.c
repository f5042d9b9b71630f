/* ringside-bridge: runs the duels and their feeds, wakes subscriptions, delivers webhooks. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/worker/admin_call.h"
#include "common/worker/worker_store.h"
#include "proto/roles.h"
#include "worker-bridge/inbox.h"

#define CTX struct bridge
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_COMMANDED(PROTO_HANDLER)
PROTO_INBOX_ANSWERING(PROTO_HANDLER)
PROTO_INBOX_BRIDGE(PROTO_HANDLER)

enum { TICK_MS = 50 };

static const struct call_route routes[] = {FORWARDED_TO_BRIDGE(CALL_ROUTE, CALL_METHOD)};

/* A request that comes while the worker stops is answered by its successor: the caller gets 503. */
static void on_call(struct bridge *bridge, const struct party *from, const struct proto_call *m)
{
	if (!bridge->draining)
		calls_take(bridge->calls, from, m);
}

static void on_worker_command(struct bridge *bridge, const struct party *from,
                              const struct proto_worker_command *m)
{
	(void)from;
	admin_call_take(bridge->worker, bridge->calls, bridge->draining, m);
}

static void on_capture_health(struct bridge *bridge, const struct party *from,
                              const struct proto_capture_health *m)
{
	(void)from;
	feeds_take_report(bridge->feeds, m->feed, m->report);
}

static void on_peer_gone(struct worker *worker, const struct party *gone)
{
	struct bridge *bridge = worker->context;
	if (gone->role == ROLE_CAPTURE && bridge->feeds != NULL)
		feeds_forget_reports(bridge->feeds);
}

static void on_log_durable(struct bridge *bridge, const struct party *from,
                           const struct proto_log_durable *m)
{
	(void)from;
	(void)m;
	uv_async_send(&bridge->store_async);
}

static enum proto_verdict on_frame(struct worker *worker, const struct party *from, unsigned type,
                                   struct span body)
{
	struct bridge *ctx = worker->context;
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
		PROTO_INBOX_COMMANDED(PROTO_DISPATCH)
		PROTO_INBOX_ANSWERING(PROTO_DISPATCH)
		PROTO_INBOX_BRIDGE(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static void on_store(uv_async_t *async)
{
	struct bridge *bridge = async->data;
	if (bridge->store == NULL)
		return;
	uint64_t durable = store_durable(bridge->store);
	if (store_collect(bridge->store) > 0)
		worker_announce_durable(bridge->worker, durable);
	while (store_advance(bridge->store, 0)) {
	}
	if (bridge->draining)
		return;
	wakes_turn(bridge->wakes);
	feeds_turn(bridge->feeds);
	book_turn(bridge->book);
	spectators_turn(bridge->spectators);
}

static void finish_drain(struct bridge *bridge)
{
	/* What is under way may end; what is not is found again at the next start. */
	bool idle = feeds_drain(bridge->feeds) && book_drain(bridge->book) &&
	            spectators_drain(bridge->spectators) &&
	            webhooks_in_flight(bridge->webhooks) == 0;
	if (!idle && clock_monotonic_ms() < bridge->drain_due_ms)
		return;
	uv_timer_stop(&bridge->tick);
	worker_exit(bridge->worker, EXIT_DONE);
}

static void on_tick(uv_timer_t *timer)
{
	struct bridge *bridge = timer->data;
	if (store_durable(bridge->store) > store_position(bridge->store))
		on_store(&bridge->store_async);
	if (bridge->draining)
		finish_drain(bridge);
	else {
		wakes_tick(bridge->wakes);
		feeds_turn(bridge->feeds);
	}
}

static void catch_up(void *context)
{
	struct bridge *bridge = context;
	worker_catch_up(bridge->store, &bridge->store_async);
}

static int start(struct worker *worker)
{
	static struct bridge bridge;
	worker->context = &bridge;
	bridge.worker = worker;
	uv_async_init(worker->loop, &bridge.store_async, on_store);
	bridge.store_async.data = &bridge;
	int code = worker_open_store(worker, &bridge.store_async, &bridge.store);
	if (code != 0)
		return code;
	bridge.webhooks = webhooks_create(worker->loop, &worker->settings);
	bridge.wakes = wakes_create(worker->loop, bridge.store, bridge.webhooks, &worker->settings,
	                            worker->mine);
	bridge.calls = calls_create(worker, routes, sizeof routes / sizeof *routes, &bridge);
	calls_before(bridge.calls, catch_up);
	bridge.feeds = feeds_create(worker, bridge.store);
	if (bridge.feeds == NULL)
		return EXIT_FAILED;
	bridge.book = book_create(worker, bridge.store);
	bridge.spectators = spectators_create(worker, bridge.store);
	uv_timer_init(worker->loop, &bridge.tick);
	bridge.tick.data = &bridge;
	uv_timer_start(&bridge.tick, on_tick, TICK_MS, TICK_MS);
	worker_ready(worker);
	return 0;
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct bridge *bridge = worker->context;
	bridge->draining = true;
	wakes_drain(bridge->wakes);
	bridge->drain_due_ms = due_ms;
}

static void finish(struct worker *worker)
{
	struct bridge *bridge = worker->context;
	store_close(&bridge->store);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_BRIDGE,
	                                              .start = start,
	                                              .drain = drain,
	                                              .on_frame = on_frame,
	                                              .on_peer_gone = on_peer_gone,
	                                              .finish = finish};
	return worker_main(argc, argv, &program);
}
