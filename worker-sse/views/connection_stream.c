/* A live stream: how it begins, and how it follows its row. */
#include "worker-sse/views/connections.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/views/connection_parts.h"
#include "worker-sse/views/reading.h"

#include <stdio.h>
#include <stdlib.h>

/* The id of what is said last to whom another takes the connection over: with it nobody comes back.
 */
static const struct span superseded_id = {(const uint8_t *)"superseded", 10};

static const struct header headers[] = {{"content-type", SPAN("text/event-stream; charset=utf-8")},
                                        {"cache-control", SPAN("no-cache, no-transform")},
                                        {"x-accel-buffering", SPAN("no")}};

/* ---- conversations, as connections see them ---- */

struct stream *connection_events(struct sse_worker *w, const char *id)
{
	char path[CONVERSATION_PATH_ROOM];
	struct stream *stream =
	        state_find_living(store_view(w->store),
	                          span_str(conversation_path(id, "events", path)), clock_wall_ms());
	return stream != NULL && !stream->deleted && !stream->dropped ? stream : NULL;
}

bool connection_conversation(const struct stream *stream, char out[CONVERSATION_ID_ROOM])
{
	static const char root[] = CONVERSATION_ROOT, tail[] = "/events";
	size_t head = sizeof root - 1, behind = sizeof tail - 1, len = stream->path_len;
	if (len <= head + behind || len - head - behind > CONVERSATION_ID_MAX ||
	    memcmp(stream->path, root, head) != 0 ||
	    memcmp(stream->path + len - behind, tail, behind) != 0)
		return false;
	memcpy(out, stream->path + head, len - head - behind);
	out[len - head - behind] = '\0';
	return conversation_id_good(span_str(out));
}

bool connection_may(const struct request *request, const char *id, unsigned verbs,
                    const char *about, unsigned *status)
{
	char key[CONVERSATION_KEY_ROOM], path[CONVERSATION_PATH_ROOM];
	struct conversation row;
	struct span value;
	struct state *view = store_view(worker_of(request)->store);
	bool there = state_kv_get(view, conversation_key(id, key), &value);
	if (there && conversation_read(&row, value) == ROW_PRESENT &&
	    conversation_owned(request, &row))
		return true;
	bool may = request_may(request, verbs, span_str(conversation_path(id, about, path)));
	*status = !may ? 403 : view->unreadable ? 503 : 404;
	return may && there;
}

uint64_t connection_from(struct sse_worker *w, const struct stream *stream, uint64_t from,
                         const char **reset)
{
	uint64_t first = stream_first(store_view(w->store), stream);
	*reset = NULL;
	if (from > stream->tail) {
		*reset = "rewound"; /* a cursor that nobody gave: what it hides is told */
		return stream->tail;
	}
	if (from < first && from > 0) {
		*reset = "trimmed";
		return first;
	}
	if (from <= first)
		return first;
	if (!store_boundary(w->store, stream, from)) {
		*reset = "unknown";
		return stream->tail;
	}
	return from;
}

/* ---- streams that are here ---- */

struct connection_stream *connection_stream_find(struct connections *all, const char *cid)
{
	struct connection_stream *stream;
	HASH_FIND_STR(all->streams, cid, stream);
	return stream;
}

static struct connection_stream *stream_of(struct connection_pace *pace)
{
	return (struct connection_stream *)((char *)pace -
	                                    offsetof(struct connection_stream, pace));
}

static void on_over(struct connection_pace *pace)
{
	struct connection_stream *s = stream_of(pace);
	connection_replay_free(&s->replay);
	free(s->places);
	free(s);
}

/* Its answer has ended, for whatever reason. Whether that means anything is judged by the row. */
void connection_stream_left(struct connection_stream *s)
{
	struct connections *all = s->all;
	if (connection_stream_find(all, s->cid) == s)
		HASH_DEL(all->streams, s);
	for (struct connection_stream **at = &all->noted; s->noted && *at != NULL;
	     at = &(*at)->next_noted)
		if (*at == s) {
			*at = s->next_noted;
			break;
		}
	counter_add(all->worker->counters, chat_streams, -1);
	connection_over(all, s->cid, s->generation);
}

