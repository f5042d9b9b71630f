#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/events_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLICE_GLOBS = 512 }; /* paths times patterns: about a millisecond */

/* ---- where it begins ---- */

static const struct event_place *known_place(const struct events_wish *wish, uint64_t stream_id)
{
	for (size_t i = 0; i < wish->known_count; i++)
		if (wish->known[i].stream_id == stream_id)
			return &wish->known[i];
	return NULL;
}

/* A stream the id does not list: new to the reader, or finished, or not asked for before. */
static uint64_t unlisted_start(const struct events_wish *wish, const struct stream *stream,
                               uint64_t first, bool pattern, const char **reset)
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
bool events_starts_take(struct events_starts *starts, const struct events_start *start)
{
	if (starts->count == worker_of(starts->wish->request)->settings->limits_events_streams)
		return events_wish_refuse(starts->wish, 400,
		                          "more streams than limits.events_streams");
	if (starts->count == starts->room) {
		starts->room = starts->room != 0 ? starts->room * 2 : 8;
		starts->at = xrealloc(starts->at, starts->room * sizeof *starts->at);
	}
	start->stream->pins++; /* until the reader follows it */
	starts->at[starts->count++] = *start;
	return true;
}

static bool add_start(struct events_starts *starts, struct stream *stream, bool pattern)
{
	struct events_wish *wish = starts->wish;
	struct sse_worker *w = worker_of(wish->request);
	uint64_t first = stream_first(store_view(w->store), stream);
	const struct event_place *known = known_place(wish, stream->id);
	struct events_start start = {.stream = stream, .named = !pattern};
	for (size_t i = 0; i < starts->count; i++)
		if (starts->at[i].stream == stream)
			return true;
	start.from = known != NULL ? known->position
	                           : unlisted_start(wish, stream, first, pattern, &start.reset);
	if (start.from < first) {
		start.from = first;
		start.reset = "trimmed";
	} else if (start.from > stream->tail && cluster_follows(w)) {
		return events_wish_refuse(wish, 503, "this node has not come so far");
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
	return events_starts_take(starts, &start);
}

/* Does its id name what has not come here yet? */
static bool ahead(const struct events_wish *wish)
{
	struct state *view = store_view(worker_of(wish->request)->store);
	bool is = wish->resumes && wish->newest >= view->next_id;
	for (size_t i = 0; i < wish->known_count && !is; i++) {
		const struct stream *stream = state_find_id(view, wish->known[i].stream_id);
		is = stream != NULL && wish->known[i].position > stream->tail;
	}
	return is;
}

bool events_wish_ahead(const struct events_wish *wish)
{
	return cluster_follows(worker_of(wish->request)) && ahead(wish);
}

void events_starts_finish(struct events_starts *starts)
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

bool events_path_matches(char *const *patterns, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (subscription_glob(patterns[i], path))
			return true;
	return false;
}

/* ---- looking for them ---- */

static bool visit_path(void *arg, struct span path, uint64_t id)
{
	struct events_search *search = arg;
	struct events_starts *starts = &search->starts;
	struct events_wish *wish = &search->wish;
	char text[512];
	counter_add(worker_of(wish->request)->counters, patterns_paths_total, 1);
	if (id > search->newest || path.len <= EVENTS_ROOT_LEN || path.len >= sizeof text ||
	    memcmp(path.at, SUBSCRIPTION_ROOT, EVENTS_ROOT_LEN) != 0)
		return true;
	memcpy(text, path.at, path.len);
	text[path.len] = '\0';
	if (!events_path_matches(wish->patterns, wish->patterns_count, text + EVENTS_ROOT_LEN))
		return true;
	if (!request_may(wish->request, RIGHT(READ), path))
		return true;
	struct state *view = store_view(worker_of(wish->request)->store);
	struct stream *stream = state_find_id(view, id);
	if (stream == NULL && view->unreadable)
		return events_wish_refuse(wish, 503, store_unreadable_reason);
	return !living(stream) || add_start(starts, stream, true);
}

/* Are the paths that this pattern may match looked at for another one? */
static bool covered(const struct events_wish *wish, size_t i)
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

static bool no_stream(struct events_wish *wish, const char *path)
{
	snprintf(wish->text, sizeof wish->text, "no stream %s", path);
	return events_wish_refuse(wish, 404, wish->text);
}

/* Whoever may not read it hears nothing of it, not whether it is there. */
static bool may_read(struct events_wish *wish, const char *path)
{
	const char *reason;
	unsigned status = request_refusal(wish->request, RIGHT(READ), span_str(path), &reason);
	return status == 0 || events_wish_refuse(wish, status, reason);
}

static bool find_named(struct events_starts *starts)
{
	struct events_wish *wish = starts->wish;
	struct state *view = store_view(worker_of(wish->request)->store);
	for (size_t i = 0; i < wish->paths_count; i++) {
		if (!may_read(wish, wish->paths[i]))
			return false;
		struct stream *stream =
		        state_find_living(view, span_str(wish->paths[i]), clock_wall_ms());
		if (stream == NULL && view->unreadable)
			return events_wish_refuse(wish, 503, store_unreadable_reason);
		if (!living(stream))
			return no_stream(wish, wish->paths[i]);
		if (!add_start(starts, stream, false))
			return false;
	}
	return true;
}

/* True: there is a pattern whose paths are yet to be looked at. */
static bool begin_walk(struct events_search *search)
{
	struct events_wish *wish = &search->wish;
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
bool events_search_begin(struct events_search *search)
{
	events_starts_finish(&search->starts);
	search->again = false;
	search->walked = 0;
	search->newest = store_view(search->worker->store)->next_id - 1;
	return find_named(&search->starts) && begin_walk(search);
}

/* One slice. True: there is more to look at. */
bool events_search_step(struct events_search *search)
{
	struct events_wish *wish = &search->wish;
	if (search->again && !events_search_begin(search))
		return false;
	counter_add(worker_of(wish->request)->counters, patterns_slices_total, 1);
	switch (state_walk_step(&search->walk, SLICE_GLOBS / wish->patterns_count, visit_path,
	                        search)) {
	case STATE_WALK_MORE:
		return true;
	case STATE_WALK_DONE:
		break;
	case STATE_WALK_UNREADABLE:
		events_wish_refuse(wish, 503, store_unreadable_reason);
		break;
	case STATE_WALK_LOST:
		search->again = true;
		return true;
	}
	return wish->fault == NULL && begin_walk(search);
}

/* What was found in earlier slices may be gone by now. */
bool events_starts_drop_gone(struct events_starts *starts)
{
	for (size_t i = starts->count; i-- > 0;) {
		struct events_start *start = &starts->at[i];
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
bool events_starts_over(const struct events_starts *starts)
{
	if (starts->wish->patterns_count > 0)
		return false;
	for (size_t i = 0; i < starts->count; i++) {
		const struct events_start *s = &starts->at[i];
		if (!s->stream->closed || s->from < s->stream->tail || s->reset != NULL)
			return false;
	}
	return true;
}
