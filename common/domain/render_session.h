/* A render session on paper: what its client sees of it, revision by revision, and when it ends.
 *
 * A session is one JSON document in the store's small values, under "session/<id>", and one JSON
 * stream of events. The capture worker owns both: it changes the state with the functions here, and
 * writes document and event in one transaction. HTTP workers only read: the document for whoever
 * asks or joins, the events for whoever follows. Pure: time comes as a parameter, nothing is
 * written.
 *
 *     initializing -> connecting -> streaming <-> reconnecting
 *     any of them -> error -> connecting;  any -> terminated, for good
 *
 * Events, in the order of the stream, each with "rev" as its first member:
 *     {"rev":0,"state":{...}}                  the first
 *     {"rev":R,"patch":[...]}                  revision R is R-1 with these RFC 6902 operations
 *     {"rev":R,"n":N,"signal":{...}}           the N-th signal after revision R
 *     {"rev":R,"end":"reason"}                 the last */
#pragma once

#include "common/base/settings.h"

#include <jansson.h>

#define RENDER_SESSION_KEY_PREFIX "session/"
#define RENDER_RETRY_KEY_PREFIX   "session-retry/"

enum {
	RENDER_SESSION_ID_MAX = 36,   /* a UUID */
	RENDER_OWNER_MAX = 64,        /* hexadecimal SHA-256 of credentials, or "" */
	RENDER_SIGNAL_TOKEN_LEN = 43, /* 256 bits in base64url */
	RENDER_URL_MAX = 2048,
	RENDER_PATH_ROOM = 64 + RENDER_SESSION_ID_MAX,
	RENDER_BASE_MAX = 128, /* sessions.base_path */
	RENDER_LOCATION_ROOM = RENDER_PATH_ROOM + RENDER_BASE_MAX,
};

#define RENDER_STATUSES(S)                                                                         \
	S(INITIALIZING, "initializing", "initializing")                                            \
	S(CONNECTING, "connecting", "connecting")                                                  \
	S(STREAMING, "streaming", "streaming")                                                     \
	S(RECONNECTING, "reconnecting", "reconnecting")                                            \
	S(ERROR, "error", "error")                                                                 \
	S(TERMINATED, "terminated", "ended")
#define RENDER_STATUS_ENUM(NAME, text, client) RENDER_##NAME,
enum render_status { RENDER_STATUSES(RENDER_STATUS_ENUM) RENDER_STATUS_COUNT };
#undef RENDER_STATUS_ENUM
const char *render_status_name(enum render_status status);
/* The same in the words of the stream-kit web client: "ended" for "terminated". */
const char *render_status_client_name(enum render_status status);

/* What is asked for. Texts and trees are the order's. */
struct render_order {
	char target_url[RENDER_URL_MAX + 1];
	uint32_t width, height, fps;
	json_t *initial_data; /* NULL: none */
	json_t *ignored;      /* array: names of render options that mean nothing here */
};

enum render_order_result {
	RENDER_ORDER_OK,
	RENDER_ORDER_MALFORMED,  /* 400: the body is not of the form */
	RENDER_ORDER_UNSUITABLE, /* 422: it is, but asks for what cannot be had */
};

/* Reads the body of POST /stream: {targetUrl or renderUrl, initialData?, renderOptions?}. The size
 * is `width` x `height` where renderOptions.resolution does not say. */
enum render_order_result render_order_read(struct render_order *order, const json_t *body,
                                           uint32_t width, uint32_t height, char reason[160]);
/* Only renderOptions, over what the order says already. */
enum render_order_result render_order_options(struct render_order *order, const json_t *options,
                                              char reason[160]);
void render_order_finish(struct render_order *order);

struct render_session {
	char id[RENDER_SESSION_ID_MAX + 1];
	char owner[RENDER_OWNER_MAX + 1];
	char retry_key[RENDER_OWNER_MAX + 1]; /* its row under RENDER_RETRY_KEY_PREFIX, or "" */
	/* Lets its bearer negotiate a picture in the owner's place; never published. "": nobody. */
	char signal_token[RENDER_SIGNAL_TOKEN_LEN + 1];
	enum render_status status;
	uint64_t rev;                  /* of what was published last */
	uint64_t signals;              /* since then */
	uint64_t created_ms, ended_ms; /* Unix ms; 0: it lives */
	uint64_t active_ms;            /* Unix ms: the last sign of a client; not kept */
	struct render_order order;
	json_t *scene;     /* the last sceneData, or NULL */
	json_t *caller;    /* what validation said of the caller, or NULL; never sent to clients */
	json_t *state;     /* as it should be seen */
	json_t *published; /* as it was seen last */
};

