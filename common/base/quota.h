/* What one client may have, counted by all workers together: in the memory that the counters are
 * in.
 *
 * Two kinds. A rate: so many takes within a window that begins with the first. A holding: so many
 * at once, each owned by the worker that took it, and forgotten when that worker starts anew.
 * Lock-free; any process may call at any time. The table is bounded: a rate that finds no place of
 * its own takes over the one whose window began first, a holding that finds none is refused. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { QUOTA_CELLS = 4096, QUOTA_PROBES = 16 };

struct quota_cell {
	_Atomic uint64_t key;   /* 0: free */
	_Atomic uint64_t used;  /* rate: ms of the window's begin << 24 | takes; holding: count */
	_Atomic uint64_t owner; /* holding: worker + 1; 0: rate */
};

struct quota {
	struct quota_cell cells[QUOTA_CELLS];
};

/* A key from what names the client and for what; never 0. */
uint64_t quota_key(const void *client, uint64_t len, uint64_t purpose);

/* One more of at most `max` (below 2^24) within `window_ms`. False: used up; *again_ms is how long
 * from now. `now_ms`: monotonic. */
bool quota_take(struct quota *quota, uint64_t key, uint64_t now_ms, uint64_t window_ms,
                uint32_t max, uint64_t *again_ms);

/* One more of at most `max` held by the workers [0, workers) together; it is worker `owner`'s. */
bool quota_hold(struct quota *quota, uint64_t key, uint32_t owner, uint32_t workers, uint32_t max);
void quota_release(struct quota *quota, uint64_t key, uint32_t owner);
/* A worker that starts holds nothing. */
void quota_forget(struct quota *quota, uint32_t owner);
