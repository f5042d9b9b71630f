/* ringside-sse: HTTP, SSE fan-out, durable streams. Wires routes and hooks together: the only file
 * that sees all storeys. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/ask.h"
#include "common/worker/call.h"
#include "common/worker/worker_store.h"
#include "common/domain/render_session.h"
#include "proto/roles.h"
#include "worker-sse/edge/cors_preflight.h"
#include "worker-sse/edge/identity_jwt.h"
#include "worker-sse/edge/jwks.h"
#include "worker-sse/edge/jwks_fetch.h"
#include "worker-sse/inbox.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/routes.h"
#include "worker-sse/views/bet_sync.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/connections.h"
#include "worker-sse/views/conversations.h"
#include "worker-sse/views/events.h"
#include "worker-sse/views/health.h"
#include "worker-sse/views/hub_tunnel.h"
#include "worker-sse/views/passes.h"
#include "worker-sse/views/stream_socket.h"
#include "worker-sse/views/subscriptions.h"

#include <stdlib.h>

enum {
	REFRESH_MS = 1000,       /* of the store's figures */
	ADVANCE_BYTES = 4 << 20, /* of log at a turn, so that input is not starved */
};

/* The program: its worker as the views know it, and what drives the loop. */
struct program {
	struct sse_worker sse; /* first: it is the worker's context */
	uv_timer_t tick;
	uv_prepare_t flush;
	uint64_t refresh_due_ms, drain_due_ms;
	struct jwks_fetch *fetch;
	struct jwks *jwks;
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
	cluster_turn(w);
	edge_flush(&w->edge);
}

static void before_request(void *context)
{
	sse_worker_catch_up(context);
}

static void on_readers(void *context, int change)
{
	sse_worker_readers(context, change);
}

/* ---- time ---- */

static void finish_drain(struct program *p)
{
	struct sse_worker *w = &p->sse;
	if (!edge_is_empty(&w->edge) && w->wheel.now_ms < p->drain_due_ms)
		return;
	if (!edge_is_empty(&w->edge))
		log_warn("drain cut short", "connections=%zu", w->edge.conns_count);
	edge_close(&w->edge);
	worker_exit(w->worker, EXIT_DONE);
	uv_timer_stop(&p->tick);
}

static void on_tick(uv_timer_t *timer)
{
	struct program *p = timer->data;
	struct sse_worker *w = &p->sse;
	edge_tick(&w->edge, clock_wall_ms());
	wheel_run(&w->wheel, clock_monotonic_ms());
	/* Heals a wake-up that was lost with its sender. */
	if (store_durable(w->store) > store_position(w->store))
		on_store(&w->store_async);
	if (w->wheel.now_ms >= p->refresh_due_ms) {
		p->refresh_due_ms = w->wheel.now_ms + REFRESH_MS;
		health_refresh(w);
	}
	if (w->worker->stalled)
		edge_refuse_stalled(&w->edge,
		                    clock_monotonic_ns() -
		                            w->settings->store_commit_timeout_ms * 1000000u);
	edge_flush(&w->edge);
	if (w->edge.draining)
		finish_drain(p);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct sse_worker *w = prepare->data;
	w->wheel.now_ms = clock_monotonic_ms();
	edge_prepare(&w->edge);
}

/* ---- life ---- */

