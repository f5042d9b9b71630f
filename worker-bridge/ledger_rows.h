/* The ledger's rows, and how they are read and posted to: what the parts of the ledger share
 * (ledger.h is what it is for others). They are kept as JSON meanwhile, so that members of a newer
 * release stay. */
#pragma once

#include "common/store/record.h"
#include "worker-bridge/ledger.h"

enum { LEDGER_HASH_ROOM = 2 * 16 + 1 };

/* ---- as they are written ---- */

struct ledger_account_row {
	char id[LEDGER_ID_MAX + 1], name[65], owner[65];
	int64_t balance;
	uint64_t granted, opened_ms;
	uint64_t bets, staked,
	        returned; /* ever made; what was staked; what came back of settled ones */
	char display_name[LEDGER_DISPLAY_NAME_MAX + 1];
	uint64_t topped_up, ended_ms;
};

struct ledger_bet_row {
	char duel_id[64], account[LEDGER_ID_MAX + 1];
	uint64_t number, amount, at_ms;
	enum { LEDGER_SIDE_A, LEDGER_SIDE_B } side;
	int64_t paid; /* RECORD_NULL: not yet */
	char key_hash[LEDGER_HASH_ROOM];
	uint64_t own_number;
};

struct ledger_key_of_bet {
	char duel_id[64];
	uint64_t number;
};

extern const struct record ledger_account_record, ledger_bet_record, ledger_bet_key_record;

/* New reference. */
json_t *ledger_row_written(const struct record *record, const void *from);
/* *json is a new reference with ROW_PRESENT, else NULL. ROW_UNREADABLE has been marked. */
enum row_found ledger_row_read(struct rows *rows, const char *key, const struct record *record,
                               json_t **json);

/* ---- postings ---- */

/* Could be posted to? The house's accounts come into being with their first posting. */
bool ledger_postable(struct rows *rows, const char *id);
/* To an account that is ledger_postable(). The house's may be below zero. */
void ledger_post(struct rows *rows, const char *id, int64_t amount);
/* The account's totals, which stay when its bets' rows go. Of one that has been posted to. */
void ledger_tally(struct rows *rows, const char *id, const char *name, uint64_t n);

/* ---- accounts ---- */

/* LEDGER_OK: *account is a new reference. Nobody opens, names or closes the house's. */
enum ledger_result ledger_find_account(struct rows *rows, const char *id, json_t **account);
enum ledger_result ledger_find_open_account(struct rows *rows, const char *id, json_t **account);
/* Takes it. */
void ledger_put_account(struct rows *rows, const char *id, json_t *account);

/* ---- bets ---- */

/* The hash of an Idempotency-Key, and the row of the bet that was made with it. */
void ledger_key_hash(struct span idempotency_key, char hash[LEDGER_HASH_ROOM]);
void ledger_key_row(const char *account, const char *hash, char key[LEDGER_KEY_ROOM]);

/* A bet of the market, whose "paid" is null (`paid` false) or a number: its row, and what that
 * says. NULL: it is lost or says something else, and has been marked. */
json_t *ledger_bet_of(struct rows *rows, const struct market *m, uint64_t number, bool paid,
                      struct ledger_bet_row *bet);
