#include "worker-sse/views/stream_kit.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/json_take.h"
#include "common/domain/render_session.h"
#include "worker-sse/views/call.h"
#include "worker-sse/live/fanout.h"
#include "worker-sse/views/worker.h"
#include "worker-sse/views/mjpeg.h"
#include "worker-sse/views/picture.h"
#include "worker-sse/views/reading.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	RETRY_MS = 1000,     /* what clients are told to wait before they come back */
	SAY_AGAIN_MS = 2000, /* that a session has consumers */
};

/* ---- consumers: who follows what is told to the owner, and told again ---- */

struct kit_session {
	char id[RENDER_SESSION_ID_MAX + 1];
	uint64_t consumers;
	struct sse_worker *worker;
	struct wheel_node again;
	UT_hash_handle hh;
};

static void say(struct kit_session *s)
{
	struct peer *peer = worker_peer(s->worker->worker, ROLE_CAPTURE, 0);
	if (peer != NULL)
		peer_put(peer, render_consumers, RENDER_CONSUMERS,
		         {.id = span_str(s->id), .count = s->consumers});
	if (s->consumers > 0)
		wheel_set(&s->worker->wheel, &s->again, s->worker->wheel.now_ms + SAY_AGAIN_MS);
}

static void on_again(struct wheel_node *node)
{
	say((struct kit_session *)((char *)node - offsetof(struct kit_session, again)));
}

static struct kit_session *consumer_comes(struct sse_worker *w, const char *id)
{
	struct kit_session *s;
	HASH_FIND_STR(w->kit_sessions, id, s);
	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		s->worker = w;
		s->again.due = on_again;
		strcpy(s->id, id);
		HASH_ADD_STR(w->kit_sessions, id, s);
	}
	s->consumers++;
	say(s);
	return s;
}

static void consumer_leaves(void *owner)
{
	struct kit_session *s = owner;
	s->consumers--;
	say(s);
	if (s->consumers > 0)
		return;
	wheel_cancel(&s->again);
	HASH_DEL(s->worker->kit_sessions, s);
	free(s);
}

/* ---- events as Server-Sent Events ---- */

static void put_id(struct sse_builder *b, uint64_t lineage, struct render_mark mark)
{
	char text[RENDER_MARK_ROOM];
	size_t len = render_mark_print(lineage, mark, text);
	SSE_PUT(b, "id: ");
	sse_put(b, span_of(text, len));
	SSE_PUT(b, "\n");
}

static bool put_event(void *arg, const struct store_message *message)
{
	const struct frame_query *q = arg;
	struct sse_builder *b = q->builder;
	static const char *const names[] = {[RENDER_EVENT_STATE] = "state",
	                                    [RENDER_EVENT_PATCH] = "state_patch",
	                                    [RENDER_EVENT_SIGNAL] = "custom_signal",
	                                    [RENDER_EVENT_END] = "end"};
	const struct stream *stream = q->stream;
	enum render_event kind;
	struct render_mark mark;
	struct span data;
	if (!render_event_read(message->bytes, &kind, &mark, &data))
		return true; /* not ours; nobody else writes here */
	put_id(b, stream->lineage, mark);
	sse_printf(b, "event: %s\n", names[kind]);
	if (kind == RENDER_EVENT_END) {
		SSE_PUT(b, "data: {\"reason\":");
		sse_put(b, data);
		SSE_PUT(b, "}\n");
	} else {
		sse_put_data(b, data);
	}
	SSE_PUT(b, "\n");
	return true;
}

static bool build(struct sse_frame *frame, const struct frame_query *q)
{
	struct sse_builder *b = q->builder;
	sse_begin(b);
	if (store_scan(q->store, q->stream, q->from, q->to, (size_t)(q->to - q->from), put_event,
	               (void *)(uintptr_t)q) != STORE_READ_OK)
		return false;
	sse_end(b, frame);
	frame->closed = q->to == q->stream->tail && q->stream->closed;
	return true;
}

static bool heartbeat(struct sse_frame *frame, const struct frame_query *q, uint64_t *variant)
{
	struct sse_builder *b = q->builder;
	(void)q;
	(void)variant;
	sse_begin(b);
	sse_printf(b, "event: ping\ndata: {\"at\":%llu}\n\n", (unsigned long long)clock_wall_ms());
	sse_end(b, frame);
	return true;
}

static bool farewell(struct sse_frame *frame, const struct frame_query *q, enum fanout_end why)
{
	if (why != FANOUT_END_EXPIRED)
		return false;
	sse_begin(q->builder);
	SSE_PUT(q->builder, "event: expired\ndata: {}\n\n");
	sse_end(q->builder, frame);
	return true;
}

