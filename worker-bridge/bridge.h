/* The bridge worker: what its parts share. */
#pragma once

#include "common/worker/call.h"
#include "common/store/store.h"
#include "worker-bridge/book.h"
#include "worker-bridge/feeds.h"
#include "worker-bridge/spectator.h"
#include "worker-bridge/wakes.h"

struct bridge {
	struct worker *worker;
	struct store *store; /* NULL when it is closed */
	struct webhooks *webhooks;
	struct wakes *wakes;
	struct calls *calls; /* their context is this struct */
	struct feeds *feeds;
	struct book *book;
	struct spectators *spectators;
	uv_async_t store_async;
	uv_timer_t tick;
	uint64_t drain_due_ms;
	bool draining;
};

/* Comes the call from the house (the right to operate here, or the admin socket)? False: it has
 * been refused, by 503 where nobody has that right. */
bool bridge_house(struct call *call);
/* The same question alone. */
bool bridge_is_house(const struct call *call);
