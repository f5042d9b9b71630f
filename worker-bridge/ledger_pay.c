#include "worker-bridge/ledger_rows.h"
#include "common/base/check.h"

uint64_t ledger_payout(uint64_t stake, uint64_t total, uint64_t winning)
{
	check(winning > 0 && stake <= winning);
	return (uint64_t)((unsigned __int128)stake * total / winning);
}

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
static uint64_t pay_of(const struct market *m, const struct ledger_bet_row *bet,
                       const struct terms *t)
{
	bool won = (unsigned)bet->side == t->winner;
	return t->refund ? bet->amount
	       : won     ? ledger_payout(bet->amount, t->total, m->pool[t->winner])
	                 : 0;
}

/* Who gets what this account's stakes bring; NULL: it cannot be posted to. */
static const char *payee_of(struct rows *rows, const char *id)
{
	json_t *account = NULL;
	if (!ledger_postable(rows, id))
		return NULL;
	ledger_account(rows, id, &account);
	bool ended = ledger_account_ended(account);
	json_decref(account);
	if (!ended)
		return id;
	return ledger_postable(rows, "@closed") ? "@closed" : NULL;
}

/* False: a row of it cannot be read, and nothing was changed. */
static bool pay_bet(struct rows *rows, struct market *m, uint64_t number, const struct terms *t)
{
	char key[LEDGER_KEY_ROOM];
	struct ledger_bet_row bet;
	json_t *row = ledger_bet_of(rows, m, number, false, &bet);
	uint64_t paid = row != NULL ? pay_of(m, &bet, t) : 0;
	const char *payee = paid > 0 ? payee_of(rows, bet.account) : NULL;
	if (row == NULL || (paid > 0 && payee == NULL)) {
		json_decref(row);
		return false;
	}
	if (paid > 0) {
		ledger_post(rows, payee, (int64_t)paid);
		ledger_tally(rows, bet.account, "returned", paid);
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
	if ((terms.fee > 0 && !ledger_postable(rows, "@fees")) ||
	    (rest > 0 && !ledger_postable(rows, "@rounding")))
		return LEDGER_STUCK;
	if (terms.fee > 0)
		ledger_post(rows, "@fees", (int64_t)terms.fee);
	if (rest > 0)
		ledger_post(rows, "@rounding", (int64_t)rest);
	return LEDGER_DONE;
}
