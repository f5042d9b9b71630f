#include "worker-bridge/ledger.h"
#include "common/check.h"

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

/* The house's accounts come into being with their first posting, and may be below zero. */
static void post(struct rows *rows, const char *id, int64_t amount)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key(id, key);
	json_t *account = rows_json(rows, key);
	check(account != NULL || *id == '@');
	if (account == NULL)
		account = json_pack("{s:s,s:I}", "id", id, "balance", (json_int_t)0);
	int64_t balance = json_integer_value(json_object_get(account, "balance")) + amount;
	check(*id == '@' || (balance >= 0 && balance <= (int64_t)LEDGER_AMOUNT_MAX));
	json_object_set_new(account, "balance", json_integer(balance));
	rows_put_json(rows, key, account);
}

uint64_t ledger_issued(struct rows *rows)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key("@issue", key);
	json_t *issue = rows_json(rows, key);
	int64_t balance = json_integer_value(json_object_get(issue, "balance"));
	json_decref(issue);
	return (uint64_t)-balance;
}

bool ledger_open(struct rows *rows, const char *id, const char *name, const char *owner,
                 uint64_t grant, uint64_t now_ms)
{
	char key[LEDGER_KEY_ROOM];
	ledger_account_key(id, key);
	if (rows_get(rows, key).at != NULL)
		return false;
	check(grant <= LEDGER_AMOUNT_MAX && ledger_issued(rows) <= LEDGER_AMOUNT_MAX - grant);
	rows_put_json(rows, key,
	              json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "id", id, "name", name, "owner", owner,
	                        "balance", (json_int_t)0, "granted", (json_int_t)grant, "openedAt",
	                        (json_int_t)now_ms));
	post(rows, "@issue", -(int64_t)grant);
	post(rows, id, (int64_t)grant);
	return true;
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
	for (size_t i = 0; i < HASH_ROOM / 2; i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
}

static void key_row(const char *account, const char *hash, char key[LEDGER_KEY_ROOM])
{
	snprintf(key, LEDGER_KEY_ROOM, "ledger/key/%s/%s", account, hash);
}

static json_t *earlier_bet(struct rows *rows, const struct ledger_bet *bet)
{
	char key[LEDGER_KEY_ROOM], hash[HASH_ROOM];
	if (bet->key.len == 0)
		return NULL;
	key_hash(bet->key, hash);
	key_row(bet->account, hash, key);
	json_t *row = rows_json(rows, key);
	const char *duel = json_string_value(json_object_get(row, "duelId"));
	json_t *found = NULL;
	if (duel != NULL) {
		ledger_bet_key(duel, (uint64_t)json_integer_value(json_object_get(row, "number")),
		               key);
		found = ledger_bet_shown(rows_json(rows, key));
	}
	json_decref(row);
	return found;
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

enum ledger_result ledger_stake(struct rows *rows, struct market *market,
                                const struct ledger_bet *bet, uint64_t bets_max, uint64_t now_ms,
                                json_t **made)
{
	char key[LEDGER_KEY_ROOM], side[2] = {"AB"[bet->side], '\0'};
	ledger_account_key(bet->account, key);
	json_t *account = *bet->account != '@' ? rows_json(rows, key) : NULL;
	uint64_t balance = (uint64_t)json_integer_value(json_object_get(account, "balance"));
	bool exists = account != NULL;
	json_decref(account);
	if (!exists)
		return LEDGER_NO_ACCOUNT;
	*made = earlier_bet(rows, bet);
	if (*made != NULL && same_bet(*made, market, bet))
		return LEDGER_REPEATED;
	if (*made != NULL) {
		json_decref(*made);
		*made = NULL;
		return LEDGER_KEY_REUSED;
	}
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

static void pay_bet(struct rows *rows, struct market *m, uint64_t number, const struct terms *t)
{
	char key[LEDGER_KEY_ROOM];
	ledger_bet_key(m->duel_id, number, key);
	json_t *bet = rows_json(rows, key);
	const char *account = json_string_value(json_object_get(bet, "account"));
	const char *side = json_string_value(json_object_get(bet, "side"));
	uint64_t amount = (uint64_t)json_integer_value(json_object_get(bet, "amount"));
	check(account != NULL && side != NULL && json_is_null(json_object_get(bet, "paid")));
	bool won = (unsigned)(*side == 'B') == t->winner;
	uint64_t paid = t->refund ? amount
	                : won     ? ledger_payout(amount, t->total, m->pool[t->winner])
	                          : 0;
	if (paid > 0)
		post(rows, account, (int64_t)paid);
	m->paid += paid;
	json_object_set_new(bet, "paid", json_integer((json_int_t)paid));
	rows_put_json(rows, key, bet);
}

bool ledger_settle(struct rows *rows, struct market *m, uint64_t count)
{
	const struct terms terms = terms_of(m);
	check(m->state == MARKET_RESOLVING);
	for (; count > 0 && m->settled_bets < m->bets; count--)
		pay_bet(rows, m, ++m->settled_bets, &terms);
	if (m->settled_bets < m->bets)
		return false;
	uint64_t pool = m->pool[0] + m->pool[1];
	check(m->paid + terms.fee <= pool);
	if (terms.fee > 0)
		post(rows, "@fees", (int64_t)terms.fee);
	if (pool - terms.fee - m->paid > 0)
		post(rows, "@rounding", (int64_t)(pool - terms.fee - m->paid));
	return true;
}

/* ---- forgetting ---- */

static void forget_bet(struct rows *rows, const struct market *m, uint64_t number)
{
	char key[LEDGER_KEY_ROOM], of_key[LEDGER_KEY_ROOM];
	ledger_bet_key(m->duel_id, number, key);
	json_t *bet = rows_json(rows, key);
	const char *account = json_string_value(json_object_get(bet, "account"));
	const char *hash = json_string_value(json_object_get(bet, "keyHash"));
	check(json_is_integer(json_object_get(bet, "paid")));
	if (account != NULL && hash != NULL) {
		key_row(account, hash, of_key);
		rows_put(rows, of_key, (struct span){0});
	}
	json_decref(bet);
	rows_put(rows, key, (struct span){0});
}

bool ledger_forget(struct rows *rows, struct market *m, uint64_t count)
{
	check(m->settled_ms != 0 && m->settled_bets == m->bets);
	for (; count > 0 && m->forgotten_bets < m->bets; count--)
		forget_bet(rows, m, ++m->forgotten_bets);
	return m->forgotten_bets == m->bets;
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
	if (json_object_get(record, "duelId") == NULL) {
		json_decref(record);
		return true; /* a cursor, a lease */
	}
	(void)key;
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
