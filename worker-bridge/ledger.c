#include "worker-bridge/ledger.h"
#include "common/base/check.h"
#include "common/base/hex.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

static const char account_prefix[] = "ledger/account/";

uint64_t ledger_payout(uint64_t stake, uint64_t total, uint64_t winning)
{
	check(winning > 0 && stake <= winning);
	return (uint64_t)((unsigned __int128)stake * total / winning);
}

void ledger_account_key(const char *id, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "%s%s", account_prefix, id);
}

void ledger_bet_key(const char *duel_id, uint64_t number, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/bet/%s/%08" PRIu64, duel_id, number);
}

/* ---- rows ---- */

bool ledger_account_valid(const json_t *account)
{
	return json_is_integer(json_object_get(account, "balance"));
}

bool ledger_bet_valid(const json_t *bet)
{
	const json_t *amount = json_object_get(bet, "amount"), *paid = json_object_get(bet, "paid");
	const char *side = json_string_value(json_object_get(bet, "side"));
	return json_is_string(json_object_get(bet, "duelId")) &&
	       json_is_string(json_object_get(bet, "account")) && side != NULL &&
	       (strcmp(side, "A") == 0 || strcmp(side, "B") == 0) && json_is_integer(amount) &&
	       json_integer_value(amount) > 0 && (json_is_null(paid) || json_is_integer(paid));
}

static enum row_found read_row(struct rows *rows, const char *key, bool (*valid)(const json_t *row),
                               json_t **json)
{
	enum row_found found = rows_json(rows, key, json);
	if (found != ROW_PRESENT || valid(*json))
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
	return read_row(rows, key, ledger_account_valid, json);
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
	if (ledger_account(rows, id, &account) == ROW_ABSENT)
		account = json_pack("{s:s,s:I}", "id", id, "balance", (json_int_t)0);
	int64_t balance = json_integer_value(json_object_get(account, "balance")) + amount;
	check(*id == '@' || (balance >= 0 && balance <= (int64_t)LEDGER_AMOUNT_MAX));
	json_object_set_new(account, "balance", json_integer(balance));
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
	rows_put_json(rows, key,
	              json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "id", id, "name", name, "owner", owner,
	                        "balance", (json_int_t)0, "granted", (json_int_t)grant, "openedAt",
	                        (json_int_t)now_ms));
	post(rows, "@issue", -(int64_t)grant);
	post(rows, id, (int64_t)grant);
	return LEDGER_OK;
}

/* ---- bets ---- */

json_t *ledger_bet_shown(json_t *bet)
{
	json_object_del(bet, "keyHash");
	return bet;
}

enum { HASH_ROOM = 2 * 16 + 1 };

static void key_hash(struct span idempotency_key, char hash[HASH_ROOM])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(idempotency_key.at, idempotency_key.len, digest);
	hex_print(digest, HASH_ROOM / 2, hash);
}

static void key_row(const char *account, const char *hash, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/key/%s/%s", account, hash);
}

static bool key_valid(const json_t *row)
{
	return json_is_string(json_object_get(row, "duelId")) &&
	       json_is_integer(json_object_get(row, "number"));
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
	enum row_found result = read_row(rows, key, key_valid, &row);
	if (result == ROW_PRESENT) {
		ledger_bet_key(json_string_value(json_object_get(row, "duelId")),
		               (uint64_t)json_integer_value(json_object_get(row, "number")), key);
		result = read_row(rows, key, ledger_bet_valid, found);
		ledger_bet_shown(*found);
	}
	json_decref(row);
	return result;
}

static bool same_bet(const json_t *made, const struct market *market, const struct ledger_bet *bet)
{
	const char *duel = json_string_value(json_object_get(made, "duelId"));
	const char *side = json_string_value(json_object_get(made, "side"));
	return strcmp(duel, market->duel_id) == 0 && *side == "AB"[bet->side] &&
	       (uint64_t)json_integer_value(json_object_get(made, "amount")) == bet->amount;
}

/* The bet's row and, where it came with one, that of its key. */
static void put_bet(struct rows *rows, const struct market *market, const struct ledger_bet *bet,
                    const json_t *made)
{
	char key[LEDGER_KEY_ROOM], hash[HASH_ROOM];
	json_t *row = json_copy((json_t *)(uintptr_t)made);
	if (bet->key.len != 0) {
		key_hash(bet->key, hash);
		json_object_set_new(row, "keyHash", json_string(hash));
		key_row(bet->account, hash, key);
		rows_put_json(rows, key,
		              json_pack("{s:s,s:I}", "duelId", market->duel_id, "number",
		                        (json_int_t)market->bets));
	}
	ledger_bet_key(market->duel_id, market->bets, key);
	rows_put_json(rows, key, row);
}

