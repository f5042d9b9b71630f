/* Who is there; a conversation that begins anew, or in two ways from here on. */
#include "common/base/check.h"
#include "common/store/offset.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>

/* ---- who is there ---- */

static const char *text_of(const struct conversation_call *call, const char *name)
{
	return json_string_value(json_object_get(call->body, name));
}

static const char *names_fault(const struct conversation_call *call)
{
	const char *fault = NULL;
	conversation_body_text(call, "actorId", CONVERSATION_NAME_MAX, &fault);
	conversation_body_text(call, "deviceId", CONVERSATION_NAME_MAX, &fault);
	conversation_body_text(call, "name", CONVERSATION_NAME_MAX, &fault);
	conversation_body_text(call, "actorType", 16, &fault);
	return fault;
}

static bool is_given(const struct conversation_call *call, const char *name)
{
	const char *text = text_of(call, name);
	return text != NULL && *text != '\0';
}

static const char *actor_type(const struct conversation_call *call)
{
	const char *type = text_of(call, "actorType");
	return type != NULL && strcmp(type, "agent") == 0 ? "agent" : "user";
}

const char *conversation_login_take(struct conversation_call *call)
{
	const char *fault = names_fault(call);
	if (!is_given(call, "actorId") || !is_given(call, "deviceId"))
		return "actorId and deviceId are required";
	return fault;
}

const char *conversation_logout_take(struct conversation_call *call)
{
	const char *fault = names_fault(call);
	if (!is_given(call, "actorId"))
		return "actorId is required";
	if (!json_is_true(json_object_get(call->body, "allDevices")) && !is_given(call, "deviceId"))
		return "deviceId or allDevices is required";
	return fault;
}

/* NULL: unreadable, answered. */
static json_t *presence_row(struct conversation_call *call)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	conversation_presence_key(call->id, key);
	json_t *row = NULL;
	if (rows_find(call->change->rows, key, &value) != ROW_UNREADABLE)
		row = conversation_presence_read(value);
	if (row == NULL) {
		rows_mark(call->change->rows, key);
		conversation_fault(call, 503, "UNREADABLE", store_unreadable_reason);
	}
	return row;
}

/* Takes `row`. */
static void put_presence_row(struct conversation_call *call, json_t *row)
{
	char key[CONVERSATION_KEY_ROOM];
	conversation_presence_key(call->id, key);
	rows_put_json(call->change->rows, key, row);
}

static json_t *presence_answer(const struct conversation_presence *presence)
{
	return json_pack("{s:b, s:s, s:s, s:s}", "success", true, "actorId", presence->actor,
	                 "deviceId", presence->device, "status",
	                 presence->online ? "online" : "offline");
}

void conversation_login_step(struct conversation_call *call)
{
	const struct conversation_presence presence = {
	        .actor = text_of(call, "actorId"),
	        .device = text_of(call, "deviceId"),
	        .actor_type = actor_type(call),
	        .name = is_given(call, "name") ? text_of(call, "name") : text_of(call, "actorId"),
	        .online = true};
	json_t *row = presence_row(call);
	if (row == NULL)
		return;
	if (!conversation_presence_put(row, &presence, call->now_ms,
	                               call->all->worker->settings->conversations_devices)) {
		json_decref(row);
		conversation_fault(call, 429, "LIMIT", "conversations.devices are there");
		return;
	}
	if (!call->there && !conversation_make(call, call->id, "")) {
		json_decref(row);
		return;
	}
	put_presence_row(call, row);
	conversation_say(call, conversation_presence_event(&presence, call->now_ms));
	conversation_answer(call, 200, presence_answer(&presence));
}

static void say_offline(struct conversation_call *call, json_t *row, const char *device)
{
	const struct conversation_presence presence = {.actor = text_of(call, "actorId"),
	                                               .device = device,
	                                               .actor_type = actor_type(call)};
	conversation_say(call, conversation_presence_event(&presence, call->now_ms));
	conversation_presence_put(row, &presence, call->now_ms, SIZE_MAX);
}

static size_t say_all_offline(struct conversation_call *call, json_t *row)
{
	const char *key;
	json_t *value;
	void *next;
	size_t count = 0;
	json_object_foreach_safe (row, next, key, value) {
		const char *actor = json_string_value(json_object_get(value, "actorId"));
		const char *device = json_string_value(json_object_get(value, "deviceId"));
		if (actor == NULL || device == NULL || strcmp(actor, text_of(call, "actorId")) != 0)
			continue;
		json_incref(value);
		say_offline(call, row, device);
		json_decref(value);
		count++;
	}
	return count;
}

