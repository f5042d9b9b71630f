/* What is said beside a stream: the words of this wire for what conversations do (docs/
 * conversations.md). Each is one turn of the conversation; what the connection watches by it is put
 * in the same transaction. None of it depends on a stream that is open: who has none, or none any
 * more, is answered all the same, and sees what came of it when it watches again. */
#include "common/base/check.h"
#include "common/base/hex.h"
#include "worker-sse/views/connection_parts.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct word {
	const char *name;
	bool makes; /* a session that is not named is made */
	/* Reads what it needs from the body. NULL: fine. */
	const char *(*take)(struct conversation_call *call);
	/* call->argument: the connection. */
	void (*step)(struct conversation_call *call);
};

/* ---- the connection, in a conversation's turn ---- */

/* False: it is another's; answered. *there: it is his who asks. */
static bool find_connection(struct conversation_call *call, struct connection *row, bool *there)
{
	enum row_found found = connection_load(call->change->rows, call->argument, row);
	*there = found == ROW_PRESENT;
	if (found == ROW_ABSENT)
		return true;
	if (found == ROW_UNREADABLE) {
		conversation_fault(call, 503, "UNREADABLE", "this connection cannot be read");
		return false;
	}
	const struct identity *identity = call->request->identity;
	if (connection_is_of(row, identity->principal, identity->former))
		return true;
	connection_finish(row);
	*there = false;
	conversation_fault(call, 403, "FORBIDDEN",
	                   "this connection is another login's; its id gives no rights");
	return false;
}

/* It watches the conversation from there on, in the foreground, unless it does. */
static void attach(struct conversation_call *call, struct connection *row, uint64_t from)
{
	size_t max = call->all->worker->settings->connections_sessions;
	bool was = strcmp(row->active, call->id) == 0;
	enum connection_verdict verdict = connection_watch_one(row, call->id, false, from, max);
	struct stream *stream = connection_events(call->all->worker, call->id);
	if (verdict == CONNECTION_DONE && stream != NULL)
		connection_count_in(row, call->id, stream->lineage);
	if (verdict != CONNECTION_FULL)
		memcpy(row->active, call->id, sizeof row->active);
	if (verdict == CONNECTION_DONE || (verdict == CONNECTION_SAME && !was)) {
		connection_store(call->change->rows, row);
		call->write = true;
	}
}

static uint64_t tail_of(const struct conversation_call *call)
{
	struct stream *stream = connection_events(call->all->worker, call->id);
	return stream != NULL ? stream->tail : 0;
}

/* ---- send, interrupt ---- */

/* A session that has no name yet gets the one that this message makes: said again, by whichever
 * connection, it is the same. */