static void supersede(struct connection_stream *s)
{
	s->superseded = true;
	counter_add(s->all->worker->counters, chat_superseded_total, 1);
	fanout_leave(s->reader, FANOUT_END_RESUME);
}

/* What may be read is asked again when the client comes back. */
static void judge(struct request *request)
{
	struct connection_stream *s = stream_of(request->feature);
	bool good = request->identity->refusal == REFUSAL_NONE;
	fanout_leave(s->reader, good ? FANOUT_END_RESUME : FANOUT_END_EXPIRED);
}

static uint64_t end_of(const struct sse_worker *w)
{
	uint64_t lifetime_ms = w->settings->http_events_lifetime_ms;
	return w->wheel.now_ms + lifetime_ms + clock_random_below(lifetime_ms / 4 + 1);
}

bool connection_stream_say(struct connection_stream *s, const json_t *event)
{
	struct sse_builder *b = fanout_builder(s->all->worker->fanout);
	const struct sink_kind *kind = s->pace.sink.kind;
	struct sse_frame frame = {0};
	if (kind->pending(s->pace.sink.to) > s->all->worker->settings->http_websocket_output_bytes)
		return false;
	sse_begin(b);
	connection_put(b, s, "message", event);
	sse_end(b, &frame);
	fanout_send(s->reader, &frame);
	sse_frame_finish(&frame);
	return true;
}

/* ---- places ---- */

static size_t place_of(const struct connection_stream *s, uint64_t stream_id)
{
	size_t i = 0;
	while (i < s->count && s->places[i].stream_id != stream_id)
		i++;
	return i;
}

/* Places and revisions lie in one piece, and both grow. */
static void make_room(struct connection_stream *s, size_t room)
{
	struct event_place *places = xcalloc(room, sizeof *places + sizeof *s->since);
	uint64_t *since = (uint64_t *)(places + room);
	if (s->count > 0) {
		memcpy(places, s->places, s->count * sizeof *places);
		memcpy(since, s->since, s->count * sizeof *since);
	}
	free(s->places);
	s->places = places;
	s->since = since;
	s->room = (uint16_t)room;
}

static void set_place(struct connection_stream *s, uint64_t stream_id, uint64_t position,
                      uint64_t since)
{
	size_t i = place_of(s, stream_id);
	if (i == s->count) {
		if (s->count == s->room)
			make_room(s, s->room + 4u);
		s->count++;
	}
	s->places[i] = (struct event_place){stream_id, position};
	s->since[i] = since;
}

static void drop_place(struct connection_stream *s, size_t i)
{
	s->count--;
	s->places[i] = s->places[s->count];
	s->since[i] = s->since[s->count];
}

/* ---- following the row ---- */

/* A stream that is to be followed from now on, or from elsewhere. */
struct arrival {
	struct stream *stream; /* pinned */
	uint64_t from;
	const char *reset;
};

struct change {
	struct connection_stream *s;
	const struct connection *row;
	struct sse_builder *builder;
	struct arrival *arrivals;
	size_t count;
	json_t *gone; /* ids that are not watched any more */
	json_t *lost; /* watched, and not there or not allowed */
};

static void unwatch_others(struct change *change)
{
	struct connection_stream *s = change->s;
	struct state *view = store_view(s->all->worker->store);
	char id[CONVERSATION_ID_ROOM];
	for (size_t i = s->count; i-- > 0;) {
		struct stream *stream = state_find_id(view, s->places[i].stream_id);
		bool known = stream != NULL && connection_conversation(stream, id);
		if (known && connection_find(change->row, id) != NULL)
			continue;
		if (known) {
			fanout_drop(s->reader, stream);
			json_array_append_new(change->gone, json_string(id));
		}
		drop_place(s, i);
	}
}

