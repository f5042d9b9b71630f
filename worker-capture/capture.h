/* The capture worker: what its parts share. */
#pragma once

#include "common/worker/call.h"
#include "common/store/store.h"
#include "worker-capture/session.h"

struct outputs;
struct render_sessions;

struct capture {
	struct worker *worker;
	struct store *store; /* NULL when it is closed */
	struct sessions *sessions;
	struct outputs *outputs; /* of the feed's session, NULL when there is none */
	struct calls *calls;
	struct render_sessions *render;
	uv_async_t store_async;
	uv_timer_t tick;
	uint64_t reported, report_due_ms; /* feed_session_report() */
	bool draining;
};