static void name_session(const struct request *request, const char *message,
                         char out[CONVERSATION_ID_ROOM])
{
	uint8_t digest[32];
	char hex[65];
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	check(hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
	const char *principal = request->identity->principal;
	EVP_DigestUpdate(hash, principal, strlen(principal) + 1);
	EVP_DigestUpdate(hash, message, strlen(message));
	check(EVP_DigestFinal_ex(hash, digest, NULL) == 1);
	EVP_MD_CTX_free(hash);
	hex_print(digest, sizeof digest, hex);
	snprintf(out, CONVERSATION_ID_ROOM, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	         hex + 16, hex + 20);
}

static const char *take_prompt(struct conversation_call *call)
{
	const char *fault = NULL;
	json_t *prompt = json_object_get(call->body, "prompt");
	if (!json_is_string(prompt))
		return "prompt must be a string";
	if (conversation_body_text(call, "clientMsgId", CONVERSATION_ID_MAX, &fault) == NULL)
		return "clientMsgId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	json_object_set(call->body, "content", prompt);
	json_object_del(call->body, "prompt");
	json_object_del(call->body, "messageId");
	return conversation_message_take(call);
}

static bool is_known(struct conversation_call *call, bool *known)
{
	struct conversation_message message;
	return conversation_recall(call, call->message, &message, known);
}

static void say(struct conversation_call *call, void (*first)(struct conversation_call *call))
{
	struct connection row;
	bool there, known;
	/* What a repeated one is answered with happened before its tail of today: all is shown to
	 * whoever had made the session by it, and was not told its name. */
	uint64_t from = tail_of(call);
	if (!find_connection(call, &row, &there))
		return;
	if (is_known(call, &known)) {
		if (known && call->makes)
			from = 0;
		if (!known && first != NULL)
			first(call);
		if (call->status == 500) /* nothing stands in the way */
			conversation_message_step(call);
	}
	if (there && call->status == 202)
		attach(call, &row, from);
	if (there)
		connection_finish(&row);
}

static void send_step(struct conversation_call *call)
{
	say(call, NULL);
}

/* What is being said ends, for all who watch, and the agent gets this instead. */
static void stop_first(struct conversation_call *call)
{
	char stopped[CONVERSATION_ID_ROOM];
	memcpy(stopped, call->row.generation, sizeof stopped);
	if (*stopped != '\0' && !conversation_end_generation(call, call->actor_id, "interrupted"))
		return;
	json_t *item = json_pack("{s:s, s:s, s:s*}", "type", "stop", "sessionId", call->id,
	                         "messageId", *stopped != '\0' ? stopped : NULL);
	check(item != NULL);
	conversation_hand_in(call, item);
}

static void interrupt_step(struct conversation_call *call)
{
	say(call, stop_first);
	if (call->status == 202)
		json_object_set_new(call->answer, "ok", json_true());
}

/* ---- stop ---- */

static void answer_ok(struct conversation_call *call)
{
	conversation_answer(call, 200, json_pack("{s:b}", "ok", true));
}

static void stop_step(struct conversation_call *call)
{
	struct connection row;
	bool there;
	if (!find_connection(call, &row, &there))
		return;
	if (there)
		connection_finish(&row);
	conversation_stop_step(call);
	if (call->status == 204)
		answer_ok(call);
}

/* ---- permission, mode, close: for the agent ---- */

static const char *take_permission(struct conversation_call *call)
{
	const char *fault = NULL;
	const char *decision = conversation_body_text(call, "decision", 16, &fault);
	const char *id = conversation_body_text(call, "permId", CONVERSATION_ID_MAX - 16, &fault);
	if (id == NULL || !conversation_id_good(span_str(id)))
		return "permId must be 1 to 112 of A-Z a-z 0-9 . _ ~ -";
	if (decision == NULL || (strcmp(decision, "once") != 0 && strcmp(decision, "always") != 0 &&
	                         strcmp(decision, "deny") != 0))
		return "decision must be once, always or deny";
	snprintf(call->message, sizeof call->message, "permission.%s", id);
	conversation_digest(json_object_get(call->body, "decision"), call->digest);
	return NULL;
}

/* Decided once: said again the same is fine, another decision comes too late. */
static void permission_step(struct conversation_call *call)
{
	struct conversation_message message = {0};
	bool known;
	json_t *decision = json_object_get(call->body, "decision");
	if (!conversation_recall(call, call->message, &message, &known))
		return;
	if (known && strcmp(message.digest, call->digest) != 0) {
		conversation_fault(call, 409, "permission_response_rejected",
		                   "this has been decided otherwise");
		return;
	}
	if (!known) {
		bool approved = strcmp(json_string_value(decision), "deny") != 0;
		const char *id = json_string_value(json_object_get(call->body, "permId"));
		json_t *chunk =
		        json_pack("{s:s, s:s, s:b, s:O}", "type", "approval-response", "approvalId",
		                  id, "approved", approved, "decision", decision);
		check(chunk != NULL);
		message = (struct conversation_message){
		        .pieces = 1, .at_ms = call->now_ms, .ended = true};
		memcpy(message.digest, call->digest, sizeof message.digest);
		message.position = conversation_say(
		        call, conversation_piece_event(call->message, 0, call->actor_id, "user",
		                                       chunk, call->now_ms, NULL));
		json_decref(chunk);
		json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:b, s:O, s:I}", "type", "approval",
		                         "sessionId", call->id, "actorId", call->actor_id,
		                         "approvalId", id, "approved", approved, "decision",
		                         decision, "seq", (json_int_t)message.position);
		check(item != NULL);
		conversation_hand_in(call, item);
		conversation_remember(call, call->message, &message, true);
	}
	answer_ok(call);
}

static const char *take_mode(struct conversation_call *call)
{
	const char *fault = NULL;
	return conversation_body_text(call, "mode", CONVERSATION_NAME_MAX, &fault) != NULL
	               ? NULL
	               : "mode must be a string of at most 256 bytes";
}

static void hand_in_plain(struct conversation_call *call, const char *type)
{
	json_t *item = json_copy(call->body);
	json_object_set_new(item, "type", json_string(type));
	json_object_set_new(item, "sessionId", json_string(call->id));
	json_object_set_new(item, "actorId", json_string(call->actor_id));
	json_object_set_new(item, "createdAt", conversation_time(call->now_ms));
	conversation_hand_in(call, item);
}

static void mode_step(struct conversation_call *call)
{
	hand_in_plain(call, "mode");
	answer_ok(call);
}