void conversation_logout_step(struct conversation_call *call)
{
	json_t *row = presence_row(call);
	if (row == NULL)
		return;
	if (json_is_true(json_object_get(call->body, "allDevices"))) {
		size_t count = say_all_offline(call, row);
		conversation_answer(call, 200,
		                    json_pack("{s:b, s:s, s:I, s:s}", "success", true, "actorId",
		                              text_of(call, "actorId"), "devicesLoggedOut",
		                              (json_int_t)count, "status", "offline"));
	} else {
		const struct conversation_presence presence = {.actor = text_of(call, "actorId"),
		                                               .device = text_of(call, "deviceId")};
		say_offline(call, row, presence.device);
		conversation_answer(call, 200, presence_answer(&presence));
	}
	put_presence_row(call, row);
	conversation_put(call);
}

/* ---- beginning anew ---- */

/* Whoever watches forgets everything; who is there is said again, unless that is to be forgotten,
 * too. An answer that is being generated ends with it, and what was sent before waits for nobody:
 * an agent that answered it would speak of what nobody sees any more. */
void conversation_reset_step(struct conversation_call *call)
{
	const char *key;
	json_t *value, *row = presence_row(call);
	if (row == NULL)
		return;
	if (*call->row.generation != '\0' && !conversation_end_generation(call, "", NULL)) {
		json_decref(row);
		return;
	}
	conversation_say(call, conversation_reset_event());
	if (json_is_true(json_object_get(call->body, "clearPresence")))
		json_object_clear(row);
	json_object_foreach (row, key, value)
		conversation_say(call,
		                 json_pack("{s:s, s:s, s:O, s:{s:s}}", "type", "presence", "key",
		                           key, "value", value, "headers", "operation", "upsert"));
	put_presence_row(call, row);
	if (!conversation_agents_say(call))
		return;
	conversation_forgo(&call->row, conversation_inbox_tail(call));
	conversation_hand_in(call, json_pack("{s:s, s:s}", "type", "reset", "sessionId", call->id));
	conversation_answer(
	        call, 200,
	        json_pack("{s:b, s:s, s:s}", "success", true, "sessionId", call->id, "message",
	                  "Session reset. All connected clients will clear their state."));
}

/* ---- forks ---- */

const char *conversation_fork_take(struct conversation_call *call)
{
	const char *fault = NULL;
	conversation_body_text(call, "atMessageId", CONVERSATION_ID_MAX, &fault);
	if (fault != NULL)
		return "atMessageId must be a string of at most 128 bytes";
	return conversation_body_message(call, "newSessionId"); /* by the same grammar */
}

/* Where the message ends, or all of it so far. False: answered. */
static bool fork_point(struct conversation_call *call, const struct stream *events, uint64_t *at)
{
	const char *id = text_of(call, "atMessageId");
	struct conversation_message message = {0};
	bool known = false;
	*at = events->tail;
	if (id == NULL)
		return true;
	if (conversation_id_good(span_str(id)) && !conversation_recall(call, id, &message, &known))
		return false;
	*at = message.position;
	if (!known || *at == 0)
		conversation_fault(call, 404, "MESSAGE_NOT_FOUND",
		                   "no message of this id is remembered here");
	return known && *at != 0;
}

/* What is remembered of messages up to the fork is so in both. */
struct heirs {
	struct conversation_call *call;
	struct conversation *fork;
	uint64_t at;
	size_t prefix_len;
};

static bool inherit(void *arg, struct span key, struct span value)
{
	struct heirs *heirs = arg;
	struct conversation_message message = {0};
	char id[CONVERSATION_ID_ROOM], out[CONVERSATION_KEY_ROOM];
	size_t len = key.len - heirs->prefix_len;
	if (len >= sizeof id || conversation_message_read(&message, value) != ROW_PRESENT ||
	    message.position > heirs->at)
		return true;
	memcpy(id, key.at + heirs->prefix_len, len);
	id[len] = '\0';
	message.ended = true;
	char *text = conversation_message_text(&message);
	struct rows *rows = heirs->call->change->rows;
	conversation_message_key(heirs->fork->id, id, out);
	rows_put(rows, out, span_str(text));
	conversation_slot_key(heirs->fork->id, heirs->fork->messages++, out);
	rows_put(rows, out, span_str(id));
	free(text);
	return true;
}

/* An answer that is under way at the fork goes on in the source only: in the fork it ends. False:
 * unreadable, answered. */
