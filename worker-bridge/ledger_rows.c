#include "worker-bridge/ledger_rows.h"
#include "common/base/check.h"
#include "common/base/hex.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>

/* ---- keys ---- */

void ledger_account_key(const char *id, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, LEDGER_ACCOUNTS "%s", id);
}

void ledger_own_key(const char *account, uint64_t number, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/own/%s/%016" PRIu64, account,
	         (uint64_t)9999999999999999 - number);
}

void ledger_bet_key(const char *duel_id, uint64_t number, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/bet/%s/%08" PRIu64, duel_id, number);
}

void ledger_key_row(const char *account, const char *hash, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/key/%s/%s", account, hash);
}

void ledger_key_hash(struct span idempotency_key, char hash[LEDGER_HASH_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(idempotency_key.at, idempotency_key.len, digest);
	hex_print(digest, LEDGER_HASH_ROOM / 2, hash);
}

/* ---- rows ---- */

static const char *const sides[] = {"A", "B"};

static const struct record_field account_fields[] = {
        {RECORD_MEMBER("id", struct ledger_account_row, id)},
        {RECORD_MEMBER("name", struct ledger_account_row, name)},
        {RECORD_MEMBER("owner", struct ledger_account_row, owner)},
        {RECORD_MEMBER("balance", struct ledger_account_row, balance), RECORD_NEEDED},
        {RECORD_MEMBER("granted", struct ledger_account_row, granted)},
        {RECORD_MEMBER("openedAt", struct ledger_account_row, opened_ms)},
        {RECORD_MEMBER("bets", struct ledger_account_row, bets)},
        {RECORD_MEMBER("staked", struct ledger_account_row, staked)},
        {RECORD_MEMBER("returned", struct ledger_account_row, returned)},
        {RECORD_MEMBER("displayName", struct ledger_account_row, display_name), .sparse = true},
        {RECORD_MEMBER("toppedUp", struct ledger_account_row, topped_up), .sparse = true},
        {.name = "topUps", .kind = RECORD_ARRAY},
        {RECORD_MEMBER("closedAt", struct ledger_account_row, ended_ms), .sparse = true},
};
/* The house's, which nobody opened. */
static const struct record_field house_fields[] = {
        {RECORD_MEMBER("id", struct ledger_account_row, id)},
        {RECORD_MEMBER("balance", struct ledger_account_row, balance), RECORD_NEEDED},
};
static const struct record_field bet_fields[] = {
        {RECORD_MEMBER("duelId", struct ledger_bet_row, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("number", struct ledger_bet_row, number)},
        {RECORD_MEMBER("account", struct ledger_bet_row, account), RECORD_NEEDED},
        {RECORD_ENUM("side", struct ledger_bet_row, side, sides), RECORD_NEEDED},
        {RECORD_MEMBER("amount", struct ledger_bet_row, amount), RECORD_NEEDED, .min = 1,
         .max = INT64_MAX},
        {RECORD_MEMBER("at", struct ledger_bet_row, at_ms)},
        {.name = "paid",
         .kind = RECORD_MAYBE,
         RECORD_PLACE(struct ledger_bet_row, paid),
         RECORD_NEEDED},
        {RECORD_MEMBER("keyHash", struct ledger_bet_row, key_hash), .sparse = true},
        {RECORD_MEMBER("ownNumber", struct ledger_bet_row, own_number), .sparse = true},
};
static const struct record_field bet_key_fields[] = {
        {RECORD_MEMBER("duelId", struct ledger_key_of_bet, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("number", struct ledger_key_of_bet, number), RECORD_NEEDED},
};
static const struct record house_record = {RECORD_FIELDS(house_fields)};
const struct record ledger_account_record = {RECORD_FIELDS(account_fields)},
                    ledger_bet_record = {RECORD_FIELDS(bet_fields)},
                    ledger_bet_key_record = {RECORD_FIELDS(bet_key_fields)};

json_t *ledger_row_written(const struct record *record, const void *from)
{
	json_t *row = json_object();
	record_write(record, from, row);
	return row;
}

bool ledger_account_valid(const json_t *account)
{
	return record_read(&ledger_account_record, account, NULL) == ROW_PRESENT;
}

bool ledger_account_ended(const json_t *account)
{
	return json_integer_value(json_object_get(account, "closedAt")) != 0;
}

bool ledger_bet_valid(const json_t *bet)
{
	return record_read(&ledger_bet_record, bet, NULL) == ROW_PRESENT;
}

enum row_found ledger_row_read(struct rows *rows, const char *key, const struct record *record,
                               json_t **json)
{
	enum row_found found = rows_json(rows, key, json);
	if (found != ROW_PRESENT || record_read(record, *json, NULL) == ROW_PRESENT)
		return found;
	rows_mark(rows, key);
	json_decref(*json);
	*json = NULL;
	return ROW_UNREADABLE;
}

enum row_found ledger_account(struct rows *rows, const char *id, json_t **json)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key(id, key);
	return ledger_row_read(rows, key, &ledger_account_record, json);
}

/* ---- postings ---- */

bool ledger_postable(struct rows *rows, const char *id)
{
	json_t *account;
	enum row_found found = ledger_account(rows, id, &account);
	json_decref(account);
	if (found == ROW_ABSENT && *id != '@') {
		char key[LEDGER_KEY_ROOM];
		ledger_account_key(id, key);
		rows_mark(rows, key); /* lost: what is owed to it is nobody else's */
	}
	return found == ROW_PRESENT || (found == ROW_ABSENT && *id == '@');
}

/* To an account that is ledger_postable(). The house's may be below zero. */
void ledger_post(struct rows *rows, const char *id, int64_t amount)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	if (ledger_account(rows, id, &account) == ROW_ABSENT) {
		struct ledger_account_row fresh = {0};
		snprintf(fresh.id, sizeof fresh.id, "%s", id);
		account = ledger_row_written(&house_record, &fresh);
	}
	int64_t balance = json_integer_value(json_object_get(account, "balance")) + amount;
	check(*id == '@' || (balance >= 0 && balance <= (int64_t)LEDGER_AMOUNT_MAX));
	json_object_set_new(account, "balance", json_integer(balance));
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

void ledger_tally(struct rows *rows, const char *id, const char *name, uint64_t n)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	check(ledger_account(rows, id, &account) == ROW_PRESENT);
	json_int_t total = json_integer_value(json_object_get(account, name));
	json_object_set_new(account, name, json_integer(total + (json_int_t)n));
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

/* ---- accounts ---- */

enum ledger_result ledger_find_account(struct rows *rows, const char *id, json_t **account)
{
	*account = NULL;
	switch (*id != '@' ? ledger_account(rows, id, account) : ROW_ABSENT) {
	case ROW_PRESENT:
		return LEDGER_OK;
	case ROW_ABSENT:
		return LEDGER_NO_ACCOUNT;
	case ROW_UNREADABLE:
		break;
	}
	return LEDGER_UNREADABLE;
}

enum ledger_result ledger_find_open_account(struct rows *rows, const char *id, json_t **account)
{
	enum ledger_result result = ledger_find_account(rows, id, account);
	if (result != LEDGER_OK || !ledger_account_ended(*account))
		return result;
	json_decref(*account);
	*account = NULL;
	return LEDGER_ENDED;
}

void ledger_put_account(struct rows *rows, const char *id, json_t *account)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

/* ---- bets ---- */

json_t *ledger_bet_of(struct rows *rows, const struct market *m, uint64_t number, bool paid,
                      struct ledger_bet_row *bet)
{
	char key[LEDGER_KEY_ROOM];
	json_t *row;
	ledger_bet_key(m->duel_id, number, key);
	if (ledger_row_read(rows, key, &ledger_bet_record, &row) == ROW_PRESENT &&
	    record_read(&ledger_bet_record, row, bet) == ROW_PRESENT &&
	    (bet->paid == RECORD_NULL) != paid)
		return row;
	rows_mark(rows, key);
	json_decref(row);
	return NULL;
}
