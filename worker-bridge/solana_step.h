/* One attempt at a step of a market on the chain, as a machine: what to ask of the cluster next,
 * and at last what came of it. Pure: no clock, no sockets, no keys.
 *
 *     prepare  look (duel, market, config) -> plan -> a recent blockhash -> it can be signed
 *     send     send -> wait -> its status -> ... -> it is as final as it has to be -> look -> done
 *                 unknown to the cluster: the same bytes again, until no block may hold them any
 *                 more (the finalized height is past their last one); then look, and sign anew
 *                 refused: look, for what was refused may have been done before
 *     read     its status -> look
 *
 * Nothing is signed anew before the bytes before can no longer take effect, and nothing is done
 * before the accounts show it. */
#pragma once

#include "worker-bridge/operator.h"
#include "worker-bridge/solana_plan.h"

enum solana_level { SOLANA_PROCESSED, SOLANA_CONFIRMED, SOLANA_FINALIZED, SOLANA_LEVELS };
const char *solana_level_name(enum solana_level level);

/* What went wrong with a question to the cluster. */
enum solana_fault {
	SOLANA_OK,
	SOLANA_SILENT,  /* no answer, or one that says nothing */
	SOLANA_LATER,   /* too many questions, or the node is behind */
	SOLANA_NO_HASH, /* it does not know the blockhash: it is behind, or the bytes expired */
	SOLANA_KNOWN,   /* it has processed this transaction already */
	SOLANA_POOR,    /* whoever pays has too little */
	SOLANA_PROGRAM, /* an instruction was refused, with a code */
	SOLANA_REFUSED, /* any other refusal */
};

enum solana_ask {
	SOLANA_ASK_DUEL,
	SOLANA_ASK_MARKET,
	SOLANA_ASK_CONFIG,
	SOLANA_ASK_CLOCK,
	SOLANA_ASK_BLOCKHASH,
	SOLANA_ASK_SEND,
	SOLANA_ASK_STATUS,
	SOLANA_ASK_HEIGHT,
	SOLANA_ASK_WAIT,   /* nothing: wait a moment, and say so */
	SOLANA_ASK_NOTHING /* it is over: the answer is there */
};

/* What the cluster said. */
struct solana_reply {
	enum solana_fault fault;
	char text[120]; /* of a fault, for people */
	uint64_t retry_after_ms;
	unsigned instruction; /* of PROGRAM: which */
	bool custom;          /* and whether it has a code of its own: */
	uint32_t code;
	/* of an account: */
	bool there;        /* its program has it */
	struct span bytes; /* borrowed for the call */
	/* of a blockhash: */
	uint8_t blockhash[32];
	uint64_t last_height;
	uint64_t height; /* of the height */
	/* of a status: */
	bool known, failed;
	enum solana_fault how; /* it failed; text, instruction, custom and code say more */
	enum solana_level level;
	uint64_t slot;
};

enum solana_work { SOLANA_PREPARE, SOLANA_SEND, SOLANA_READ };

struct solana_step {
	/* set by the caller, and kept: */
	enum solana_work work;
	enum market_step step;
	uint64_t part, last_height; /* as the attempt has them */
	bool signed_before;         /* READ: there is an attempt */
	enum solana_level level;    /* at which a create and a lock count; else `finalized` does */
	struct solana_facts facts;
	struct solana_places places;
	struct solana_address who;
	/* the machine's own: */
	enum solana_ask ask;
	enum solana_level look_level;
	unsigned purpose, polls, faults, looks;
	bool late;                   /* the height is past the last one */
	bool early, refused, landed; /* what the cluster made of it, where it did not take it */
	struct solana_reply refusal;
	uint64_t slot;
	int64_t clock_s; /* the chain's; 0: it does not say */
	struct solana_seen seen;
	struct solana_plan plan;
	/* the answer: */
	enum operator_outcome outcome;
	char error[160];
	uint64_t retry_after_ms, new_part;
	bool waits; /* the part that is next is due in due_s, from now */
	int64_t due_s;
	bool shown;   /* the transaction of this attempt is what did it, in slot */
	bool spared;  /* nothing of the step has failed: no attempt is spent */
	bool poor;    /* it waits for funds */
	bool expired; /* no block may hold what was sent any more */
	bool planned; /* PREPARE: plan, blockhash and last_height are to be signed */
	uint8_t blockhash[32];
};

/* Begins; the question is in step->ask. */
void solana_step_begin(struct solana_step *step);
/* What came of it; the next is in step->ask. */
void solana_step_reply(struct solana_step *step, const struct solana_reply *reply);