static bool abandon_there(struct conversation_call *call, struct conversation *fork, uint64_t at)
{
	struct conversation_message message = {0};
	char path[CONVERSATION_PATH_ROOM], key[CONVERSATION_KEY_ROOM];
	const char *id = call->row.generation;
	bool known = false;
	if (*id != '\0' && !conversation_recall(call, id, &message, &known))
		return false;
	if (!known || message.pieces == 0 || message.position > at)
		return true; /* nothing of it is in the fork */
	json_t *chunk = json_pack("{s:s, s:s}", "type", "stop", "reason", "abandoned");
	json_t *event = conversation_piece_event(id, message.pieces++, "", "assistant", chunk,
	                                         call->now_ms, NULL);
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	txn_publish(call->change->txn, conversation_path(fork->id, "events", path), span_str(text));
	fork->said = message.position = at + strlen(text) + 1; /* as it is stored, with a comma */
	free(text);
	json_decref(event);
	json_decref(chunk);
	message.ended = true;
	message.at_ms = call->now_ms;
	text = conversation_message_text(&message);
	conversation_message_key(fork->id, id, key);
	rows_put(call->change->rows, key, span_str(text));
	free(text);
	return true;
}

/* False: unreadable, answered. */
static bool put_fork(struct conversation_call *call, struct conversation *fork, uint64_t at)
{
	char key[CONVERSATION_KEY_ROOM], prefix[CONVERSATION_KEY_ROOM];
	struct rows *rows = call->change->rows;
	int len = snprintf(prefix, sizeof prefix, CONVERSATION_MESSAGE_KEY "%s/", call->id);
	struct heirs heirs = {call, fork, at, (size_t)len};
	state_kv_page(store_view(call->all->worker->store), span_str(prefix), (struct span){0},
	              inherit, &heirs);
	if (!abandon_there(call, fork, at))
		return false;
	conversation_time_key(fork->id, fork->created_ms, key);
	rows_put(rows, key, SPAN("1"));
	char *text = conversation_text(fork);
	conversation_key(fork->id, key);
	rows_put(rows, key, span_str(text));
	free(text);
	return true;
}

static bool is_free(struct conversation_call *call, const char *id)
{
	char key[CONVERSATION_KEY_ROOM];
	struct span value;
	conversation_key(id, key);
	if (rows_find(call->change->rows, key, &value) == ROW_ABSENT)
		return true;
	conversation_fault(call, 409, "SESSION_EXISTS", "newSessionId is a session's already");
	return false;
}

void conversation_fork_step(struct conversation_call *call)
{
	char path[CONVERSATION_PATH_ROOM], source[CONVERSATION_PATH_ROOM], offset[OFFSET_ROOM];
	const struct stream *events =
	        state_find(store_view(call->all->worker->store),
	                   span_str(conversation_path(call->id, "events", source)));
	uint64_t at;
	if (events == NULL) {
		conversation_fault(call, 409, "NOTHING_SAID", "nothing was said here yet");
		return;
	}
	conversation_path(call->message, "events", path);
	if (!conversation_allowed(call, RIGHT(CREATE), span_str(path)) ||
	    !fork_point(call, events, &at) || !is_free(call, call->message))
		return;
	if (call->all->count >= call->all->worker->settings->conversations_max) {
		conversation_fault(call, 507, "LIMIT", "conversations.max is reached");
		return;
	}
	struct conversation fork = {.messages = 0}, whole = call->row;
	memcpy(fork.title, whole.title, sizeof fork.title);
	memcpy(fork.created_by, whole.created_by, sizeof fork.created_by);
	fork.created_ms = fork.changed_ms = call->now_ms;
	fork.revision = 1;
	memcpy(fork.id, call->message, sizeof fork.id);
	memcpy(fork.fork_source, call->id, sizeof fork.fork_source);
	snprintf(fork.owner, sizeof fork.owner, "%s", call->request->identity->principal);
	struct span printed = offset_print(events->lineage, at, offset);
	txn_fork(call->change->txn, conversation_path(fork.id, "events", path), source,
	         events->lineage, at);
	txn_stream(call->change->txn, conversation_path(fork.id, "inbox", path));
	if (!put_fork(call, &fork, at))
		return;
	conversation_put(call); /* the source, as it is: nothing was said meanwhile */
	call->row = fork;
	conversation_tell_change(call, "created");
	call->row = whole;
	conversation_answer(
	        call, 201,
	        json_pack("{s:s, s:s#}", "sessionId", fork.id, "offset", printed.at, printed.len));
}
