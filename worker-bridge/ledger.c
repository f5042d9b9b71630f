#include "worker-bridge/ledger.h"
#include "common/base/check.h"
#include "common/store/record.h"
#include "common/base/hex.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

static const char account_prefix[] = LEDGER_ACCOUNTS;
enum { HASH_ROOM = 2 * 16 + 1 };

uint64_t ledger_payout(uint64_t stake, uint64_t total, uint64_t winning)
{
	check(winning > 0 && stake <= winning);
	return (uint64_t)((unsigned __int128)stake * total / winning);
}

void ledger_account_key(const char *id, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "%s%s", account_prefix, id);
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

/* ---- rows ---- */

/* As they are written; kept as JSON meanwhile, so that members of a newer release stay. */
struct account {
	char id[LEDGER_ID_MAX + 1], name[65], owner[65];
	int64_t balance;
	uint64_t granted, opened_ms;
	uint64_t bets, staked,
	        returned; /* ever made; what was staked; what came back of settled ones */
	char display_name[LEDGER_DISPLAY_NAME_MAX + 1];
	uint64_t topped_up, ended_ms;
};

struct bet {
	char duel_id[64], account[LEDGER_ID_MAX + 1];
	uint64_t number, amount, at_ms;
	enum { SIDE_A, SIDE_B } side;
	int64_t paid; /* RECORD_NULL: not yet */
	char key_hash[HASH_ROOM];
	uint64_t own_number;
};

struct bet_key {
	char duel_id[64];
	uint64_t number;
};

static const char *const sides[] = {"A", "B"};