static void arrive(struct change *change, const struct connection_watch *watch,
                   struct stream *stream)
{
	struct connection_stream *s = change->s;
	struct arrival a = {.stream = stream};
	size_t i = place_of(s, stream->id);
	bool moves = i < s->count;
	if (moves && !connection_moves(watch, s->since[i], s->places[i].position))
		return;
	a.from = connection_from(s->all->worker, stream, watch->from, &a.reset);
	if (moves)
		fanout_drop(s->reader, stream);
	stream->pins++;
	set_place(s, stream->id, a.from, watch->since);
	change->arrivals[change->count++] = a;
}

static void watch_all(struct change *change, const struct request *request)
{
	const struct connection *row = change->row;
	for (size_t i = 0; i < row->count; i++) {
		const struct connection_watch *watch = &row->watches[i];
		unsigned status;
		struct stream *stream = connection_events(change->s->all->worker, watch->id);
		if (stream == NULL)
			json_array_append_new(change->lost, json_string(watch->id));
		else if (request != NULL &&
		         !connection_may(request, watch->id, RIGHT(READ), "events", &status))
			json_array_append_new(change->lost, json_string(watch->id));
		else
			arrive(change, watch, stream);
	}
}

static json_t *seq_of(uint64_t position)
{
	return json_pack("{s:I}", "seq", (json_int_t)position);
}

static void put_changes(struct change *change, bool opening, uint64_t before)
{
	struct connection_stream *s = change->s;
	struct sse_builder *b = change->builder;
	const struct connection *row = change->row;
	size_t i;
	json_t *id;
	char text[CONVERSATION_ID_ROOM];
	json_array_foreach (change->gone, i, id)
		connection_put_event(b, s, "unwatched", json_string_value(id), NULL);
	for (i = 0; i < change->count; i++) {
		const struct arrival *a = &change->arrivals[i];
		if (!connection_conversation(a->stream, text))
			continue;
		if (!opening)
			connection_put_event(b, s, "watched", text, seq_of(a->from));
		if (a->reset != NULL)
			connection_put_event(b, s, "session_reset", text,
			                     json_pack("{s:s, s:I}", "reason", a->reset, "seq",
			                               (json_int_t)a->from));
	}
	json_array_foreach (change->lost, i, id)
		connection_put_event(b, s, "session_reset", json_string_value(id),
		                     json_pack("{s:s}", "reason", "gone"));
	if (!opening && row->switched > before)
		connection_put_event(b, s,
		                     *row->active != '\0' ? "session_switched" : "session_cleared",
		                     *row->active != '\0' ? row->active : NULL, NULL);
}

static void begin_replay(struct change *change, uint64_t before)
{
	struct connection_stream *s = change->s;
	struct state *view = store_view(s->all->worker->store);
	if (change->row->stated <= before)
		return;
	connection_replay_free(&s->replay);
	s->replay = xcalloc(1, sizeof *s->replay);
	s->replay->parts = xcalloc(s->count + 1u, sizeof *s->replay->parts);
	for (size_t i = 0; i < s->count; i++) {
		struct stream *stream = state_find_id(view, s->places[i].stream_id);
		if (stream != NULL)
			s->replay->parts[s->replay->count++] = (struct connection_replay_part){
			        .stream_id = stream->id, .to = stream->tail};
	}
}

/* Says what has changed and follows it from there. `before`: the revision that the client knows.
 * False: the stream is gone. */
