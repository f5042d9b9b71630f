/* Inside the EventSource view: what is asked for (events_wish.c), the streams that are found for it
 * (events_search.c), what is said of them and when (events_frames.c), how that looks
 * (events_text.c), and who reads it (events.c). A WebSocket asks for the same, finds the same, and
 * is told the same in its own form (stream_socket*.c). */
#pragma once

#include "common/domain/subscription.h"
#include "common/store/state_walk.h"
#include "common/worker/slices.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/event_id.h"
#include "worker-sse/views/worker.h"

enum { EVENTS_PATTERNS_MAX = 64, EVENTS_ROOT_LEN = sizeof SUBSCRIPTION_ROOT - 1 };

/* What an event is called. */
enum events_naming { EVENTS_NAMING_NONE, EVENTS_NAMING_STREAM, EVENTS_NAMING_MEMBER };

struct events_reader;

/* How what is said looks. Constant. `e` is NULL for a plain reader of one stream. */
struct events_form {
	void (*streams)(struct sse_builder *builder, struct events_reader *e,
	                const struct stream *const *streams, size_t count);
	void (*message)(struct sse_builder *builder, struct events_reader *e,
	                const struct frame_query *query, const struct store_message *message);
	/* From query->to it goes on. */
	void (*reset)(struct sse_builder *builder, struct events_reader *e,
	              const struct frame_query *query, const char *reason);
	void (*heartbeat)(struct sse_builder *builder, struct events_reader *e,
	                  const struct frame_query *query);
	/* Last words. False: there are none. */
	bool (*farewell)(struct sse_builder *builder, struct events_reader *e,
	                 const struct frame_query *query, enum fanout_end why);
};
extern const struct events_form events_text_form; /* EventSource's: events_text.c */

/* A reader of several streams, whose events have names, or by WebSocket. A plain reader of one
 * stream needs none. */
struct events_reader {
	const struct events_form *form;
	void *holder; /* the form's own */
	struct sse_worker *worker;
	struct request *request; /* whose answer it is */
	struct live_reader *reader;
	struct events_reader *next, **previous; /* worker->events */
	struct event_place *places;             /* streams it follows */
	size_t count, room;
	uint64_t newest; /* every stream up to this number was looked at */
	enum events_naming naming;
	bool single; /* its frames are those of any reader of that stream */
	char *member;
	size_t patterns_count;
	char *patterns[]; /* below the root */
};

/* A request in the making. */
struct events_wish {
	struct request *request;
	char *paths[EVENTS_PATTERNS_MAX]; /* of single streams, whole */
	size_t paths_count;
	char *patterns[EVENTS_PATTERNS_MAX]; /* below the root; owned */
	size_t patterns_count;
	enum events_naming naming;
	char *member;
	bool from_start;
	bool resumes;
	bool unknown_id;           /* none of ours: begins as without, and is told so */
	uint64_t newest;           /* of the id */
	struct event_place *known; /* of the id */
	size_t known_count;
	unsigned status; /* of the fault */
	const char *fault;
	char text[600];
};

/* A stream it will follow. */
struct events_start {
	struct stream *stream;
	uint64_t from;
	bool named;        /* not found by a pattern */
	const char *reset; /* NULL or the reason */
};

struct events_starts {
	struct events_start *at;
	size_t count, room;
	struct events_wish *wish;
};

/* A request whose streams are looked for: in slices, since its patterns may begin like any number
 * of paths. */
struct events_search {
	struct slices_job job; /* first */
	/* All are found, or the wish says why not. It frees the search. */
	void (*answer)(struct events_search *search);
	void *holder;                           /* whose it is, if not its request's */
	struct events_search *next, **previous; /* worker->searches; previous NULL: not waiting */
	struct sse_worker *worker;              /* outlives the request */
	struct events_wish wish;
	struct events_starts starts;
	struct state_walk walk;
	size_t walked;   /* patterns whose paths were looked at, or are being */
	uint64_t newest; /* streams up to this number are found, or were told of */
	bool again;      /* of some created since it was not told: from the beginning */
};

/* Below the root. */
static inline const char *events_path(const struct stream *stream)
{
	return stream->path + EVENTS_ROOT_LEN;
}

/* ---- events_wish.c ---- */

/* Reads the query and the id. False: wish->status and wish->fault say why. */
bool events_wish_take(struct events_wish *wish);
/* Always false. `fault` lives as long as the wish. */
/* Is this node, which follows another, not as far as the wish's id says? */
bool events_wish_ahead(const struct events_wish *wish);
bool events_wish_refuse(struct events_wish *wish, unsigned status, const char *fault);
void events_wish_finish(struct events_wish *wish);

/* What may be asked for otherwise: a path or a pattern, not percent-encoded; an id. */
bool events_wish_stream(struct events_wish *wish, const char *text);
void events_wish_id(struct events_wish *wish, struct span text);

/* The name of a path below the root in its canonical form, to be freed; of one stream whole. */
char *events_path_of(struct state *view, const char *below, bool single);

/* ---- events.c ---- */

/* Begins to look. True: it takes more than this turn, and is answered later. */
bool events_search_start(struct events_search *search);
/* Also of one that is not answered. */
void events_search_free(struct events_search *search);
/* Takes the patterns of the wish. It is told of streams that come later from here on. */
struct events_reader *events_reader_create(struct events_wish *wish,
                                           const struct events_starts *starts, uint64_t newest,
                                           const struct events_form *form);

/* ---- events_search.c ---- */

/* True: there is more to look at. */
bool events_search_begin(struct events_search *search);
/* One slice. True: there is more to look at. */
bool events_search_step(struct events_search *search);
/* False: too many; the wish says so. */
bool events_starts_take(struct events_starts *starts, const struct events_start *start);
/* What was found in earlier slices may be gone by now. False: one that was named; the wish says so.
 */
bool events_starts_drop_gone(struct events_starts *starts);
/* Everything is closed and delivered, and nothing else can come: EventSource stops at 204. */
bool events_starts_over(const struct events_starts *starts);
void events_starts_finish(struct events_starts *starts);
/* Does one of the patterns match this path below the root? */
bool events_path_matches(char *const *patterns, size_t count, const char *path);

/* ---- events_frames.c ---- */

/* What a view of these readers is made of. `several`: each of its readers has frames of its own. */
#define EVENTS_VIEW(name_, several)                                                                \
	{                                                                                          \
		.name = name_, .shared = !(several), .frame = events_frame,                        \
		.heartbeat = events_heartbeat, .farewell = events_farewell, .lost = events_lost,   \
		.finished = (several) ? events_finished : NULL, .left = events_left                \
	}
bool events_frame(struct sse_frame *frame, const struct frame_query *query);
bool events_heartbeat(struct sse_frame *frame, const struct frame_query *query, uint64_t *variant);
bool events_farewell(struct sse_frame *frame, const struct frame_query *query, enum fanout_end why);
bool events_lost(struct sse_frame *frame, const struct frame_query *query, enum fanout_end why);
bool events_finished(void *owner, const struct stream *stream);
void events_left(void *owner);

/* The id of where the reader is, its one stream being at `position`. */
void events_put_id(struct sse_builder *builder, const struct events_reader *e,
                   const struct frame_query *query, uint64_t position);
/* What is followed, and what of that was lost, before anything else. */
void events_put_opening(struct sse_builder *builder, struct events_reader *e,
                        const struct events_starts *starts);
