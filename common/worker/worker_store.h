/* The store as a worker opens it: options from its settings, notices on its loop. */
#pragma once

#include "common/store/store.h"
#include "common/worker/worker.h"

/* Opens settings.data_dir; store threads send `async` when there is something to collect or follow.
 * 0, or what start() is to return: EXIT_FAILED after logging why, when it may pass; else
 * EXIT_USAGE after worker_cannot_start(). */
int worker_open_store(struct worker *worker, uv_async_t *async, struct store **store);
