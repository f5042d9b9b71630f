/* A live stream: how it begins, and how it follows its row. */
#include "worker-sse/views/connections.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/connection_parts.h"
#include "worker-sse/views/reading.h"
#include "worker-sse/edge/websocket.h"

#include <stdio.h>
#include <stdlib.h>

const struct header connection_headers[CONNECTION_HEADERS] = {
        {"content-type", SPAN("text/event-stream; charset=utf-8")},
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

enum { BUCKETS_MIN = 16 };

static struct connection_stream **bucket_of(const struct connections *all,
                                            const uint8_t id[CONNECTION_ID_BYTES])
{
	return &all->streams[hash_keyed(id, CONNECTION_ID_BYTES) & (all->buckets - 1)];
}

struct connection_stream *connection_stream_find(struct connections *all, const char *cid)
{
	uint8_t id[CONNECTION_ID_BYTES];
	connection_cid_bytes(cid, id);
	struct connection_stream *s = all->streams_count > 0 ? *bucket_of(all, id) : NULL;
	while (s != NULL && memcmp(s->id, id, sizeof id) != 0)
		s = s->next;
	return s;
}

static void put(struct connections *all, struct connection_stream *s)
{
	struct connection_stream **at = bucket_of(all, s->id);
	s->next = *at;
	*at = s;
}

static void grow(struct connections *all)
{
	struct connection_stream **before = all->streams;
	size_t count = all->buckets;
	all->buckets = count > 0 ? 2 * count : BUCKETS_MIN;
	all->streams = xcalloc(all->buckets, sizeof(struct connection_stream *));
	for (size_t i = 0; i < count; i++)
		for (struct connection_stream *s = before[i], *next; s != NULL; s = next) {
			next = s->next;
			put(all, s);
		}
	free(before);
}

static void add(struct connections *all, struct connection_stream *s)
{
	if (all->streams_count >= all->buckets)
		grow(all);
	all->streams_count++;
	put(all, s);
}

static void take_out(struct connections *all, struct connection_stream *s)
{
	struct connection_stream **at = bucket_of(all, s->id);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	all->streams_count--;
}

void connection_stream_free(struct connection_stream *s)
{
	connection_replay_free(&s->replay);
	free(s->places);
	free(s);
}

/* Its answer has ended, for whatever reason. Whether that means anything is judged by the row. */
void connection_stream_left(struct connection_stream *s)
{
	struct connections *all = connections_of(s);
	char cid[CONNECTION_CID_ROOM];
	take_out(all, s);
	for (struct connection_stream **at = &all->noted; s->noted && *at != NULL;
	     at = &(*at)->next_noted)
		if (*at == s) {
			*at = s->next_noted;
			break;
		}
	counter_add(all->worker->counters, chat_streams, -1);
	connection_cid_print(s->id, cid);
	connection_over(all, cid, s->generation);
}

static void supersede(struct connection_stream *s)
{
	s->superseded = true;
	counter_add(worker_of(s->request)->counters, chat_superseded_total, 1);
	fanout_leave(s->reader, FANOUT_END_RESUME);
}

/* What may be read is asked again when the client comes back. */
static void judge(struct request *request)
{
	struct connection_stream *s = request->feature;
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
	struct sse_builder *b = fanout_builder(worker_of(s->request)->fanout);
	struct sse_frame frame = {0};
	if (connection_pending(s) > worker_of(s->request)->settings->http_websocket_output_bytes)
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

static uint64_t *since_of(const struct connection_stream *s)
{
	return (uint64_t *)(s->places + s->room);
}

/* Places and revisions lie in one piece, and both grow. */
static void make_room(struct connection_stream *s, size_t room)
{
	if (room <= s->room)
		return;
	struct event_place *places = xcalloc(room, sizeof *places + sizeof(uint64_t));
	if (s->count > 0) {
		memcpy(places, s->places, s->count * sizeof *places);
		memcpy(places + room, since_of(s), s->count * sizeof(uint64_t));
	}
	free(s->places);
	s->places = places;
	s->room = (uint16_t)room;
}

static void set_place(struct connection_stream *s, uint64_t stream_id, uint64_t position,
                      uint64_t since)
{
	size_t i = place_of(s, stream_id);
	if (i == s->count) {
		make_room(s, s->count + 1u);
		s->count++;
	}
	s->places[i] = (struct event_place){stream_id, position};
	since_of(s)[i] = since;
}

uint64_t connection_place_drop(struct connection_stream *s, size_t i)
{
	uint64_t since = since_of(s)[i];
	s->count--;
	s->places[i] = s->places[s->count];
	since_of(s)[i] = since_of(s)[s->count];
	return since;
}

static void has_told(const struct connection_stream *s, struct connection_watch *told, size_t count)
{
	char cid[CONNECTION_CID_ROOM];
	connection_cid_print(s->id, cid);
	connection_has_told(connections_of(s), cid, s->generation, told, count);
}

void connection_stream_forget(struct connection_stream *s, const char *id, uint64_t since)
{
	struct connection_watch *told = xcalloc(1, sizeof *told);
	snprintf(told->id, sizeof told->id, "%s", id);
	told->since = since;
	has_told(s, told, 1);
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
	const json_t *first; /* what is said before anything else; NULL: nothing */
	struct arrival *arrivals;
	size_t count;
	struct connection_watch *told; /* what the row is to know of it */
	size_t told_count;
	json_t *gone; /* ids that are not watched any more */
	json_t *lost; /* watched, and not there or not allowed: the reason of each */
};

static void unwatch_others(struct change *change)
{
	struct connection_stream *s = change->s;
	struct state *view = store_view(worker_of(s->request)->store);
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
		connection_place_drop(s, i);
	}
}

static struct connection_watch *tell_row(struct change *change,
                                         const struct connection_watch *watch, uint64_t lineage)
{
	struct connection_watch *told = &change->told[change->told_count++];
	*told = *watch;
	told->lineage = lineage;
	return told;
}

static void arrive(struct change *change, const struct connection_watch *watch,
                   struct stream *stream)
{
	struct connection_stream *s = change->s;
	struct arrival a = {.stream = stream};
	size_t i = place_of(s, stream->id);
	bool moves = i < s->count;
	if (moves && !connection_moves(watch, since_of(s)[i], s->places[i].position))
		return;
	bool other = watch->lineage != 0 && watch->lineage != stream->lineage;
	a.from = connection_from(worker_of(s->request), stream, other ? 0 : watch->from, &a.reset);
	if (other)
		a.reset = "recreated";
	if (watch->lineage != stream->lineage)
		tell_row(change, watch, stream->lineage)->from = a.from;
	if (moves)
		fanout_drop(s->reader, stream);
	stream->pins++;
	set_place(s, stream->id, a.from, watch->since);
	change->arrivals[change->count++] = a;
}

/* Told as not watched: it has no place here, nor in the row. */
static void lose(struct change *change, const struct connection_watch *watch,
                 const struct stream *stream, const char *reason, bool known)
{
	struct connection_stream *s = change->s;
	size_t i = stream != NULL ? place_of(s, stream->id) : s->count;
	if (i < s->count) {
		fanout_drop(s->reader, stream);
		connection_place_drop(s, i);
	}
	json_object_set_new(change->lost, watch->id, json_string(reason));
	if (known)
		tell_row(change, watch, 0);
}

static void watch_all(struct change *change, const struct request *request)
{
	const struct connection *row = change->row;
	struct sse_worker *w = worker_of(change->s->request);
	for (size_t i = 0; i < row->count; i++) {
		const struct connection_watch *watch = &row->watches[i];
		unsigned status = 404;
		struct stream *stream = connection_events(w, watch->id);
		bool known = !store_view(w->store)->unreadable;
		if (connection_may(request, watch->id, RIGHT(READ), "events", &status) &&
		    stream != NULL)
			arrive(change, watch, stream);
		else
			lose(change, watch, stream, status == 403 ? "forbidden" : "gone",
			     known && status != 503);
	}
}

static json_t *seq_of(uint64_t position)
{
	return json_pack("{s:I}", "seq", (json_int_t)position);
}

static void put_changes(struct change *change, uint64_t before)
{
	struct connection_stream *s = change->s;
	struct sse_builder *b = change->builder;
	const struct connection *row = change->row;
	size_t i;
	json_t *id;
	const char *name;
	char text[CONVERSATION_ID_ROOM];
	if (change->first != NULL)
		connection_put(b, s, "welcome", change->first);
	json_array_foreach (change->gone, i, id)
		connection_put_event(b, s, "unwatched", json_string_value(id), NULL);
	for (i = 0; i < change->count; i++) {
		const struct arrival *a = &change->arrivals[i];
		if (!connection_conversation(a->stream, text))
			continue;
		if (change->first == NULL)
			connection_put_event(b, s, "watched", text, seq_of(a->from));
		if (a->reset != NULL)
			connection_put_event(b, s, "session_reset", text,
			                     json_pack("{s:s, s:I}", "reason", a->reset, "seq",
			                               (json_int_t)a->from));
	}
	json_object_foreach (change->lost, name, id)
		connection_put_event(b, s, "session_reset", name, json_pack("{s:O}", "reason", id));
	if (change->first == NULL && row->switched > before)
		connection_put_event(b, s,
		                     *row->active != '\0' ? "session_switched" : "session_cleared",
		                     *row->active != '\0' ? row->active : NULL, NULL);
}

static void begin_replay(struct change *change, uint64_t before)
{
	struct connection_stream *s = change->s;
	struct state *view = store_view(worker_of(s->request)->store);
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
static bool follow(struct change *change, const struct request *request, uint64_t before)
{
	struct connection_stream *s = change->s;
	struct live_reader *reader = s->reader;
	struct sse_frame frame = {0};
	bool there = true;
	change->arrivals = xcalloc(change->row->count + 1, sizeof *change->arrivals);
	change->told = xcalloc(change->row->count + 1, sizeof *change->told);
	change->gone = json_array();
	change->lost = json_object();
	unwatch_others(change);
	make_room(s, change->row->count);
	watch_all(change, request);
	s->revision = change->row->revision;
	begin_replay(change, before);
	put_changes(change, before);
	connection_put_replayed(change->builder, s);
	if (change->builder->len > 0) {
		sse_end(change->builder, &frame);
		fanout_send(reader, &frame);
		sse_frame_finish(&frame);
	}
	if (change->told_count > 0)
		has_told(s, change->told, change->told_count);
	else
		free(change->told);
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
	struct sse_worker *w = worker_of(s->request);
	struct state *view = store_view(w->store);
	char cid[CONNECTION_CID_ROOM], key[CONNECTION_KEY_ROOM];
	struct connection row;
	struct span value;
	connection_cid_print(s->id, cid);
	if (!state_kv_get(view, connection_key(cid, key), &value)) {
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
			connection_hold_on(connections_of(s), cid, s->generation);
		if (row.revision > s->revision && fanout_overfull(s->reader)) {
			/* What is asked beside a stream that nobody reads would pile up there. */
			fanout_leave(s->reader, FANOUT_END_LAG);
		} else if (row.revision > s->revision) {
			struct change change = {
			        .s = s, .row = &row, .builder = fanout_builder(w->fanout)};
			sse_begin(change.builder);
			follow(&change, s->request, s->revision);
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
	if (all->apply.previous == NULL)
		slices_add(&all->worker->slices, &all->apply);
}

void connection_streams_note(struct connections *all, struct span key)
{
	char cid[CONNECTION_CID_ROOM];
	struct connection_stream *s;
	for (size_t i = 0; key.at == NULL && i < all->buckets; i++)
		for (s = all->streams[i]; s != NULL; s = s->next)
			note(all, s);
	if (key.at == NULL || all->streams_count == 0 || !connection_key_cid(key, cid))
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
	return all->noted != NULL && job->previous == NULL;
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

void connection_stream_begin(struct connection_op *op)
{
	struct connections *all = op->all;
	struct sse_worker *w = all->worker;
	bool framed = op->socket != NULL;
	struct request *request = framed ? connection_socket_request(op->socket) : op->request;
	struct connection_stream *old = connection_stream_find(all, op->row.cid);
	if (old != NULL)
		supersede(old);
	struct connection_stream *s = xcalloc(1, sizeof *s);
	s->request = request;
	s->framed = framed;
	s->generation = op->row.generation;
	s->revision = op->row.revision;
	connection_cid_bytes(op->row.cid, s->id);
	add(all, s);
	counter_add(w->counters, chat_streams, 1);
	if (!framed)
		reply_start(request, 200, connection_headers, CONNECTION_HEADERS, UINT64_MAX);
	struct sink below =
	        framed ? websocket_sink(connection_socket_of(op->socket)) : request_sink(request);
	s->reader = fanout_join(w->fanout, connection_paced(s, below), &connection_view, s, 0,
	                        end_of(w));
	if (framed)
		connection_socket_begun(op->socket, &op->row);
	else
		reading_bind(request, s->reader, judge);
	json_t *first = welcome(op);
	struct change change = {
	        .s = s, .row = &op->row, .builder = fanout_builder(w->fanout), .first = first};
	sse_begin(change.builder);
	if (!framed)
		sse_printf(change.builder, "retry: %llu\n",
		           (unsigned long long)w->settings->http_events_retry_ms);
	bool there = follow(&change, request, op->row.stated);
	json_decref(first);
	if (!there)
		return;
	if (fanout_draining(w->fanout))
		fanout_leave(s->reader, FANOUT_END_DRAIN);
	else
		note(all, s); /* the view may be past the row that it began with */
}
