/* What the files of render sessions share: render_lives.c (which there are), render_sessions.c
 * (their time), render_publish.c (the store), render_page.c (the page), render_create.c and
 * render_calls.c (what clients ask for). */
#pragma once

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/domain/owner.h"
#include "common/domain/render_session.h"
#include "common/store/actor.h"
#include "worker-capture/ice_servers.h"
#include "worker-capture/render_life.h"
#include "worker-capture/render_sessions.h"

enum { RENDER_VIEWER_ID_LEN = 32, RENDER_VIEWERS_MAX = 16 };

/* Somebody who looks by WebRTC. */
struct render_viewer {
	char id[RENDER_VIEWER_ID_LEN + 1];
	bool connected;
	unsigned ice;                         /* restarts of ICE: its ETag */
	unsigned candidates;                  /* ours, in what it was told last */
	char principal[OWNER_DIGEST_LEN + 1]; /* who looks; "": nobody, but who knows the id */
};

struct render_live;

/* How much of something one session got within a second. */
struct render_rate {
	uint64_t from_ms, count; /* monotonic */
};

/* A call that is answered when what it did is durable. */
struct render_answer {
	struct render_answer *next;
	struct call *call;
	void (*answer)(struct call *call, struct render_live *live); /* live NULL: it failed, 503 */
};

/* Freed by render_remove() alone, which makes it RENDER_GONE: where the order was refused, where
 * its write failed for good, where it was forgotten. At each of these places nothing of the store's
 * is under way: the actor is busy with one write at a time, and `forget` holds it; none is begun
 * in RENDER_OVER but the forgetting, and none in RENDER_FORGETTING. What else may be under way
 * holds the call, or finds it by its id again: input and signals on their way to the page, offers,
 * questions to sessions.validate_url. Its browser ends by itself and tells nobody any more; calls
 * that wait for a write are answered 503. When the worker drains, all stay as they are until the
 * process ends. */
struct render_live {
	struct render_sessions *all;
	struct actor actor;      /* the row is its, and so is that of retry_key */
	enum render_state state; /* render_live_on() changes it, as render_life.h says */
	struct render_session *paper;
	struct session *browser; /* NULL when it is over, or could not be opened */
	struct session_watcher *watcher;
	char *document;        /* durable; NULL before the first */
	char *writing;         /* on its way; NULL: nothing is */
	char retry_digest[65]; /* of the request that made it; only until the first write */
	bool document_changed; /* other than by an event */
	bool patch_now;        /* a client's change: it is told before the client is answered */
	json_t *signals;       /* array: not written yet */
	size_t signals_writing;
	struct render_answer *asked;   /* for the next write */
	struct render_answer *writers; /* for the one under way */
	const char *ending;            /* the reason, from RENDER_LIFE_END on */
	uint64_t published_ms;         /* monotonic: the last patch */
	uint64_t looked_ms;            /* monotonic: the last picture asked for; 0: none lately */
	struct render_rate inputs, negotiations;
	struct {
		uint64_t count, said_ms;
	} consumers[COUNTERS_SLOTS]; /* by SSE worker */
	struct render_viewer viewers[RENDER_VIEWERS_MAX];
	size_t viewers_count;
	struct command forget;
	UT_hash_handle hh; /* by paper->id */
};

struct render_sessions {
	struct capture *capture;
	const struct settings_source *settings;
	struct render_live *lives;
	uv_timer_t publish, keep;
	struct ice_servers ice;
	struct http_posts *posts;        /* to sessions.validate_url and sessions.error_url */
	struct render_telling *tellings; /* errors on their way (render_error.c) */
	size_t tellings_count;
	struct clock_watch clock;
	bool draining;
};

/* ---- render_lives.c ---- */
struct render_live *render_find(struct render_sessions *all, struct span id);
void render_add(struct render_sessions *all, struct render_live *live);
/* The one place where the state changes. */
void render_live_on(struct render_live *live, enum render_life_event event);
/* It tells nobody any more; it ends by itself. */
void render_close_browser(struct render_live *live);
/* Frees it, for one of the events that make it RENDER_GONE. */
void render_remove(struct render_live *live, enum render_life_event event);
/* Into the counter: those that are not over. */
void render_count(struct render_sessions *all);
/* One more within this second? False: `call` is answered with 429 and this reason. */
bool render_within(struct render_rate *rate, uint64_t max, struct call *call, const char *reason);

/* ---- render_page.c ---- */
/* Opens the browser for what the order says. False: `reason` says why, `status` as what. */
bool render_open_browser(struct render_live *live, unsigned *status, char reason[256]);
/* Hands JSON to the page's script; see there. */
void render_deliver(struct render_live *live, const char *kind, const json_t *value,
                    devtools_on_reply *on_reply, void *arg);

/* ---- render_calls.c ---- */
/* Of an id that is none of the living: is there a row that cannot be read, or could one not be
 * looked for? Then answered. */
bool render_refused_unreadable(struct render_sessions *all, struct call *call, struct span id);

/* ---- render_validate.c ---- */
/* Is there a sessions.validate_url? */
bool render_validates(const struct render_sessions *all);
/* Asks sessions.validate_url, signed as webhooks are. `question` is taken; the client's
 * Authorization is added. When it may, `then` has the call (`caller`: callerContext, borrowed, may
 * be NULL); else it is answered after `refused` has freed what the asker keeps in call->state. */
void render_validate(struct render_sessions *all, struct call *call, json_t *question,
                     void (*then)(struct call *call, const json_t *caller),
                     void (*refused)(struct call *call));

/* ---- render_error.c ---- */
/* Tells sessions.error_url, signed as webhooks are; it is tried a few times and never waited for.
 * `exists`: the session has a name that clients know. */
void render_error_tell(struct render_sessions *all, const struct render_session *paper, bool exists,
                       const char *error);

/* ---- render_publish.c ---- */
/* Once, after render_add(). */
void render_publish_start(struct render_live *live);
/* Something changed: published now or when its time comes. */
void render_changed(struct render_live *live);
/* Somebody used it. */
void render_touch(struct render_live *live);
/* Begins the end, unless it has begun; it is over when it is durable. */
void render_end(struct render_live *live, const char *reason);
/* `call` is answered when everything changed so far is durable. */
void render_answer_later(struct render_live *live, struct call *call,
                         void (*answer)(struct call *call, struct render_live *live));
/* Drops stream and document of one that is RENDER_OVER; not yet, when that failed just now. */
void render_forget(struct render_live *live);
/* The row of an Idempotency-Key: {"id":...,"digest":...}, a new reference with ROW_PRESENT; else
 * NULL.
 */
enum row_found render_retry_row(struct render_sessions *all, const char *retry_key, json_t **row);
/* The digest goes into the row with the first write. */
void render_retry_digest(struct call *call, char out[65]);