/* What the rows say against it, before the market is asked. LEDGER_OK: nothing. */
static enum ledger_result judge_rows(struct rows *rows, const struct market *market,
                                     const struct ledger_bet *bet, uint64_t *balance, json_t **made)
{
	char key[LEDGER_KEY_ROOM];
	json_t *account = NULL;
	enum row_found found = ROW_ABSENT;
	if (*bet->account != '@')
		found = ledger_account(rows, bet->account, &account);
	*balance = (uint64_t)json_integer_value(json_object_get(account, "balance"));
	json_decref(account);
	if (found != ROW_PRESENT)
		return found == ROW_ABSENT ? LEDGER_NO_ACCOUNT : LEDGER_UNREADABLE;
	found = earlier_bet(rows, bet, made);
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
	const char side[2] = {"AB"[bet->side], '\0'};
	uint64_t balance;
	*made = NULL;
	enum ledger_result result = judge_rows(rows, market, bet, &balance, made);
	if (result != LEDGER_OK)
		return result;
	if (bet->too_late || !market_takes_bets(market, now_ms))
		return LEDGER_CLOSED;
	if (balance < bet->amount)
		return LEDGER_POOR;
	if (market->bets >= bets_max ||
	    market->pool[0] + market->pool[1] + bet->amount > LEDGER_AMOUNT_MAX)
		return LEDGER_FULL;
	post(rows, bet->account, -(int64_t)bet->amount);
	market->pool[bet->side] += bet->amount;
	market->bets++;
	*made = json_pack("{s:s,s:I,s:s,s:s,s:I,s:I,s:n}", "duelId", market->duel_id, "number",
	                  (json_int_t)market->bets, "account", bet->account, "side", side, "amount",
	                  (json_int_t)bet->amount, "at", (json_int_t)now_ms, "paid");
	put_bet(rows, market, bet, *made);
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
static uint64_t pay_of(const struct market *m, const json_t *bet, const struct terms *t)
{
	uint64_t amount = (uint64_t)json_integer_value(json_object_get(bet, "amount"));
	const char *side = json_string_value(json_object_get(bet, "side"));
	bool won = (unsigned)(*side == 'B') == t->winner;
	return t->refund ? amount : won ? ledger_payout(amount, t->total, m->pool[t->winner]) : 0;
}

/* A bet of the market, whose "paid" is null (`paid` false) or a number; NULL: it is lost or says
 * something else, and has been marked. */
static json_t *bet_of(struct rows *rows, const struct market *m, uint64_t number, bool paid)
{
	char key[LEDGER_KEY_ROOM];
	json_t *bet;
	ledger_bet_key(m->duel_id, number, key);
	if (read_row(rows, key, ledger_bet_valid, &bet) == ROW_PRESENT &&
	    json_is_null(json_object_get(bet, "paid")) != paid)
		return bet;
	rows_mark(rows, key);
	json_decref(bet);
	return NULL;
}

/* False: a row of it cannot be read, and nothing was changed. */
static bool pay_bet(struct rows *rows, struct market *m, uint64_t number, const struct terms *t)
{
	char key[LEDGER_KEY_ROOM];
	json_t *bet = bet_of(rows, m, number, false);
	const char *account = json_string_value(json_object_get(bet, "account"));
	uint64_t paid = bet != NULL ? pay_of(m, bet, t) : 0;
	if (bet == NULL || (paid > 0 && !postable(rows, account))) {
		json_decref(bet);
		return false;
	}
	if (paid > 0)
		post(rows, account, (int64_t)paid);
	m->paid += paid;
	json_object_set_new(bet, "paid", json_integer((json_int_t)paid));
	ledger_bet_key(m->duel_id, number, key);
	rows_put_json(rows, key, bet);
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
	json_t *bet = bet_of(rows, m, number, true);
	const char *account = json_string_value(json_object_get(bet, "account"));
	const char *hash = json_string_value(json_object_get(bet, "keyHash"));
	if (bet == NULL)
		return false;
	if (hash != NULL) {
		key_row(account, hash, of_key);
		rows_put(rows, of_key, (struct span){0});
	}
	json_decref(bet);
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
	json_t *account = json_loadb((const char *)value.at, value.len, 0, NULL);
	const json_t *balance = json_object_get(account, "balance");
	if (!json_is_integer(balance))
		sums->bad_rows++;
	else if (key.at[sizeof account_prefix - 1] == '@')
		sums->house += json_integer_value(balance);
	else {
		sums->accounts += json_integer_value(balance);
		sums->account_count++;
	}
	json_decref(account);
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