static const struct fanout_view view = {.name = "render session",
                                        .shared = true,
                                        .frame = build,
                                        .heartbeat = heartbeat,
                                        .farewell = farewell,
                                        .left = consumer_leaves};

/* ---- the session asked for ---- */

struct asked {
	char id[RENDER_SESSION_ID_MAX + 1];
	struct span rest; /* of the path, behind the id */
	struct render_session *paper;
	struct stream *stream;
};

/* "/stream/ID/rest", "/stream/session/ID/rest". */
static bool split_path(struct span path, struct asked *asked)
{
	static const struct span alias = {(const uint8_t *)"session/", 8};
	struct span at = span_of(path.at + 8, path.len - 8);
	if (at.len > alias.len && memcmp(at.at, alias.at, alias.len) == 0)
		at = span_of(at.at + alias.len, at.len - alias.len);
	const uint8_t *slash = memchr(at.at, '/', at.len);
	size_t len = slash != NULL ? (size_t)(slash - at.at) : at.len;
	if (!render_session_id_valid(span_of(at.at, len)))
		return false;
	memcpy(asked->id, at.at, len);
	asked->id[len] = '\0';
	asked->rest = span_of(at.at + len, at.len - len);
	return true;
}

/* To look at a session's picture, whoever's it is, is a right of its own. */
static bool may_look(const struct request *request)
{
	char room[REQUEST_RESOURCE_ROOM];
	return (identities_may(request->edge->identities, request->identity,
	                       request_resource(request, room)) &
	        RIGHT(VIEW)) != 0;
}

static bool is_picture(struct span rest)
{
	static const struct span viewing = {(const uint8_t *)"/whep/", 6};
	return span_equal(rest, SPAN("/frame.jpg")) || span_equal(rest, SPAN("/mjpeg")) ||
	       span_equal(rest, SPAN("/whep")) ||
	       (rest.len > viewing.len && memcmp(rest.at, viewing.at, viewing.len) == 0);
}

/* Document and stream at the same instant of the log. False: answered. */
static bool find(struct request *request, struct asked *asked)
{
	struct state *state = store_view(worker_of(request)->store);
	char key[RENDER_PATH_ROOM];
	struct span document;
	size_t len = render_session_key(asked->id, key);
	bool there = state_kv_get(state, span_of(key, len), &document);
	if (there)
		asked->paper = render_session_load(document, 0);
	if (there && asked->paper == NULL) {
		reply_error(request, 503,
		            "this release cannot read this session: it stands still, as it is");
		return false;
	}
	bool unreadable = state->unreadable;
	if (asked->paper != NULL && !(is_picture(asked->rest) && may_look(request)) &&
	    !render_session_is_of(asked->paper, worker_of(request)->settings,
	                          span_str(request->identity->principal),
	                          request->identity->former))
		render_session_destroy(&asked->paper);
	len = render_session_path(asked->id, key);
	asked->stream = state_find(state, span_of(key, len));
	unreadable |= state->unreadable;
	if (unreadable) {
		reply_error(request, 503, store_unreadable_reason);
	} else if (asked->paper == NULL || asked->stream == NULL || asked->stream->dropped) {
		reply_error(request, 404, "no such session");
	} else if (asked->paper->ended_ms != 0) {
		reply_error(request, 410, "this session is over");
	} else {
		return true;
	}
	render_session_destroy(&asked->paper);
	return false;
}

static struct render_mark mark_of(const struct render_session *paper)
{
	return (struct render_mark){paper->rev, paper->signals};
}

/* ---- GET /stream/{id} ---- */

static void reply_state(struct request *request, struct asked *asked)
{
	char etag[RENDER_MARK_ROOM + 2], mark[RENDER_MARK_ROOM];
	const struct render_mark rev = {asked->paper->rev, 0};
	render_mark_print(asked->stream->lineage, rev, mark);
	int len = snprintf(etag, sizeof etag, "\"%s\"", mark);
	const struct header headers[] = {{"content-type", SPAN("application/json")},
	                                 {"cache-control", SPAN("no-cache")},
	                                 {"etag", span_of(etag, (size_t)len)}};
	if (span_equal(request->headers[HEADER_IF_NONE_MATCH], headers[2].value)) {
		reply(request, 304, headers, 3, (struct span){0});
		return;
	}
	char *text = json_dumps(asked->paper->published, JSON_COMPACT);
	check(text != NULL);
	reply(request, 200, headers, 3, span_str(text));
	free(text);
}

