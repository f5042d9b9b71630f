/* What a step of a market asks of the chain, where the chain stands as it was seen: the
 * instructions of one transaction, or none because it has taken effect, never will, or is disputed.
 * Whatever was lost on the way (an attempt that expired, a fork that took the step before with it),
 * the plan begins where the chain is. Pure. */
#pragma once

#include "worker-bridge/market.h"
#include "worker-bridge/solana_market.h"

enum { SOLANA_PLAN_MAX = 6 };

/* What the market says, in the chain's words. */
struct solana_facts {
	struct solana_duel duel; /* as it is to be: key, participants, times */
	struct solana_result result;
	bool won; /* there is a result */
	bool opened;
	bool manual; /* a person decided */
	char uri[SOLANA_URI_MAX + 1];
};

/* `base`: what is told as the duel's address begins with it, "" for none. NULL, or why the chain
 * cannot have this market. */
const char *solana_facts_of(const struct market *market, const char *base,
                            struct solana_facts *facts);

/* As the chain was seen. */
struct solana_seen {
	bool duel_there, market_there;
	struct solana_duel duel;
	struct solana_market market;
	struct solana_oracle_config config; /* read where a result is to be proposed */
};

enum solana_verdict {
	SOLANA_TELL,     /* the instructions are to be carried out */
	SOLANA_TOOK,     /* the step has taken effect */
	SOLANA_PROPOSED, /* its first part has: the next is due at due_s, by the chain's clock */
	SOLANA_NEVER,    /* it ended otherwise */
	SOLANA_DISPUTED, /* what was proposed was challenged */
};

struct solana_plan {
	enum solana_verdict verdict;
	const char *why; /* constant; of NEVER and DISPUTED */
	int64_t due_s;   /* of PROPOSED, and of what finalizes; else 0 */
	struct solana_instruction instructions[SOLANA_PLAN_MAX];
	size_t count;
};

/* `part`: how many parts of it have taken effect, as the market knows. */
void solana_plan(const struct solana_facts *facts, const struct solana_seen *seen,
                 const struct solana_places *places, const struct solana_address *who,
                 enum market_step step, uint64_t part, struct solana_plan *plan);