static const struct record_field account_fields[] = {
        {RECORD_MEMBER("id", struct account, id)},
        {RECORD_MEMBER("name", struct account, name)},
        {RECORD_MEMBER("owner", struct account, owner)},
        {RECORD_MEMBER("balance", struct account, balance), RECORD_NEEDED},
        {RECORD_MEMBER("granted", struct account, granted)},
        {RECORD_MEMBER("openedAt", struct account, opened_ms)},
        {RECORD_MEMBER("bets", struct account, bets)},
        {RECORD_MEMBER("staked", struct account, staked)},
        {RECORD_MEMBER("returned", struct account, returned)},
        {RECORD_MEMBER("displayName", struct account, display_name), .sparse = true},
        {RECORD_MEMBER("toppedUp", struct account, topped_up), .sparse = true},
        {.name = "topUps", .kind = RECORD_ARRAY},
        {RECORD_MEMBER("closedAt", struct account, ended_ms), .sparse = true},
};
/* The house's, which nobody opened. */
static const struct record_field house_fields[] = {
        {RECORD_MEMBER("id", struct account, id)},
        {RECORD_MEMBER("balance", struct account, balance), RECORD_NEEDED},
};
static const struct record_field bet_fields[] = {
        {RECORD_MEMBER("duelId", struct bet, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("number", struct bet, number)},
        {RECORD_MEMBER("account", struct bet, account), RECORD_NEEDED},
        {RECORD_ENUM("side", struct bet, side, sides), RECORD_NEEDED},
        {RECORD_MEMBER("amount", struct bet, amount), RECORD_NEEDED, .min = 1, .max = INT64_MAX},
        {RECORD_MEMBER("at", struct bet, at_ms)},
        {.name = "paid", .kind = RECORD_MAYBE, RECORD_PLACE(struct bet, paid), RECORD_NEEDED},
        {RECORD_MEMBER("keyHash", struct bet, key_hash), .sparse = true},
        {RECORD_MEMBER("ownNumber", struct bet, own_number), .sparse = true},
};
static const struct record_field bet_key_fields[] = {
        {RECORD_MEMBER("duelId", struct bet_key, duel_id), RECORD_NEEDED},
        {RECORD_MEMBER("number", struct bet_key, number), RECORD_NEEDED},
};
static const struct record account_record = {RECORD_FIELDS(account_fields)},
                           house_record = {RECORD_FIELDS(house_fields)},
                           bet_record = {RECORD_FIELDS(bet_fields)},
                           bet_key_record = {RECORD_FIELDS(bet_key_fields)};

static json_t *written(const struct record *record, const void *from)
{
	json_t *row = json_object();
	record_write(record, from, row);
	return row;
}

bool ledger_account_valid(const json_t *account)
{
	return record_read(&account_record, account, NULL) == ROW_PRESENT;
}

bool ledger_account_ended(const json_t *account)
{
	return json_integer_value(json_object_get(account, "closedAt")) != 0;
}

bool ledger_bet_valid(const json_t *bet)
{
	return record_read(&bet_record, bet, NULL) == ROW_PRESENT;
}

static enum row_found read_row(struct rows *rows, const char *key, const struct record *record,
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
	return read_row(rows, key, &account_record, json);
}

/* Could be posted to? The house's accounts come into being with their first posting. */
static bool postable(struct rows *rows, const char *id)
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

/* To an account that is postable(). The house's may be below zero. */
static void post(struct rows *rows, const char *id, int64_t amount)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	if (ledger_account(rows, id, &account) == ROW_ABSENT) {
		struct account fresh = {0};
		snprintf(fresh.id, sizeof fresh.id, "%s", id);
		account = written(&house_record, &fresh);
	}
	int64_t balance = json_integer_value(json_object_get(account, "balance")) + amount;
	check(*id == '@' || (balance >= 0 && balance <= (int64_t)LEDGER_AMOUNT_MAX));
	json_object_set_new(account, "balance", json_integer(balance));
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

/* The account's totals, which stay when its bets' rows go. Of one that has been posted to. */
static void tally(struct rows *rows, const char *id, const char *name, uint64_t n)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	check(ledger_account(rows, id, &account) == ROW_PRESENT);
	json_int_t total = json_integer_value(json_object_get(account, name));
	json_object_set_new(account, name, json_integer(total + (json_int_t)n));
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

enum ledger_result ledger_issued(struct rows *rows, uint64_t *issued)
{
	json_t *issue;
	enum row_found found = ledger_account(rows, "@issue", &issue);
	*issued = (uint64_t)-json_integer_value(json_object_get(issue, "balance"));
	json_decref(issue);
	return found != ROW_UNREADABLE ? LEDGER_OK : LEDGER_UNREADABLE;
}

enum ledger_result ledger_open(struct rows *rows, const char *id, const char *name,
                               const char *owner, uint64_t grant, uint64_t now_ms)
{
	char key[LEDGER_KEY_ROOM];
	uint64_t issued;
	ledger_account_key(id, key);
	if (rows_get(rows, key).at != NULL)
		return LEDGER_CLOSED;
	if (ledger_issued(rows, &issued) != LEDGER_OK)
		return LEDGER_UNREADABLE;
	check(grant <= LEDGER_AMOUNT_MAX && issued <= LEDGER_AMOUNT_MAX - grant);
	struct account account = {.granted = grant, .opened_ms = now_ms};
	snprintf(account.id, sizeof account.id, "%s", id);
	snprintf(account.name, sizeof account.name, "%s", name);
	snprintf(account.owner, sizeof account.owner, "%s", owner);
	rows_put_json(rows, key, written(&account_record, &account));
	post(rows, "@issue", -(int64_t)grant);
	post(rows, id, (int64_t)grant);
	return LEDGER_OK;
}

/* ---- what becomes of an account ---- */

static void key_hash(struct span idempotency_key, char hash[HASH_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(idempotency_key.at, idempotency_key.len, digest);
	hex_print(digest, HASH_ROOM / 2, hash);
}

/* LEDGER_OK: *account is a new reference. Nobody opens, names or closes the house's. */
static enum ledger_result find_account(struct rows *rows, const char *id, json_t **account)
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

static enum ledger_result find_open_account(struct rows *rows, const char *id, json_t **account)
{
	enum ledger_result result = find_account(rows, id, account);
	if (result != LEDGER_OK || !ledger_account_ended(*account))
		return result;
	json_decref(*account);
	*account = NULL;
	return LEDGER_ENDED;
}

/* Takes it. */
static void put_account(struct rows *rows, const char *id, json_t *account)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key(id, key);
	rows_put_json(rows, key, account);
}

/* The same top-up again, or another with its key? LEDGER_OK: neither. */
static enum ledger_result earlier_top_up(const json_t *account, const struct ledger_top_up *top_up)
{
	char hash[HASH_ROOM];
	size_t i;
	json_t *one;
	if (top_up->key.len == 0)
		return LEDGER_OK;
	key_hash(top_up->key, hash);
	json_array_foreach (json_object_get(account, "topUps"), i, one) {
		const char *its = json_string_value(json_object_get(one, "keyHash"));
		if (its == NULL || strcmp(its, hash) != 0)
			continue;
		return (uint64_t)json_integer_value(json_object_get(one, "amount")) ==
		                       top_up->amount
		               ? LEDGER_REPEATED
		               : LEDGER_KEY_REUSED;
	}
	return LEDGER_OK;
}

static void note_top_up(json_t *account, const struct ledger_top_up *top_up, uint64_t now_ms)
{
	char hash[HASH_ROOM];
	json_t *kept = json_object_get(account, "topUps");
	json_t *one = json_pack("{s:I,s:I,s:s,s:s}", "at", (json_int_t)now_ms, "amount",
	                        (json_int_t)top_up->amount, "actor", top_up->actor, "reason",
	                        top_up->reason);
	if (top_up->key.len != 0) {
		key_hash(top_up->key, hash);
		json_object_set_new(one, "keyHash", json_string(hash));
	}
	if (kept == NULL) {
		kept = json_array();
		json_object_set_new(account, "topUps", kept);
	}
	if (json_array_size(kept) >= LEDGER_TOP_UPS_KEPT)
		json_array_remove(kept, 0);
	json_array_append_new(kept, one);
}

enum ledger_result ledger_top_up(struct rows *rows, const char *id,
                                 const struct ledger_top_up *top_up, uint64_t now_ms)
{
	json_t *account;
	uint64_t issued;
	enum ledger_result result = find_open_account(rows, id, &account);
	if (result == LEDGER_OK)
		result = earlier_top_up(account, top_up);
	if (result == LEDGER_OK)
		result = ledger_issued(rows, &issued);
	if (result == LEDGER_OK && issued > LEDGER_AMOUNT_MAX - top_up->amount)
		result = LEDGER_FULL;
	if (result != LEDGER_OK) {
		json_decref(account);
		return result;
	}
	json_int_t before = json_integer_value(json_object_get(account, "toppedUp"));
	json_object_set_new(account, "toppedUp", json_integer(before + (json_int_t)top_up->amount));
	note_top_up(account, top_up, now_ms);
	put_account(rows, id, account);
	post(rows, "@issue", -(int64_t)top_up->amount);
	post(rows, id, (int64_t)top_up->amount);
	return LEDGER_OK;
}

enum ledger_result ledger_end(struct rows *rows, const char *id, uint64_t now_ms)
{
	json_t *account;
	enum ledger_result result = find_open_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	int64_t balance = json_integer_value(json_object_get(account, "balance"));
	if (balance > 0 && !postable(rows, "@closed")) {
		json_decref(account);
		return LEDGER_UNREADABLE;
	}
	json_object_set_new(account, "closedAt", json_integer((json_int_t)now_ms));
	put_account(rows, id, account);
	if (balance > 0) {
		post(rows, id, -balance);
		post(rows, "@closed", balance);
	}
	return LEDGER_OK;
}

enum ledger_result ledger_begin_again(struct rows *rows, const char *id)
{
	json_t *account;
	enum ledger_result result = find_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	json_object_del(account, "closedAt");
	put_account(rows, id, account);
	return LEDGER_OK;
}

bool ledger_display_name_valid(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > LEDGER_DISPLAY_NAME_MAX || *name == ' ' || name[len - 1] == ' ' ||
	    strncmp(name, "acc_", 4) == 0)
		return false;
	for (const unsigned char *c = (const unsigned char *)name; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
			return false;
	return true;
}

enum ledger_result ledger_name(struct rows *rows, const char *id, const char *name)
{
	json_t *account;
	enum ledger_result result = find_open_account(rows, id, &account);
	if (result != LEDGER_OK)
		return result;
	if (*name != '\0')
		json_object_set_new(account, "displayName", json_string(name));
	else
		json_object_del(account, "displayName");
	put_account(rows, id, account);
	return LEDGER_OK;
}

/* ---- bets ---- */

json_t *ledger_bet_shown(json_t *bet)
{
	const json_t *paid = json_object_get(bet, "paid");
	json_object_del(bet, "keyHash");
	json_object_del(bet, "ownNumber");
	json_object_set_new(
	        bet, "net",
	        json_is_integer(paid)
	                ? json_integer(json_integer_value(paid) -
	                               json_integer_value(json_object_get(bet, "amount")))
	                : json_null());
	return bet;
}

bool ledger_own_read(const json_t *row, char duel_id[64], uint64_t *number)
{
	struct bet_key of;
	if (record_read(&bet_key_record, row, &of) != ROW_PRESENT)
		return false;
	memcpy(duel_id, of.duel_id, sizeof of.duel_id);
	*number = of.number;
	return true;
}

uint64_t ledger_bet_own_number(const json_t *bet)
{
	return (uint64_t)json_integer_value(json_object_get(bet, "ownNumber"));
}

static void key_row(const char *account, const char *hash, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/key/%s/%s", account, hash);
}

/* The bet that was made with this Idempotency-Key; without one, ROW_ABSENT. */
static enum row_found earlier_bet(struct rows *rows, const struct ledger_bet *bet, json_t **found)
{
	char key[LEDGER_KEY_ROOM], hash[HASH_ROOM];
	json_t *row;
	*found = NULL;
	if (bet->key.len == 0)
		return ROW_ABSENT;
	key_hash(bet->key, hash);
	key_row(bet->account, hash, key);
	enum row_found result = read_row(rows, key, &bet_key_record, &row);
	if (result == ROW_PRESENT) {
		struct bet_key made;
		record_read(&bet_key_record, row, &made);
		ledger_bet_key(made.duel_id, made.number, key);
		result = read_row(rows, key, &bet_record, found);
		ledger_bet_shown(*found);
	}
	json_decref(row);
	return result;
}

static bool same_bet(const json_t *made, const struct market *market, const struct ledger_bet *bet)
{
	struct bet earlier;
	check(record_read(&bet_record, made, &earlier) == ROW_PRESENT);
	return strcmp(earlier.duel_id, market->duel_id) == 0 &&
	       (unsigned)earlier.side == bet->side && earlier.amount == bet->amount;
}

static json_t *bet_made(const struct market *market, const struct ledger_bet *bet,
                        uint64_t own_number, uint64_t now_ms)
{
	struct bet made = {.number = market->bets,
	                   .own_number = own_number,
	                   .side = bet->side == 0 ? SIDE_A : SIDE_B,
	                   .amount = bet->amount,
	                   .at_ms = now_ms,
	                   .paid = RECORD_NULL};
	memcpy(made.duel_id, market->duel_id, sizeof made.duel_id);
	snprintf(made.account, sizeof made.account, "%s", bet->account);
	return written(&bet_record, &made);
}

/* The bet's row and, where it came with one, that of its key. */
static void put_bet(struct rows *rows, const struct market *market, const struct ledger_bet *bet,
                    const json_t *made)
{
	char key[LEDGER_KEY_ROOM], hash[HASH_ROOM];
	struct bet_key of = {.number = market->bets};
	json_t *row = json_copy((json_t *)(uintptr_t)made);
	memcpy(of.duel_id, market->duel_id, sizeof of.duel_id);
	if (bet->key.len != 0) {
		key_hash(bet->key, hash);
		json_object_set_new(row, "keyHash", json_string(hash));
		key_row(bet->account, hash, key);
		rows_put_json(rows, key, written(&bet_key_record, &of));
	}
	ledger_own_key(bet->account, ledger_bet_own_number(made), key);
	rows_put_json(rows, key, written(&bet_key_record, &of));
	ledger_bet_key(market->duel_id, market->bets, key);
	rows_put_json(rows, key, row);
}

/* The account, as it is before the bet. */
struct bettor {
	uint64_t balance, bets;
	bool ended;
};

/* What the rows say against it, before the market is asked. LEDGER_OK: nothing. */
static enum ledger_result judge_rows(struct rows *rows, const struct market *market,
                                     const struct ledger_bet *bet, struct bettor *bettor,
                                     json_t **made)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account;
	enum ledger_result result = find_account(rows, bet->account, &account);
	if (result != LEDGER_OK)
		return result;
	*bettor = (struct bettor){
	        .balance = (uint64_t)json_integer_value(json_object_get(account, "balance")),
	        .bets = (uint64_t)json_integer_value(json_object_get(account, "bets")),
	        .ended = ledger_account_ended(account)};
	json_decref(account);
	enum row_found found = earlier_bet(rows, bet, made);
	if (found == ROW_UNREADABLE)
		return LEDGER_UNREADABLE;
	if (found == ROW_PRESENT && same_bet(*made, market, bet))
		return LEDGER_REPEATED;
	if (found == ROW_PRESENT) {
		json_decref(*made);
		*made = NULL;
		return LEDGER_KEY_REUSED;
	}
	ledger_bet_key(market->duel_id, market->bets + 1, key);
	if (rows_get(rows, key).at == NULL)
		return LEDGER_OK;
	rows_mark(rows, key); /* a bet that the market does not know of: it is not to be lost */
	return LEDGER_UNREADABLE;
}

