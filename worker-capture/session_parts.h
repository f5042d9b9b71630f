/* What the files of session.h share; nobody else includes it. */
#pragma once

#include "worker-capture/ladder.h"
#include "worker-capture/page.h"
#include "worker-capture/session.h"

enum { SESSION_WATCHERS_MAX = 64 };

/* A page on its way in, on, or on its way out. Freed when its browser is gone. */
struct stage {
	struct session *session;
	struct page *page;
	uid_t uid;
	uint64_t sound_start; /* the sound server that its browser knows */
	struct frame *newest; /* of a page that is not on yet */
	struct stage *following;
};

/* Names are being resolved for the next stage. */
struct launch;

struct session_watcher {
	struct session *session;
	struct session_watch watch;
	bool gone;
};

/* Replies that are owed although there is no page to give them. */
struct owed {
	devtools_on_reply *on_reply;
	void *arg;
	const char *reason;
	struct owed *following;
};

struct sessions {
	uv_loop_t *loop;
	const struct settings_source *settings;
	struct counters_slot *counters;
	uv_timer_t tick, owing;
	struct session *first;
	size_t count;
	struct owed *owed;
	bool closing;
	unsigned handles;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

struct session {
	struct sessions *sessions;
	struct session *following;
	char id[SESSION_ID_MAX + 1], feed[SESSION_ID_MAX + 1];
	char *url, *allow, *owner, *page_script;
	const char *scripts[SESSION_SCRIPTS_MAX + 1];
	uint32_t width, height;
	bool tab_capture, webrtc;
	struct sound *sound; /* NULL: it is mute */
	enum session_state state;
	struct egress egress;
	struct stage *stages; /* all of them */
	struct stage *on,
	        *coming; /* the one that is seen; the one that will replace it (rotation) */
	struct launch *launch;
	bool launch_replaces;       /* it is for `coming` */
	struct health_signals bare; /* while there is no page */
	const char *encoder;
	struct health health;
	struct ladder ladder;
	struct frame *last;
	uint64_t seq, opened_ms, on_ms, coming_ms, rotate_due_ms, deaf_due_ms; /* monotonic */
	uint64_t recoveries, browsers, blocked;
	double rate; /* frames a second, measured */
	uint64_t rate_ms, rate_seq;
	struct session_watcher *watchers[SESSION_WATCHERS_MAX];
	size_t watchers_count;
	unsigned calling; /* callbacks under way: watchers are not removed from the list */
	bool been_live, gave_up, closing, released, counted_healthy;
};

/* ---- session_launch.c: from names to a running browser ---- */

/* Starts a browser for the session; session_launched() follows from the loop. One at a time. */
void session_launch(struct session *session);
/* Forgets the one under way. */
void session_launch_cancel(struct session *session);
/* `stage` is NULL when it failed: `why` and the words for it say so. */
void session_launched(struct session *session, struct stage *stage, enum health_reason why,
                      const char *words);

/* ---- session.c ---- */

extern const struct page_events session_page_events; /* arg is a stage */
double session_wanted_fps(const struct session *session);