static bool follow(struct change *change, const struct request *request, bool opening,
                   uint64_t before)
{
	struct connection_stream *s = change->s;
	struct live_reader *reader = s->reader;
	struct sse_frame frame = {0};
	bool there = true;
	change->arrivals = xcalloc(change->row->count + 1, sizeof *change->arrivals);
	change->gone = json_array();
	change->lost = json_array();
	unwatch_others(change);
	watch_all(change, request);
	s->revision = change->row->revision;
	begin_replay(change, before);
	put_changes(change, opening, before);
	connection_put_replayed(change->builder, s);
	if (change->builder->len > 0) {
		sse_end(change->builder, &frame);
		fanout_send(reader, &frame);
		sse_frame_finish(&frame);
	}
	for (size_t i = 0; i < change->count; i++) {
		struct arrival *a = &change->arrivals[i];
		there = there && fanout_add(reader, a->stream, a->from);
		a->stream->pins--;
	}
	free(change->arrivals);
	json_decref(change->gone);
	json_decref(change->lost);
	return there;
}

static void hear(struct connection_stream *s)
{
	struct sse_worker *w = s->all->worker;
	struct state *view = store_view(w->store);
	char key[CONNECTION_KEY_ROOM];
	struct connection row;
	struct span value;
	if (!state_kv_get(view, connection_key(s->cid, key), &value)) {
		fanout_leave(s->reader, FANOUT_END_RESUME);
		return;
	}
	if (connection_read(&row, value) != ROW_PRESENT) {
		row_alert(w->counters, key);
		return;
	}
	if (row.generation != s->generation) {
		supersede(s);
	} else {
		if (!row.open) /* somebody has taken this worker for gone */
			connection_hold_on(s->all, s->cid, s->generation);
		if (row.revision > s->revision) {
			struct change change = {
			        .s = s, .row = &row, .builder = fanout_builder(w->fanout)};
			sse_begin(change.builder);
			follow(&change, s->request, false, s->revision);
		}
	}
	connection_finish(&row);
}

static void note(struct connections *all, struct connection_stream *s)
{
	if (s->noted)
		return;
	s->noted = true;
	s->next_noted = all->noted;
	all->noted = s;
	slices_add(&all->worker->slices, &all->apply);
}

void connection_streams_note(struct connections *all, struct span key)
{
	char cid[CONNECTION_CID_ROOM];
	struct connection_stream *s, *next;
	if (key.at == NULL) {
		HASH_ITER (hh, all->streams, s, next)
			note(all, s);
		return;
	}
	if (all->streams == NULL || !connection_key_cid(key, cid))
		return;
	s = connection_stream_find(all, cid);
	if (s != NULL)
		note(all, s);
}

bool connection_streams_apply(struct slices_job *job)
{
	struct connections *all =
	        (struct connections *)((char *)job - offsetof(struct connections, apply));
	for (unsigned i = 0; i < 16 && all->noted != NULL; i++) {
		struct connection_stream *s = all->noted;
		all->noted = s->next_noted;
		s->noted = false;
		hear(s);
	}
	return all->noted != NULL;
}

/* ---- how it begins ---- */

static json_t *welcome(const struct connection_op *op)
{
	const struct sse_worker *w = op->all->worker;
	const struct connection *row = &op->row;
	json_t *sessions = json_array();
	json_t *event = json_pack("{s:s, s:i, s:s, s:b, s:I, s:b, s:I, s:I}", "type", "welcome",
	                          "protocolVersion", CONNECTION_PROTOCOL, "connectionId", row->cid,
	                          "cidAccepted", op->rejected == NULL, "generation",
	                          (json_int_t)row->generation, "resumed", op->opening.resumes,
	                          "heartbeatMs", (json_int_t)w->settings->http_sse_keepalive_ms,
	                          "expiryMs", (json_int_t)w->settings->connections_expiry_ms);
	check(event != NULL);
	if (op->rejected != NULL)
		json_object_set_new(event, "reason", json_string(op->rejected));
	for (size_t i = 0; i < row->count; i++)
		json_array_append_new(sessions,
		                      json_pack("{s:s, s:I}", "sessionId", row->watches[i].id,
		                                "lastSeq", (json_int_t)row->watches[i].from));
	json_object_set_new(event, "sessions", sessions);
	return event;
}