/* ---- GET /stream/{id}/sse ---- */

/* Does Accept name this type, or, when `any`, a range with it? */
static bool accepts_events(const struct request *request, bool any)
{
	struct span accept = request->headers[HEADER_ACCEPT], item;
	while (list_next(&accept, &item)) {
		const uint8_t *parameters = item.len > 0 ? memchr(item.at, ';', item.len) : NULL;
		item.len = parameters != NULL ? (size_t)(parameters - item.at) : item.len;
		while (item.len > 0 &&
		       (item.at[item.len - 1] == ' ' || item.at[item.len - 1] == '\t'))
			item.len--;
		if (span_equal_nocase(item, SPAN("text/event-stream")) ||
		    (any &&
		     (span_equal(item, SPAN("*/*")) || span_equal_nocase(item, SPAN("text/*")))))
			return true;
	}
	return false;
}

struct search {
	struct render_mark mark;
	uint64_t ends_at;
	bool found;
};

static bool look_for_mark(void *arg, const struct store_message *message)
{
	struct search *search = arg;
	struct render_mark mark;
	if (!render_mark_read(message->bytes, &mark))
		return true;
	int order = render_mark_compare(mark, search->mark);
	search->found = search->found || order == 0;
	if (order <= 0)
		search->ends_at = message->ends_at;
	return order <= 0;
}

/* The position behind the event that the client saw last, looked for in the stream's last part
 * only: what lies before it would be more than a snapshot. */
static bool find_mark(struct sse_worker *w, const struct stream *stream, struct render_mark mark,
                      uint64_t *from)
{
	struct search search = {.mark = mark};
	uint64_t first = stream_first(store_view(w->store), stream);
	uint64_t keep = w->settings->sessions_replay_bytes, begin = first;
	if (stream->tail - first > keep)
		begin = store_page_end(w->store, stream, first, stream->tail,
		                       stream->tail - first - keep);
	if (store_scan(w->store, stream, begin, stream->tail, SIZE_MAX, look_for_mark, &search) !=
	    STORE_READ_OK)
		return false;
	*from = search.ends_at;
	return search.found;
}

static struct span last_id(const struct request *request)
{
	struct span id = request->headers[HEADER_LAST_EVENT_ID];
	if (id.at == NULL)
		query_find(request->query, "lastEventId", &id);
	return id;
}

static bool resumes(struct request *request, const struct asked *asked, uint64_t *from)
{
	struct span id = last_id(request);
	uint64_t lineage;
	struct render_mark mark;
	return id.at != NULL && render_mark_parse(id, &lineage, &mark) &&
	       lineage == asked->stream->lineage &&
	       find_mark(worker_of(request), asked->stream, mark, from);
}

static void put_snapshot(struct sse_builder *b, const struct asked *asked)
{
	json_t *event = render_session_first(asked->paper);
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	put_id(b, asked->stream->lineage, mark_of(asked->paper));
	SSE_PUT(b, "event: state\n");
	sse_put_data(b, span_str(text));
	SSE_PUT(b, "\n");
	free(text);
	json_decref(event);
}

/* Whose the session is, and who may, is asked again when the client comes back. */
static void judge(struct request *request)
{
	bool good = request->identity->refusal == REFUSAL_NONE;
	fanout_leave(request->feature, good ? FANOUT_END_RESUME : FANOUT_END_EXPIRED);
}

/* Takes the request over: snapshot or what was missed, then what comes. */
static void follow(struct request *request, const struct asked *asked, unsigned status)
{
	struct sse_builder *b = fanout_builder(worker_of(request)->fanout);
	struct sse_worker *w = worker_of(request);
	char location[RENDER_LOCATION_ROOM];
	size_t len = render_session_location(w->settings, asked->id, location);
	const struct header headers[] = {{"content-type", SPAN("text/event-stream")},
	                                 {"cache-control", SPAN("no-cache")},
	                                 {"x-accel-buffering", SPAN("no")},
	                                 {"location", span_of(location, len)}};
	struct sse_frame frame = {0};
	uint64_t from = asked->stream->tail;
	bool resumed = resumes(request, asked, &from);
	sse_begin(b);
	sse_printf(b, "retry: %d\n\n", RETRY_MS);
	if (!resumed) {
		from = asked->stream->tail;
		put_snapshot(b, asked);
	}
	sse_end(b, &frame);
	reply_start(request, status, headers, status == 201 ? 4 : 3, UINT64_MAX);
	struct live_reader *reader =
	        fanout_join(w->fanout, request_sink(request), &view, consumer_comes(w, asked->id),
	                    0, fanout_lifetime_end(w->fanout));
	reading_bind(request, reader, judge);
	fanout_send(reader, &frame);
	sse_frame_finish(&frame);
	fanout_add(reader, asked->stream, from);
}