enum ledger_result ledger_stake(struct rows *rows, struct market *market,
                                const struct ledger_bet *bet, uint64_t bets_max, uint64_t now_ms,
                                json_t **made)
{
	struct bettor bettor;
	*made = NULL;
	enum ledger_result result = judge_rows(rows, market, bet, &bettor, made);
	if (result != LEDGER_OK)
		return result;
	if (bettor.ended)
		return LEDGER_ENDED;
	if (bet->too_late || !market_takes_bets(market, now_ms))
		return LEDGER_CLOSED;
	if (bettor.balance < bet->amount)
		return LEDGER_POOR;
	if (market->bets >= bets_max ||
	    market->pool[0] + market->pool[1] + bet->amount > LEDGER_AMOUNT_MAX)
		return LEDGER_FULL;
	post(rows, bet->account, -(int64_t)bet->amount);
	tally(rows, bet->account, "bets", 1);
	tally(rows, bet->account, "staked", bet->amount);
	market->pool[bet->side] += bet->amount;
	market->bets++;
	*made = bet_made(market, bet, bettor.bets + 1, now_ms);
	put_bet(rows, market, bet, *made);
	ledger_bet_shown(*made);
	return LEDGER_OK;
}

/* ---- payment ---- */

struct terms {
	bool refund;
	unsigned winner;
	uint64_t total, fee; /* total: what winners share */
};

