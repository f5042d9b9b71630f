/* One browser with one page in it: started, set up, watched, photographed. What is wrong with it is
 * health's to judge from its signals; what is done about it is its session's. Loop thread only. */
#pragma once

#include "worker-capture/browser.h"
#include "worker-capture/health.h"

enum {
	PAGE_MESSAGE_BYTES_MAX = 65536, /* of a message of its scripts; a longer one is dropped */
	PAGE_MESSAGES_PER_S = 50,       /* more of them are dropped */
};

enum page_world { PAGE_WORLD_PAGE, PAGE_WORLD_OWN };

struct page_options {
	struct browser_options browser; /* its egress is copied, so is every text */
	const char *url;
	const char *const *scripts; /* ended by NULL; static text */
	const char *page_script;    /* may be NULL */
	uint32_t quality;           /* of pictures, 1 to 100 */
	double fps;
	uint64_t probe_ms; /* how often the browser itself is asked */
};

struct page_events {
	/* A new picture; the reference is the callee's. seq is not set. */
	void (*on_picture)(void *arg, struct picture *picture);
	/* Signals changed in a way worth judging at once. */
	void (*on_change)(void *arg);
	/* __ringside(kind, value); value is borrowed. `losses`: what of it could not be taken
	 * (json_take.h). A state of which nothing could is "unreadable", without a value. */
	void (*on_message)(void *arg, enum page_world world, const char *kind, const json_t *value,
	                   unsigned losses);
	/* Something was kept from happening: "navigation_blocked", "popup_blocked", "dialog". */
	void (*on_note)(void *arg, const char *kind, const char *detail);
	/* After page_close(): no process of it is left, and it is freed when this returns. */
	void (*on_closed)(void *arg);
	void *arg;
};

struct page;

/* NULL: its browser was not to be started; the reason says why. */
struct page *page_create(uv_loop_t *loop, const struct page_options *options,
                         const struct page_events *events, char reason[256]);
/* Ends its browser; on_closed follows from the loop, and nothing else before it. */
void page_close(struct page *page);

/* What it is known by. Valid until it is closed. */
const struct health_signals *page_signals(const struct page *page);
void page_resize(struct page *page, uint32_t width,
                 uint32_t height); /* the same page, with all it holds */
void page_set_fps(struct page *page, double fps);
/* A few times a second: looks after pictures that were not measured yet and casts that do not
 * begin. */
void page_tick(struct page *page, uint64_t now_ms);

/* ---- ways back ---- */

void page_terminate(struct page *page); /* ends the script that runs */
void page_reload(struct page *page);    /* to its url, in the process it is in or a new one */
void page_retarget(struct page *page);  /* a new page in the same browser */

/* ---- doing something in it ---- */

void page_command(struct page *page, enum devtools_method method, json_t *params,
                  uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg);
/* 0: that world is not there now. Else what Runtime.evaluate takes as contextId, or -1 for the
 * page's own world, which needs none. */
int64_t page_context(const struct page *page, enum page_world world);
pid_t page_keeper_pid(const struct page *page);
