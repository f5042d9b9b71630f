#include "worker-bridge/bet_calls.h"
#include "worker-bridge/account_calls.h"
#include "worker-bridge/account_news.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/market_calls.h"
#include "worker-bridge/market_news.h"
#include "worker-bridge/market_shown.h"

#include <stdio.h>
#include <string.h>

enum { BETS_SHOWN_MAX = 1000 };

struct placing {
	struct asked asked; /* first */
	char duel_id[64], account[LEDGER_ID_MAX + 1];
	unsigned side;
	uint64_t amount;
};

/* To whoever watches the market, and to whose bet it is. */
static void tell(struct market_change *change, const struct market *m, const char *id,
                 const json_t *bet)
{
	json_t *account;
	ledger_account(change->rows, id, &account);
	market_tell_bet(change, m, bet, json_string_value(json_object_get(account, "displayName")));
	account_news_tell(change, id, "bet", json_pack("{s:O}", "bet", bet));
	json_decref(account);
}

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
		tell(change, m, p->account, made);
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
	case LEDGER_ENDED:
		asked_answer(&p->asked, 409, "this account is closed", NULL);
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
		if (bet != NULL && m->settled_ms == 0) /* as who asks sees it */
			json_object_set_new(bet, "paid", json_null());
		if (bet != NULL)
			json_array_append_new(bets, ledger_bet_shown(bet));
	}
	call_reply(call, 200,
	           json_pack("{s:s,s:I,s:o}", "duelId", m->duel_id, "count", (json_int_t)m->bets,
	                     "bets", bets));
}

/* ---- of one account ---- */

struct own_page {
	struct call *call;
	json_t *bets;
	size_t limit;
	uint64_t last; /* its number */
};

static json_t *result_of(const struct call *call, const char *duel_id)
{
	struct market m;
	const char *feed;
	return market_calls_stored(call, duel_id, &m, &feed) == ROW_PRESENT ? market_result(&m)
	                                                                    : json_null();
}

static bool add_own(void *arg, struct span key, struct span value)
{
	struct own_page *page = arg;
	char duel_id[64], bet_key[LEDGER_KEY_ROOM];
	uint64_t number;
	json_t *bet = NULL, *row = json_loadb((const char *)value.at, value.len, 0, NULL);
	(void)key;
	if (ledger_own_read(row, duel_id, &number)) {
		ledger_bet_key(duel_id, number, bet_key);
		if (book_call_row(page->call, bet_key, &bet) == ROW_PRESENT &&
		    !ledger_bet_valid(bet))
			book_call_not_ours(page->call, bet_key, &bet);
	}
	json_decref(row);
	if (bet == NULL)
		return true;
	page->last = ledger_bet_own_number(bet);
	ledger_bet_shown(bet);
	json_object_set_new(bet, "ownNumber", json_integer((json_int_t)page->last));
	json_object_set_new(bet, "result", result_of(page->call, duel_id));
	json_array_append_new(page->bets, bet);
	return json_array_size(page->bets) < page->limit;
}

/* Decimal; 0: it is none. */
static uint64_t number_of(struct span text)
{
	uint64_t n = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || text.len > 15)
			return 0;
		n = 10 * n + (uint64_t)(text.at[i] - '0');
	}
	return n;
}

void bet_calls_list_own(struct call *call, const char *account)
{
	char prefix[LEDGER_KEY_ROOM], behind[LEDGER_KEY_ROOM] = "";
	struct span before = book_call_query(call, "before");
	struct own_page page = {.call = call, .limit = book_call_limit(call)};
	if (page.limit == 0)
		return;
	if (before.len != 0 && number_of(before) == 0) {
		call_refuse(call, 400, "before is a bet's ownNumber");
		return;
	}
	if (before.len != 0)
		ledger_own_key(account, number_of(before), behind);
	snprintf(prefix, sizeof prefix, "ledger/own/%s/", account);
	page.bets = json_array();
	state_kv_page(book_call_view(call), span_str(prefix), span_str(behind), add_own, &page);
	bool more = json_array_size(page.bets) == page.limit;
	call_reply(call, 200,
	           json_pack("{s:s,s:o,s:o}", "account", account, "bets", page.bets, "next",
	                     more ? json_integer((json_int_t)page.last) : json_null()));
}
