/* What the files of page.h share; nobody else includes it. */
#pragma once

#include "worker-capture/beat.h"
#include "worker-capture/cast.h"
#include "worker-capture/luma.h"
#include "worker-capture/page.h"
#include "worker-capture/page_life.h"

enum {
	PAGE_CALL_MS = 10000,
	PAGE_NAVIGATE_MS = 60000, /* until the server answered; the ladder limits the load */
	PAGE_URL_KEPT = 256,      /* without the fragment, maybe cut: only to be compared */
};

/* Freed by on_part_closed() alone, in PAGE_FINISHED: page_close() was called, its browser's
 * processes are gone, the browser was destroyed, which has answered every open call, and the two
 * handles are closed. Until then replies, events, pictures and the exit come in any state: what
 * they may do is asked of page_life.h, and once it is ending none of them is told to its
 * session. */
struct page {
	struct browser *browser; /* NULL in PAGE_FINISHED */
	enum page_state state;   /* page_live_on() changes it */
	struct page_options options;
	struct page_events events;
	struct egress egress;
	char *url, *page_script;
	uv_timer_t probe;
	struct cast cast;
	struct luma_meter *meter;
	/* "" while there is none: the target is known from PAGE_CREATING on, its session from
	 * PAGE_SETTING_UP on. */
	char session[DEVTOOLS_SESSION_MAX + 1], target[DEVTOOLS_SESSION_MAX + 1];
	char home_url[PAGE_URL_KEPT],
	        shown_url[PAGE_URL_KEPT]; /* what its url became; what it shows */
	int64_t own_context;
	struct health_signals signals;
	struct beat_counts counts;
	struct picture *last; /* newest picture, while it was not measured */
	uint64_t measured_ms, luma_hash;
	int64_t gpu; /* process id of the GPU process, 0: not known */
	uint64_t messages_second;
	unsigned messages_count;
	bool complained; /* of a message that cannot be read: once, or the page fills the log */
	unsigned handles;
	bool asking; /* the browser, whether it is still there: one question at a time */
};

/* ---- page.c ---- */

/* The one place where the state changes. */
void page_live_on(struct page *page, enum page_life_event event);
struct devtools *page_devtools(struct page *page);
/* Told to its session, unless that does not want to hear of it any more. */
void page_changed(struct page *page);
void page_note(struct page *page, const char *kind, const char *detail);
void page_set_note(struct page *page, const char *what, const char *detail);
/* What belongs to a document ends with it. */
void page_begin_document(struct page *page);
/* To its url. */
void page_go_home(struct page *page);

/* ---- page_setup.c: from a browser to a page in it that is fenced in ---- */

/* The browser's first word, PAGE_STARTING until then: asks for it. */
void page_ask_version(struct page *page);
/* Asks for a page, whose session comes as Target.attachedToTarget. */
void page_create_target(struct page *page);
void page_on_attached(struct page *page, const json_t *params);
/* The same for the size of a page that is there. */
void page_send_size(struct page *page);

/* ---- page_events.c: what it does ---- */

void page_on_event(void *arg, enum devtools_event event, const char *session, const json_t *params);