static struct terms terms_of(const struct market *m)
{
	struct terms t = {.refund = true};
	if (strcmp(m->outcome, "win") != 0)
		return t;
	t.winner = *m->side == 'B';
	uint64_t pool = m->pool[0] + m->pool[1];
	if (m->pool[t.winner] == 0)
		return t; /* nobody won: nobody loses */
	t.refund = false;
	t.fee = (uint64_t)((unsigned __int128)pool * m->fee_ppm / 1000000);
	t.total = pool - t.fee;
	return t;
}

/* What the pool pays for one bet. */
static uint64_t pay_of(const struct market *m, const struct bet *bet, const struct terms *t)
{
	bool won = (unsigned)bet->side == t->winner;
	return t->refund ? bet->amount
	       : won     ? ledger_payout(bet->amount, t->total, m->pool[t->winner])
	                 : 0;
}

/* A bet of the market, whose "paid" is null (`paid` false) or a number: its row, and what that
 * says. NULL: it is lost or says something else, and has been marked. */
static json_t *bet_of(struct rows *rows, const struct market *m, uint64_t number, bool paid,
                      struct bet *bet)
{
	char key[LEDGER_KEY_ROOM];
	json_t *row;
	ledger_bet_key(m->duel_id, number, key);
	if (read_row(rows, key, &bet_record, &row) == ROW_PRESENT &&
	    record_read(&bet_record, row, bet) == ROW_PRESENT && (bet->paid == RECORD_NULL) != paid)
		return row;
	rows_mark(rows, key);
	json_decref(row);
	return NULL;
}

