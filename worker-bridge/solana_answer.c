#include "worker-bridge/solana_answer.h"
#include "common/base/base64.h"
#include "common/base/json_take.h"

#include <jansson.h>
#include <stdio.h>

static void fault(struct solana_reply *reply, enum solana_fault what, const char *text)
{
	reply->fault = what;
	snprintf(reply->text, sizeof reply->text, "%s", text);
}

/* ---- how a transaction fails ---- */

static const struct {
	const char *name;
	enum solana_fault what;
	const char *text;
} transaction_errors[] = {
        {"BlockhashNotFound", SOLANA_NO_HASH, "the node does not know the blockhash"},
        {"AlreadyProcessed", SOLANA_KNOWN, "processed already"},
        {"InsufficientFundsForFee", SOLANA_POOR, "the fee payer cannot pay the fee"},
        {"InsufficientFundsForRent", SOLANA_POOR, "the fee payer cannot pay the rent"},
        {"AccountNotFound", SOLANA_POOR, "the fee payer has no account: it needs funds"},
        {"AccountInUse", SOLANA_LATER, "an account is in use"},
        {"ClusterMaintenance", SOLANA_LATER, "the cluster is being maintained"},
        {"WouldExceedMaxBlockCostLimit", SOLANA_LATER, "the block is full"},
        {"WouldExceedMaxAccountCostLimit", SOLANA_LATER, "the block is full"},
        {"WouldExceedAccountDataBlockLimit", SOLANA_LATER, "the block is full"},
        {"WouldExceedMaxVoteCostLimit", SOLANA_LATER, "the block is full"},
        {"TooManyAccountLocks", SOLANA_LATER, "an account is in use"},
};

enum { SYSTEM_NEGATIVE_LAMPORTS = 1 }; /* of the system program, which creates accounts */

static void instruction_error(struct solana_reply *reply, const json_t *parts)
{
	const json_t *what = json_array_get(parts, 1), *code = json_object_get(what, "Custom");
	char text[120];
	reply->instruction = (unsigned)json_integer_value(json_array_get(parts, 0));
	reply->custom = json_is_integer(code);
	reply->code = (uint32_t)json_integer_value(code);
	if (reply->custom && reply->code == SYSTEM_NEGATIVE_LAMPORTS) {
		fault(reply, SOLANA_POOR, "the fee payer cannot pay for the accounts");
		return;
	}
	if (reply->custom)
		snprintf(text, sizeof text, "instruction %u was refused with %u",
		         reply->instruction, reply->code);
	else
		snprintf(text, sizeof text, "instruction %u was refused: %.60s", reply->instruction,
		         json_is_string(what)
		                 ? json_string_value(what)
		                 : json_object_iter_key(json_object_iter((json_t *)what)));
	fault(reply, SOLANA_PROGRAM, text);
}

static void transaction_error(struct solana_reply *reply, const json_t *error)
{
	const json_t *parts = json_object_get(error, "InstructionError");
	const char *name = json_is_string(error)
	                           ? json_string_value(error)
	                           : json_object_iter_key(json_object_iter((json_t *)error));
	char text[120];
	if (json_is_array(parts)) {
		instruction_error(reply, parts);
		return;
	}
	for (size_t i = 0;
	     name != NULL && i < sizeof transaction_errors / sizeof *transaction_errors; i++)
		if (strcmp(name, transaction_errors[i].name) == 0) {
			fault(reply, transaction_errors[i].what, transaction_errors[i].text);
			return;
		}
	snprintf(text, sizeof text, "the transaction was refused: %.80s",
	         name != NULL ? name : "for no reason that is known");
	fault(reply, SOLANA_REFUSED, text);
}

/* ---- errors of the protocol ---- */

enum {
	PREFLIGHT_FAILED = -32002,
	SIGNATURE_WRONG = -32003,
	LENGTH_WRONG = -32013,
	INVALID_REQUEST = -32600,
	INVALID_PARAMS = -32602,
};

