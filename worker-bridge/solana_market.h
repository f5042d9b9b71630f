/* The two programs of a market on Solana, as their clients see them: an oracle that keeps duels and
 * how they ended, and a market that follows it. Their accounts and instructions are Anchor's:
 * named by the first 8 bytes of SHA-256("account:NAME") and SHA-256("global:NAME"), numbers least
 * significant byte first, texts with a length of 4 bytes. Times are Unix seconds. Pure. */
#pragma once

#include "worker-bridge/solana_message.h"

enum { SOLANA_URI_MAX = 200 };

/* Where they keep what concerns one duel; derived once per duel. */
struct solana_places {
	struct solana_address oracle, market_program;       /* the programs */
	struct solana_address oracle_config, market_config; /* one of each */
	struct solana_address duel, market, vault;          /* of the duel */
};
void solana_places_find(const struct solana_address *oracle, const struct solana_address *market,
                        const uint8_t duel_key[32], struct solana_places *places);

/* ---- what they keep ---- */

enum solana_duel_status {
	SOLANA_DUEL_SCHEDULED,
	SOLANA_DUEL_OPEN,
	SOLANA_DUEL_LOCKED,
	SOLANA_DUEL_PROPOSED,
	SOLANA_DUEL_CHALLENGED,
	SOLANA_DUEL_RESOLVED,
	SOLANA_DUEL_CANCELLED,
	SOLANA_DUEL_STATUSES
};
enum solana_side { SOLANA_SIDE_NONE, SOLANA_SIDE_A, SOLANA_SIDE_B, SOLANA_SIDES };
enum solana_market_status {
	SOLANA_MARKET_OPEN,
	SOLANA_MARKET_LOCKED,
	SOLANA_MARKET_RESOLVED,
	SOLANA_MARKET_CANCELLED,
	SOLANA_MARKET_STATUSES
};

struct solana_result {
	enum solana_side winner;
	uint64_t seed;
	uint8_t result_hash[32], replay_hash[32];
	int64_t end_s;
};

struct solana_duel {
	uint8_t key[32], participant[2][32]; /* the contestants' hashes */
	enum solana_duel_status status;
	int64_t open_s, close_s, start_s;
	struct solana_result result;   /* of one that is resolved */
	struct solana_result proposed; /* what was proposed last */
	int64_t proposed_s;            /* when, by the chain's clock */
	bool challenged;
};
struct solana_market {
	struct solana_address duel;
	enum solana_market_status status;
	enum solana_side winner;
};
struct solana_oracle_config {
	struct solana_address reporter, finalizer;
	int64_t window_s; /* how long a result may be disputed */
};

/* False: the bytes of the account are none such. */
bool solana_duel_read(struct span account, struct solana_duel *duel);
bool solana_market_read(struct span account, struct solana_market *market);
bool solana_oracle_config_read(struct span account, struct solana_oracle_config *config);

/* ---- what they are told, by `who` ---- */

/* `duel` as it is to be: key, participants, times, and status OPEN or LOCKED. */
void solana_upsert_duel(struct solana_instruction *instruction, const struct solana_places *places,
                        const struct solana_address *who, const struct solana_duel *duel,
                        const char *uri);
void solana_propose_result(struct solana_instruction *instruction,
                           const struct solana_places *places, const struct solana_address *who,
                           const uint8_t duel_key[32], const struct solana_result *result,
                           const char *uri);
void solana_finalize_result(struct solana_instruction *instruction,
                            const struct solana_places *places, const struct solana_address *who,
                            const uint8_t duel_key[32], const char *uri);
void solana_cancel_duel(struct solana_instruction *instruction, const struct solana_places *places,
                        const struct solana_address *who, const uint8_t duel_key[32],
                        const char *uri);
void solana_initialize_market(struct solana_instruction *instruction,
                              const struct solana_places *places, const struct solana_address *who,
                              const uint8_t duel_key[32]);
void solana_sync_market(struct solana_instruction *instruction, const struct solana_places *places);

/* For the network: what the transaction may use, and what each million units pays, in lamports. */
void solana_compute_limit(struct solana_instruction *instruction, uint32_t units);
void solana_compute_price(struct solana_instruction *instruction, uint64_t micro_lamports);

/* Codes with which the programs refuse, where it matters which. */
enum {
	SOLANA_NOT_THERE = 3012, /* Anchor's: an account that has nothing in it */
	SOLANA_ORACLE_UNAUTHORIZED = 6000,
	SOLANA_ORACLE_TRANSITION = 6009, /* not in this state */
	SOLANA_ORACLE_FINALIZED = 6011,  /* it is over */
	SOLANA_ORACLE_CANCELLED = 6012,
	SOLANA_ORACLE_NOT_PROPOSED = 6014,
	SOLANA_ORACLE_CHALLENGED = 6015,
	SOLANA_ORACLE_WINDOW = 6017, /* it may still be disputed */
};
