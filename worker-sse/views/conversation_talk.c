/* What people say: messages, results of tools, approvals, answers to questions. Each is one
 * transaction: the receipt, the event that everybody sees, the item in the agent's inbox. */
#include "common/base/check.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>

/* ---- what a body has ---- */

const char *conversation_body_text(const struct conversation_call *call, const char *name,
                                   size_t max, const char **fault)
{
	const json_t *value = json_object_get(call->body, name);
	if (value == NULL || json_is_null(value))
		return NULL;
	if (!json_is_string(value) || json_string_length(value) > max) {
		*fault = "a member is no string, or too long";
		return NULL;
	}
	return json_string_value(value);
}

/* Who speaks: as the body says, else the header, else somebody new. */
static const char *take_actor(struct conversation_call *call)
{
	const char *fault = NULL;
	const char *actor = conversation_body_text(call, "actorId", CONVERSATION_NAME_MAX, &fault);
	struct span header = call->request->headers[HEADER_X_ACTOR_ID];
	if (actor == NULL && header.len > 0 && header.len <= CONVERSATION_NAME_MAX)
		memcpy(call->actor_id, header.at, header.len);
	else if (actor == NULL)
		conversation_random_id(call->actor_id);
	else
		snprintf(call->actor_id, sizeof call->actor_id, "%s", actor);
	return fault;
}

const char *conversation_body_message(struct conversation_call *call, const char *name)
{
	const char *fault = NULL;
	const char *id = conversation_body_text(call, name, CONVERSATION_ID_MAX, &fault);
	if (fault != NULL || (id != NULL && !conversation_id_good(span_str(id))))
		return "the id of a message is 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	if (id == NULL)
		conversation_random_id(call->message);
	else
		snprintf(call->message, sizeof call->message, "%s", id);
	return NULL;
}

/* Of the body without what names it. */
static void take_digest(struct conversation_call *call)
{
	json_t *payload = json_copy(call->body);
	json_object_del(payload, "messageId");
	json_object_del(payload, "clientMsgId");
	json_object_del(payload, "txid");
	conversation_digest(payload, call->digest);
	json_decref(payload);
}

static const char *txid_of(const struct conversation_call *call)
{
	return json_string_value(json_object_get(call->body, "txid"));
}

static const char *take_common(struct conversation_call *call)
{
	const char *fault = take_actor(call);
	conversation_body_text(call, "txid", CONVERSATION_ID_MAX, &fault);
	return fault;
}

/* ---- what the agent gets ---- */

/* Everything that was sent, and what it is. */
static json_t *inbox_item(const struct conversation_call *call, const char *type)
{
	json_t *item = json_copy(call->body);
	json_object_set_new(item, "type", json_string(type));
	json_object_set_new(item, "sessionId", json_string(call->id));
	json_object_set_new(item, "actorId", json_string(call->actor_id));
	json_object_set_new(item, "createdAt", conversation_time(call->now_ms));
	return item;
}

static void hand_in(struct conversation_call *call, const char *type, const char *message,
                    uint64_t position)
{
	json_t *item = inbox_item(call, type);
	if (message != NULL)
		json_object_set_new(item, "messageId", json_string(message));
	if (position != 0)
		json_object_set_new(item, "seq", json_integer((json_int_t)position));
	conversation_hand_in(call, item);
}

/* ---- POST messages ---- */

static const char *speaker_role(const struct conversation_call *call)
{
	const char *role = json_string_value(json_object_get(call->body, "role"));
	return role != NULL ? role : "user";
}

static bool role_good(const char *role)
{
	return strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0 ||
	       strcmp(role, "system") == 0;
}

const char *conversation_message_take(struct conversation_call *call)
{
	const char *fault = NULL;
	bool ours = json_object_get(call->body, "messageId") == NULL;
	if (!json_is_string(json_object_get(call->body, "content")))
		return "content must be a string";
	conversation_body_text(call, "role", 16, &fault);
	if (fault != NULL || !role_good(speaker_role(call)))
		return "role must be user, assistant or system";
	take_digest(call); /* of what was sent: before anything is made up */
	fault = take_common(call);
	return fault != NULL ? fault
	                     : conversation_body_message(call, ours ? "clientMsgId" : "messageId");
}

static void receipt(struct conversation_call *call, const struct conversation_message *message)
{
	conversation_answer(call, 202,
	                    json_pack("{s:b, s:s, s:s, s:s, s:I}", "accepted", true, "messageId",
	                              call->message, "clientMsgId", call->message, "sessionId",
	                              call->id, "seq", (json_int_t)message->position));
}

static void count_message(struct conversation_call *call)
{
	counter_add(call->all->worker->counters, conversation_messages_total, 1);
}

/* True: it is to be taken. */
static bool judge(struct conversation_call *call, struct conversation_message *message)
{
	bool known;
	if (!conversation_recall(call, call->message, message, &known))
		return false;
	enum conversation_verdict verdict =
	        conversation_judge_message(known ? message : NULL, call->digest);
	if (verdict == CONVERSATION_CONFLICT) {
		counter_add(call->all->worker->counters, conversation_conflicts_total, 1);
		conversation_fault(call, 409, "fingerprint_conflict",
		                   "this message's id was used for something else");
	}
	if (verdict == CONVERSATION_REPEATED)
		counter_add(call->all->worker->counters, conversation_repeats_total, 1);
	return verdict != CONVERSATION_CONFLICT;
}

