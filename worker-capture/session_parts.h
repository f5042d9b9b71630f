/* What the files of session.h share; nobody else includes it. */
#pragma once

#include "worker-capture/ladder.h"
#include "worker-capture/page.h"
#include "worker-capture/session.h"
#include "worker-capture/session_life.h"

enum { SESSION_WATCHERS_MAX = 64 };

/* A page on its way in, on, or on its way out. Freed when its browser is gone. */
struct stage {
	struct session *session;
	struct page *page;
	uid_t uid;
	uint64_t sound_start;   /* the sound server that its browser knows */
	struct picture *newest; /* of a page that is not on yet */
	struct stage *following;
};

/* Names are being resolved for the next stage: who is to be seen at once, or who will replace that
 * one once it is well. */
struct launch;
enum launch_purpose { LAUNCH_TO_SHOW, LAUNCH_TO_REPLACE };

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
	uv_timer_t tick;
	/* Sent: what is owed is paid, what may be released is, and who waits for the end of all is
	 * told, from the loop. */
	uv_async_t turn;
	struct session *first;
	size_t count;
	struct owed *owed;
	bool closing;
	unsigned handles;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};

/* Freed by on_sound_closed() alone, in SESSION_RELEASED: it was closed, no stage of it is left, no
 * watcher of it is being called, and its sound has ended. Until then it may still hear, and must be
 * able to: its pages (each stage, until on_page_closed), the launch (cancelled with it: that holds
 * no session any more), its sound. Replies that are owed hold none. Whoever keeps a pointer to it
 * watches it: on_closed is the last moment that may be used. */
struct session {
	struct sessions *sessions;
	struct session *following;
	char id[SESSION_ID_MAX + 1], feed[SESSION_ID_MAX + 1];
	char *url, *allow, *owner, *page_script;
	const char *scripts[SESSION_SCRIPTS_MAX + 1];
	uint32_t width, height;
	bool tab_capture, webrtc;
	struct sound *sound;      /* NULL: it is mute */
	enum session_state state; /* live_on() changes it, as session_life.h says */
	bool been_live;
	struct egress egress;
	struct stage *stages; /* all of them */
	struct stage *on,
	        *coming; /* the one that is seen; the one that will replace it (rotation) */
	struct launch *launch;
	struct health_signals bare; /* while there is no page */
	const char *encoder;
	struct health health;
	struct ladder ladder;
	struct picture *last;
	uint64_t seq, opened_ms, on_ms, coming_ms, rotate_due_ms, deaf_due_ms; /* monotonic */
	uint64_t recoveries, browsers, blocked;
	double rate; /* frames a second, measured */
	uint64_t rate_ms, rate_seq;
	struct session_watcher *watchers[SESSION_WATCHERS_MAX];
	size_t watchers_count;
	unsigned calling; /* callbacks under way: watchers are not removed from the list */
};

/* ---- session_launch.c: from names to a running browser ---- */

/* Starts a browser for the session; session_launched() follows from the loop. One at a time. */
void session_launch(struct session *session, enum launch_purpose purpose);
/* Forgets the one under way. */
void session_launch_cancel(struct session *session);
/* `stage` is NULL when it failed: `why` and the words for it say so. */
void session_launched(struct session *session, struct stage *stage, enum launch_purpose purpose,
                      enum health_reason why, const char *words);

/* ---- session.c ---- */

extern const struct page_events session_page_events; /* arg is a stage */
/* Ends what it has, and starts anew. */
void session_start_browser(struct session *session);
void session_update_fps(struct session *session);
void session_tick(struct session *session, uint64_t now_ms);
/* Goes on with the end of one that was closed, when nothing stands in the way any more. */
void session_release(struct session *session);

/* ---- session_watchers.c ---- */

double session_wanted_fps(const struct session *session);
void session_tell_event(struct session *session, const struct session_event *event);
void session_tell_picture(struct session *session, struct picture *picture);
void session_tell_message(struct session *session, enum session_world world, const char *kind,
                          const json_t *value, unsigned losses);
/* The last they hear; they are freed. */
void session_tell_closed(struct session *session);

/* ---- session_ask.c ---- */

/* Answers everybody to whom a reply is owed. */
void session_pay_owed(struct sessions *sessions);
