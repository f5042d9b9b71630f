/* What is asked beside a stream about what it watches. Each is a change of the row, on whichever
 * worker; the stream hears of it there. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "worker-sse/views/connection_parts.h"

#include <stdio.h>
#include <stdlib.h>

struct connection_deed {
	const char *name;
	/* Reads the body into the op. NULL: fine; else a fault, 400. */
	const char *(*take)(struct connection_op *op);
	/* Of a row that is there, and of who asks. */
	void (*step)(struct connection_op *op);
	/* When it is durable. */
	void (*answer)(struct connection_op *op);
};

/* ---- what a request names ---- */

static bool connection_named(struct request *request, char cid[CONNECTION_CID_ROOM])
{
	struct span name = request->headers[HEADER_X_CONNECTION_ID];
	if (name.at != NULL && connection_cid_read(name, cid))
		return true;
	conversation_reply_fault(request, 400, "INVALID_CONNECTION", NULL,
	                         name.at == NULL ? "X-Connection-ID is missing"
	                                         : "X-Connection-ID is no cid-UUID");
	return false;
}

/* A request that says which stream it belongs to changes nothing of another. */
static bool take_generation(struct connection_op *op)
{
	struct span text = op->request->headers[HEADER_X_CONNECTION_GENERATION];
	op->generation = 0;
	if (text.at == NULL)
		return true;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || i > 17)
			return false;
		op->generation = op->generation * 10 + (text.at[i] - '0');
	}
	return text.len > 0 && op->generation > 0;
}

static const char *take_id(struct connection_op *op, const json_t *value)
{
	const char *id = json_string_value(value);
	if (id == NULL || !conversation_id_good(span_of(id, json_string_length(value))))
		return "sessionId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	snprintf(op->id, sizeof op->id, "%s", id);
	return NULL;
}

