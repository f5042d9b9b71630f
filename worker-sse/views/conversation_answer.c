/* What the agent says: pieces of an answer, one answer at a time. */
#include "common/base/check.h"
#include "worker-sse/views/conversation_parts.h"

#include <stdio.h>

enum { PIECES_MAX = 1000 };

/* ---- what a body has ---- */

/* NULL: it is not there, or null, which is the same. */
static const json_t *member(const json_t *piece, const char *name)
{
	const json_t *value = json_object_get(piece, name);
	return json_is_null(value) ? NULL : value;
}

static bool has_text(const json_t *piece, const char *name, size_t max)
{
	const json_t *value = json_object_get(piece, name);
	return json_is_string(value) && json_string_length(value) <= max;
}

static const char *piece_fault(const json_t *piece)
{
	const char *role = json_string_value(json_object_get(piece, "role"));
	const char *message = json_string_value(json_object_get(piece, "messageId"));
	const json_t *txid = member(piece, "txid");
	const json_t *number = json_object_get(piece, "seq");
	if (message == NULL || !conversation_id_good(span_str(message)))
		return "messageId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	if (!has_text(piece, "actorId", CONVERSATION_NAME_MAX))
		return "actorId must be a string of at most 256 bytes";
	if (role == NULL || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0 &&
	                     strcmp(role, "system") != 0))
		return "role must be user, assistant or system";
	if (!json_is_object(json_object_get(piece, "chunk")))
		return "chunk must be an object";
	if (txid != NULL && !has_text(piece, "txid", CONVERSATION_ID_MAX))
		return "txid must be a string of at most 128 bytes";
	if (number != NULL && (!json_is_integer(number) || json_integer_value(number) < 0))
		return "seq must be the number of the piece, from 0 on";
	return NULL;
}

const char *conversation_piece_take(struct conversation_call *call)
{
	const char *fault = piece_fault(call->body);
	if (fault == NULL)
		fault = conversation_lease_members(call);
	if (fault == NULL)
		call->body = json_pack("{s:[o]}", "chunks", call->body);
	return fault;
}

const char *conversation_pieces_take(struct conversation_call *call)
{
	const json_t *pieces = json_object_get(call->body, "chunks");
	size_t i;
	json_t *piece;
	if (!json_is_array(pieces) || json_array_size(pieces) == 0)
		return "chunks must be a non-empty array";
	if (json_array_size(pieces) > PIECES_MAX)
		return "more than 1000 chunks in a batch";
	json_array_foreach (pieces, i, piece) {
		const char *fault = piece_fault(piece);
		if (fault != NULL)
			return fault;
	}
	return conversation_lease_members(call);
}

/* The message that is meant; none: whichever runs. */
const char *conversation_end_take(struct conversation_call *call)
{
	const char *fault = NULL;
	const char *id = conversation_body_text(call, "messageId", CONVERSATION_ID_MAX, &fault);
	if (fault != NULL || (id != NULL && !conversation_id_good(span_str(id))))
		return "messageId must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
	snprintf(call->message, sizeof call->message, "%s", id != NULL ? id : "");
	return conversation_lease_members(call);
}

/* ---- one at a time ---- */

static void refuse_other(struct conversation_call *call)
{
	const char *active = call->row.generation;
	conversation_fault(call, 409, "GENERATION_MISMATCH",
	                   *active != '\0' ? "another message is being generated"
	                                   : "this message is not being generated any more");
	json_object_set_new(call->answer, "activeMessageId",
	                    *active != '\0' ? json_string(active) : json_null());
}

bool conversation_end_generation(struct conversation_call *call, const char *actor,
                                 const char *reason)
{
	struct conversation_message message = {0};
	char id[CONVERSATION_ID_ROOM];
	bool known;
	memcpy(id, call->row.generation, sizeof id);
	if (!conversation_recall(call, id, &message, &known))
		return false;
	*call->row.generation = '\0';
	call->row.generation_epoch = 0;
	if (reason != NULL) {
		json_t *chunk = json_pack("{s:s, s:s}", "type", "stop", "reason", reason);
		message.position = conversation_say(
		        call, conversation_piece_event(id, message.pieces++, actor, "assistant",
		                                       chunk, call->now_ms, NULL));
		json_decref(chunk);
	}
	message.ended = true;
	message.at_ms = call->now_ms;
	conversation_remember(call, id, &message, !known);
	return true;
}