static void tell_closed(struct conversation_call *call)
{
	struct connections *all = call->all->worker->connections;
	char key[CONNECTION_KEY_ROOM];
	struct connection row;
	struct span value;
	if (!state_kv_get(store_view(all->worker->store), connection_key(call->argument, key),
	                  &value) ||
	    connection_read(&row, value) != ROW_PRESENT)
		return;
	connection_say(all, &row,
	               json_pack("{s:i, s:s, s:s, s:b, s:n}", "v", CONNECTION_PROTOCOL, "type",
	                         "session_close_ack", "sessionId", call->id, "accepted", true,
	                         "reason"),
	               NULL, NULL);
	connection_finish(&row);
}

/* The agent is told that it is wanted no longer; this connection watches it no more. */
static void close_step(struct conversation_call *call)
{
	struct connection row;
	bool there;
	if (!find_connection(call, &row, &there))
		return;
	hand_in_plain(call, "close");
	if (there && connection_unwatch(&row, call->id) == CONNECTION_DONE)
		connection_store(call->change->rows, &row);
	if (there)
		connection_finish(&row);
	call->count = tell_closed;
	answer_ok(call);
}

static const struct word words[] = {
        {"send", true, take_prompt, send_step},
        {"interrupt", false, take_prompt, interrupt_step},
        {"stop", false, NULL, stop_step},
        {"permission", false, take_permission, permission_step},
        {"mode", false, take_mode, mode_step},
        {"close", false, NULL, close_step},
};

/* ---- taking the request ---- */

/* Of what is not there nothing, but what makes it. */
static void step(struct conversation_call *call)
{
	if (!call->there && !call->makes)
		conversation_fault(call, 404, "SESSION_NOT_FOUND", "Session not found");
	else
		call->verb_step(call);
}

/* The one in the foreground, for those that need not name it. */
static void take_active(const struct request *request, const char *cid,
                        char out[CONVERSATION_ID_ROOM])
{
	char key[CONNECTION_KEY_ROOM];
	struct connection row;
	struct span value;
	*out = '\0';
	if (!state_kv_get(store_view(worker_of(request)->store), connection_key(cid, key),
	                  &value) ||
	    connection_read(&row, value) != ROW_PRESENT)
		return;
	memcpy(out, row.active, CONVERSATION_ID_ROOM);
	connection_finish(&row);
}

/* False: answered. */
static bool find_session(struct request *request, const struct word *word, const char *cid,
                         const json_t *body, bool *makes, char out[CONVERSATION_ID_ROOM])
{
	const json_t *id = json_object_get(body, "sessionId");
	const json_t *message = json_object_get(body, "clientMsgId");
	bool named = json_is_string(id);
	*makes = false;
	*out = '\0';
	if (named && json_string_length(id) < CONVERSATION_ID_ROOM) {
		snprintf(out, CONVERSATION_ID_ROOM, "%s", json_string_value(id));
	} else if (!named && word->makes && json_is_string(message)) {
		*makes = true;
		name_session(request, json_string_value(message), out);
	} else if (!named && word->take == take_permission) {
		take_active(request, cid, out);
	}
	if (conversation_id_good(span_str(out)))
		return true;
	conversation_reply_fault(request, 400, "INVALID_ID", NULL,
	                         "sessionId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -");
	return false;
}

static const struct word *find_word(struct span name)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (span_equal(name, span_str(words[i].name)))
			return &words[i];
	return NULL;
}

bool connection_talk(struct request *request, struct span name, const char *cid, json_t *body)
{
	const struct word *word = find_word(name);
	char id[CONVERSATION_ID_ROOM];
	bool makes;
	if (word == NULL || !find_session(request, word, cid, body, &makes, id)) {
		json_decref(body);
		return word != NULL;
	}
	struct conversation_call *call = conversation_call_create(request, span_str(id), true);
	struct span actor = request->headers[HEADER_X_ACTOR_ID];
	if (actor.len > 0 && actor.len <= CONVERSATION_NAME_MAX)
		memcpy(call->actor_id, actor.at, actor.len);
	memcpy(call->argument, cid, CONNECTION_CID_ROOM);
	json_object_del(body, "sessionId"); /* no part of what is said */
	json_object_del(body, "type");
	call->body = body;
	call->verb_step = word->step;
	call->step = step;
	call->makes = makes;
	call->verbs = RIGHT(APPEND);
	call->about = "inbox";
	const char *fault = word->take != NULL ? word->take(call) : NULL;
	if (fault != NULL) {
		conversation_reply_fault(request, 400, "INVALID_BODY", id, fault);
		conversation_call_free(call);
	} else {
		conversation_call_run(call);
	}
	return true;
}