static void connection_stream_begin(struct connection_op *op)
{
	struct connections *all = op->all;
	struct sse_worker *w = all->worker;
	struct request *request = op->request;
	struct connection_stream *old = connection_stream_find(all, op->row.cid);
	if (old != NULL)
		supersede(old);
	struct connection_stream *s = xcalloc(1, sizeof *s);
	s->all = all;
	s->request = request;
	s->generation = op->row.generation;
	s->revision = op->row.revision;
	memcpy(s->cid, op->row.cid, sizeof s->cid);
	if (op->row.count > 0)
		make_room(s, op->row.count);
	HASH_ADD_STR(all->streams, cid, s);
	counter_add(w->counters, chat_streams, 1);
	reply_start(request, 200, headers, 3, UINT64_MAX);
	s->reader = fanout_join(w->fanout,
	                        connection_paced(&s->pace, w, request_sink(request), on_over),
	                        &connection_view, s, 0, end_of(w));
	reading_bind(request, s->reader, judge);
	struct change change = {.s = s, .row = &op->row, .builder = fanout_builder(w->fanout)};
	json_t *first = welcome(op);
	sse_begin(change.builder);
	sse_printf(change.builder, "retry: %llu\n",
	           (unsigned long long)w->settings->http_events_retry_ms);
	connection_put(change.builder, s, "welcome", first);
	json_decref(first);
	if (!follow(&change, request, true, op->row.stated))
		return;
	if (fanout_draining(w->fanout))
		fanout_leave(s->reader, FANOUT_END_DRAIN);
	else
		note(all, s); /* the view may be past the row that it began with */
}

/* ---- GET /api/chat/events ---- */

static void open_step(struct connection_op *op)
{
	const struct settings *s = op->all->worker->settings;
	const struct request *request = op->request;
	if (request == NULL)
		return;
	if (op->there && !connection_is_of(&op->row, op->subject, request->identity->former)) {
		connection_op_fault(op, 403, "FORBIDDEN",
		                    "this connection is another login's; its id gives no rights");
		return;
	}
	if (!op->there && op->all->rows >= s->connections_max) {
		connection_op_fault(op, 503, "LIMIT", "connections.max is reached");
		return;
	}
	op->opening.now_ms = op->now_ms;
	bool was_there = op->there;
	op->verdict = connection_open(&op->row, was_there, &op->opening, &op->took_over);
	op->write = op->verdict == CONNECTION_DONE;
}

static void take_new_cid(struct connection_op *op)
{
	uint8_t random[16];
	clock_random(random, sizeof random);
	connection_cid_make(random, op->cid);
}

static void open_end(struct connection_op *op, bool done);

static void opener_gone(struct request *request)
{
	((struct connection_op *)request->feature)->request = NULL;
}

/* Takes the request over: it may be gone before the row is written. */
static void run_opening(struct connection_op *op, struct request *request)
{
	op->step = open_step;
	op->end = open_end;
	op->request = request;
	request->feature = op;
	request->on_gone = opener_gone;
	connection_op_run(op);
}

/* Two tabs of one name would take the stream from each other for ever: this one gets a name of its
 * own, as a client does whose name is not taken. */
static void open_under_another(struct connection_op *op)
{
	struct connection_op *next = connection_op_create(op->all, "");
	counter_add(op->all->worker->counters, chat_contested_total, 1);
	log_info("two clients take one connection from each other", "cid=%s", op->cid);
	take_new_cid(next);
	next->opening = op->opening;
	next->opening.cid = next->cid;
	memcpy(next->subject, op->subject, sizeof next->subject);
	next->opening.subject = next->subject;
	next->places = op->places;
	next->places_count = op->places_count;
	op->places = NULL;
	next->rejected = "contested";
	run_opening(next, op->request);
}

