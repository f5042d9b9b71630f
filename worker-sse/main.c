/* ringside-sse: HTTP, SSE fan-out, durable streams. */
#include "common/base/cgroup.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/worker_store.h"
#include "proto/roles.h"
#include "worker-sse/views/bet_sync.h"
#include "worker-sse/views/call.h"
#include "worker-sse/edge/conn.h"
#include "worker-sse/views/events.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/health.h"
#include "worker-sse/inbox.h"
#include "worker-sse/views/subscriptions.h"
#include "worker-sse/edge/websocket.h"

#include <stdlib.h>

enum {
	REFRESH_MS = 1000,       /* of the store's figures */
	ADVANCE_BYTES = 4 << 20, /* of log at a turn, so that input is not starved */
};

/* ---- the store ---- */

static void on_store(uv_async_t *async)
{
	struct sse_worker *w = async->data;
	if (w->store == NULL)
		return; /* the last turn of a drained loop */
	w->wheel.now_ms = clock_monotonic_ms();
	/* What this worker wrote is durable: the others hear of it before anything else. */
	uint64_t durable = store_durable(w->store);
	if (store_collect(w->store) > 0)
		worker_announce_durable(w->worker, durable);
	if (store_advance(w->store, ADVANCE_BYTES))
		uv_async_send(&w->store_async);
	fanout_turn(w->fanout);
	conns_flush(w);
}

void sse_worker_catch_up(struct sse_worker *w)
{
	if (store_durable(w->store) <= store_position(w->store))
		return;
	while (store_advance(w->store, 0)) {
	}
	uv_async_send(&w->store_async); /* the followers' turn comes with the loop's */
}

/* With none, this worker asks the others not to tell it of every commit: it looks for itself at
 * each request. */
static void on_readers(void *context, int change)
{
	struct sse_worker *w = context;
	counter_add(w->counters, subscribers, change);
	bool any = counter_get(w->counters, subscribers) != 0;
	worker_follow(w->worker, any);
	if (any && change > 0)
		uv_async_send(&w->store_async);
}

/* ---- time ---- */

static void finish_drain(struct sse_worker *w)
{
	if (w->conns_count > 0 && w->wheel.now_ms < w->drain_due_ms)
		return;
	if (w->conns_count > 0)
		log_warn("drain cut short", "connections=%zu", w->conns_count);
	while (w->conns != NULL)
		conn_close(w->conns);
	store_close(&w->store);
	worker_exit(w->worker, EXIT_DONE);
	uv_timer_stop(&w->tick);
}

static void on_tick(uv_timer_t *timer)
{
	struct sse_worker *w = timer->data;
	w->wheel.now_ms = clock_monotonic_ms();
	reply_tick(w, clock_wall_ms());
	wheel_run(&w->wheel, w->wheel.now_ms);
	/* Heals a wake-up that was lost with its sender. */
	if (store_durable(w->store) > store_position(w->store))
		on_store(&w->store_async);
	if (w->wheel.now_ms >= w->refresh_due_ms) {
		w->refresh_due_ms = w->wheel.now_ms + REFRESH_MS;
		health_refresh(w);
	}
	if (w->worker->stalled)
		conns_refuse_stalled(w, clock_monotonic_ns() -
		                                w->settings->store_commit_timeout_ms * 1000000u);
	conns_flush(w);
	if (w->draining)
		finish_drain(w);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct sse_worker *w = prepare->data;
	w->wheel.now_ms = clock_monotonic_ms();
	conns_flush(w);
	turn_begin(w);
}

/* ---- life ---- */

static int start(struct worker *worker)
{
	static struct sse_worker w;
	worker->context = &w;
	w.worker = worker;
	w.settings = worker->settings.newest;
	w.counters = worker->mine;
	w.wheel.now_ms = clock_monotonic_ms();
	wheel_init(&w.wheel, w.wheel.now_ms);
	auth_init(&w.auth, w.settings);
	reply_prepare(&w);
	w.memory_bytes = cgroup_memory_bytes("");
	bodies_refresh(&w);
	turn_start(&w);
	uv_async_init(worker->loop, &w.store_async, on_store);
	w.store_async.data = &w;
	int code = worker_open_store(worker, &w.store_async, &w.store);
	if (code != 0)
		return code;
	subscriptions_start(&w);
	w.fanout = fanout_create(&(struct fanout_options){.loop = worker->loop,
	                                                  .wheel = &w.wheel,
	                                                  .settings = w.settings,
	                                                  .counters = w.counters,
	                                                  .store = w.store,
	                                                  .on_readers = on_readers,
	                                                  .context = &w});
	events_start(&w);
	bet_sync_start(&w);
	uv_timer_init(worker->loop, &w.tick);
	w.tick.data = &w;
	uv_timer_start(&w.tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
	uv_prepare_init(worker->loop, &w.flush);
	w.flush.data = &w;
	uv_prepare_start(&w.flush, on_prepare);
	counter_set(w.counters, connections, 0);
	counter_set(w.counters, subscribers, 0);
	counter_set(w.counters, websockets, 0);
	worker_follow(worker, false);
	code = listen_start(&w);
	if (code == 0)
		worker_ready(worker);
	return code;
}

/* What was made of the snapshot before (tokens, headers) are keys of class WORKERS. */
static void reload(struct worker *worker)
{
	struct sse_worker *w = worker->context;
	w->settings = worker->settings.newest;
}

static void on_peer_gone(struct worker *worker, const struct party *gone)
{
	struct sse_worker *w = worker->context;
	calls_peer_gone(w, gone);
	conns_flush(w);
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct sse_worker *w = worker->context;
	w->draining = true;
	w->drain_due_ms = due_ms;
	listen_drain(w);
	fanout_drain(w->fanout);
	websockets_drain(w);
	conns_drain(w);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_SSE,
	                                              .start = start,
	                                              .reload = reload,
	                                              .drain = drain,
	                                              .on_frame = inbox_dispatch,
	                                              .on_peer_gone = on_peer_gone};
	return worker_main(argc, argv, &program);
}
