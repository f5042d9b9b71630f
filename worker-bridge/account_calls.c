#include "worker-bridge/account_calls.h"
#include "common/domain/owner.h"
#include "worker-bridge/account_changes.h"
#include "worker-bridge/account_opening.h"
#include "worker-bridge/account_shown.h"
#include "worker-bridge/bet_calls.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/ledger.h"

#include <stdio.h>

/* Nobody asks for the house's. */
enum row_found account_calls_stored(const struct call *call, const char *id, json_t **account)
{
	char key[LEDGER_KEY_ROOM];
	*account = NULL;
	ledger_account_key(id, key);
	enum row_found found = *id != '@' ? book_call_row(call, key, account) : ROW_ABSENT;
	return found == ROW_PRESENT && !ledger_account_valid(*account)
	               ? book_call_not_ours(call, key, account)
	               : found;
}

bool account_calls_owns(const struct call *call, const json_t *account)
{
	const char *owner = json_string_value(json_object_get(account, "owner"));
	return owner != NULL && owner_is(span_str(owner), call->principal, call->former);
}

/* Whoever may see it gets it, a new reference; NULL: answered. */
static json_t *account_for(struct call *call, const char *id)
{
	json_t *account;
	enum row_found found = account_calls_stored(call, id, &account);
	if (account != NULL && (bridge_is_house(call) || account_calls_owns(call, account)))
		return account;
	json_decref(account);
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (account == NULL && bridge_is_house(call))
		call_refuse(call, 404, "no such account");
	else
		book_call_refuse_stranger(call,
		                          "an account is its owner's: his secret as Bearer token");
	return NULL;
}

static void show_account(struct call *call, const char *id)
{
	json_t *account = account_for(call, id);
	if (account != NULL)
		call_reply(call, 200, account_shown(account, bridge_is_house(call)));
}

static void show_bets(struct call *call, const char *id)
{
	json_t *account = account_for(call, id);
	if (account != NULL)
		bet_calls_list_own(call, id);
	json_decref(account);
}

/* ---- all of them ---- */

struct page {
	json_t *accounts;
	size_t limit;
	char last[LEDGER_ID_MAX + 1];
};

static bool add_account(void *arg, struct span key, struct span value)
{
	struct page *page = arg;
	struct span id = book_call_below(key, LEDGER_ACCOUNTS);
	if (id.len == 0 || *id.at == '@')
		return true;
	json_t *account = json_loadb((const char *)value.at, value.len, 0, NULL);
	if (!book_call_text(id, page->last, sizeof page->last) || !ledger_account_valid(account)) {
		json_decref(account);
		return true; /* alerted by whoever needs it */
	}
	json_object_del(account, "topUps"); /* of one that is asked for by itself */
	json_array_append_new(page->accounts, account_shown(account, true));
	return json_array_size(page->accounts) < page->limit;
}

static void list_accounts(struct call *call)
{
	char after[LEDGER_ID_MAX + 1], behind[LEDGER_KEY_ROOM] = "";
	struct page page = {.limit = bridge_house(call) ? book_call_limit(call) : 0};
	if (page.limit == 0)
		return;
	if (book_call_text(book_call_query(call, "after"), after, sizeof after))
		ledger_account_key(after, behind);
	page.accounts = json_array();
	state_kv_page(book_call_view(call), SPAN(LEDGER_ACCOUNTS), span_str(behind), add_account,
	              &page);
	bool more = json_array_size(page.accounts) == page.limit;
	call_reply(call, 200,
	           json_pack("{s:o,s:s?}", "accounts", page.accounts, "next",
	                     more ? page.last : NULL));
}

static void show_sums(struct call *call)
{
	struct ledger_sums sums;
	if (!bridge_house(call))
		return;
	ledger_sum(book_call_view(call), &sums);
	call_reply(call, 200,
	           json_pack("{s:I,s:I,s:I,s:I,s:I,s:b}", "accounts", (json_int_t)sums.accounts,
	                     "house", (json_int_t)sums.house, "pools", (json_int_t)sums.pools,
	                     "accountCount", (json_int_t)sums.account_count, "badRows",
	                     (json_int_t)sums.bad_rows, "balanced",
	                     sums.accounts + sums.house + sums.pools == 0 && sums.bad_rows == 0));
}

/* What is asked of one: a row for each. */
static const struct {
	const char *what;
	enum call_method method;
	void (*take)(struct call *call, const char *id);
} of_one[] = {
        {"", CALL_GET, show_account},
        {"bets", CALL_GET, show_bets},
        {"top-up", CALL_POST, account_changes_top_up},
        {"close", CALL_POST, account_changes_close},
        {"name", CALL_POST, account_changes_name},
};

static bool take_one(struct call *call, struct span rest)
{
	char id[LEDGER_ID_MAX + 1];
	struct span segment = book_call_segment(&rest);
	if (!book_call_text(segment, id, sizeof id))
		snprintf(id, sizeof id, "@"); /* nobody's */
	for (size_t i = 0; i < sizeof of_one / sizeof *of_one; i++) {
		if (!span_equal(rest, span_str(of_one[i].what)) || call->method != of_one[i].method)
			continue;
		of_one[i].take(call, id);
		return true;
	}
	return false;
}

void book_on_ledger_call(struct call *call)
{
	struct span rest = book_call_below(call->path, "/v1/ledger/"),
	            what = book_call_segment(&rest);
	bool accounts = span_equal(what, SPAN("accounts"));
	if (accounts && rest.len == 0 && call->method == CALL_POST)
		account_opening_take(call);
	else if (accounts && rest.len == 0 && call->method == CALL_GET)
		list_accounts(call);
	else if (span_equal(what, SPAN("sums")) && rest.len == 0 && call->method == CALL_GET)
		show_sums(call);
	else if (!accounts || rest.len == 0 || !take_one(call, rest))
		call_refuse(
		        call, 404,
		        "GET, POST /v1/ledger/accounts; GET /v1/ledger/accounts/ID[/bets]; POST "
		        "/top-up, /close, /name; GET /v1/ledger/sums");
}
