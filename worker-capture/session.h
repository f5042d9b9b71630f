/* A browser session: one browser with one page that is kept alive, watched, and photographed.
 *
 * Whoever wants its pictures or its news watches it (outputs, previews, viewers, the health
 * report); whoever wants something done in the page evaluates or sends a DevTools command. A
 * session outlives its page and its browser: both are replaced by the recovery ladder while the
 * session, its watchers, its last picture and its numbers stay. Loop thread only.
 *
 * Watchers must expect to be called from within any session_*() call but session_watch(), and may
 * call everything here from their callbacks, session_unwatch() and session_close() included. */
#pragma once

#include "common/base/counters.h"
#include "common/base/settings.h"
#include "worker-capture/devtools.h"
#include "worker-capture/picture.h"
#include "worker-capture/health.h"

#include <jansson.h>
#include <uv.h>

enum {
	SESSION_ID_MAX = 64,
	SESSION_URL_MAX = 2048,
	SESSION_SCRIPTS_MAX = 4,
};

enum session_state {
	SESSION_STARTING,   /* no browser yet, or its page has not loaded */
	SESSION_LIVE,       /* the page runs; health says whether it is any good */
	SESSION_RECOVERING, /* a step of the ladder is under way, or its back-off */
	SESSION_FAILED,     /* gave up: no browser, or too many recoveries; session_restart() tries
	                       again */
	SESSION_CLOSING,    /* its browsers are ending; on_closed follows */
	SESSION_RELEASED,   /* they have ended; so does what they played into */
};
const char *session_state_name(enum session_state state);

struct session;
struct sessions;
struct sound;
struct session_watcher;

struct session_options {
	const char *id;    /* [a-z0-9][a-z0-9-]{0,63}, unique in the worker */
	const char *feed;  /* feed whose picture this is, or "" */
	const char *url;   /* http or https; the token a page needs belongs into its fragment */
	const char *allow; /* hosts that it may reach besides the url's own and capture.allow_hosts:
	                      comma-separated, HOST or HOST:PORT; "" for none */
	const char *peers; /* STUN and TURN servers of its viewers: comma-separated HOST; NULL for
	                      none */
	const char *owner; /* principal, "" for ours; only kept */
	uint32_t width, height; /* even, 16 to 3840 and 16 to 2160 */
	bool tab_capture; /* the page may be captured whole by getDisplayMedia without a question */
	bool sound;  /* its page plays into a sound server of its own, where capture.sound is one;
	                without it is mute */
	bool webrtc; /* it will serve viewers: UDP is open to our scripts (never to the page's).
	                Without it no UDP leaves the browser at all */
	/* Run in every document in a world of our own (SESSION_WORLD_OWN): they see the document
	 * and every API, the page sees nothing of them. Static text. */
	const char *scripts[SESSION_SCRIPTS_MAX];
	/* Runs in every document in the page's own world before its scripts; copied, may be NULL.
	 */
	const char *page_script;
};

/* Both worlds have __ringside(kind, value), which calls on_message. */
enum session_world { SESSION_WORLD_PAGE, SESSION_WORLD_OWN };

/* What happened to it, for its event stream. Texts live until the callback returns. */
struct session_event {
	const char *kind;   /* "state", "health", "recovery", "navigation_blocked", "rotation" */
	const char *reason; /* of enum health_reason, or "" */
	const char *step;   /* "recovery": terminate, reload, target, browser; else "" */
	const char *detail; /* one line for humans, may be "" */
	uint64_t at_ms;     /* wall clock */
};