/* Its agent has lost the conversation to who speaks now, or has said nothing for so long that it
 * counts as gone: the next may begin. */
static bool is_abandoned(struct conversation_call *call)
{
	if (call->epoch != 0 && call->epoch != call->row.generation_epoch)
		return true;
	struct conversation_message message = {0};
	bool known;
	uint64_t timeout_ms = call->all->worker->settings->conversations_generation_timeout_ms;
	return conversation_recall(call, call->row.generation, &message, &known) &&
	       call->now_ms > message.at_ms + timeout_ms;
}

/* The message of an answer, which from now on is the one that is generated. False: answered. */
static bool begin_piece(struct conversation_call *call, const char *id,
                        struct conversation_message *message, bool *known)
{
	if (!conversation_recall(call, id, message, known))
		return false;
	enum conversation_verdict verdict =
	        conversation_judge_piece(&call->row, *known ? message : NULL, id);
	if (verdict == CONVERSATION_GENERATING && is_abandoned(call)) {
		if (!conversation_end_generation(call, "", "abandoned"))
			return false;
		verdict = CONVERSATION_TAKEN;
	}
	switch (verdict) {
	case CONVERSATION_TAKEN:
		snprintf(call->row.generation, sizeof call->row.generation, "%s", id);
		call->row.generation_epoch = call->epoch;
		return true;
	case CONVERSATION_CONFLICT:
		conversation_fault(call, 409, "fingerprint_conflict",
		                   "this message's id was used for something else");
		return false;
	case CONVERSATION_REPEATED:
	case CONVERSATION_GENERATING:
	case CONVERSATION_ENDED:
		break;
	}
	if (call->status != 503)
		refuse_other(call);
	return false;
}

/* ---- pieces ---- */

static void count_pieces(struct conversation_call *call)
{
	counter_add(call->all->worker->counters, conversation_pieces_total, call->pieces);
}

/* A piece that says which of its message it is may be sent again until it is answered. *due: it is
 * the next. False: answered, as one before it is not there. */
static bool is_due(struct conversation_call *call, const json_t *piece, uint64_t pieces, bool *due)
{
	const json_t *number = json_object_get(piece, "seq");
	uint64_t seq = number != NULL ? (uint64_t)json_integer_value(number) : pieces;
	*due = seq == pieces;
	if (seq <= pieces)
		return true;
	conversation_fault(call, 409, "PIECE_MISSING", "a piece before this one is not there");
	json_object_set_new(call->answer, "expectedSeq", json_integer((json_int_t)pieces));
	return false;
}

static bool say_piece(struct conversation_call *call, const json_t *piece)
{
	struct conversation_message message = {0};
	bool known, due;
	const char *id = json_string_value(json_object_get(piece, "messageId"));
	if (!begin_piece(call, id, &message, &known) || !is_due(call, piece, message.pieces, &due))
		return false;
	if (!due)
		return true;
	message.position = conversation_say(
	        call, conversation_piece_event(id, message.pieces++,
	                                       json_string_value(json_object_get(piece, "actorId")),
	                                       json_string_value(json_object_get(piece, "role")),
	                                       json_object_get(piece, "chunk"), call->now_ms,
	                                       json_string_value(json_object_get(piece, "txid"))));
	message.at_ms = call->now_ms;
	conversation_remember(call, id, &message, !known);
	call->pieces++;
	return true;
}

