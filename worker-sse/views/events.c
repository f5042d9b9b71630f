#include "worker-sse/views/events.h"
#include "common/base/check.h"
#include "common/base/json_take.h"
#include "common/base/clock.h"
#include "common/store/state_walk.h"
#include "common/store/stream_name.h"
#include "common/domain/subscription.h"
#include "worker-sse/views/event_id.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/worker.h"
#include "worker-sse/views/streams.h"

#include <jansson.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	PATTERNS_MAX = 64,
	FRAME_BYTES = 256 * 1024, /* then the next message goes into the next frame: each has an id,
	                             and small ones grow by it */
	NAME_MAX_BYTES = 128,     /* of an event */
	SLICE_GLOBS = 512,        /* paths times patterns: about a millisecond */
};

/* What an event is called. */
enum naming { NAMING_NONE, NAMING_STREAM, NAMING_MEMBER };

/* A reader of several streams, or whose events have names. A plain reader of one stream needs none.
 */
struct events_reader {
	struct sse_worker *worker;
	struct live_reader *reader;
	struct events_reader *next, **previous; /* worker->events */
	struct event_place *places;             /* streams it follows */
	size_t count, room;
	uint64_t newest; /* every stream up to this number was looked at */
	enum naming naming;
	bool single; /* its frames are those of any reader of that stream */
	char *member;
	size_t patterns_count;
	char *patterns[]; /* below the root */
};

static const size_t root_len = sizeof SUBSCRIPTION_ROOT - 1;

static const char *path_below_root(const struct stream *stream)
{
	return stream->path + root_len;
}

/* ---- framing ---- */

static void put_id(struct sse_builder *b, const struct events_reader *e,
                   const struct frame_query *q, uint64_t position)
{
	const struct event_place one = {q->stream != NULL ? q->stream->id : 0, position};
	bool single = e == NULL || e->single;
	size_t needed = EVENT_ID_ROOM + (single ? 1 : e->count) * EVENT_ID_PLACE_ROOM;
	SSE_PUT(b, "id: ");
	char *text = sse_room(b, needed);
	sse_written(b, single ? event_id_print(0, &one, 1, text)
	                      : event_id_print(e->newest, e->places, e->count, text));
	SSE_PUT(b, "\n");
}

/* EventSource fires handlers of its own for the first two, and we send the others: what was
 * published under such a name goes out without one. */
static bool reserved(struct span name)
{
	static const struct span names[] = {SPAN("error"), SPAN("open"), SPAN("reset"),
	                                    SPAN("heartbeat"), SPAN("streams")};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal(name, names[i]))
			return true;
	return false;
}

static void put_event_name(struct sse_builder *b, struct span name)
{
	if (reserved(name))
		return;
	SSE_PUT(b, "event: ");
	sse_put(b, name);
	SSE_PUT(b, "\n");
}

/* The member as a name, when it can be one. */
static void put_member(struct sse_builder *b, const char *member, struct span message)
{
	json_t *doc = json_take(message, JSON_DECODE_ANY, NULL, NULL);
	const char *name = json_string_value(json_object_get(doc, member));
	size_t len = json_string_length(json_object_get(doc, member));
	if (name != NULL && len > 0 && len <= NAME_MAX_BYTES && strlen(name) == len &&
	    strpbrk(name, "\r\n") == NULL)
		put_event_name(b, span_of(name, len));
	json_decref(doc);
}

static void put_name(struct sse_builder *b, const struct events_reader *e,
                     const struct stream *stream, struct span message)
{
	if (e == NULL || e->naming == NAMING_NONE)
		return;
	if (e->naming == NAMING_STREAM)
		put_event_name(b, span_of(path_below_root(stream), stream->path_len - root_len));
	else if (stream->json)
		put_member(b, e->member, message);
}

static void set_place(struct events_reader *e, uint64_t stream_id, uint64_t position)
{
	for (size_t i = 0; e != NULL && i < e->count; i++)
		if (e->places[i].stream_id == stream_id)
			e->places[i].position = position;
}

struct framing {
	const struct frame_query *q;
	bool base64;
	uint64_t to; /* behind the last message put */
};