static void protocol_error(enum solana_method method, struct solana_reply *reply,
                           const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const json_t *failure = json_object_get(json_object_get(error, "data"), "err");
	char text[120];
	snprintf(text, sizeof text, "the node answers %lld: %.80s", (long long)code,
	         message != NULL ? message : "");
	bool refused =
	        method == SOLANA_METHOD_SEND && (code == SIGNATURE_WRONG || code == LENGTH_WRONG ||
	                                         code == INVALID_REQUEST || code == INVALID_PARAMS);
	if (method == SOLANA_METHOD_SEND && code == PREFLIGHT_FAILED && failure != NULL &&
	    !json_is_null(failure))
		transaction_error(reply, failure);
	else
		/* It is behind, has too much to do, or what it says has no name here. */
		fault(reply, refused ? SOLANA_REFUSED : SOLANA_LATER, text);
}

/* ---- results ---- */

static bool take_count(const json_t *value, uint64_t *out)
{
	*out = json_is_integer(value) && json_integer_value(value) >= 0
	               ? (uint64_t)json_integer_value(value)
	               : 0;
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Nothing, or somebody else's: who sends lamports to an address makes an account there. */
static bool read_account(struct solana_answer *answer, const char *owner, const json_t *value)
{
	struct solana_reply *reply = &answer->reply;
	if (json_is_null(value))
		return true;
	const char *whose = json_string_value(json_object_get(value, "owner"));
	json_t *data = json_object_get(value, "data");
	const char *text = json_string_value(json_is_array(data) ? json_array_get(data, 0) : data);
	if (whose == NULL || text == NULL || strlen(text) / 4 * 3 > sizeof answer->bytes)
		return false;
	int64_t len = base64_decode(span_str(text), answer->bytes);
	if (len < 0)
		return false;
	reply->there = len > 0 && (owner == NULL || strcmp(whose, owner) == 0);
	if (reply->there)
		reply->bytes = span_of(answer->bytes, (size_t)len);
	return true;
}

static bool read_blockhash(struct solana_reply *reply, const json_t *value)
{
	const char *text = json_string_value(json_object_get(value, "blockhash"));
	return text != NULL && base58_read(text, reply->blockhash, sizeof reply->blockhash) &&
	       take_count(json_object_get(value, "lastValidBlockHeight"), &reply->last_height);
}

static bool read_status(struct solana_reply *reply, const json_t *statuses)
{
	const json_t *one = json_array_get(statuses, 0), *error = json_object_get(one, "err");
	const char *level = json_string_value(json_object_get(one, "confirmationStatus"));
	if (one == NULL)
		return false;
	if (json_is_null(one))
		return true;
	reply->known = true;
	reply->level = SOLANA_PROCESSED;
	for (unsigned i = 0; level != NULL && i < SOLANA_LEVELS; i++)
		if (strcmp(level, solana_level_name(i)) == 0)
			reply->level = i;
	/* Nodes of old say it by its absence: as many as can be. */
	if (level == NULL && json_is_null(json_object_get(one, "confirmations")))
		reply->level = SOLANA_FINALIZED;
	reply->failed = error != NULL && !json_is_null(error);
	if (reply->failed) {
		transaction_error(reply, error);
		reply->how = reply->fault;
		reply->fault = SOLANA_OK;
	}
	return take_count(json_object_get(one, "slot"), &reply->slot);
}

static bool read_result(enum solana_method method, struct solana_answer *answer, const char *owner,
                        const json_t *result)
{
	const json_t *value = json_object_get(result, "value");
	switch (method) {
	case SOLANA_METHOD_ACCOUNT:
		return value != NULL && read_account(answer, owner, value);
	case SOLANA_METHOD_BLOCKHASH:
		return read_blockhash(&answer->reply, value);
	case SOLANA_METHOD_HEIGHT:
		return take_count(result, &answer->reply.height);
	case SOLANA_METHOD_SEND:
		return json_is_string(result);
	case SOLANA_METHOD_STATUS:
		return read_status(&answer->reply, value);
	case SOLANA_METHOD_BALANCE:
		return take_count(value, &answer->reply.height);
	}
	return false;
}

void solana_answer_read(enum solana_method method, const char *owner, struct span body,
                        struct solana_answer *answer)
{
	json_t *whole = json_take(body, 0, NULL, NULL);
	const json_t *error = json_object_get(whole, "error"),
	             *result = json_object_get(whole, "result");
	answer->reply = (struct solana_reply){0};
	if (json_is_object(error)) {
		protocol_error(method, &answer->reply, error);
	} else if (!read_result(method, answer, owner, result)) {
		answer->reply = (struct solana_reply){0};
		fault(&answer->reply, SOLANA_SILENT, "the node's answer cannot be read");
	}
	json_decref(whole);
}
