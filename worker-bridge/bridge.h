/* The bridge worker: what its parts share. */
#pragma once

#include "common/call.h"
#include "common/store.h"
#include "worker-bridge/book.h"
#include "worker-bridge/feeds.h"
#include "worker-bridge/wakes.h"

struct bridge {
	struct worker *worker;
	struct store *store; /* NULL when it is closed */
	struct webhooks *webhooks;
	struct wakes *wakes;
	struct calls *calls; /* their context is this struct */
	struct feeds *feeds;
	struct book *book;
	uv_async_t store_async;
	uv_timer_t tick;
	uint64_t drain_due_ms;
	bool draining;
	struct peer *from; /* of the message that is being handled */
};