static bool put_message(void *arg, const struct store_message *message)
{
	struct framing *f = arg;
	struct sse_builder *b = f->q->builder;
	struct events_reader *e = f->q->owner;
	set_place(e, f->q->stream->id, message->ends_at);
	put_id(b, e, f->q, message->ends_at);
	put_name(b, e, f->q->stream, message->bytes);
	if (f->base64)
		sse_put_data_base64(b, message->bytes);
	else
		sse_put_data(b, message->bytes);
	SSE_PUT(b, "\n");
	f->to = message->ends_at;
	return b->len < waiting_piece(f->q->waiting, FRAME_BYTES);
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	struct framing f = {.q = q, .base64 = sse_needs_base64(q->stream)};
	sse_begin(b);
	if (store_scan(q->store, q->stream, q->from, q->to, SIZE_MAX, put_message, &f) !=
	    STORE_READ_OK)
		return false;
	sse_end(b, frame);
	frame->to = f.to;
	return true;
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct sse_builder *b = q->builder;
	(void)variant;
	sse_begin(b);
	SSE_PUT(b, "event: heartbeat\n");
	put_id(b, q->owner, q, q->from);
	sse_printf(b, "data: {\"now\":%llu}\n\n", (unsigned long long)clock_wall_ms());
	sse_end(b, frame);
	return true;
}

static void put_json_text(struct sse_builder *b, const char *text)
{
	json_t *string = json_string(text);
	char *quoted = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
	sse_put(b, quoted != NULL ? span_str(quoted) : SPAN("\"\""));
	free(quoted);
	json_decref(string);
}

static void put_reset(struct sse_builder *b, struct events_reader *e, const struct frame_query *q,
                      const char *reason)
{
	SSE_PUT(b, "event: reset\n");
	put_id(b, e, q, q->to);
	SSE_PUT(b, "data: {\"stream\":");
	put_json_text(b, path_below_root(q->stream));
	sse_printf(b, ",\"reason\":\"%s\"}\n\n", reason);
}

static void drop_place(struct events_reader *e, uint64_t stream_id)
{
	for (size_t i = 0; i < e->count; i++)
		if (e->places[i].stream_id == stream_id) {
			e->places[i] = e->places[--e->count];
			return;
		}
}

/* Says so and goes on; a reader whose only stream was deleted has nothing to go on with. */
static bool lost(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	struct events_reader *e = q->owner;
	bool gone = why == FANOUT_END_GONE;
	if (gone && (e == NULL || (e->count == 1 && e->patterns_count == 0)))
		return false;
	if (gone)
		drop_place(e, q->stream->id);
	else
		set_place(e, q->stream->id, q->to);
	sse_begin(b);
	put_reset(b, e, q, gone ? "deleted" : "trimmed");
	sse_end(b, frame);
	return true;
}

static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	if (why == FANOUT_END_GONE && q->stream != NULL)
		put_reset(b, q->owner, q, "deleted");
	else if (why == FANOUT_END_LAG)
		sse_comment(
		        b, " further behind than limits.reader_lag_bytes; resume from the last id");
	else if (why == FANOUT_END_DRAIN)
		sse_comment(b, " this worker stops; resume from the last id");
	else if (why == FANOUT_END_RESUME)
		sse_comment(b, " resume from the last id");
	else
		return false;
	sse_end(b, frame);
	return true;
}

/* With patterns there may always be another stream. */
static bool finished(void *owner, const struct stream *stream)
{
	struct events_reader *e = owner;
	if (e == NULL || e->patterns_count == 0)
		return false;
	drop_place(e, stream->id);
	return true;
}

static void events_reader_free(void *owner)
{
	struct events_reader *e = owner;
	if (e == NULL)
		return;
	if (e->previous != NULL) {
		*e->previous = e->next;
		if (e->next != NULL)
			e->next->previous = e->previous;
	}
	for (size_t i = 0; i < e->patterns_count; i++)
		free(e->patterns[i]);
	free(e->places);
	free(e->member);
	free(e);
}

static const struct fanout_view one_stream = {.name = "events",
                                              .shared = true,
                                              .frame = build,
                                              .heartbeat = heartbeat,
                                              .farewell = farewell,
                                              .lost = lost,
                                              .left = events_reader_free};
