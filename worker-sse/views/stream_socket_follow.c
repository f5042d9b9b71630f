#include "common/base/check.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/views/stream_socket_parts.h"

#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- in the socket ---- */

static struct stream_subscription *find(const struct stream_socket *socket, const char *name)
{
	struct stream_subscription *s = socket->subscriptions;
	while (s != NULL && strcmp(s->name, name) != 0)
		s = s->next;
	return s;
}

static struct stream_subscription *create(struct stream_socket *socket, const char *name)
{
	struct stream_subscription *s = xcalloc(1, sizeof *s);
	s->socket = socket;
	snprintf(s->name, sizeof s->name, "%s", name);
	s->next = socket->subscriptions;
	s->previous = &socket->subscriptions;
	if (s->next != NULL)
		s->next->previous = &s->next;
	socket->subscriptions = s;
	socket->subscriptions_count++;
	counter_add(socket->worker->counters, ws_subscriptions, 1);
	return s;
}

static void leave_line(struct stream_subscription *s)
{
	struct stream_socket *socket = s->socket;
	struct stream_subscription **at = &socket->line;
	if (!s->in_line)
		return;
	while (*at != s)
		at = &(*at)->line_next;
	*at = s->line_next;
	if (*at == NULL)
		socket->line_last = at;
	s->in_line = false;
}

static void join_line(struct stream_subscription *s)
{
	if (s->in_line)
		return;
	s->in_line = true;
	s->line_next = NULL;
	*s->socket->line_last = s;
	s->socket->line_last = &s->line_next;
}

static void destroy(struct stream_subscription *s)
{
	leave_line(s);
	*s->previous = s->next;
	if (s->next != NULL)
		s->next->previous = s->previous;
	s->socket->subscriptions_count--;
	counter_add(s->socket->worker->counters, ws_subscriptions, -1);
	if (s->search != NULL)
		events_search_free(s->search);
	free(s);
}

/* ---- as a sink ---- */

static void sink_hold(void *to, void *holder, const struct sink_events *events)
{
	struct stream_subscription *s = to;
	s->holder = holder;
	s->holder_events = events;
}

static void sink_release(void *to)
{
	((struct stream_subscription *)to)->holder = NULL;
}

/* One that is being closed takes nothing any more, so that nobody goes on reading for it. */
static bool sink_write(void *to, const struct sse_frame *frame)
{
	struct stream_subscription *s = to;
	struct websocket *websocket = s->socket->websocket;
	if (!websocket_open(websocket))
		return false;
	if (websocket_chunk(websocket, frame->chunk, frame->bare_from, frame->bare_len))
		return true;
	join_line(s);
	return false;
}

static size_t sink_pending(const void *to)
{
	return reply_pending(((const struct stream_subscription *)to)->socket->request);
}

/* It has had its `end`. What befell its socket ends that. */
static void sink_end(void *to, enum sink_end how)
{
	struct stream_subscription *s = to;
	struct stream_socket *socket = s->socket;
	enum fanout_end why = s->why;
	(void)how;
	destroy(s);
	if (why == FANOUT_END_LAG)
		stream_socket_close(socket, WEBSOCKET_TRY_LATER, "too far behind: resume by id");
	else if (why == FANOUT_END_EXPIRED)
		stream_socket_close(socket, WEBSOCKET_EXPIRED, "this credential is good no longer");
}

static void sink_prefetch(const void *to)
{
	__builtin_prefetch(to);
}

static struct sink sink_of(struct stream_subscription *s)
{
	static const struct sink_kind kind = {.hold = sink_hold,
	                                      .release = sink_release,
	                                      .write = sink_write,
	                                      .pending = sink_pending,
	                                      .end = sink_end,
	                                      .prefetch_far = sink_prefetch,
	                                      .prefetch_near = sink_prefetch};
	return (struct sink){&kind, s};
}

/* Whoever is blocked anew stands behind the others, who go on when that has left. */
void stream_socket_drained(struct stream_socket *socket)
{
	struct stream_subscription *last = NULL;
	while (socket->line != NULL && last == NULL) {
		struct stream_subscription *s = socket->line;
		leave_line(s);
		s->holder_events->drained(s->holder);
		/* `s` may be gone by now: it is only compared with who stands in line. */
		for (struct stream_subscription *at = socket->line; at != NULL; at = at->line_next)
			last = at == s ? at : last;
	}
}

/* ---- joining ---- */

/* Frames are shared by all who call it the same, and unpack with the same window. Nobody can make
 * two names of one number: the seed is not known. */
