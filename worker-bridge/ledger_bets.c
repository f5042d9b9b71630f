#include "worker-bridge/ledger_rows.h"
#include "common/base/check.h"

#include <stdio.h>

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
	struct ledger_key_of_bet of;
	if (record_read(&ledger_bet_key_record, row, &of) != ROW_PRESENT)
		return false;
	memcpy(duel_id, of.duel_id, sizeof of.duel_id);
	*number = of.number;
	return true;
}

uint64_t ledger_bet_own_number(const json_t *bet)
{
	return (uint64_t)json_integer_value(json_object_get(bet, "ownNumber"));
}

/* The bet that was made with this Idempotency-Key; without one, ROW_ABSENT. */
static enum row_found earlier_bet(struct rows *rows, const struct ledger_bet *bet, json_t **found)
{
	char key[LEDGER_KEY_ROOM], hash[LEDGER_HASH_ROOM];
	json_t *row;
	*found = NULL;
	if (bet->key.len == 0)
		return ROW_ABSENT;
	ledger_key_hash(bet->key, hash);
	ledger_key_row(bet->account, hash, key);
	enum row_found result = ledger_row_read(rows, key, &ledger_bet_key_record, &row);
	if (result == ROW_PRESENT) {
		struct ledger_key_of_bet made;
		record_read(&ledger_bet_key_record, row, &made);
		ledger_bet_key(made.duel_id, made.number, key);
		result = ledger_row_read(rows, key, &ledger_bet_record, found);
		ledger_bet_shown(*found);
	}
	json_decref(row);
	return result;
}

static bool same_bet(const json_t *made, const struct market *market, const struct ledger_bet *bet)
{
	struct ledger_bet_row earlier;
	check(record_read(&ledger_bet_record, made, &earlier) == ROW_PRESENT);
	return strcmp(earlier.duel_id, market->duel_id) == 0 &&
	       (unsigned)earlier.side == bet->side && earlier.amount == bet->amount;
}

static json_t *bet_made(const struct market *market, const struct ledger_bet *bet,
                        uint64_t own_number, uint64_t now_ms)
{
	struct ledger_bet_row made = {.number = market->bets,
	                              .own_number = own_number,
	                              .side = bet->side == 0 ? LEDGER_SIDE_A : LEDGER_SIDE_B,
	                              .amount = bet->amount,
	                              .at_ms = now_ms,
	                              .paid = RECORD_NULL};
	memcpy(made.duel_id, market->duel_id, sizeof made.duel_id);
	snprintf(made.account, sizeof made.account, "%s", bet->account);
	return ledger_row_written(&ledger_bet_record, &made);
}

/* The bet's row and, where it came with one, that of its key. */
static void put_bet(struct rows *rows, const struct market *market, const struct ledger_bet *bet,
                    const json_t *made)
{
	char key[LEDGER_KEY_ROOM], hash[LEDGER_HASH_ROOM];
	struct ledger_key_of_bet of = {.number = market->bets};
	json_t *row = json_copy((json_t *)(uintptr_t)made);
	memcpy(of.duel_id, market->duel_id, sizeof of.duel_id);
	if (bet->key.len != 0) {
		ledger_key_hash(bet->key, hash);
		json_object_set_new(row, "keyHash", json_string(hash));
		ledger_key_row(bet->account, hash, key);
		rows_put_json(rows, key, ledger_row_written(&ledger_bet_key_record, &of));
	}
	ledger_own_key(bet->account, ledger_bet_own_number(made), key);
	rows_put_json(rows, key, ledger_row_written(&ledger_bet_key_record, &of));
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
	enum ledger_result result = ledger_find_account(rows, bet->account, &account);
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
	ledger_post(rows, bet->account, -(int64_t)bet->amount);
	ledger_tally(rows, bet->account, "bets", 1);
	ledger_tally(rows, bet->account, "staked", bet->amount);
	market->pool[bet->side] += bet->amount;
	market->bets++;
	*made = bet_made(market, bet, bettor.bets + 1, now_ms);
	put_bet(rows, market, bet, *made);
	ledger_bet_shown(*made);
	return LEDGER_OK;
}

/* ---- forgetting ---- */

/* False: it cannot be read, and stays. */
static bool forget_bet(struct rows *rows, const struct market *m, uint64_t number)
{
	char key[LEDGER_KEY_ROOM], of_key[LEDGER_KEY_ROOM];
	struct ledger_bet_row bet;
	json_t *row = ledger_bet_of(rows, m, number, true, &bet);
	if (row == NULL)
		return false;
	if (*bet.key_hash != '\0') {
		ledger_key_row(bet.account, bet.key_hash, of_key);
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