static const struct fanout_view several_streams = {.name = "events of several streams",
                                                   .frame = build,
                                                   .heartbeat = heartbeat,
                                                   .farewell = farewell,
                                                   .lost = lost,
                                                   .finished = finished,
                                                   .left = events_reader_free};

/* ---- what is asked for ---- */

/* A request in the making. */
struct wish {
	struct request *request;
	char *paths[PATTERNS_MAX]; /* of single streams, whole */
	size_t paths_count;
	char *patterns[PATTERNS_MAX]; /* below the root; owned */
	size_t patterns_count;
	enum naming naming;
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
struct start {
	struct stream *stream;
	uint64_t from;
	bool named;        /* not found by a pattern */
	const char *reset; /* NULL or the reason */
};

struct starts {
	struct start *at;
	size_t count, room;
	struct wish *wish;
};

static void wish_finish(struct wish *wish)
{
	for (size_t i = 0; i < wish->paths_count; i++)
		free(wish->paths[i]);
	for (size_t i = 0; i < wish->patterns_count; i++)
		free(wish->patterns[i]);
	free(wish->member);
	free(wish->known);
}

static bool refuse(struct wish *wish, unsigned status, const char *fault)
{
	wish->status = status;
	wish->fault = fault;
	return false;
}

/* A parameter's value. NULL: malformed or with a NUL. */
static char *decode(struct span raw)
{
	uint8_t *out = xmalloc(raw.len + 1);
	size_t len = query_decode(raw, out);
	if (len == SIZE_MAX || memchr(out, '\0', len) != NULL) {
		free(out);
		return NULL;
	}
	out[len] = '\0';
	return (char *)out;
}

/* The name in its canonical form; of a single stream whole. What was stored under this very
 * spelling keeps it: before there was a canonical form that was another stream. */
static char *as_path(struct state *view, const char *text, bool single)
{
	size_t len = strlen(text);
	char *out = xmalloc(root_len + 3 * len + 1);
	size_t root = single ? root_len : 0;
	memcpy(out, SUBSCRIPTION_ROOT, root);
	memcpy(out + root, text, len + 1);
	if (!single || state_find_exact(view, span_of(out, root + len)) == NULL)
		out[root + stream_name_canonical(span_of(text, len), (uint8_t *)out + root)] = '\0';
	return out;
}

static bool has_wildcard(const char *path)
{
	for (const char *segment = path;; segment++) {
		size_t len = strcspn(segment, "/");
		if ((len == 1 && *segment == '*') || (len == 2 && memcmp(segment, "**", 2) == 0))
			return true;
		segment += len;
		if (*segment == '\0')
			return false;
	}
}

static bool take_stream(struct wish *wish, struct span raw)
{
	if (wish->paths_count + wish->patterns_count >= PATTERNS_MAX)
		return refuse(wish, 400, "more than 64 stream parameters");
	char *text = decode(raw);
	if (text == NULL)
		return refuse(wish, 400, "malformed percent-encoding in stream");
	bool whole = strncmp(text, SUBSCRIPTION_ROOT, root_len) == 0;
	const char *below = whole ? text + root_len : text;
	bool wild = has_wildcard(below);
	char *path = as_path(store_view(worker_of(wish->request)->store), below, !wild);
	bool empty = *below == '\0', rooted = !whole && *below == '/';
	free(text);
	size_t len = strlen(path) + (wild ? root_len : 0);
	if (empty || rooted || len > worker_of(wish->request)->settings->limits_path_bytes) {
		free(path);
		return empty    ? refuse(wish, 400, "stream is empty")
		       : rooted ? refuse(wish, 400, "stream is a path below /v1/stream/")
		                : refuse(wish, 414, "stream is longer than limits.path_bytes");
	}
	if (wild)
		wish->patterns[wish->patterns_count++] = path;
	else
		wish->paths[wish->paths_count++] = path;
	return true;
}

static bool take_naming(struct wish *wish, struct span raw)
{
	char *text = decode(raw);
	bool fits = text != NULL;
	if (wish->naming != NAMING_NONE)
		fits = false;
	else if (fits && strcmp(text, "stream") == 0)
		wish->naming = NAMING_STREAM;
	else if (fits && strncmp(text, "member:", 7) == 0 && text[7] != '\0' &&
	         strlen(text) < 135) {
		wish->naming = NAMING_MEMBER;
		wish->member = xmemdup_text(text + 7, strlen(text + 7));
	} else
		fits = false;
	free(text);
	return fits || refuse(wish, 400, "event is given once: stream, or member:NAME");
}

/* An id that is not ours is no fault of the request: an error status would end EventSource for
 * good. */
static void take_id(struct wish *wish, struct span text)
{
	size_t max = worker_of(wish->request)->settings->limits_events_streams;
	if (text.len == 0)
		return; /* what EventSource has before the first id */
	wish->known = xmalloc(max * sizeof *wish->known);
	wish->resumes = event_id_parse(text, &wish->newest, wish->known, max, &wish->known_count);
	wish->unknown_id = !wish->resumes;
	if (wish->unknown_id)
		wish->known_count = 0;
}

static bool take_parameter(struct wish *wish, struct span name, struct span value, struct span *id)
{
	if (span_equal(name, SPAN("stream")))
		return take_stream(wish, value);
	if (span_equal(name, SPAN("event")))
		return take_naming(wish, value);
	if (span_equal(name, SPAN("lastEventId"))) {
		*id = value;
		return true;
	}
	if (span_equal(name, SPAN("from"))) {
		wish->from_start = span_equal(value, SPAN("start"));
		return wish->from_start || span_equal(value, SPAN("now")) ||
		       refuse(wish, 400, "from is now or start");
	}
	snprintf(wish->text, sizeof wish->text, "unknown parameter %.*s",
	         name.len < 64 ? (int)name.len : 64, (const char *)name.at);
	return refuse(wish, 400, wish->text);
}

static bool take_query(struct wish *wish)
{
	struct span query = wish->request->query, name, value, id = {0};
	while (query_next(&query, &name, &value))
		if (name.len + value.len != 0 && !take_parameter(wish, name, value, &id))
			return false;
	if (wish->paths_count + wish->patterns_count == 0)
		return refuse(wish, 400, "no stream is named: ?stream=PATH");
	struct span header = wish->request->headers[HEADER_LAST_EVENT_ID];
	take_id(wish, header.at != NULL ? header : id);
	return true;
}

/* ---- where it begins ---- */

static const struct event_place *known_place(const struct wish *wish, uint64_t stream_id)
{
	for (size_t i = 0; i < wish->known_count; i++)
		if (wish->known[i].stream_id == stream_id)
			return &wish->known[i];
	return NULL;
}

/* A stream the id does not list: new to the reader, or finished, or not asked for before. */
static uint64_t unlisted_start(const struct wish *wish, const struct stream *stream, uint64_t first,
                               bool pattern, const char **reset)
{
	if (!wish->resumes) {
		*reset = wish->unknown_id ? "unknown" : NULL;
		return wish->from_start ? first : stream->tail;
	}
	if (stream->id > wish->newest) {
		if (!pattern)
			*reset = "recreated";
		return first;
	}
	return stream->closed || !wish->from_start ? stream->tail : first;
}

/* Follows it, unless that is one too many. */
static bool take_start(struct starts *starts, const struct start *start)
{
	if (starts->count == worker_of(starts->wish->request)->settings->limits_events_streams)
		return refuse(starts->wish, 400, "more streams than limits.events_streams");
	if (starts->count == starts->room) {
		starts->room = starts->room != 0 ? starts->room * 2 : 8;
		starts->at = xrealloc(starts->at, starts->room * sizeof *starts->at);
	}
	start->stream->pins++; /* until the reader follows it */
	starts->at[starts->count++] = *start;
	return true;
}

static bool add_start(struct starts *starts, struct stream *stream, bool pattern)
{
	struct wish *wish = starts->wish;
	struct sse_worker *w = worker_of(wish->request);
	uint64_t first = stream_first(store_view(w->store), stream);
	const struct event_place *known = known_place(wish, stream->id);
	struct start start = {.stream = stream, .named = !pattern};
	for (size_t i = 0; i < starts->count; i++)
		if (starts->at[i].stream == stream)
			return true;
	start.from = known != NULL ? known->position
	                           : unlisted_start(wish, stream, first, pattern, &start.reset);
	if (start.from < first) {
		start.from = first;
		start.reset = "trimmed";
	} else if (start.from > stream->tail) {
		start.from = stream->tail; /* a backup was restored */
		start.reset = "rewound";
	} else if (!store_boundary(w->store, stream, start.from)) {
		start.from =
		        wish->from_start ? first : stream->tail; /* no place that we ever named */
		start.reset = "unknown";
	}
	if (pattern && stream->closed && start.from == stream->tail && start.reset == NULL)
		return true; /* finished for it */
	return take_start(starts, &start);
}

static void starts_finish(struct starts *starts)
{
	for (size_t i = 0; i < starts->count; i++)
		starts->at[i].stream->pins--;
	free(starts->at);
	starts->at = NULL;
	starts->count = starts->room = 0;
}

static bool living(const struct stream *stream)
{
	return stream != NULL && !stream->deleted && !stream->dropped &&
	       !stream_expired(stream, clock_wall_ms());
}

static bool matches(char *const *patterns, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (subscription_glob(patterns[i], path))
			return true;
	return false;
}

/* ---- looking for them ---- */

/* A request whose streams are looked for: in slices, since its patterns may begin like any number
 * of paths. */
struct search {
	struct slices_job job;           /* first */
	struct search *next, **previous; /* worker->searches; previous NULL: not waiting */
	struct sse_worker *worker;       /* outlives the request */
	struct wish wish;
	struct starts starts;
	struct state_walk walk;
	size_t walked;   /* patterns whose paths were looked at, or are being */
	uint64_t newest; /* streams up to this number are found, or were told of */
	bool again;      /* of some created since it was not told: from the beginning */
};

static bool visit_path(void *arg, struct span path, uint64_t id)
{
	struct search *search = arg;
	struct starts *starts = &search->starts;
	struct wish *wish = &search->wish;
	char text[512];
	counter_add(worker_of(wish->request)->counters, patterns_paths_total, 1);
	if (id > search->newest || path.len <= root_len || path.len >= sizeof text ||
	    memcmp(path.at, SUBSCRIPTION_ROOT, root_len) != 0)
		return true;
	memcpy(text, path.at, path.len);
	text[path.len] = '\0';
	if (!matches(wish->patterns, wish->patterns_count, text + root_len))
		return true;
	struct state *view = store_view(worker_of(wish->request)->store);
	struct stream *stream = state_find_id(view, id);
	if (stream == NULL && view->unreadable)
		return refuse(wish, 503, store_unreadable_reason);
	return !living(stream) || add_start(starts, stream, true);
}

/* Are the paths that this pattern may match looked at for another one? */
static bool covered(const struct wish *wish, size_t i)
{
	char mine[SUBSCRIPTION_PREFIX_ROOM], other[SUBSCRIPTION_PREFIX_ROOM];
	struct span prefix = subscription_prefix(wish->patterns[i], mine);
	for (size_t j = 0; j < wish->patterns_count; j++) {
		struct span wider = subscription_prefix(wish->patterns[j], other);
		if (j != i && wider.len <= prefix.len &&
		    memcmp(wider.at, prefix.at, wider.len) == 0 &&
		    (wider.len < prefix.len || j < i))
			return true;
	}
	return false;
}

static bool no_stream(struct wish *wish, const char *path)
{
	snprintf(wish->text, sizeof wish->text, "no stream %s", path);
	return refuse(wish, 404, wish->text);
}

static bool find_named(struct starts *starts)
{
	struct wish *wish = starts->wish;
	struct state *view = store_view(worker_of(wish->request)->store);
	for (size_t i = 0; i < wish->paths_count; i++) {
		struct stream *stream =
		        state_find_living(view, span_str(wish->paths[i]), clock_wall_ms());
		if (stream == NULL && view->unreadable)
			return refuse(wish, 503, store_unreadable_reason);
		if (!living(stream))
			return no_stream(wish, wish->paths[i]);
		if (!add_start(starts, stream, false))
			return false;
	}
	return true;
}

/* True: there is a pattern whose paths are yet to be looked at. */
static bool begin_walk(struct search *search)
{
	struct wish *wish = &search->wish;
	char prefix[SUBSCRIPTION_PREFIX_ROOM];
	state_walk_end(&search->walk);
	while (search->walked < wish->patterns_count && covered(wish, search->walked))
		search->walked++;
	if (search->walked == wish->patterns_count)
		return false;
	state_walk_begin(&search->walk, store_view(worker_of(wish->request)->store),
	                 subscription_prefix(wish->patterns[search->walked++], prefix));
	return true;
}

/* True: there is more to look at. */
static bool search_begin(struct search *search)
{
	starts_finish(&search->starts);
	search->again = false;
	search->walked = 0;
	search->newest = store_view(search->worker->store)->next_id - 1;
	return find_named(&search->starts) && begin_walk(search);
}

/* One slice. True: there is more to look at. */
static bool search_step(struct search *search)
{
	struct wish *wish = &search->wish;
	if (search->again && !search_begin(search))
		return false;
	counter_add(worker_of(wish->request)->counters, patterns_slices_total, 1);
	switch (state_walk_step(&search->walk, SLICE_GLOBS / wish->patterns_count, visit_path,
	                        search)) {
	case STATE_WALK_MORE:
		return true;
	case STATE_WALK_DONE:
		break;
	case STATE_WALK_UNREADABLE:
		refuse(wish, 503, store_unreadable_reason);
		break;
	case STATE_WALK_LOST:
		search->again = true;
		return true;
	}
	return wish->fault == NULL && begin_walk(search);
}

/* What was found in earlier slices may be gone by now. */
static bool drop_gone(struct starts *starts)
{
	for (size_t i = starts->count; i-- > 0;) {
		struct start *start = &starts->at[i];
		if (living(start->stream))
			continue;
		if (start->named)
			return no_stream(starts->wish, start->stream->path);
		start->stream->pins--;
		*start = starts->at[--starts->count];
	}
	return true;
}

/* Everything is closed and delivered, and nothing else can come: EventSource stops at 204. */
static bool nothing_to_come(const struct starts *starts)
{
	if (starts->wish->patterns_count > 0)
		return false;
	for (size_t i = 0; i < starts->count; i++) {
		const struct start *s = &starts->at[i];
		if (!s->stream->closed || s->from < s->stream->tail || s->reset != NULL)
			return false;
	}
	return true;
}

/* ---- joining ---- */

static struct events_reader *reader_create(struct wish *wish, const struct starts *starts,
                                           uint64_t newest)
{
	struct sse_worker *w = worker_of(wish->request);
	bool single = starts->count == 1 && wish->patterns_count == 0;
	if (single && wish->naming == NAMING_NONE)
		return NULL;
	struct events_reader *e =
	        xcalloc(1, sizeof *e + wish->patterns_count * sizeof e->patterns[0]);
	e->worker = w;
	e->naming = wish->naming;
	e->single = single;
	e->member = wish->member;
	wish->member = NULL;
	e->patterns_count = wish->patterns_count;
	memcpy(e->patterns, wish->patterns, wish->patterns_count * sizeof e->patterns[0]);
	wish->patterns_count = 0;
	e->room = starts->count + 8;
	e->places = xmalloc(e->room * sizeof *e->places);
	for (size_t i = 0; i < starts->count; i++)
		e->places[e->count++] =
		        (struct event_place){starts->at[i].stream->id, starts->at[i].from};
	e->newest = newest;
	if (e->patterns_count == 0)
		return e;
	e->next = w->events;
	e->previous = &w->events;
	if (e->next != NULL)
		e->next->previous = &e->next;
	w->events = e;
	return e;
}

/* The lines of an event whose block has been begun, or begins here. */
static void put_streams(struct sse_builder *b, const struct stream *const *streams, size_t count)
{
	SSE_PUT(b, "event: streams\ndata: [");
	for (size_t i = 0; i < count; i++) {
		sse_put(b, i > 0 ? SPAN(",{\"stream\":") : SPAN("{\"stream\":"));
		put_json_text(b, path_below_root(streams[i]));
		sse_put(b, sse_needs_base64(streams[i]) ? SPAN(",\"encoding\":\"base64\"}")
		                                        : SPAN(",\"encoding\":\"utf-8\"}"));
	}
	SSE_PUT(b, "]\n\n");
}

/* retry and an id before anything else: a connection that breaks now resumes from here. They stand
 * in an event with a name and data, because some clients hand a block without data to their user as
 * an empty message. */
static void put_opening(struct sse_builder *b, struct events_reader *e, const struct starts *starts)
{
	struct sse_worker *w = worker_of(starts->wish->request);
	struct frame_query q = {.store = w->store, .waiting = &w->edge.waiting};
	const struct stream **streams = xmalloc((starts->count + 1) * sizeof *streams);
	if (starts->count > 0)
		q = (struct frame_query){.store = w->store,
		                         .waiting = &w->edge.waiting,
		                         .stream = starts->at[0].stream,
		                         .from = starts->at[0].from,
		                         .to = starts->at[0].from};
	sse_printf(b, "retry: %llu\n", (unsigned long long)w->settings->http_events_retry_ms);
	put_id(b, e, &q, q.from);
	for (size_t i = 0; i < starts->count; i++)
		streams[i] = starts->at[i].stream;
	put_streams(b, streams, starts->count);
	free(streams);
	for (size_t i = 0; i < starts->count; i++) {
		const struct start *s = &starts->at[i];
		const struct frame_query at = {.store = w->store,
		                               .waiting = &w->edge.waiting,
		                               .stream = s->stream,
		                               .to = s->from};
		if (s->reset != NULL)
			put_reset(b, e, &at, s->reset);
	}
}

static uint64_t variant_of(const struct events_reader *e)
{
	if (e == NULL || e->naming == NAMING_NONE)
		return 0;
	return e->naming == NAMING_STREAM ? 1 : XXH3_64bits(e->member, strlen(e->member)) | 2;
}

static uint64_t end_of(const struct sse_worker *w)
{
	uint64_t lifetime_ms = w->settings->http_events_lifetime_ms;
	return w->wheel.now_ms + lifetime_ms + clock_random_below(lifetime_ms / 4 + 1);
}

static const struct header headers[] = {{"content-type", SPAN("text/event-stream; charset=utf-8")},
                                        {"cache-control", SPAN("no-cache, no-transform")},
                                        {"x-accel-buffering", SPAN("no")}};

static void join(struct wish *wish, const struct starts *starts, uint64_t newest)
{
	struct sse_builder *b = fanout_builder(worker_of(wish->request)->fanout);
	struct request *request = wish->request;
	struct events_reader *e = reader_create(wish, starts, newest);
	struct sse_frame frame = {0};
	sse_begin(b);
	put_opening(b, e, starts);
	sse_end(b, &frame);
	reply_start(request, 200, headers, 3, UINT64_MAX);
	bool one = e == NULL || e->single;
	struct live_reader *reader = fanout_join(worker_of(request)->fanout, request_sink(request),
	                                         one ? &one_stream : &several_streams, e,
	                                         variant_of(e), end_of(worker_of(request)));
	if (e != NULL)
		e->reader = reader;
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	for (size_t i = 0; i < starts->count; i++)
		if (!fanout_add(reader, starts->at[i].stream, starts->at[i].from))
			return;
	/* An event stream that ends makes EventSource come back; any error status would stop it for
	 * good. */
	if (starts->count == 0 && fanout_draining(worker_of(request)->fanout))
		fanout_leave(reader, FANOUT_END_DRAIN);
}

static void search_free(struct search *search)
{
	slices_remove(&search->worker->slices, &search->job);
	state_walk_end(&search->walk);
	if (search->previous != NULL) {
		*search->previous = search->next;
		if (search->next != NULL)
			search->next->previous = search->previous;
	}
	starts_finish(&search->starts);
	wish_finish(&search->wish);
	free(search);
}

static void search_answer(struct search *search)
{
	struct wish *wish = &search->wish;
	struct request *request = wish->request;
	request->on_gone = NULL;
	if (wish->fault != NULL || !drop_gone(&search->starts))
		reply_error(request, wish->status, wish->fault);
	else if (nothing_to_come(&search->starts))
		reply(request, 204, NULL, 0, (struct span){0});
	else if (request->method == METHOD_HEAD)
		reply(request, 200, headers, 3, (struct span){0});
	else
		join(wish, &search->starts, search->newest);
	search_free(search);
}

static bool search_run(struct slices_job *job)
{
	struct search *search = (struct search *)job;
	bool more = search_step(search);
	if (!more)
		search_answer(search);
	return more;
}

static void search_gone(struct request *request)
{
	search_free(request->feature);
}

static void search_wait(struct search *search)
{
	struct request *request = search->wish.request;
	struct sse_worker *w = worker_of(request);
	search->next = w->searches;
	search->previous = &w->searches;
	if (search->next != NULL)
		search->next->previous = &search->next;
	w->searches = search;
	request->feature = search;
	request->on_gone = search_gone;
	slices_add(&w->slices, &search->job);
}

void events_handle(struct request *request)
{
	struct search *search = xcalloc(1, sizeof *search);
	search->job.run = search_run;
	search->worker = worker_of(request);
	search->wish.request = request;
	search->starts.wish = &search->wish;
	if (take_query(&search->wish) && search_begin(search) && search_step(search))
		search_wait(search);
	else
		search_answer(search);
}

/* ---- streams that come later ---- */

/* False: the reader is gone. */
static bool include(struct events_reader *e, struct stream *stream)
{
	struct sse_builder *b = fanout_builder(e->worker->fanout);
	struct sse_frame frame = {0};
	const struct stream *const streams[] = {stream};
	if (e->count == e->worker->settings->limits_events_streams) {
		fanout_leave(e->reader,
		             FANOUT_END_RESUME); /* it learns by 400 when it comes back */
		return false;
	}
	if (e->count == e->room) {
		e->room *= 2;
		e->places = xrealloc(e->places, e->room * sizeof *e->places);
	}
	uint64_t first = stream_first(store_view(e->worker->store), stream);
	e->places[e->count++] = (struct event_place){stream->id, first};
	sse_begin(b);
	put_streams(b, streams, 1);
	sse_end(b, &frame);
	fanout_send(e->reader, &frame);
	sse_frame_finish(&frame);
	return fanout_add(e->reader, stream, first);
}

static void offer(struct events_reader *e, struct stream *stream)
{
	if (stream->id <= e->newest)
		return;
	e->newest = stream->id;
	if (stream->path_len > root_len &&
	    strncmp(stream->path, SUBSCRIPTION_ROOT, root_len) == 0 &&
	    matches(e->patterns, e->patterns_count, path_below_root(stream)))
		include(e, stream);
}

/* To a search that has begun: the reader asked before it was there, and gets all of it. */
static void offer_search(struct search *search, struct stream *stream)
{
	const struct start start = {
	        .stream = stream, .from = stream_first(store_view(search->worker->store), stream)};
	if (stream->id <= search->newest)
		return;
	search->newest = stream->id;
	if (stream->path_len > root_len &&
	    strncmp(stream->path, SUBSCRIPTION_ROOT, root_len) == 0 &&
	    matches(search->wish.patterns, search->wish.patterns_count, path_below_root(stream)) &&
	    !take_start(&search->starts, &start))
		search_answer(search);
}

static void on_created(void *arg, struct stream *stream)
{
	struct sse_worker *w = arg;
	for (struct search *search = w->searches, *next; search != NULL; search = next) {
		next = search->next;
		if (stream != NULL)
			offer_search(search, stream);
		else
			search->again = true;
	}
	for (struct events_reader *e = w->events, *next; e != NULL; e = next) {
		next = e->next;
		if (stream != NULL)
			offer(e, stream);
		else
			fanout_leave(e->reader, FANOUT_END_RESUME); /* some were missed */
	}
}

void events_start(struct sse_worker *w)
{
	static struct fanout_observer observer = {.created = on_created};
	fanout_observe(w->fanout, &observer);
}
