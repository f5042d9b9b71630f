/* The store as a worker opens it: options from its settings, notices on its loop. */
#pragma once

#include "common/store/store.h"
#include "common/worker/worker.h"

/* Opens settings.data_dir; store threads send `async` when there is something to collect or follow.
 * 0, or what start() is to return: EXIT_FAILED after logging why, when it may pass; else
 * EXIT_USAGE after worker_cannot_start(). */
int worker_open_store(struct worker *worker, uv_async_t *async, struct store **store);

/* Brings the view up to the durable mark: what any worker has acknowledged before a request came is
 * visible to it. Next to nothing when there is nothing new. Followers have their turn by async. */
static inline void worker_catch_up(struct store *store, uv_async_t *async)
{
	if (store_durable(store) <= store_position(store))
		return;
	while (store_advance(store, 0)) {
	}
	uv_async_send(async);
}