/* False: it goes on; the receipt of then is answered. */
static bool is_repeated(const struct conversation_message *message)
{
	return message->pieces > 0;
}

static bool ensure(struct conversation_call *call)
{
	return call->there || conversation_make(call, call->id, "");
}

void conversation_message_step(struct conversation_call *call)
{
	struct conversation_message message = {0};
	if (!judge(call, &message))
		return;
	if (is_repeated(&message)) {
		receipt(call, &message);
		return;
	}
	if (!ensure(call))
		return;
	json_t *chunk = conversation_whole_message(
	        call->message, speaker_role(call),
	        json_string_value(json_object_get(call->body, "content")), call->now_ms);
	message = (struct conversation_message){.pieces = 1, .at_ms = call->now_ms, .ended = true};
	memcpy(message.digest, call->digest, sizeof message.digest);
	message.position = conversation_say(
	        call, conversation_piece_event(call->message, 0, call->actor_id, speaker_role(call),
	                                       chunk, call->now_ms, txid_of(call)));
	json_decref(chunk);
	hand_in(call, "message", call->message, message.position);
	conversation_remember(call, call->message, &message, true);
	call->count = count_message;
	receipt(call, &message);
}

/* ---- POST tool-results ---- */

const char *conversation_result_take(struct conversation_call *call)
{
	const char *fault = NULL;
	if (conversation_body_text(call, "toolCallId", CONVERSATION_NAME_MAX, &fault) == NULL)
		return "toolCallId must be a string of at most 256 bytes";
	take_digest(call);
	fault = take_common(call);
	return fault != NULL ? fault : conversation_body_message(call, "messageId");
}

static json_t *member_or_null(const struct conversation_call *call, const char *name)
{
	json_t *value = json_object_get(call->body, name);
	return value != NULL ? json_incref(value) : json_null();
}

void conversation_result_step(struct conversation_call *call)
{
	struct conversation_message message = {0};
	if (!judge(call, &message))
		return;
	if (is_repeated(&message)) {
		conversation_answer(call, 204, NULL);
		return;
	}
	if (!ensure(call))
		return;
	json_t *chunk =
	        json_pack("{s:s, s:O, s:o, s:o}", "type", "tool-result", "toolCallId",
	                  json_object_get(call->body, "toolCallId"), "output",
	                  member_or_null(call, "output"), "error", member_or_null(call, "error"));
	check(chunk != NULL);
	message = (struct conversation_message){.pieces = 1, .at_ms = call->now_ms, .ended = true};
	memcpy(message.digest, call->digest, sizeof message.digest);
	message.position = conversation_say(
	        call, conversation_piece_event(call->message, 0, call->actor_id, "user", chunk,
	                                       call->now_ms, txid_of(call)));
	json_decref(chunk);
	hand_in(call, "tool-result", call->message, message.position);
	conversation_remember(call, call->message, &message, true);
	call->count = count_message;
	conversation_answer(call, 204, NULL);
}

/* ---- POST approvals/ID ---- */

const char *conversation_approval_take(struct conversation_call *call)
{
	if (!json_is_boolean(json_object_get(call->body, "approved")))
		return "approved must be true or false";
	conversation_random_id(call->message);
	return take_common(call);
}

void conversation_approval_step(struct conversation_call *call)
{
	json_t *approved = json_object_get(call->body, "approved");
	if (!ensure(call))
		return;
	json_t *chunk = json_pack("{s:s, s:s, s:O}", "type", "approval-response", "approvalId",
	                          call->argument, "approved", approved);
	uint64_t position = conversation_say(
	        call, conversation_piece_event(call->message, 0, call->actor_id, "user", chunk,
	                                       call->now_ms, txid_of(call)));
	json_decref(chunk);
	json_t *item = inbox_item(call, "approval");
	json_object_set_new(item, "approvalId", json_string(call->argument));
	json_object_set_new(item, "seq", json_integer((json_int_t)position));
	conversation_hand_in(call, item);
	call->count = count_message;
	conversation_answer(call, 204, NULL);
}

/* ---- POST answers/ID ---- */

/* Every answer is a text. */
static bool texts_only(json_t *answers)
{
	const char *name;
	json_t *value;
	json_object_foreach (answers, name, value)
		if (!json_is_string(value))
			return false;
	return json_is_object(answers);
}

const char *conversation_reply_take(struct conversation_call *call)
{
	const json_t *input = json_object_get(call->body, "originalInput");
	if (!texts_only(json_object_get(call->body, "answers")))
		return "answers must be an object of strings";
	if (input != NULL && !json_is_null(input) && !json_is_object(input))
		return "originalInput must be an object";
	return take_common(call);
}

/* For the agent alone: its next words say what came of it. */
void conversation_reply_step(struct conversation_call *call)
{
	json_t *item = inbox_item(call, "answer");
	json_object_set_new(item, "toolCallId", json_string(call->argument));
	conversation_hand_in(call, item);
	call->count = count_message;
	conversation_answer(call, 204, NULL);
}
