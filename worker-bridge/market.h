/* One duel's market: what state it is in, and what is to be done next. Pure.
 *
 *     created -> open -> locked -> resolving -> resolved | cancelled
 *     any but the last two -> manual_review -> (the house) -> resolving | cancelled
 *
 * Frames of the feed say what has happened, the clock says what is due; an operator (ledger,
 * webhook) carries the steps out. A step that has taken effect is never due again, and the outcome
 * that was seen first stands: another one for the same duel is for people to look at. Times are
 * Unix ms, 0: not yet. */
#pragma once

#include "worker-bridge/duel.h"

#include <jansson.h>

enum {
	MARKET_REFERENCE_MAX = 88, /* 64 bytes in base58 */
	MARKET_DATA_MAX = 1644,    /* 1232 bytes in base64 */
};

#define MARKET_STATES(S)                                                                           \
	S(CREATED, "created")                                                                      \
	S(OPEN, "open")                                                                            \
	S(LOCKED, "locked")                                                                        \
	S(RESOLVING, "resolving")                                                                  \
	S(RESOLVED, "resolved")                                                                    \
	S(CANCELLED, "cancelled")                                                                  \
	S(MANUAL_REVIEW, "manual_review")
#define MARKET_STATE_ENUM(NAME, text) MARKET_##NAME,
enum market_state { MARKET_STATES(MARKET_STATE_ENUM) MARKET_STATE_COUNT };
#undef MARKET_STATE_ENUM
const char *market_state_name(enum market_state state);

#define MARKET_STEPS(S)                                                                            \
	S(NONE, "") S(CREATE, "create") S(LOCK, "lock") S(RESOLVE, "resolve") S(CANCEL, "cancel")
#define MARKET_STEP_ENUM(NAME, text) MARKET_STEP_##NAME,
enum market_step { MARKET_STEPS(MARKET_STEP_ENUM) MARKET_STEP_COUNT };
#undef MARKET_STEP_ENUM
const char *market_step_name(enum market_step step);

/* The attempt at the step that is under way: durable before anything is sent. */
struct market_attempt {
	uint64_t number, at_ms, next_ms; /* the last began, or ended, at at_ms */
	bool unknown;                    /* one may have taken effect that nobody has told of */
	/* What the operator knows it by, and sends again as it is; "" and 0: nothing. */
	char reference[MARKET_REFERENCE_MAX + 1]; /* a signature */
	uint64_t expires;                         /* in the operator's own reckoning */
	char data[MARKET_DATA_MAX + 1];
	/* Of a step that is taken in parts: those that have taken effect, and when the next is due.
	 */
	uint64_t part, not_before_ms;
};

/* What an operator outside knows an effect by, for people: on a chain a transaction's signature and
 * the slot it is in. "" and 0: nothing. */
struct market_receipt {
	char reference[MARKET_REFERENCE_MAX + 1];
	uint64_t place;
};

/* Of the steps, and of the first part of a resolve. */
enum market_effect {
	MARKET_EFFECT_CREATE,
	MARKET_EFFECT_LOCK,
	MARKET_EFFECT_PROPOSE,
	MARKET_EFFECT_RESOLVE,
	MARKET_EFFECT_CANCEL,
	MARKET_EFFECT_COUNT
};
enum market_effect market_effect_of(enum market_step step, bool whole);

