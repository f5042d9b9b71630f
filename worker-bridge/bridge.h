/* The bridge worker: what its parts share. */
#pragma once

#include "common/worker/call.h"
#include "common/store/store.h"
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
};

/* Comes the call from the house (auth.ledger_token, or the admin socket; under dev anybody)?
 * False: it has been refused, by 503 where no token is set. */
bool bridge_house(struct call *call);
/* The same question alone. */
bool bridge_is_house(const struct call *call);
/* Is `digest`, hexadecimal SHA-256, that of the call's Bearer token? */
bool bridge_principal_is(const struct call *call, const char *digest);
