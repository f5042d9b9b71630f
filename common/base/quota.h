/* What one client may have, counted by all workers together: in the memory that the counters are
 * in.
 *
 * Two kinds, in tables of their own. A rate: so many takes within a window that begins with the
 * first. A holding: so many at once, each owned by the worker that took it, and forgotten when that
 * worker starts anew. Lock-free; any process may call at any time.
 *
 * The tables are bounded. A rate that finds no place of its own takes over the one whose window
 * ends first: those that are over give way before those that count, and whoever floods the table
 * from very many addresses makes others' counts begin anew, and refuses nobody. A holding finds no
 * place when there are that many already; rates never take one. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { QUOTA_CELLS = 16384, QUOTA_PROBES = 16 };

struct quota_rate {
	_Atomic uint64_t key;  /* 0: free */
	_Atomic uint64_t used; /* ms of the window's end << 24 | takes */
};

struct quota_holding {
	_Atomic uint64_t key;          /* 0: free */
	_Atomic uint32_t count, owner; /* owner: worker + 1 */
};

struct quota {
	struct quota_rate rates[QUOTA_CELLS];
	struct quota_holding holdings[QUOTA_CELLS];
};

/* A key from what names the client and for what; never 0. */
uint64_t quota_key(const void *client, uint64_t len, uint64_t purpose);

/* One more of at most `max` (below 2^24) within `window_ms`. False: used up; *again_ms is how long
 * from now. `now_ms`: monotonic. */
bool quota_take(struct quota *quota, uint64_t key, uint64_t now_ms, uint64_t window_ms,
                uint32_t max, uint64_t *again_ms);
/* Nothing is taken: would there be one more? */
bool quota_left(struct quota *quota, uint64_t key, uint64_t now_ms, uint32_t max,
                uint64_t *again_ms);

enum { QUOTA_USED_UP = 0, QUOTA_NO_PLACE = UINT32_MAX };
/* One more of at most `max` held by the workers [0, workers) together; it is worker `owner`'s. Its
 * place, for quota_release(); QUOTA_USED_UP; or QUOTA_NO_PLACE: the table is full. */
uint32_t quota_hold(struct quota *quota, uint64_t key, uint32_t owner, uint32_t workers,
                    uint32_t max);
void quota_release(struct quota *quota, uint32_t place);
/* A worker that starts holds nothing. */
void quota_forget(struct quota *quota, uint32_t owner);