static uint64_t variant_of(const struct stream_subscription *s)
{
	return XXH3_64bits_withSeed(s->name, strlen(s->name),
	                            s->socket->worker->stream_sockets_seed +
	                                    websocket_window(s->socket->websocket));
}

static void join(struct stream_subscription *s, struct events_search *search)
{
	static const struct fanout_view one = EVENTS_VIEW("a stream by WebSocket", false),
	                                several = EVENTS_VIEW("streams by WebSocket", true);
	struct fanout *fanout = s->socket->worker->fanout;
	const struct events_starts *starts = &search->starts;
	struct sse_builder *b = fanout_builder(fanout);
	struct sse_frame frame = {0};
	struct events_reader *e =
	        events_reader_create(&search->wish, starts, search->newest, &stream_socket_form);
	e->holder = s;
	sse_begin(b);
	events_put_opening(b, e, starts);
	sse_end(b, &frame);
	struct live_reader *reader = fanout_join(fanout, sink_of(s), e->single ? &one : &several, e,
	                                         variant_of(s), UINT64_MAX);
	e->reader = s->reader = reader;
	reading_expires(s->socket->request, reader);
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	for (size_t i = 0; i < starts->count; i++)
		if (!fanout_add(reader, starts->at[i].stream, starts->at[i].from))
			return;
	if (starts->count == 0 && fanout_draining(fanout))
		fanout_leave(reader, FANOUT_END_DRAIN);
}

static void on_found(struct events_search *search)
{
	struct stream_subscription *s = search->holder;
	struct events_wish *wish = &search->wish;
	s->search = NULL;
	if (wish->fault == NULL && events_starts_drop_gone(&search->starts)) {
		join(s, search);
	} else {
		stream_socket_refuse(s->socket,
		                     &(struct stream_socket_error){.status = wish->status,
		                                                   .reason = wish->fault,
		                                                   .subscription = s->name});
		destroy(s);
	}
	events_search_free(search);
}

static bool take_wish(struct events_wish *wish, const struct stream_socket_message *m)
{
	wish->from_start = m->from_start;
	for (size_t i = 0; i < m->streams_count; i++)
		if (!events_wish_stream(wish, m->streams[i]))
			return false;
	events_wish_id(wish, span_str(m->id));
	return true;
}

void stream_socket_subscribe(struct stream_socket *socket, struct stream_socket_message *m)
{
	struct stream_socket_error error = {.subscription = m->subscription};
	if (find(socket, m->subscription) != NULL) {
		error.status = 409;
		error.reason = "there is a subscription of this name";
	} else if (socket->subscriptions_count >= socket->worker->settings->ws_subscriptions) {
		error.status = 429;
		error.reason = "ws.subscriptions is reached";
	}
	if (error.status != 0) {
		stream_socket_refuse(socket, &error);
		return;
	}
	struct events_search *search = xcalloc(1, sizeof *search);
	search->answer = on_found;
	search->holder = create(socket, m->subscription);
	search->worker = socket->worker;
	search->wish.request = socket->request;
	search->starts.wish = &search->wish;
	((struct stream_subscription *)search->holder)->search = search;
	if (take_wish(&search->wish, m))
		events_search_start(search);
	else
		on_found(search);
}

/* ---- ending ---- */

/* It follows nothing yet. */
static void end_search(struct stream_subscription *s, const char *reason)
{
	struct sse_builder *b = fanout_builder(s->socket->worker->fanout);
	sse_begin(b);
	size_t begun = stream_socket_begin(b);
	stream_socket_put_end(b, s->name, reason);
	stream_socket_tell(s->socket, b, begun);
	destroy(s);
}

void stream_socket_unsubscribe(struct stream_socket *socket, const char *name)
{
	struct stream_subscription *s = find(socket, name);
	if (s == NULL)
		stream_socket_refuse(socket, &(struct stream_socket_error){
		                                     .status = 404,
		                                     .reason = "no subscription of this name",
		                                     .subscription = name});
	else if (s->search != NULL)
		end_search(s, "unsubscribed");
	else
		fanout_leave(s->reader, FANOUT_END_TIME);
}

void stream_socket_leave(struct stream_socket *socket)
{
	for (struct stream_subscription *s = socket->subscriptions, *next; s != NULL; s = next) {
		next = s->next;
		if (s->search != NULL)
			end_search(s, "drain");
	}
}

void stream_socket_drop(struct stream_socket *socket)
{
	while (socket->subscriptions != NULL) {
		struct stream_subscription *s = socket->subscriptions;
		if (s->holder != NULL)
			s->holder_events->gone(s->holder);
		destroy(s);
	}
}
