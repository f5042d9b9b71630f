#include "worker-sse/views/events.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/events_parts.h"
#include "worker-sse/views/reading.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- joining ---- */

struct events_reader *events_reader_create(struct events_wish *wish,
                                           const struct events_starts *starts, uint64_t newest,
                                           const struct events_form *form)
{
	struct sse_worker *w = worker_of(wish->request);
	struct events_reader *e =
	        xcalloc(1, sizeof *e + wish->patterns_count * sizeof e->patterns[0]);
	e->form = form;
	e->worker = w;
	e->request = wish->request;
	e->naming = wish->naming;
	e->single = starts->count == 1 && wish->patterns_count == 0;
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

/* A plain reader of one stream needs nothing of its own. */
static bool is_plain(const struct events_wish *wish, const struct events_starts *starts)
{
	return starts->count == 1 && wish->patterns_count == 0 &&
	       wish->naming == EVENTS_NAMING_NONE;
}

static uint64_t variant_of(const struct events_reader *e)
{
	if (e == NULL || e->naming == EVENTS_NAMING_NONE)
		return 0;
	return e->naming == EVENTS_NAMING_STREAM ? 1
	                                         : XXH3_64bits(e->member, strlen(e->member)) | 2;
}

static uint64_t end_of(const struct sse_worker *w)
{
	uint64_t lifetime_ms = w->settings->http_events_lifetime_ms;
	return w->wheel.now_ms + lifetime_ms + clock_random_below(lifetime_ms / 4 + 1);
}

/* With other rights its patterns may take in other streams. */
static void judge_patterns(struct request *request)
{
	struct live_reader *reader = request->feature;
	bool goes_on = reading_goes_on(request, reader);
	fanout_leave(reader, goes_on ? FANOUT_END_RESUME : FANOUT_END_EXPIRED);
}

static const struct header headers[] = {{"content-type", SPAN("text/event-stream; charset=utf-8")},
                                        {"cache-control", SPAN("no-cache, no-transform")},
                                        {"x-accel-buffering", SPAN("no")}};

static const struct fanout_view one_stream = EVENTS_VIEW("events", false);
static const struct fanout_view several_streams = EVENTS_VIEW("events of several streams", true);

static void join(struct events_wish *wish, const struct events_starts *starts, uint64_t newest)
{
	struct sse_builder *b = fanout_builder(worker_of(wish->request)->fanout);
	struct request *request = wish->request;
	struct events_reader *e =
	        is_plain(wish, starts)
	                ? NULL
	                : events_reader_create(wish, starts, newest, &events_text_form);
	struct sse_frame frame = {0};
	sse_begin(b);
	events_put_opening(b, e, starts);
	sse_end(b, &frame);
	reply_start(request, 200, headers, 3, UINT64_MAX);
	bool one = e == NULL || e->single;
	struct live_reader *reader = fanout_join(worker_of(request)->fanout, request_sink(request),
	                                         one ? &one_stream : &several_streams, e,
	                                         variant_of(e), end_of(worker_of(request)));
	reading_bind(request, reader, e != NULL && e->patterns_count > 0 ? judge_patterns : NULL);
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

void events_search_free(struct events_search *search)
{
	slices_remove(&search->worker->slices, &search->job);
	state_walk_end(&search->walk);
	if (search->previous != NULL) {
		*search->previous = search->next;
		if (search->next != NULL)
			search->next->previous = search->previous;
	}
	events_starts_finish(&search->starts);
	events_wish_finish(&search->wish);
	free(search);
}

static void search_answer(struct events_search *search)
{
	struct events_wish *wish = &search->wish;
	struct request *request = wish->request;
	request->on_gone = NULL;
	request->on_judge = NULL;
	if (wish->fault != NULL && wish->status == 404 && cluster_follows(search->worker)) {
		events_search_free(search);
		cluster_hand_on(request); /* it may be there already */
		return;
	}
	if (wish->fault != NULL || !events_starts_drop_gone(&search->starts))
		reply_error(request, wish->status, wish->fault);
	else if (events_starts_over(&search->starts))
		reply(request, 204, NULL, 0, (struct span){0});
	else if (request->method == METHOD_HEAD)
		reply(request, 200, headers, 3, (struct span){0});
	else
		join(wish, &search->starts, search->newest);
	events_search_free(search);
}

static bool search_run(struct slices_job *job)
{
	struct events_search *search = (struct events_search *)job;
	bool more = events_search_step(search);
	if (!more)
		search->answer(search);
	return more;
}

static void search_gone(struct request *request)
{
	events_search_free(request->feature);
}

static void search_judge(struct request *request)
{
	struct events_search *search = request->feature;
	const char *reason;
	unsigned status = request_refusal(request, RIGHT(READ), (struct span){0}, &reason);
	search->again = true;
	if (status == 0)
		return;
	events_wish_refuse(&search->wish, status, reason);
	search_answer(search);
}

bool events_search_start(struct events_search *search)
{
	struct sse_worker *w = search->worker;
	search->job.run = search_run;
	if (!events_search_begin(search) || !events_search_step(search)) {
		search->answer(search);
		return false;
	}
	search->next = w->searches;
	search->previous = &w->searches;
	if (search->next != NULL)
		search->next->previous = &search->next;
	w->searches = search;
	slices_add(&w->slices, &search->job);
	return true;
}

static void begin(struct request *request)
{
	struct events_search *search = xcalloc(1, sizeof *search);
	search->answer = search_answer;
	search->worker = worker_of(request);
	search->wish.request = request;
	search->starts.wish = &search->wish;
	if (!events_wish_take(&search->wish)) {
		search_answer(search);
	} else if (events_wish_ahead(&search->wish)) {
		events_search_free(search);
		check(cluster_ahead(request, begin));
	} else if (events_search_start(search)) {
		request->feature = search;
		request->on_gone = search_gone;
		request->on_judge = search_judge;
	}
}

void events_handle(struct request *request)
{
	if (request->method != METHOD_GET || request_hold_reader(request))
		begin(request);
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
	e->form->streams(b, e, streams, 1);
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
	if (stream->path_len > EVENTS_ROOT_LEN &&
	    strncmp(stream->path, SUBSCRIPTION_ROOT, EVENTS_ROOT_LEN) == 0 &&
	    events_path_matches(e->patterns, e->patterns_count, events_path(stream)) &&
	    reading_allowed(e->request, stream))
		include(e, stream);
}

/* To a search that has begun: the reader asked before it was there, and gets all of it. */
static void offer_search(struct events_search *search, struct stream *stream)
{
	const struct events_start start = {
	        .stream = stream, .from = stream_first(store_view(search->worker->store), stream)};
	if (stream->id <= search->newest)
		return;
	search->newest = stream->id;
	if (stream->path_len > EVENTS_ROOT_LEN &&
	    strncmp(stream->path, SUBSCRIPTION_ROOT, EVENTS_ROOT_LEN) == 0 &&
	    events_path_matches(search->wish.patterns, search->wish.patterns_count,
	                        events_path(stream)) &&
	    reading_allowed(search->wish.request, stream) &&
	    !events_starts_take(&search->starts, &start))
		search->answer(search);
}

static void on_created(void *arg, struct stream *stream)
{
	struct sse_worker *w = arg;
	for (struct events_search *search = w->searches, *next; search != NULL; search = next) {
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
	w->events_observer.created = on_created;
	fanout_observe(w->fanout, &w->events_observer);
}
