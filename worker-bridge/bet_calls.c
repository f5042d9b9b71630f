#include "worker-bridge/bet_calls.h"
#include "worker-bridge/account_calls.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/markets.h"

#include <stdio.h>
#include <string.h>

enum { BETS_SHOWN_MAX = 1000 };

struct placing {
	struct asked asked; /* first */
	char duel_id[64], account[LEDGER_ID_MAX + 1];
	unsigned side;
	uint64_t amount;
};

static void run_bet(struct errand *errand, struct market_change *change)
{
	struct placing *p = (struct placing *)errand;
	struct counters_slot *counters = ((struct bridge *)p->asked.call->context)->worker->mine;
	struct market *m;
	enum row_found found = markets_find(change, p->duel_id, &m);
	const struct ledger_bet bet = {p->account, p->side, p->amount,
	                               p->asked.call->idempotency_key,
	                               m == NULL || !markets_takes_bets(change, m)};
	json_t *made = NULL;
	if (found == ROW_UNREADABLE) {
		asked_answer(&p->asked, 503, book_call_unreadable, NULL);
		return;
	}
	if (m == NULL || strcmp(m->operator, "ledger") != 0) {
		asked_answer(&p->asked, 404, "no market of the ledger for this duel", NULL);
		return;
	}
	switch (ledger_stake(change->rows, m, &bet, change->settings->ledger_bets_per_market,
	                     change->now_ms, &made)) {
	case LEDGER_OK:
		markets_changed(change, m, true);
		counter_add(counters, ledger_bets_total, 1);
		asked_answer(&p->asked, 201, NULL, made);
		return;
	case LEDGER_REPEATED:
		asked_answer(&p->asked, 200, NULL, made);
		return;
	case LEDGER_NO_ACCOUNT:
		asked_answer(&p->asked, 404, "no such account", NULL);
		break;
	case LEDGER_CLOSED:
		asked_answer(&p->asked, 409, "this market takes no bets (any more)", NULL);
		break;
	case LEDGER_POOR:
		asked_answer(&p->asked, 402, "the balance does not cover this stake", NULL);
		break;
	case LEDGER_FULL:
		asked_answer(&p->asked, 409,
		             "this market has all the bets it may (ledger.bets_per_market)", NULL);
		break;
	case LEDGER_KEY_REUSED:
		asked_answer(&p->asked, 422, "another bet was made with this Idempotency-Key",
		             NULL);
		break;
	case LEDGER_UNREADABLE:
		asked_answer(&p->asked, 503, book_call_unreadable, NULL);
		break;
	}
	counter_add(counters, ledger_bets_refused_total, 1);
}

void bet_calls_place(struct call *call, const char *duel_id)
{
	const char *account_id, *side;
	json_int_t amount;
	json_error_t error;
	json_t *body = call_json(call);
	if (body == NULL)
		return;
	if (json_unpack_ex(body, &error, JSON_STRICT, "{s:s,s:s,s:I}", "account", &account_id,
	                   "side", &side, "amount", &amount) != 0) {
		char reason[160];
		snprintf(reason, sizeof reason, "the body must be {account, side, amount}: %.100s",
		         error.text);
		json_decref(body);
		call_refuse(call, 400, reason);
		return;
	}
	bool good = (strcmp(side, "A") == 0 || strcmp(side, "B") == 0) && amount >= 1 &&
	            (uint64_t)amount <= LEDGER_AMOUNT_MAX;
	json_t *account = NULL;
	enum row_found found = strlen(account_id) <= LEDGER_ID_MAX
	                               ? account_calls_stored(call, account_id, &account)
	                               : ROW_ABSENT;
	bool owner = account_calls_owns(call, account);
	struct placing *p = good && owner ? asked_create(call, run_bet, sizeof *p) : NULL;
	if (p != NULL) {
		snprintf(p->duel_id, sizeof p->duel_id, "%s", duel_id);
		snprintf(p->account, sizeof p->account, "%s", account_id);
		p->side = *side == 'B';
		p->amount = (uint64_t)amount;
	}
	json_decref(account);
	json_decref(body);
	if (!good)
		call_refuse(
		        call, 422,
		        "side is A (agent1) or B (agent2), amount a whole number of at least 1");
	else if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (p == NULL)
		book_call_refuse_stranger(
		        call,
		        "a bet is made with the account's secret as Bearer token, or by its owner");
	else
		asked_submit(&p->asked);
}

void bet_calls_list(struct call *call, const struct market *m)
{
	json_t *bets = json_array();
	uint64_t first = m->bets > BETS_SHOWN_MAX ? m->bets - BETS_SHOWN_MAX + 1 : 1;
	for (uint64_t n = first; n <= m->bets; n++) {
		char key[LEDGER_KEY_ROOM];
		json_t *bet;
		ledger_bet_key(m->duel_id, n, key);
		if (book_call_row(call, key, &bet) == ROW_PRESENT && !ledger_bet_valid(bet))
			book_call_not_ours(call, key, &bet);
		if (bet != NULL)
			json_array_append_new(bets, ledger_bet_shown(bet));
	}
	call_reply(call, 200,
	           json_pack("{s:s,s:I,s:o}", "duelId", m->duel_id, "count", (json_int_t)m->bets,
	                     "bets", bets));
}