/* Fresh: revision 0, initializing. Takes the order's contents. */
struct render_session *render_session_create(const char *id, const char *owner,
                                             struct render_order *order, uint64_t now_ms);
/* Is it this principal's, or one of the `former` digests' that he owned things by (owner.h)? Where
 * nobody is told from another (dev, without sessions.validate_url), what was ordered without
 * credentials is everybody's who has none; elsewhere that is nobody's. */
bool render_session_is_of(const struct render_session *session, const struct settings *settings,
                          struct span principal, struct span former);
/* May this principal own one? */
bool render_session_may_own(const struct settings *settings, struct span principal);
/* From its document; NULL when that is not one that this release can read (row.h). */
struct render_session *render_session_load(struct span document, uint64_t now_ms);
void render_session_destroy(struct render_session **session);

/* The document to write now, malloc'd. What was published is in it, not what is about to be. */
char *render_session_document(const struct render_session *session);

/* ---- changing the state; nothing is published by these ---- */

/* A member of the state. Takes `value`; NULL removes the member. */
void render_session_set(struct render_session *session, const char *member, json_t *value);
/* The only way the status changes. `message` becomes state.error with RENDER_ERROR and is "" else.
 * Nothing follows RENDER_TERMINATED. */
void render_session_status(struct render_session *session, enum render_status status,
                           const char *message);
/* A client did something: lastActivityTime, by the minute so that it is not a change of its own. */
void render_session_touch(struct render_session *session, uint64_t now_ms);

/* The wall clock was set by step_ms (above 0: forth): its life lasts as long as it would have. */
void render_session_clock_moved(struct render_session *session, int64_t step_ms);

/* ---- events; each counts what it returns as published ---- */

json_t *render_session_first(const struct render_session *session);
/* NULL: nothing has changed. */
json_t *render_session_patch(struct render_session *session);
/* Takes nothing. */
json_t *render_session_signal(struct render_session *session, const json_t *signal);
/* Status terminated must have been published. */
json_t *render_session_end(const struct render_session *session, const char *reason);

/* ---- the end ---- */

struct render_times {
	uint64_t idle_ms;     /* after the last consumer left or did something */
	uint64_t lifetime_ms; /* from the beginning */
};
/* Why it is to end now, as a constant; NULL: it goes on. `consumed`: somebody follows it. */
const char *render_session_overdue(const struct render_session *session,
                                   const struct render_times *times, bool consumed,
                                   uint64_t now_ms);

/* ---- names ---- */

/* A random UUID (version 4). */
void render_session_id(char out[RENDER_SESSION_ID_MAX + 1]);
/* Could this be an id? Lower-case hexadecimal digits and dashes. */
bool render_session_id_valid(struct span id);
/* "/stream/<id>" below sessions.base_path: where clients find it. Returns its length. */
size_t render_session_location(const struct settings *settings, const char *id,
                               char out[RENDER_LOCATION_ROOM]);
/* The path that is meant by one below sessions.base_path; any other as it is. */
struct span render_session_meant(const struct settings *settings, struct span path);
/* "/v1/stream/sessions/<id>/events"; returns its length. */
size_t render_session_path(const char *id, char out[RENDER_PATH_ROOM]);
size_t render_session_key(const char *id, char out[RENDER_PATH_ROOM]);

/* ---- reading events, for views ---- */

/* Position in the stream as clients hold it: revision, and signals after it. */
struct render_mark {
	uint64_t rev, n;
};
/* From the beginning of an event's text, without parsing it. */
bool render_mark_read(struct span event, struct render_mark *mark);
enum render_event { RENDER_EVENT_STATE, RENDER_EVENT_PATCH, RENDER_EVENT_SIGNAL, RENDER_EVENT_END };
/* The same, and what it tells: the patch, the signal, the reason as a JSON string, or with
 * RENDER_EVENT_STATE the event itself, which is what clients get of it. False: it is no event. */
bool render_event_read(struct span event, enum render_event *kind, struct render_mark *mark,
                       struct span *data);
/* "<lineage>-<rev>[.<n>]": id of Server-Sent Events. The lineage tells a stream from a later one.
 */
bool render_mark_parse(struct span id, uint64_t *lineage, struct render_mark *mark);
enum { RENDER_MARK_ROOM = 72 };
size_t render_mark_print(uint64_t lineage, struct render_mark mark, char out[RENDER_MARK_ROOM]);
int render_mark_compare(struct render_mark a, struct render_mark b);