struct market {
	char feed[65], duel_id[64], cycle_id[DUEL_UUID_LEN + 1], duel_key[65], operator[16];
	char agent_id[2][DUEL_ID_MAX + 1], agent_name[2][DUEL_NAME_MAX + 1];
	enum market_state state;
	uint64_t bet_open_ms, bet_close_ms;
	uint64_t fight_planned_ms, duel_end_ms; /* as the frames say; 0: nothing */
	uint64_t created_ms, opened_ms, locked_ms, settled_ms;
	/* the outcome; "" until it is known */
	char outcome[12]; /* win, draw, cancelled */
	char side[2];     /* of a win: "A" (agent1) or "B" */
	char reason[DUEL_TOKEN_MAX + 1];
	char seed[21], replay_hash[65];
	uint64_t outcome_ms, settle_after_ms; /* when it was seen; not settled before */
	char fingerprint[65];                 /* of all that decides who is paid: SHA-256 */
	/* bets (the ledger's) */
	uint64_t pool[2]; /* staked on each side */
	uint64_t bets, settled_bets, paid;
	uint64_t forgotten_bets; /* of a settled one that is being forgotten: rows that are gone */
	uint64_t fee_ppm;        /* of the pool of a win, millionths; fixed when it was created */
	/* the step that is under way */
	enum market_step step;
	bool entered; /* with the operator: it was asked to create it at least once */
	struct market_attempt attempt;
	struct market_receipt receipts[MARKET_EFFECT_COUNT];
	char error[160]; /* of the last attempt, or why a person is needed; "" */
};

/* "market/FEED/DUELID" */
enum { MARKET_KEY_ROOM = 160 };
void market_key(const char *feed, const char *duel_id, char key[MARKET_KEY_ROOM]);

/* The record; new reference. And back: false: it is none that this release can read. Members that
 * an older release did not write have defaults (market.c says which); unknown ones are ignored. */
json_t *market_record(const struct market *market);
bool market_read(struct market *market, const json_t *record);

/* A market for the duel that a version 2 frame tells of; false: the frame tells of none that could
 * have one (idle, or without contestants). */
bool market_begin(struct market *market, const char *feed, const char *operator,
                  const json_t * frame, uint64_t now_ms);

/* Nobody may bet on it: it is cancelled before it opens, `why` is kept as its error. */
void market_refuse(struct market *market, const char *why);

/* Takes in what a frame says of its duel. True: something is different now. An outcome is settled
 * delay_ms after it was seen. */
bool market_see(struct market *market, const json_t *frame, uint64_t now_ms, uint64_t delay_ms);

/* What is due at now_ms, NONE: nothing; *due_ms is then when to ask again (UINT64_MAX: after the
 * next frame). Of attempts it looks only whether the one before is in doubt. */
enum market_step market_next(const struct market *market, uint64_t now_ms, uint64_t *due_ms);

/* The step has begun (RESOLVE, CANCEL: bets are no longer taken, payment is under way) or taken
 * effect. */
void market_start(struct market *market, enum market_step step);
void market_done(struct market *market, enum market_step step, uint64_t now_ms);
/* What it took effect by. */
void market_receive(struct market *market, enum market_effect effect,
                    const struct market_receipt *receipt);
/* The last one; NULL: there is none. */
const struct market_receipt *market_last_receipt(const struct market *market);
/* A person is needed. `why` may be the market's own error. */
void market_review(struct market *market, const char *why);

/* What a person decides about one in review. Again, from the step that failed: */
void market_retry(struct market *market);
/* Or an outcome: `side` "A" or "B" with "win", else "". */
void market_decide(struct market *market, const char *outcome, const char *side);

/* The outcome is a person's, not the feed's. */
bool market_is_manual(const struct market *market);

/* Somebody has been paid, or nobody has to be: the outcome stands, also under review. */
bool market_paid(const struct market *market);
/* What the outcome makes of the stakes: "paid" to those who backed the winner, "refunded" to all,
 * or "none", for there were none; NULL: no outcome is known. *reason, where they are not paid: why;
 * of a refund the outcome's own, or "nobody_backed_winner"; of none "no_bets". Of an operator that
 * keeps the bets itself (webhook) it says what the outcome asks for. */
const char *market_payout(const struct market *market, const char **reason);
/* "payout" and "payoutReason" of a settled market, null before, for what tells of it. */
void market_put_payout(const struct market *market, json_t *into);
/* What one unit on a side pays if it wins now, to four decimals; 0: nobody has bet on it. */
double market_odds(const struct market *market, unsigned side);
/* Bets are taken now. */
bool market_takes_bets(const struct market *market, uint64_t now_ms);
