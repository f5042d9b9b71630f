/* ringside-capture: runs the browsers. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/admin_call.h"
#include "common/worker/worker_store.h"
#include "proto/roles.h"
#include "worker-capture/feed_session.h"
#include "worker-capture/inbox.h"
#include "worker-capture/keeper.h"
#include "worker-capture/outputs.h"
#include "worker-capture/render_sessions.h"
#include "worker-capture/session_calls.h"

#define CTX struct capture
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)
PROTO_INBOX_COMMANDED(PROTO_HANDLER)
PROTO_INBOX_ANSWERING(PROTO_HANDLER)
PROTO_INBOX_CAPTURE(PROTO_HANDLER)

enum { TICK_MS = 50 };

/* ---- calls ---- */

static const struct call_route routes[] = {
        {CALL_METHOD(POST), "/stream", render_sessions_on_create},
        {CALL_METHOD(POST), "/stream/session", render_sessions_on_create},
        {CALL_METHOD(GET) | CALL_METHOD(POST) | CALL_METHOD(PATCH) | CALL_METHOD(DELETE),
         "/stream/", render_sessions_on_session},
        {CALL_METHOD(GET), "/v1/capture/sessions", session_calls_on_list},
        {CALL_METHOD(GET) | CALL_METHOD(POST), "/v1/capture/sessions/", session_calls_on_one},
        FORWARDED_TO_CAPTURE(CALL_ROUTE, CALL_METHOD)};

static void on_call(struct capture *capture, const struct party *from, const struct proto_call *m)
{
	if (!capture->draining)
		calls_take(capture->calls, from, m);
}

static void on_worker_command(struct capture *capture, const struct party *from,
                              const struct proto_worker_command *m)
{
	(void)from;
	admin_call_take(capture->worker, capture->calls, capture->draining, m);
}

static void on_render_consumers(struct capture *capture, const struct party *from,
                                const struct proto_render_consumers *m)
{
	if (!capture->draining)
		render_sessions_consumers(capture->render, from->slot, m->id, m->count);
}

/* ---- the store ---- */

static void on_log_durable(struct capture *capture, const struct party *from,
                           const struct proto_log_durable *m)
{
	(void)from;
	(void)m;
	uv_async_send(&capture->store_async);
}

static void on_store(uv_async_t *async)
{
	struct capture *capture = async->data;
	if (capture->store == NULL)
		return; /* the last turn of a drained loop */
	uint64_t durable = store_durable(capture->store);
	if (store_collect(capture->store) > 0)
		worker_announce_durable(capture->worker, durable);
	while (store_advance(capture->store, 0)) {
	}
}

/* Heals a wake-up that was lost with its sender. */
static void on_tick(uv_timer_t *timer)
{
	struct capture *capture = timer->data;
	if (capture->store != NULL &&
	    store_durable(capture->store) > store_position(capture->store))
		on_store(&capture->store_async);
	if (capture->sessions != NULL && !capture->draining)
		feed_session_report(capture, clock_monotonic_ms());
}

static int open_store(struct capture *capture)
{
	uv_loop_t *loop = capture->worker->loop;
	uv_async_init(loop, &capture->store_async, on_store);
	uv_timer_init(loop, &capture->tick);
	capture->store_async.data = capture->tick.data = capture;
	uv_timer_start(&capture->tick, on_tick, TICK_MS, TICK_MS);
	return worker_open_store(capture->worker, &capture->store_async, &capture->store);
}

/* ---- life ---- */

static enum proto_verdict on_frame(struct worker *worker, const struct party *from, unsigned type,
                                   struct span body)
{
	struct capture *ctx = worker->context;
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
		PROTO_INBOX_COMMANDED(PROTO_DISPATCH)
		PROTO_INBOX_ANSWERING(PROTO_DISPATCH)
		PROTO_INBOX_CAPTURE(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static void catch_up(void *context)
{
	struct capture *capture = context;
	if (capture->store != NULL)
		worker_catch_up(capture->store, &capture->store_async);
}

static int start(struct worker *worker)
{
	static struct capture capture;
	worker->context = &capture;
	capture.worker = worker;
	capture.sessions = sessions_create(worker->loop, &worker->settings, worker->mine);
	int code = open_store(&capture);
	if (code != 0)
		return code;
	capture.calls = calls_create(worker, routes, sizeof routes / sizeof *routes, &capture);
	calls_before(capture.calls, catch_up);
	struct session *feed = feed_session_open(capture.sessions, worker->settings.newest);
	capture.outputs = outputs_create(&capture, feed);
	capture.render = render_sessions_create(&capture);
	worker_ready(worker);
	return 0;
}

static void reload(struct worker *worker)
{
	struct capture *capture = worker->context;
	sessions_reload(capture->sessions);
}

static void on_closed(void *arg)
{
	struct capture *capture = arg;
	uv_timer_stop(&capture->tick);
	worker_exit(capture->worker, EXIT_DONE);
}

static void on_outputs_closed(void *arg)
{
	struct capture *capture = arg;
	capture->outputs = NULL;
	sessions_close(capture->sessions, on_closed, capture);
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct capture *capture = worker->context;
	(void)due_ms;
	capture->draining = true;
	render_sessions_drain(capture->render);
	outputs_close(capture->outputs, on_outputs_closed, capture);
}

static void on_peer_gone(struct worker *worker, const struct party *gone)
{
	struct capture *capture = worker->context;
	if (gone->role == ROLE_SSE && !capture->draining)
		render_sessions_slot_gone(capture->render, gone->slot);
}

static void finish(struct worker *worker)
{
	struct capture *capture = worker->context;
	store_close(&capture->store);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_CAPTURE,
	                                              .start = start,
	                                              .reload = reload,
	                                              .drain = drain,
	                                              .on_frame = on_frame,
	                                              .on_peer_gone = on_peer_gone,
	                                              .finish = finish};
	keeper_main(argc, argv);
	return worker_main(argc, argv, &program);
}
