#include "worker-sse/edge/refusal.h"

#define REFUSAL_ROW(NAME, status, error, reason) [REFUSAL_##NAME] = {status, error, reason},
static const struct {
	unsigned status;
	const char *error, *reason;
} rows[REFUSAL_COUNT] = {[REFUSAL_NONE] = {0, "", ""}, REFUSALS(REFUSAL_ROW)};
#undef REFUSAL_ROW

unsigned refusal_status(enum refusal refusal)
{
	return rows[refusal].status;
}

const char *refusal_error(enum refusal refusal)
{
	return rows[refusal].error;
}

/* Which setting lets anybody do it. */
static const char *wanted(enum verb verb, struct span path)
{
	static const struct span outputs = {(const uint8_t *)"/v1/outputs", 11};
	switch (verb) {
	case VERB_READ:
	case VERB_VIEW:
		return "nobody may read here: set auth.subscribe_tokens";
	case VERB_APPEND:
	case VERB_CREATE:
	case VERB_DELETE:
		return "nobody may write here: set auth.publish_tokens";
	case VERB_RENDER:
		return "nobody may order sessions: set auth.session_tokens";
	case VERB_POST:
		return "no game may post here: set auth.source_token";
	case VERB_OPERATE:
		return path.len >= outputs.len && memcmp(path.at, outputs.at, outputs.len) == 0
		               ? "nobody may manage outputs: set auth.outputs_token"
		               : "nobody but the admin socket is the house: set auth.ledger_token";
	case VERB_METRICS:
		return "nobody may read metrics: set auth.metrics_token";
	case VERB_BET:
		return "nobody may open an account of his own: give somebody bet=** in auth.tokens";
	case VERB_SPAWN:
		return "nobody may start programs: give somebody spawn=** in auth.tokens";
	case VERB_FRAMES:
		return "nobody may read the frames: set bet_sync.token";
	case VERB_COUNT:
		break;
	}
	return "";
}

const char *refusal_reason(enum refusal refusal, enum verb verb, struct span path)
{
	return refusal == REFUSAL_UNCONFIGURED ? wanted(verb, path) : rows[refusal].reason;
}