/* sessions.validate_url has answered, by way of the capture worker. */
static void on_may_follow(struct request *request, const struct proto_call_reply *m)
{
	struct asked asked = {0};
	if (m->status != 204) {
		call_relay(request, m);
		return;
	}
	if (!split_path(request->path, &asked) || !find(request, &asked))
		return;
	follow(request, &asked, 200);
	render_session_destroy(&asked.paper);
}

static void handle_events(struct request *request, struct asked *asked)
{
	if (!accepts_events(request, true))
		reply_error(request, 406, "this is text/event-stream; say so in Accept");
	else if (*worker_of(request)->settings->sessions_validate_url != '\0')
		call_send(request, ROLE_CAPTURE,
		          &(struct call_options){.authorization = true, .on_reply = on_may_follow});
	else
		follow(request, asked, 200);
}

/* ---- POST /stream with Accept: text/event-stream ---- */

static void on_created(struct request *request, const struct proto_call_reply *m)
{
	struct asked asked = {0};
	json_t *body = m->status == 201 ? json_take(m->body, JSON_ALLOW_NUL, NULL, NULL) : NULL;
	const char *id = json_string_value(json_object_get(body, "streamId"));
	if (id == NULL || !render_session_id_valid(span_str(id))) {
		json_decref(body);
		call_relay(request, m);
		return;
	}
	strcpy(asked.id, id);
	json_decref(body);
	sse_worker_catch_up(worker_of(request)); /* it is durable, and may be new to us */
	if (!find(request, &asked))
		return;
	follow(request, &asked, 201);
	render_session_destroy(&asked.paper);
}

/* ---- all of it ---- */

static void handle_read(struct request *request)
{
	struct asked asked = {0};
	if (!split_path(request->path, &asked)) {
		reply_error(request, 404, "no such session");
		return;
	}
	if (span_equal(asked.rest, SPAN("/frame.jpg"))) {
		picture_send(request, &(struct call_options){.path = request->path});
		return;
	}
	if (span_equal(asked.rest, SPAN("/mjpeg")) && request->method == METHOD_GET) {
		char path[RENDER_PATH_ROOM];
		int len = snprintf(path, sizeof path, "/stream/%s/frame.jpg", asked.id);
		mjpeg_start(request, span_of(path, (size_t)len));
		return;
	}
	if (span_equal(asked.rest, SPAN("/whep"))) {
		static const struct header headers[] = {{"content-type", SPAN("application/sdp")},
		                                        {"accept-post", SPAN("application/sdp")}};
		if (find(request, &asked))
			reply(request, 200, headers, 2, (struct span){0});
		render_session_destroy(&asked.paper);
		return;
	}
	bool events = span_equal(asked.rest, SPAN("/sse")), state = asked.rest.len == 0;
	if (!events && !state) {
		reply_error(request, 404, "nothing here");
		return;
	}
	if (!find(request, &asked))
		return;
	if (state || request->method == METHOD_HEAD)
		reply_state(request, &asked);
	else
		handle_events(request, &asked);
	render_session_destroy(&asked.paper);
}

/* Who may look was let in with those who may order, and may nothing else. False: answered. */
static bool may_that(struct request *request)
{
	char room[REQUEST_RESOURCE_ROOM];
	const char *reason;
	struct asked asked = {0};
	if (!span_equal(request->path, SPAN("/stream")) && split_path(request->path, &asked) &&
	    is_picture(asked.rest))
		return true;
	unsigned status =
	        request_refusal(request, RIGHT(RENDER), request_resource(request, room), &reason);
	if (status != 0)
		reply_error(request, status, reason);
	return status == 0;
}

void stream_kit_handle(struct request *request)
{
	bool creates = span_equal(request->path, SPAN("/stream"));
	if (!may_that(request))
		return;
	if (request->method == METHOD_GET || request->method == METHOD_HEAD)
		handle_read(request);
	else if (creates || span_equal(request->path, SPAN("/stream/session")))
		call_send(request, ROLE_CAPTURE,
		          &(struct call_options){
		                  .authorization = true,
		                  .on_reply = creates && accepts_events(request, false) ? on_created
		                                                                        : NULL});
	else
		call_forward(request, ROLE_CAPTURE);
}