static bool is_position(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static const char *take_place(struct connection_op *op)
{
	const json_t *last = json_object_get(op->body, "lastSeq");
	const char *fault = take_id(op, json_object_get(op->body, "sessionId"));
	op->stated = last != NULL && !json_is_null(last);
	if (fault == NULL && op->stated && !is_position(last))
		return "lastSeq must be a whole number, 0 or more";
	op->from = op->stated ? (uint64_t)json_integer_value(last) : 0;
	return fault;
}

static const char *take_place_or_none(struct connection_op *op)
{
	const json_t *id = json_object_get(op->body, "sessionId");
	return id == NULL || json_is_null(id) ? NULL : take_place(op);
}

/* Twice the same: the last counts. */
static void put_place(struct connection_op *op, const char *id, uint64_t from)
{
	size_t i = 0;
	while (i < op->places_count && strcmp(op->places[i].id, id) != 0)
		i++;
	if (i == op->places_count)
		op->places_count++;
	op->places[i] = (struct connection_watch){.from = from};
	snprintf(op->places[i].id, sizeof op->places[i].id, "%s", id);
}

static const char *take_places(struct connection_op *op)
{
	const json_t *sessions = json_object_get(op->body, "sessions");
	size_t i, max = op->all->worker->settings->connections_sessions;
	json_t *one;
	if (!json_is_array(sessions))
		return "sessions must be an array";
	if (json_array_size(sessions) > max)
		return "more sessions than connections.sessions";
	op->places = xcalloc(json_array_size(sessions) + 1, sizeof *op->places);
	json_array_foreach (sessions, i, one) {
		const json_t *last = json_object_get(one, "lastSeq");
		const char *fault = take_id(op, json_object_get(one, "sessionId"));
		if (fault != NULL)
			return fault;
		if (last != NULL && !is_position(last))
			return "lastSeq must be a whole number, 0 or more";
		put_place(op, op->id, last != NULL ? (uint64_t)json_integer_value(last) : 0);
	}
	*op->id = '\0';
	return NULL;
}

/* ---- steps ---- */

/* One from an old registry has no streams yet: they are made with the row that watches them. */
static void open_streams(struct connection_op *op, const char *id)
{
	char key[CONVERSATION_KEY_ROOM], path[CONVERSATION_PATH_ROOM];
	conversation_key(id, key);
	struct span row = rows_get(op->change->rows, key);
	if (row.at == NULL)
		return;
	rows_put(op->change->rows, key, row);
	txn_stream(op->change->txn, conversation_path(id, "events", path));
	txn_stream(op->change->txn, conversation_path(id, "inbox", path));
}

static void note_lost(struct connection_op *op, const char *id, const char *reason, uint64_t seq)
{
	json_t *lost = json_pack("{s:s, s:s, s:I}", "sessionId", id, "reason", reason, "seq",
	                         (json_int_t)seq);
	check(lost != NULL);
	json_array_append_new(op->lost, lost);
}

/* A cursor that counts in another stream, which had this name before. The row keeps that one's
 * lineage, and the stream says so before the first event. */
static bool is_recreated(struct connection_op *op, const struct stream *stream,
                         struct connection_watch *place)
{
	uint64_t lineage = connection_lineage(&op->row, place->id);
	place->lineage = stream->lineage;
	if (place->from == 0 || lineage == 0 || lineage == stream->lineage)
		return false;
	place->lineage = lineage;
	place->from = stream_first(store_view(op->all->worker->store), stream);
	note_lost(op, place->id, "recreated", place->from);
	return true;
}

/* Where it begins. False: it cannot be watched, *status. */
static bool find_place(struct connection_op *op, bool stated, struct connection_watch *place,
                       unsigned *status)
{
	struct sse_worker *w = op->all->worker;
	const char *reset, *id = place->id;
	if (!connection_may(op->request, id, RIGHT(READ), "events", status))
		return false;
	struct stream *stream = connection_events(w, id);
	if (stream == NULL) {
		open_streams(op, id);
		place->from = place->lineage = 0;
		return true;
	}
	if (stated && is_recreated(op, stream, place))
		return true;
	connection_leave_other(&op->row, id, stream->lineage);
	place->lineage = stream->lineage;
	place->from = stated ? connection_from(w, stream, place->from, &reset) : stream->tail;
	if (stated && reset != NULL)
		note_lost(op, id, reset, place->from);
	return true;
}

static void refuse(struct connection_op *op, unsigned status)
{
	connection_op_fault(op, status, status == 403 ? "FORBIDDEN" : "SESSION_NOT_FOUND",
	                    status == 403   ? "this session may not be read"
	                    : status == 503 ? store_unreadable_reason
	                                    : "Session not found");
}

static void take_verdict(struct connection_op *op, enum connection_verdict verdict)
{
	op->verdict = verdict;
	if (verdict == CONNECTION_FULL)
		connection_op_fault(op, 429, "LIMIT",
		                    "connections.sessions are watched by this connection");
	else
		op->write = verdict == CONNECTION_DONE;
}

static size_t sessions_max(const struct connection_op *op)
{
	return op->all->worker->settings->connections_sessions;
}

static struct connection_watch asked_place(const struct connection_op *op)
{
	struct connection_watch place = {.from = op->from};
	memcpy(place.id, op->id, sizeof place.id);
	return place;
}

static void watch_step(struct connection_op *op)
{
	struct connection_watch place = asked_place(op);
	unsigned status;
	if (!find_place(op, op->stated, &place, &status)) {
		refuse(op, status);
		return;
	}
	take_verdict(op, connection_watch_one(&op->row, op->id, op->stated, place.from,
	                                      sessions_max(op)));
	if (op->write)
		connection_count_in(&op->row, op->id, place.lineage);
}

static void unwatch_step(struct connection_op *op)
{
	take_verdict(op, connection_unwatch(&op->row, op->id));
}

static void switch_step(struct connection_op *op)
{
	struct connection_watch place = asked_place(op);
	unsigned status;
	const char *id = *op->id != '\0' ? op->id : NULL;
	if (id != NULL && !find_place(op, op->stated, &place, &status)) {
		refuse(op, status);
		return;
	}
	bool stays = id != NULL && !op->stated && connection_find(&op->row, id) != NULL;
	take_verdict(op, connection_switch(&op->row, id, op->stated, place.from, sessions_max(op)));
	if (op->write && id != NULL && !stays)
		connection_count_in(&op->row, id, place.lineage);
}

/* What cannot be watched is left out and named: the rest is what counts. */
static void reconnect_step(struct connection_op *op)
{
	struct connection_watch *set = xcalloc(op->places_count + 1, sizeof *set);
	size_t count = 0;
	unsigned status;
	for (size_t i = 0; i < op->places_count; i++) {
		set[count] = op->places[i];
		if (find_place(op, true, &set[count], &status))
			count++;
		else
			note_lost(op, op->places[i].id, status == 403 ? "forbidden" : "gone", 0);
	}
	take_verdict(op, connection_state(&op->row, set, count, sessions_max(op)));
	free(set);
}

static void suspend_step(struct connection_op *op)
{
	struct sse_worker *w = op->all->worker;
	for (size_t i = 0; i < op->places_count; i++) {
		struct stream *stream = connection_events(w, op->places[i].id);
		if (stream != NULL && op->places[i].from > stream->tail)
			op->places[i].from = 0; /* nobody gave that */
	}
	take_verdict(op, connection_suspend(&op->row, op->places, op->places_count, op->now_ms,
	                                    w->settings->connections_suspend_grace_ms));
}

/* Whoever it is must be who opened it; and a generation that is named must be the one there is. */
static void step(struct connection_op *op)
{
	json_decref(op->lost);
	op->lost = json_array();
	if (!op->there) {
		connection_op_fault(op, 404, "CONNECTION_NOT_FOUND", "Connection not registered");
	} else if (!connection_is_of(&op->row, op->request->identity->principal,
	                             op->request->identity->former)) {
		counter_add(op->all->worker->counters, chat_foreign_total, 1);
		connection_op_fault(op, 403, "FORBIDDEN",
		                    "this connection is another login's; its id gives no rights");
	} else if (op->generation != 0 && op->generation != op->row.generation) {
		counter_add(op->all->worker->counters, chat_stale_total, 1);
		connection_op_fault(op, 409, "STALE_GENERATION",
		                    "another stream has this connection by now");
	} else {
		op->deed->step(op);
	}
}

/* ---- answers ---- */

static void connection_reply_ok(struct request *request, unsigned status)
{
	json_t *answer = json_pack("{s:b}", "ok", true);
	conversation_reply(request, status, answer);
	json_decref(answer);
}

static json_t *event_of(const char *type, const char *id)
{
	return json_pack("{s:i, s:s, s:s}", "v", CONNECTION_PROTOCOL, "type", type, "sessionId",
	                 id);
}

/* The client is told on its stream, too, wherever that is. */
static void tell_lost(struct connection_op *op)
{
	size_t i;
	json_t *lost;
	json_array_foreach (op->lost, i, lost) {
		const char *reason = json_string_value(json_object_get(lost, "reason"));
		if (strcmp(reason, "recreated") == 0)
			continue; /* in its turn, before what is read anew: the stream itself */
		json_t *event = event_of("session_reset",
		                         json_string_value(json_object_get(lost, "sessionId")));
		json_object_update(event, lost);
		connection_say(op->all, &op->row, event, NULL, NULL);
	}
}

static void answer_places(struct connection_op *op)
{
	json_t *sessions = json_array();
	for (size_t i = 0; i < op->row.count; i++)
		json_array_append_new(sessions,
		                      json_pack("{s:s, s:I}", "sessionId", op->row.watches[i].id,
		                                "lastSeq", (json_int_t)op->row.watches[i].from));
	json_t *answer =
	        json_pack("{s:b, s:I, s:o, s:O}", "ok", true, "generation",
	                  (json_int_t)op->row.generation, "sessions", sessions, "lost", op->lost);
	check(answer != NULL);
	conversation_reply(op->request, 200, answer);
	json_decref(answer);
	tell_lost(op);
}

static void answer_reconnect(struct connection_op *op)
{
	counter_add(op->all->worker->counters, chat_reconnects_total, 1);
	answer_places(op);
}

/* Where the stream stands; without one, or behind what the client has stated, as the row says. */
static void reply_watched(void *arg, bool said, const json_t *event)
{
	struct request *request = arg;
	(void)said;
	json_t *answer = json_pack("{s:b, s:O, s:O}", "ok", true, "sessionId",
	                           json_object_get(event, "sessionId"), "seq",
	                           json_object_get(event, "seq"));
	check(answer != NULL);
	conversation_reply(request, 200, answer);
	json_decref(answer);
}

/* One that is watched already is said to be, once more. */
static void answer_watch(struct connection_op *op)
{
	const struct connection_watch *watch = connection_find(&op->row, op->id);
	json_t *event = event_of("watched", op->id);
	check(event != NULL);
	json_object_set_new(event, "seq",
	                    json_integer((json_int_t)(watch != NULL ? watch->from : 0)));
	bool same = op->verdict == CONNECTION_SAME;
	if (op->stated || !same)
		reply_watched(op->request, false, event);
	if (!same)
		json_decref(event);
	else if (op->stated)
		connection_say(op->all, &op->row, event, NULL, NULL);
	else
		connection_say(op->all, &op->row, event, reply_watched, op->request);
	tell_lost(op);
}

static void answer_unwatch(struct connection_op *op)
{
	connection_reply_ok(op->request, 200);
	if (op->verdict == CONNECTION_SAME)
		connection_say(op->all, &op->row, event_of("unwatched", op->id), NULL, NULL);
}

static void answer_ok(struct connection_op *op)
{
	connection_reply_ok(op->request, 200);
	tell_lost(op);
}

static void answer_suspend(struct connection_op *op)
{
	counter_add(op->all->worker->counters, chat_suspended_total, 1);
	connection_reply_ok(op->request, 200);
}

static void answer_beacon(struct connection_op *op)
{
	counter_add(op->all->worker->counters, chat_suspended_total, 1);
	conversation_reply(op->request, 204, NULL);
}

static void end(struct connection_op *op, bool done)
{
	if (done)
		op->deed->answer(op);
	else
		conversation_reply_fault(op->request, op->status, op->code, NULL, op->text);
}

static const struct connection_deed deeds[] = {
        {"watch", take_place, watch_step, answer_watch},
        {"unwatch", take_place, unwatch_step, answer_unwatch},
        {"switch", take_place_or_none, switch_step, answer_ok},
        {"reconnect", take_places, reconnect_step, answer_reconnect},
        {"suspend", take_places, suspend_step, answer_suspend},
};
static const struct connection_deed beacon = {"beacon", take_places, suspend_step, answer_beacon};

/* ---- probe ---- */

static void probe_said(void *arg, bool said, const json_t *event)
{
	struct request *request = arg;
	(void)event;
	if (said)
		connection_reply_ok(request, 202);
	else
		conversation_reply_fault(request, 404, "CONNECTION_NOT_OPEN", NULL,
		                         "No SSE stream for this connection");
}

static const char *take_nonce(struct connection_op *op)
{
	const json_t *nonce = json_object_get(op->body, "nonce");
	return json_is_string(nonce) && json_string_length(nonce) > 0 &&
	                       json_string_length(nonce) <= CONNECTION_NONCE_MAX
	               ? NULL
	               : "nonce must be a string of 1 to 100 bytes";
}

/* Nothing changes: it is there, and whose it should be. */
static void probe_step(struct connection_op *op)
{
	op->verdict = CONNECTION_SAME;
}

static void answer_probe(struct connection_op *op)
{
	json_t *event = json_pack("{s:i, s:s, s:O}", "v", CONNECTION_PROTOCOL, "type", "_probe",
	                          "nonce", json_object_get(op->body, "nonce"));
	check(event != NULL);
	connection_say(op->all, &op->row, event, probe_said, op->request);
}

static const struct connection_deed probe = {"probe", take_nonce, probe_step, answer_probe};

/* ---- POST /api/chat/NAME ---- */

static void run(struct request *request, const struct connection_deed *deed, const char *cid,
                json_t *body)
{
	struct connection_op *op = connection_op_create(worker_of(request)->connections, cid);
	op->request = request;
	op->deed = deed;
	op->body = body;
	op->step = step;
	op->end = end;
	const char *fault =
	        take_generation(op) ? deed->take(op) : "X-Connection-Generation is no number";
	if (fault != NULL) {
		bool many = deed->take == take_places &&
		            json_array_size(json_object_get(body, "sessions")) > sessions_max(op);
		conversation_reply_fault(request, many ? 413 : 400, "INVALID_BODY", NULL, fault);
		connection_op_free(op);
		return;
	}
	connection_op_run(op);
}

static const struct connection_deed *find_deed(struct span name)
{
	for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
		if (span_equal(name, span_str(deeds[i].name)))
			return &deeds[i];
	return span_equal(name, SPAN("probe")) ? &probe : NULL;
}

/* NULL: answered. */
static json_t *take_body(struct request *request, size_t max)
{
	if (request->body_len > max) {
		conversation_reply_fault(request, 413, "TOO_LARGE", NULL, "Payload too large");
		return NULL;
	}
	json_t *body =
	        json_take(span_of(request->body, request->body_len), JSON_DECODE_ANY, NULL, NULL);
	if (json_is_object(body))
		return body;
	json_decref(body);
	conversation_reply_fault(request, 400, "INVALID_BODY", NULL, "Invalid request body");
	return NULL;
}

void connection_ask(struct request *request, struct span name, const char *cid, json_t *body)
{
	const struct connection_deed *deed = find_deed(name);
	if (deed != NULL)
		run(request, deed, cid, body);
	else if (!connection_talk(request, name, cid, body))
		conversation_reply_fault(request, 404, "NOT_FOUND", NULL, "Not found");
}

void connections_handle(struct request *request)
{
	static const struct span root = {(const uint8_t *)"/api/chat/", 10};
	const struct settings *s = worker_of(request)->settings;
	struct span path = request->path;
	struct span name = path.len > root.len ? span_of(path.at + root.len, path.len - root.len)
	                                       : (struct span){0};
	const struct connection_deed *deed = find_deed(name);
	char cid[CONNECTION_CID_ROOM];
	if (!connection_named(request, cid))
		return;
	json_t *body = take_body(request, deed != NULL ? s->connections_reconnect_bytes
	                                               : s->conversations_message_bytes);
	if (body != NULL)
		connection_ask(request, name, cid, body);
}

void connections_beacon(struct request *request)
{
	char cid[CONNECTION_CID_ROOM];
	json_t *body =
	        take_body(request, worker_of(request)->settings->connections_reconnect_bytes);
	if (body == NULL)
		return;
	const json_t *id = json_object_get(body, "connectionId");
	if (json_is_string(id) &&
	    connection_cid_read(span_of(json_string_value(id), json_string_length(id)), cid)) {
		run(request, &beacon, cid, body);
		return;
	}
	json_decref(body);
	conversation_reply_fault(request, 400, "INVALID_BODY", NULL,
	                         "connectionId must be a cid-UUID");
}
