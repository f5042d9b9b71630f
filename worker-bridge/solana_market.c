#include "worker-bridge/solana_market.h"
#include "common/base/check.h"

#include <openssl/sha.h>
#include <stdio.h>

enum { NAME_BYTES = 8, KIND_DUEL_WINNER = 1 };

static const struct solana_address system_program;

static const uint8_t kind[1] = {KIND_DUEL_WINNER};

void solana_places_find(const struct solana_address *oracle, const struct solana_address *market,
                        const uint8_t duel_key[32], struct solana_places *places)
{
	places->oracle = *oracle;
	places->market_program = *market;
	solana_address_derive((struct span[]){SPAN("oracle_config")}, 1, oracle,
	                      &places->oracle_config);
	solana_address_derive((struct span[]){SPAN("config")}, 1, market, &places->market_config);
	solana_address_derive((struct span[]){SPAN("duel"), span_of(duel_key, 32)}, 2, oracle,
	                      &places->duel);
	solana_address_derive((struct span[]){SPAN("market"), span_of(places->duel.bytes, 32),
	                                      span_of(kind, sizeof kind)},
	                      3, market, &places->market);
	solana_address_derive((struct span[]){SPAN("vault"), span_of(places->market.bytes, 32)}, 2,
	                      market, &places->vault);
}

static void name_bytes(const char *space, const char *name, uint8_t out[NAME_BYTES])
{
	char text[64];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	int len = snprintf(text, sizeof text, "%s:%s", space, name);
	check(len > 0 && (size_t)len < sizeof text);
	SHA256((const uint8_t *)text, (size_t)len, digest);
	memcpy(out, digest, NAME_BYTES);
}

/* ---- accounts ---- */

static bool open_account(struct reader *r, struct span account, const char *name)
{
	uint8_t expected[NAME_BYTES];
	*r = (struct reader){account.at, account.at + account.len, true};
	name_bytes("account", name, expected);
	struct span found = reader_bytes(r, NAME_BYTES);
	return r->ok && memcmp(found.at, expected, NAME_BYTES) == 0;
}

/* Zeros where there is too little. */
static void take_bytes(struct reader *r, uint8_t *out, size_t len)
{
	struct span found = reader_bytes(r, len);
	memset(out, 0, len);
	if (found.len != 0)
		memcpy(out, found.at, len);
}