/* The answer ends with its last piece, in one transaction. False: answered. */
static bool finish(struct conversation_call *call)
{
	struct conversation_message message = {0};
	char id[CONVERSATION_ID_ROOM];
	bool known;
	memcpy(id, call->row.generation, sizeof id);
	if (!call->last || *id == '\0')
		return true;
	if (!conversation_end_generation(call, "", NULL) ||
	    !conversation_recall(call, id, &message, &known))
		return false;
	message.finished = true;
	conversation_remember(call, id, &message, false);
	return true;
}

/* Was it that which ended the answer? Then it is answered as it was then. */
static bool is_finished(struct conversation_call *call, bool *finished)
{
	struct conversation_message message = {0};
	const json_t *pieces = json_object_get(call->body, "chunks");
	const json_t *piece = json_array_get(pieces, json_array_size(pieces) - 1);
	const json_t *number = json_object_get(piece, "seq");
	bool known = false;
	*finished = false;
	if (!call->last || number == NULL)
		return true;
	if (!conversation_recall(call, json_string_value(json_object_get(piece, "messageId")),
	                         &message, &known))
		return false;
	*finished = known && message.finished &&
	            (uint64_t)json_integer_value(number) + 1 == message.pieces;
	return true;
}

/* All or none. */
void conversation_pieces_step(struct conversation_call *call)
{
	size_t i;
	json_t *piece, *pieces = json_object_get(call->body, "chunks");
	bool finished;
	if (!conversation_fenced(call) || !is_finished(call, &finished))
		return;
	json_array_foreach (pieces, i, piece)
		if (!finished && !say_piece(call, piece))
			return;
	/* Repeated, it ends nothing more: by now another answer may have begun. */
	if ((!finished && !finish(call)) || !conversation_spoken(call))
		return;
	call->count = count_pieces;
	json_t *answer = json_pack("{s:b}", "ok", true);
	if (strcmp(call->argument, "batch") == 0)
		json_object_set_new(answer, "count", json_integer((json_int_t)call->pieces));
	conversation_answer(call, 200, answer);
}

/* ---- generations ---- */

void conversation_begin_step(struct conversation_call *call)
{
	struct conversation_message message = {0};
	bool known;
	if (*call->message == '\0')
		conversation_random_id(call->message);
	if (!conversation_fenced(call) || !begin_piece(call, call->message, &message, &known))
		return;
	message.at_ms = call->now_ms;
	conversation_remember(call, call->message, &message, !known);
	if (!conversation_spoken(call))
		return;
	conversation_answer(call, 200, json_pack("{s:s}", "messageId", call->message));
}

static const char *meant(const struct conversation_call *call)
{
	return *call->message != '\0' ? call->message : NULL;
}

/* What was said before is durable by now: nothing is answered earlier. */
void conversation_finish_step(struct conversation_call *call)
{
	if (!conversation_fenced(call))
		return;
	switch (conversation_judge_end(&call->row, meant(call))) {
	case CONVERSATION_TAKEN:
		if (!conversation_end_generation(call, "", NULL))
			return;
		break;
	case CONVERSATION_GENERATING:
		refuse_other(call);
		return;
	case CONVERSATION_REPEATED:
	case CONVERSATION_CONFLICT:
	case CONVERSATION_ENDED:
		break;
	}
	if (conversation_spoken(call))
		conversation_answer(call, 200, json_pack("{s:b}", "ok", true));
}

/* Ends the answer for all who watch, and tells the agent, also when it has not begun to speak. */
void conversation_stop_step(struct conversation_call *call)
{
	char stopped[CONVERSATION_ID_ROOM];
	memcpy(stopped, call->row.generation, sizeof stopped);
	if (conversation_judge_end(&call->row, meant(call)) == CONVERSATION_GENERATING) {
		refuse_other(call);
		return;
	}
	if (*stopped != '\0' && !conversation_end_generation(call, call->actor_id, "stopped"))
		return;
	const char *message = *stopped != '\0' ? stopped : meant(call);
	json_t *item = json_pack("{s:s, s:s, s:s*}", "type", "stop", "sessionId", call->id,
	                         "messageId", message);
	check(item != NULL);
	conversation_hand_in(call, item);
	conversation_answer(call, 204, NULL);
}
