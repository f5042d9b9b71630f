/* The store as a worker opens it: options from its settings, notices on its loop. */
#pragma once

#include "common/store.h"
#include "common/worker.h"

/* Opens settings.data_dir; store threads send `async` when there is something to collect or follow.
 * 0, or EXIT_FAILED after logging why. */
int worker_open_store(struct worker *worker, uv_async_t *async, struct store **store);