/* Who gets what this account's stakes bring; NULL: it cannot be posted to. */
static const char *payee_of(struct rows *rows, const char *id)
{
	json_t *account = NULL;
	if (!postable(rows, id))
		return NULL;
	ledger_account(rows, id, &account);
	bool ended = ledger_account_ended(account);
	json_decref(account);
	if (!ended)
		return id;
	return postable(rows, "@closed") ? "@closed" : NULL;
}

/* False: a row of it cannot be read, and nothing was changed. */
static bool pay_bet(struct rows *rows, struct market *m, uint64_t number, const struct terms *t)
{
	char key[LEDGER_KEY_ROOM];
	struct bet bet;
	json_t *row = bet_of(rows, m, number, false, &bet);
	uint64_t paid = row != NULL ? pay_of(m, &bet, t) : 0;
	const char *payee = paid > 0 ? payee_of(rows, bet.account) : NULL;
	if (row == NULL || (paid > 0 && payee == NULL)) {
		json_decref(row);
		return false;
	}
	if (paid > 0) {
		post(rows, payee, (int64_t)paid);
		tally(rows, bet.account, "returned", paid);
	}
	m->paid += paid;
	json_object_set_new(row, "paid", json_integer((json_int_t)paid));
	ledger_bet_key(m->duel_id, number, key);
	rows_put_json(rows, key, row);
	return true;
}