static void start_loop(struct program *p, uv_loop_t *loop)
{
	uv_timer_init(loop, &p->tick);
	p->tick.data = p;
	uv_timer_start(&p->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
	uv_prepare_init(loop, &p->flush);
	p->flush.data = &p->sse;
	uv_prepare_start(&p->flush, on_prepare);
}

static void fetch_keys(void *context, const char *url, uint64_t timeout_ms,
                       void (*done)(void *arg, const struct http_post_answer *answer), void *arg)
{
	struct program *p = context;
	jwks_fetch(p->fetch, url, timeout_ms, done, arg);
}

static void on_keys_changed(void *context, bool revoked)
{
	struct program *p = context;
	edge_credentials_changed(&p->sse.edge, revoked);
}

static void start_keys(struct program *p)
{
	struct sse_worker *w = &p->sse;
	p->fetch = jwks_fetch_create(w->worker->loop, w->settings->tls_ca_file);
	p->jwks = jwks_create(&(struct jwks_options){.wheel = &w->wheel,
	                                             .counters = w->counters,
	                                             .fetch = fetch_keys,
	                                             .changed = on_keys_changed,
	                                             .context = p},
	                      w->settings);
}

static struct span meant_path(void *context, struct span path)
{
	const struct sse_worker *w = context;
	return render_session_meant(w->settings, path);
}

static void start_edge(struct program *p)
{
	struct sse_worker *w = &p->sse;
	struct edge_options options = {.loop = w->worker->loop,
	                               .wheel = &w->wheel,
	                               .settings = w->settings,
	                               .counters = w->counters,
	                               .all = w->worker->counters,
	                               .slot = w->worker->slot,
	                               .busy_poll = &w->worker->busy_poll,
	                               .meant_path = meant_path,
	                               .find_route = routes_find,
	                               .refuse = routes_refuse,
	                               .preflight = cors_preflight,
	                               .before_request = before_request,
	                               .divert = routes_divert,
	                               .context = w};
	options.sources[IDENTITY_JWT] = identity_jwt_source(p->jwks);
	passes_sources(w, options.sources);
	edge_init(&w->edge, &options);
	const struct ceilings ceilings = worker_ceilings(w->worker);
	edge_set_ceilings(&w->edge, &ceilings);
}

/* 0, or an exit code. */
static int start_views(struct sse_worker *w)
{
	cluster_start(w);
	subscriptions_start(w);
	passes_start(w);
	w->fanout = fanout_create(&(struct fanout_options){.loop = w->worker->loop,
	                                                   .wheel = &w->wheel,
	                                                   .settings = w->settings,
	                                                   .waiting = &w->edge.waiting,
	                                                   .counters = w->counters,
	                                                   .store = w->store,
	                                                   .on_readers = on_readers,
	                                                   .context = w});
	events_start(w);
	stream_socket_start(w);
	bet_sync_start(w);
	hub_start(w);
	int code = conversations_start(w);
	if (code == 0)
		connections_start(w);
	return code;
}

/* What other workers of our kind ask. */
static const struct call_route peer_routes[] = {
        {CALL_METHOD(POST), "/connections/", connections_on_call},
        {CALL_METHOD(POST), "/hub/letters", hub_tunnel_letter_handle},
};

static int start(struct worker *worker)
{
	static struct program p;
	struct sse_worker *w = &p.sse;
	worker->context = w;
	*w = (struct sse_worker){
	        .worker = worker, .settings = worker->settings.newest, .counters = worker->mine};
	wheel_init(&w->wheel, clock_monotonic_ms());
	w->asks = asks_create(worker, &w->wheel);
	w->calls = calls_create(worker, peer_routes, sizeof peer_routes / sizeof *peer_routes, w);
	start_keys(&p);
	start_edge(&p);
	slices_start(&w->slices, worker->loop);
	uv_async_init(worker->loop, &w->store_async, on_store);
	w->store_async.data = w;
	int code = worker_open_store(worker, &w->store_async, &w->store);
	if (code != 0)
		return code;
	code = start_views(w);
	if (code != 0)
		return code;
	start_loop(&p, worker->loop);
	counter_set(w->counters, subscribers, 0);
	worker_follow(worker, false);
	return 0; /* it listens when it is told what its sockets speak */
}

/* What was made of the snapshot before (tokens, headers) are keys of class WORKERS. */
static void reload(struct worker *worker)
{
	struct sse_worker *w = worker->context;
	w->settings = worker->settings.newest;
	bool revoked = jwks_use(((struct program *)w)->jwks, w->settings);
	edge_use(&w->edge, w->settings);
	edge_credentials_changed(&w->edge, revoked);
	fanout_use(w->fanout, w->settings);
}

static void on_peer_gone(struct worker *worker, const struct party *gone)
{
	struct sse_worker *w = worker->context;
	asks_peer_gone(w->asks, gone);
	connections_peer_gone(w, gone);
	hub_peer_gone(w, gone);
	edge_flush(&w->edge);
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct sse_worker *w = worker->context;
	((struct program *)w)->drain_due_ms = due_ms;
	edge_stop_accepting(&w->edge);
	fanout_drain(w->fanout);
	cluster_drain(w);
	conversations_drain(w);
	edge_drain(&w->edge);
}

static void finish(struct worker *worker)
{
	struct sse_worker *w = worker->context;
	if (!cluster_reads_store(w))
		store_close(&w->store);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_SSE,
	                                              .start = start,
	                                              .reload = reload,
	                                              .drain = drain,
	                                              .on_frame = inbox_dispatch,
	                                              .on_peer_gone = on_peer_gone,
	                                              .finish = finish};
	return worker_main(argc, argv, &program);
}
