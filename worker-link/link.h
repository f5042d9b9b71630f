/* The link: what its files share. */
#pragma once

#include "common/base/http_post.h"
#include "common/store/store.h"
#include "common/worker/worker.h"
#include "worker-link/intake.h"
#include "worker-link/link_step.h"

struct link {
	/* main.c: changes the state, and does what is to be done. */
	void (*on_event)(struct link *link, enum link_event event);
	struct worker *worker;
	struct store *store; /* NULL: not open */
	uv_async_t store_async;
	uv_timer_t tick;
	struct http_posts *posts;
	char *bearer; /* the header */

	enum link_state state;
	bool was_live;
	uint64_t due_ms;         /* monotonic: `later` is done then; UINT64_MAX: nothing is */
	enum link_action later;  /* without _LATER */
	uint64_t failures;       /* in a row */
	uint64_t fetches_failed; /* in a row */
	bool fetch_lost;         /* it was the last that failed */
	uint64_t busy;           /* in a row: the store could not be opened */

	/* The request that goes on; one at a time. */
	bool asking;
	uint64_t heard_ms; /* monotonic: the last byte */
	enum link_event ends_with;
	struct intake intake;
	uint64_t behind_ms; /* monotonic, since when; 0: it is not */
	int snapshot_fd;    /* -1 */
	size_t unsynced;    /* bytes of it */
	bool said_unfit;
	bool draining;
};

/* ---- link_ask.c: what is asked of the other node; each ends with on_event() ---- */
void link_ask(struct link *link);
void link_fetch(struct link *link);
void link_follow(struct link *link);
/* Gives up what goes on; it ends as lost. */
void link_cancel(struct link *link);