enum ledger_progress ledger_settle(struct rows *rows, struct market *m, uint64_t count)
{
	const struct terms terms = terms_of(m);
	check(m->state == MARKET_RESOLVING);
	for (; count > 0 && m->settled_bets < m->bets; count--) {
		if (!pay_bet(rows, m, m->settled_bets + 1, &terms))
			return LEDGER_STUCK;
		m->settled_bets++;
	}
	if (m->settled_bets < m->bets)
		return LEDGER_MORE;
	uint64_t pool = m->pool[0] + m->pool[1];
	check(m->paid + terms.fee <= pool);
	uint64_t rest = pool - terms.fee - m->paid;
	if ((terms.fee > 0 && !postable(rows, "@fees")) ||
	    (rest > 0 && !postable(rows, "@rounding")))
		return LEDGER_STUCK;
	if (terms.fee > 0)
		post(rows, "@fees", (int64_t)terms.fee);
	if (rest > 0)
		post(rows, "@rounding", (int64_t)rest);
	return LEDGER_DONE;
}

/* ---- forgetting ---- */

/* False: it cannot be read, and stays. */
static bool forget_bet(struct rows *rows, const struct market *m, uint64_t number)
{
	char key[LEDGER_KEY_ROOM], of_key[LEDGER_KEY_ROOM];
	struct bet bet;
	json_t *row = bet_of(rows, m, number, true, &bet);
	if (row == NULL)
		return false;
	if (*bet.key_hash != '\0') {
		key_row(bet.account, bet.key_hash, of_key);
		rows_put(rows, of_key, (struct span){0});
	}
	if (bet.own_number != 0) {
		ledger_own_key(bet.account, bet.own_number, of_key);
		rows_put(rows, of_key, (struct span){0});
	}
	json_decref(row);
	ledger_bet_key(m->duel_id, number, key);
	rows_put(rows, key, (struct span){0});
	return true;
}

enum ledger_progress ledger_forget(struct rows *rows, struct market *m, uint64_t count)
{
	check(m->settled_ms != 0);
	for (; count > 0 && m->forgotten_bets < m->bets; count--) {
		if (!forget_bet(rows, m, m->forgotten_bets + 1))
			return LEDGER_STUCK;
		m->forgotten_bets++;
	}
	return m->forgotten_bets == m->bets ? LEDGER_DONE : LEDGER_MORE;
}

/* ---- the invariant ---- */

static bool add_account(void *arg, struct span key, struct span value)
{
	struct ledger_sums *sums = arg;
	json_t *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	struct account account;
	if (record_read(&account_record, row, &account) != ROW_PRESENT)
		sums->bad_rows++;
	else if (key.at[sizeof account_prefix - 1] == '@')
		sums->house += account.balance;
	else {
		sums->accounts += account.balance;
		sums->account_count++;
	}
	json_decref(row);
	return true;
}

static bool add_pool(void *arg, struct span key, struct span value)
{
	struct ledger_sums *sums = arg;
	struct market m;
	json_t *record = json_loadb((const char *)value.at, value.len, 0, NULL);
	(void)key;
	if (json_is_array(record) ||
	    (json_is_object(record) && json_object_get(record, "duelId") == NULL &&
	     json_object_get(record, "state") == NULL)) {
		json_decref(record);
		return true; /* a cursor, a lease, what is recent */
	}
	if (!market_read(&m, record))
		sums->bad_rows++;
	else if (m.settled_ms == 0)
		sums->pools += (int64_t)(m.pool[0] + m.pool[1] - m.paid);
	json_decref(record);
	return true;
}

void ledger_sum(struct state *view, struct ledger_sums *sums)
{
	*sums = (struct ledger_sums){0};
	state_kv_each(view, span_of(account_prefix, sizeof account_prefix - 1), add_account, sums);
	state_kv_each(view, SPAN("market/"), add_pool, sums);
}