struct session_watch {
	/* A new picture, borrowed: frame_ref() to keep it. Older ones never follow newer ones. */
	void (*on_picture)(void *arg, struct session *session, struct picture *picture);
	/* State, health or something worth an event changed. */
	void (*on_event)(void *arg, struct session *session, const struct session_event *event);
	/* __ringside(kind, value) was called in that world; `value` is borrowed, and from the
	 * page's world anything; `losses` as page.h has it, and the limits. */
	void (*on_message)(void *arg, struct session *session, enum session_world world,
	                   const char *kind, const json_t *value, unsigned losses);
	/* The session is gone when this returns, the watcher with it. */
	void (*on_closed)(void *arg, struct session *session);
	void *arg;
	/* Frames a second that this watcher wants, 0: none of its own, but it sees what others get.
	 * The session asks the browser for the most that any watcher wants, by holding its
	 * acknowledgements back: what nobody wants is never encoded. */
	double fps;
};

/* ---- all sessions of the worker ---- */

/* The newest settings, whenever they are needed: a browser is started with those of that moment. */
struct sessions *sessions_create(uv_loop_t *loop, const struct settings_source *settings,
                                 struct counters_slot *counters);
/* The source has a newer snapshot: what browsers were told of the one before, they are told anew.
 */
void sessions_reload(struct sessions *sessions);
/* Closes every session and calls back once no process of theirs is left. */
void sessions_close(struct sessions *sessions, void (*on_closed)(void *arg), void *arg);

enum session_open_result {
	SESSION_OPENED,
	SESSION_EXISTS,   /* that id */
	SESSION_FULL,     /* capture.sessions are open */
	SESSION_INVALID,  /* options; the reason says which and why */
	SESSION_FORBIDDEN /* the url or an allowed host may not be reached */
};
/* Starts one; what can fail later (no browser, no such host) shows in its state and health. Texts
 * are copied, the scripts are not. */
enum session_open_result session_open(struct sessions *sessions,
                                      const struct session_options *options,
                                      struct session **session, char reason[256]);
struct session *session_find(struct sessions *sessions, const char *id);
/* Visits all; the visitor may close the one it is given. */
void sessions_each(struct sessions *sessions, void (*visit)(void *arg, struct session *session),
                   void *arg);

/* ---- one of them ---- */

/* Ends it: browser, profile and all. Watchers get on_closed. A second call does nothing. */
void session_close(struct session *session);
/* A new browser at once, whatever the state; the reason is for the event. */
void session_restart(struct session *session, const char *why);

const char *session_id(const struct session *session);
const char *session_feed(const struct session *session);
enum session_state session_state(const struct session *session);
const struct health *session_health(const struct session *session);
/* What its page plays into; NULL: it is mute. Lives as long as the session. */
const struct sound *session_sound(const struct session *session);
/* The newest picture, borrowed, or NULL before the first. It stays through every recovery. */
struct picture *session_last_picture(const struct session *session);
/* The same page in another size, both even; its pictures follow. */
void session_resize(struct session *session, uint32_t width, uint32_t height);
/* Everything known about it, secrets redacted: what `ringsidectl capture show` prints. */
json_t *session_describe(const struct session *session);

struct session_watcher *session_watch(struct session *session, const struct session_watch *watch);
/* Sets the pointer to NULL; NULL is fine. No callback of this watcher runs afterwards. */
void session_unwatch(struct session_watcher **watcher);
void session_watcher_fps(struct session_watcher *watcher, double fps);

/* A command in the page (devtools.h lists them). `params` is taken. `on_reply` is called exactly
 * once, in any case from the loop and not from within this call: also when the page dies or time
 * runs out. */
void session_command(struct session *session, enum devtools_method method, json_t *params,
                     uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg);
/* Evaluates an expression and gives its value, promises awaited; with `gesture` as if the user had
 * clicked. The reply's result is the value itself (json null for undefined); an exception is
 * DEVTOOLS_REFUSED with its text. Calls come back as session_command()'s do. */
void session_evaluate(struct session *session, enum session_world world, const char *expression,
                      bool gesture, uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg);
/* The output side reports that this encoder cannot keep up or died (reason, static text, as in
 * "encoder_stalled") or is well again (NULL); it becomes part of the health. */
void session_report_encoder(struct session *session, const char *reason);
