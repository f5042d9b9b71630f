/* How a connection is opened: the row first, and when that is durable its stream. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* The id of what is said last to whom another takes the connection over: with it nobody comes back.
 */
static const struct span superseded_id = {(const uint8_t *)"superseded", 10};

/* Counted before it is written: several may be on their way at once. */
static bool fits_login(struct connection_op *op)
{
	struct connections *all = op->all;
	size_t max = all->worker->settings->connections_per_login;
	if (op->counted)
		return true;
	if (max > 0 && connection_logins_count(&all->logins, op->subject) >= max) {
		connection_op_fault(op, 429, "LIMIT",
		                    "connections.per_login: this login has no more");
		return false;
	}
	op->counted = true;
	connection_logins_add(&all->logins, op->subject, connections_swept(all, op->cid));
	return true;
}

static void open_step(struct connection_op *op)
{
	const struct settings *s = op->all->worker->settings;
	const struct request *request = op->request;
	if (request == NULL)
		return; /* nobody waits any more */
	if (op->there && !connection_is_of(&op->row, op->subject, request->identity->former)) {
		connection_op_fault(op, 403, "FORBIDDEN",
		                    "this connection is another login's; its id gives no rights");
		return;
	}
	if (!op->there && op->all->rows >= s->connections_max) {
		connection_op_fault(op, 503, "LIMIT", "connections.max is reached");
		return;
	}
	if (!op->there && !fits_login(op))
		return;
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
	next->socket = op->socket;
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

static void note_refused(const struct connection_op *op)
{
	if (op->status != 429)
		return;
	counter_add(op->all->worker->counters, chat_crowded_total, 1);
	log_info("a login has connections.per_login connections: one more is refused", "subject=%s",
	         op->subject);
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

/* One that has not come to be. */
static void uncount(const struct connection_op *op, bool done)
{
	struct connections *all = op->all;
	bool new = done && op->verdict == CONNECTION_DONE && !op->there;
	if (op->counted && !new)
		connection_logins_take(&all->logins, op->subject, connections_swept(all, op->cid));
}

static void open_end(struct connection_op *op, bool done)
{
	struct request *request = op->request;
	uncount(op, done);
	if (op->socket != NULL && connection_socket_of(op->socket) == NULL) {
		connection_socket_answered(request);
		request = NULL;
	} else if (request != NULL) {
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
		note_refused(op);
		conversation_reply_fault(request, op->status, op->code, NULL, op->text);
	} else if (op->verdict == CONNECTION_CONTESTED) {
		open_under_another(op);
	} else {
		connection_stream_begin(op);
		if (op->socket != NULL)
			connection_socket_answered(request);
	}
}

/* What the browser says that it has: where it stands in each, and of which revision. Its numbers
 * may have been made up: one that stands for what this login may not read names nothing. */
static void take_position(struct connection_op *op, const struct request *request, struct span id)
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
		unsigned status;
		if (stream == NULL || stream->deleted || stream->dropped ||
		    !connection_conversation(stream, place->id) ||
		    !connection_may(request, place->id, RIGHT(READ), "events", &status))
			continue;
		place->from = known[i].position;
		place->lineage = stream->lineage;
		op->places_count++;
	}
	op->opening.whole = op->places_count == count;
	free(known);
}

void connection_stream_open(struct request *request, struct span cid, struct span last,
                            struct connection_socket *socket)
{
	struct sse_worker *w = worker_of(request);
	struct connection_op *op = connection_op_create(w->connections, "");
	op->socket = socket;
	if (cid.at == NULL) {
		take_new_cid(op);
	} else if (!connection_cid_read(cid, op->cid)) {
		take_new_cid(op);
		op->rejected = "malformed";
		counter_add(w->counters, chat_rejected_total, 1);
		log_info("the id of a connection is not taken: it is no cid-UUID", "bytes=%zu",
		         cid.len);
	}
	snprintf(op->subject, sizeof op->subject, "%s", request->identity->principal);
	op->opening = (struct connection_opening){
	        .cid = op->cid,
	        .subject = op->subject,
	        .slot = w->worker->slot,
	        .worker = w->worker->generation,
	        .takeovers_max = (uint32_t)w->settings->connections_takeovers,
	        .takeovers_window_ms = w->settings->connections_takeover_window_ms};
	take_position(op, request, last);
	op->opening.places = op->places;
	op->opening.places_count = op->places_count;
	run_opening(op, request);
}

static void open_named(struct request *request, struct span last)
{
	struct span raw;
	uint8_t room[128];
	size_t len = 0;
	bool named = query_find(request->query, "cid", &raw) > 0;
	if (named && raw.len <= sizeof room)
		len = percent_decode(raw, room);
	connection_stream_open(request,
	                       named ? span_of(room, len == SIZE_MAX ? 0 : len) : (struct span){0},
	                       last, NULL);
}

void connections_stream(struct request *request)
{
	struct span id = request->headers[HEADER_LAST_EVENT_ID];
	if (id.at == NULL)
		query_find(request->query, "lastEventId", &id);
	if (request->method == METHOD_HEAD) {
		reply(request, 200, connection_headers, CONNECTION_HEADERS, (struct span){0});
	} else if (span_equal(id, superseded_id)) {
		/* EventSource stops at 204, and at nothing else without an error. */
		counter_add(worker_of(request)->counters, chat_ended_total, 1);
		reply(request, 204, NULL, 0, (struct span){0});
	} else if (request_hold_reader(request)) {
		open_named(request, id);
	}
}