static void count_opening(const struct connection_op *op)
{
	struct connections *all = op->all;
	struct counters_slot *counters = all->worker->counters;
	counter_add(counters, chat_opened_total, 1);
	counter_add(counters, chat_resumed_total, op->opening.resumes);
	counter_add(counters, chat_takeovers_total, op->took_over);
	if (!op->there) {
		all->rows++;
		counter_set(counters, chat_connections, all->rows);
	}
}

static void open_end(struct connection_op *op, bool done)
{
	struct request *request = op->request;
	if (request != NULL) {
		request->on_gone = NULL;
		request->feature = NULL;
	}
	if (done && op->verdict == CONNECTION_DONE)
		count_opening(op);
	if (request == NULL) {
		if (done && op->verdict == CONNECTION_DONE)
			connection_over(op->all, op->cid, op->row.generation);
	} else if (!done) {
		counter_add(op->all->worker->counters, chat_foreign_total, op->status == 403);
		conversation_reply_fault(request, op->status, op->code, NULL, op->text);
	} else if (op->verdict == CONNECTION_CONTESTED) {
		open_under_another(op);
	} else {
		connection_stream_begin(op);
	}
}

/* What the browser says that it has: where it stands in each, and of which revision. */
static void take_position(struct connection_op *op, struct span id)
{
	struct sse_worker *w = op->all->worker;
	struct state *view = store_view(w->store);
	size_t max = w->settings->connections_sessions, count = 0;
	struct event_place *known = xcalloc(max + 1, sizeof *known);
	op->opening.resumes =
	        id.len > 0 && event_id_parse(id, &op->opening.revision, known, max, &count);
	op->places = xcalloc(count + 1, sizeof *op->places);
	for (size_t i = 0; op->opening.resumes && i < count; i++) {
		struct connection_watch *place = &op->places[op->places_count];
		struct stream *stream = state_find_id(view, known[i].stream_id);
		if (stream == NULL || stream->deleted || stream->dropped ||
		    !connection_conversation(stream, place->id))
			continue;
		place->from = known[i].position;
		op->places_count++;
	}
	free(known);
}

static void begin_opening(struct request *request, struct span id)
{
	struct sse_worker *w = worker_of(request);
	struct connection_op *op = connection_op_create(w->connections, "");
	struct span cid, raw;
	uint8_t room[128];
	size_t len = SIZE_MAX;
	unsigned named = query_find(request->query, "cid", &raw);
	if (named == 1 && raw.len <= sizeof room)
		len = percent_decode(raw, room);
	cid = span_of(room, len == SIZE_MAX ? 0 : len);
	if (named == 0) {
		take_new_cid(op);
	} else if (!connection_cid_read(cid, op->cid)) {
		take_new_cid(op);
		op->rejected = "malformed";
		counter_add(w->counters, chat_rejected_total, 1);
		log_info("the id of a connection is not taken: it is no cid-UUID", "bytes=%zu",
		         raw.len);
	}
	snprintf(op->subject, sizeof op->subject, "%s", request->identity->principal);
	op->opening = (struct connection_opening){
	        .cid = op->cid,
	        .subject = op->subject,
	        .slot = w->worker->slot,
	        .worker = w->worker->generation,
	        .takeovers_max = (uint32_t)w->settings->connections_takeovers,
	        .takeovers_window_ms = w->settings->connections_takeover_window_ms};
	take_position(op, id);
	op->opening.places = op->places;
	op->opening.places_count = op->places_count;
	run_opening(op, request);
}

void connections_stream(struct request *request)
{
	struct span id = request->headers[HEADER_LAST_EVENT_ID];
	if (id.at == NULL)
		query_find(request->query, "lastEventId", &id);
	if (request->method == METHOD_HEAD) {
		reply(request, 200, headers, 3, (struct span){0});
	} else if (span_equal(id, superseded_id)) {
		/* EventSource stops at 204, and at nothing else without an error. */
		counter_add(worker_of(request)->counters, chat_ended_total, 1);
		reply(request, 204, NULL, 0, (struct span){0});
	} else if (request_hold_reader(request)) {
		begin_opening(request, id);
	}
}