static uint64_t take_number(struct reader *r)
{
	uint8_t bytes[8];
	uint64_t value = 0;
	take_bytes(r, bytes, sizeof bytes);
	for (size_t i = sizeof bytes; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

/* One of an enum's values. */
static unsigned take_one_of(struct reader *r, unsigned count)
{
	unsigned value = (unsigned)reader_uint(r, 1);
	r->ok = r->ok && value < count;
	return value < count ? value : 0;
}

bool solana_duel_read(struct span account, struct solana_duel *duel)
{
	struct reader r;
	uint8_t proposal[32];
	*duel = (struct solana_duel){0};
	if (!open_account(&r, account, "DuelState"))
		return false;
	take_bytes(&r, duel->key, 32);
	take_bytes(&r, duel->participant[0], 32);
	take_bytes(&r, duel->participant[1], 32);
	duel->status = take_one_of(&r, SOLANA_DUEL_STATUSES);
	duel->result.winner = take_one_of(&r, SOLANA_SIDES);
	duel->open_s = (int64_t)take_number(&r);
	duel->close_s = (int64_t)take_number(&r);
	duel->start_s = (int64_t)take_number(&r);
	duel->result.end_s = (int64_t)take_number(&r);
	duel->result.seed = take_number(&r);
	take_bytes(&r, duel->result.result_hash, 32);
	take_bytes(&r, duel->result.replay_hash, 32);
	take_bytes(&r, proposal, sizeof proposal);
	duel->proposed.winner = take_one_of(&r, SOLANA_SIDES);
	duel->proposed.seed = take_number(&r);
	take_bytes(&r, duel->proposed.result_hash, 32);
	take_bytes(&r, duel->proposed.replay_hash, 32);
	duel->proposed.end_s = (int64_t)take_number(&r);
	duel->proposed_s = (int64_t)take_number(&r);
	duel->challenged = take_one_of(&r, 2) != 0;
	return r.ok;
}

bool solana_market_read(struct span account, struct solana_market *market)
{
	struct reader r;
	*market = (struct solana_market){0};
	if (!open_account(&r, account, "MarketState"))
		return false;
	take_bytes(&r, market->duel.bytes, 32);
	reader_bytes(&r, 32 + 1); /* the duel's key, the kind */
	market->status = take_one_of(&r, SOLANA_MARKET_STATUSES);
	market->winner = take_one_of(&r, SOLANA_SIDES);
	return r.ok;
}

bool solana_oracle_config_read(struct span account, struct solana_oracle_config *config)
{
	struct reader r;
	*config = (struct solana_oracle_config){0};
	if (!open_account(&r, account, "OracleConfig"))
		return false;
	reader_bytes(&r, 32); /* its authority */
	take_bytes(&r, config->reporter.bytes, 32);
	take_bytes(&r, config->finalizer.bytes, 32);
	reader_bytes(&r, 32); /* the challenger */
	config->window_s = (int64_t)take_number(&r);
	return r.ok && config->window_s >= 0;
}

/* ---- instructions ---- */

static void begin(struct solana_instruction *instruction, const struct solana_address *program,
                  const char *name)
{
	uint8_t bytes[NAME_BYTES];
	*instruction = (struct solana_instruction){.program = *program};
	name_bytes("global", name, bytes);
	solana_instruction_bytes(instruction, span_of(bytes, sizeof bytes));
}

/* Of the oracle's: who, its config, the duel. */
static void begin_oracle(struct solana_instruction *instruction, const struct solana_places *places,
                         const struct solana_address *who, const uint8_t duel_key[32],
                         const char *name, bool pays)
{
	begin(instruction, &places->oracle, name);
	solana_instruction_account(instruction, who, true, pays);
	solana_instruction_account(instruction, &places->oracle_config, false, false);
	solana_instruction_account(instruction, &places->duel, false, true);
	solana_instruction_bytes(instruction, span_of(duel_key, 32));
}

static void add_text(struct solana_instruction *instruction, const char *text)
{
	struct span bytes = span_str(text);
	check(bytes.len <= SOLANA_URI_MAX);
	solana_instruction_number(instruction, bytes.len, 4);
	solana_instruction_bytes(instruction, bytes);
}

static void add_time(struct solana_instruction *instruction, int64_t at_s)
{
	solana_instruction_number(instruction, (uint64_t)at_s, 8);
}

void solana_upsert_duel(struct solana_instruction *instruction, const struct solana_places *places,
                        const struct solana_address *who, const struct solana_duel *duel,
                        const char *uri)
{
	begin_oracle(instruction, places, who, duel->key, "upsert_duel", true);
	solana_instruction_account(instruction, &system_program, false, false);
	solana_instruction_bytes(instruction, span_of(duel->participant[0], 32));
	solana_instruction_bytes(instruction, span_of(duel->participant[1], 32));
	add_time(instruction, duel->open_s);
	add_time(instruction, duel->close_s);
	add_time(instruction, duel->start_s);
	add_text(instruction, uri);
	solana_instruction_number(instruction, duel->status, 1);
}

void solana_propose_result(struct solana_instruction *instruction,
                           const struct solana_places *places, const struct solana_address *who,
                           const uint8_t duel_key[32], const struct solana_result *result,
                           const char *uri)
{
	begin_oracle(instruction, places, who, duel_key, "propose_result", true);
	solana_instruction_number(instruction, result->winner, 1);
	solana_instruction_number(instruction, result->seed, 8);
	solana_instruction_bytes(instruction, span_of(result->replay_hash, 32));
	solana_instruction_bytes(instruction, span_of(result->result_hash, 32));
	add_time(instruction, result->end_s);
	add_text(instruction, uri);
}

void solana_finalize_result(struct solana_instruction *instruction,
                            const struct solana_places *places, const struct solana_address *who,
                            const uint8_t duel_key[32], const char *uri)
{
	begin_oracle(instruction, places, who, duel_key, "finalize_result", false);
	add_text(instruction, uri);
}

void solana_cancel_duel(struct solana_instruction *instruction, const struct solana_places *places,
                        const struct solana_address *who, const uint8_t duel_key[32],
                        const char *uri)
{
	begin_oracle(instruction, places, who, duel_key, "cancel_duel", true);
	add_text(instruction, uri);
}

void solana_initialize_market(struct solana_instruction *instruction,
                              const struct solana_places *places, const struct solana_address *who,
                              const uint8_t duel_key[32])
{
	begin(instruction, &places->market_program, "initialize_market");
	solana_instruction_account(instruction, who, true, true);
	solana_instruction_account(instruction, &places->market_config, false, false);
	solana_instruction_account(instruction, &places->duel, false, false);
	solana_instruction_account(instruction, &places->market, false, true);
	solana_instruction_account(instruction, &places->vault, false, true);
	solana_instruction_account(instruction, &system_program, false, false);
	solana_instruction_bytes(instruction, span_of(duel_key, 32));
	solana_instruction_number(instruction, KIND_DUEL_WINNER, 1);
}

void solana_sync_market(struct solana_instruction *instruction, const struct solana_places *places)
{
	begin(instruction, &places->market_program, "sync_market_from_duel");
	solana_instruction_account(instruction, &places->market, false, true);
	solana_instruction_account(instruction, &places->duel, false, false);
}

/* ---- the network's ---- */

static void begin_compute(struct solana_instruction *instruction)
{
	*instruction = (struct solana_instruction){0};
	check(base58_read("ComputeBudget111111111111111111111111111111", instruction->program.bytes,
	                  32));
}

void solana_compute_limit(struct solana_instruction *instruction, uint32_t units)
{
	begin_compute(instruction);
	solana_instruction_number(instruction, 2, 1);
	solana_instruction_number(instruction, units, 4);
}

void solana_compute_price(struct solana_instruction *instruction, uint64_t micro_lamports)
{
	begin_compute(instruction);
	solana_instruction_number(instruction, 3, 1);
	solana_instruction_number(instruction, micro_lamports, 8);
}
