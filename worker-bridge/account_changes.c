#include "worker-bridge/account_changes.h"
#include "worker-bridge/account_calls.h"
#include "worker-bridge/account_news.h"
#include "worker-bridge/account_shown.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/ledger.h"

#include <stdio.h>
#include <string.h>

enum { ACTOR_MIN = 3, ACTOR_MAX = 128, REASON_MIN = 10, REASON_MAX = 500 };

struct change {
	struct asked asked; /* first */
	bool house;
	char account[LEDGER_ID_MAX + 1], name[LEDGER_DISPLAY_NAME_MAX + 1];
	char actor[ACTOR_MAX + 1], reason[REASON_MAX + 1];
	uint64_t amount;
};

static struct change *change_create(struct call *call, const char *id, bool house,
                                    void (*run)(struct errand *, struct market_change *))
{
	struct change *c = asked_create(call, run, sizeof *c);
	c->house = house;
	snprintf(c->account, sizeof c->account, "%s", id);
	return c;
}

static void answer(struct change *c, struct market_change *change, enum ledger_result result)
{
	json_t *account;
	switch (result) {
	case LEDGER_OK:
	case LEDGER_REPEATED:
		if (ledger_account(change->rows, c->account, &account) == ROW_PRESENT)
			asked_answer(&c->asked, 200, NULL, account_shown(account, c->house));
		return;
	case LEDGER_NO_ACCOUNT:
		asked_answer(&c->asked, 404, "no such account", NULL);
		return;
	case LEDGER_ENDED:
		asked_answer(&c->asked, 409, "this account is closed", NULL);
		return;
	case LEDGER_KEY_REUSED:
		asked_answer(&c->asked, 422, "another top-up was made with this Idempotency-Key",
		             NULL);
		return;
	case LEDGER_FULL:
		asked_answer(&c->asked, 507,
		             "all accounts together were granted as many units as can be counted "
		             "(2^53-1)",
		             NULL);
		return;
	case LEDGER_UNREADABLE:
	case LEDGER_CLOSED:
	case LEDGER_POOR:
		break;
	}
	asked_answer(&c->asked, 503, book_call_unreadable, NULL);
}

/* ---- for the house ---- */

static bool person_good(const char *actor, const char *reason)
{
	return strlen(actor) >= ACTOR_MIN && strlen(actor) <= ACTOR_MAX &&
	       strlen(reason) >= REASON_MIN && strlen(reason) <= REASON_MAX;
}

static void run_top_up(struct errand *errand, struct market_change *change)
{
	struct change *c = (struct change *)errand;
	const struct ledger_top_up top_up = {c->amount, c->actor, c->reason,
	                                     c->asked.call->idempotency_key};
	enum ledger_result result =
	        ledger_top_up(change->rows, c->account, &top_up, change->now_ms);
	if (result == LEDGER_OK)
		account_news_tell(change, c->account, "top_up",
		                  json_pack("{s:I,s:s}", "amount", (json_int_t)c->amount, "reason",
		                            c->reason));
	answer(c, change, result);
}

void account_changes_top_up(struct call *call, const char *id)
{
	json_int_t amount = 0;
	const char *actor = "", *reason = "";
	json_error_t error;
	json_t *body = bridge_house(call) ? call_json(call) : NULL;
	if (body == NULL)
		return;
	bool shaped = json_unpack_ex(body, &error, JSON_STRICT, "{s:I,s:s,s:s}", "amount", &amount,
	                             "actor", &actor, "reason", &reason) == 0;
	bool good = shaped && person_good(actor, reason) && amount >= 1 &&
	            (uint64_t)amount <= book_settings(book_call_book(call))->ledger_grant_max;
	struct change *c = good ? change_create(call, id, true, run_top_up) : NULL;
	if (c != NULL) {
		c->amount = (uint64_t)amount;
		snprintf(c->actor, sizeof c->actor, "%s", actor);
		snprintf(c->reason, sizeof c->reason, "%s", reason);
	}
	json_decref(body);
	if (c == NULL)
		call_refuse(
		        call, shaped ? 422 : 400,
		        "the body must be {amount (1 to ledger.grant_max), actor (3 to 128 bytes), "
		        "reason (10 to 500)}");
	else
		asked_submit(&c->asked);
}

/* ---- for its owner ---- */

/* True: it is his, or the house's to say (*house), where that is let. Else it has been answered. */
static bool may_change(struct call *call, const char *id, bool *house)
{
	json_t *account;
	enum row_found found = account_calls_stored(call, id, &account);
	bool owner = account_calls_owns(call, account);
	json_decref(account);
	*house = !owner && bridge_is_house(call);
	if (owner || (*house && found == ROW_PRESENT))
		return true;
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (*house)
		call_refuse(call, 404, "no such account");
	else
		book_call_refuse_stranger(call,
		                          "an account is its owner's: his secret as Bearer token");
	return false;
}

static void run_close(struct errand *errand, struct market_change *change)
{
	struct change *c = (struct change *)errand;
	enum ledger_result result = ledger_end(change->rows, c->account, change->now_ms);
	if (result == LEDGER_OK)
		account_news_tell(change, c->account, "closed",
		                  json_pack("{s:s*,s:s*}", "actor", *c->actor ? c->actor : NULL,
		                            "reason", *c->reason ? c->reason : NULL));
	answer(c, change, result);
}

void account_changes_close(struct call *call, const char *id)
{
	const char *actor = "", *reason = "";
	bool house;
	if (!may_change(call, id, &house))
		return;
	json_t *body = call->body.len != 0 ? call_json(call) : json_object();
	if (body == NULL)
		return;
	bool shaped = json_unpack(body, house ? "{s:s,s:s!}" : "{!}", "actor", &actor, "reason",
	                          &reason) == 0;
	struct change *c = shaped && (!house || person_good(actor, reason))
	                           ? change_create(call, id, house, run_close)
	                           : NULL;
	if (c != NULL) {
		snprintf(c->actor, sizeof c->actor, "%s", actor);
		snprintf(c->reason, sizeof c->reason, "%s", reason);
	}
	json_decref(body);
	if (c == NULL)
		call_refuse(call, shaped ? 422 : 400,
		            house ? "the body must be {actor (3 to 128 bytes), reason (10 to 500)}"
		                  : "the body must be {}");
	else
		asked_submit(&c->asked);
}

static void run_name(struct errand *errand, struct market_change *change)
{
	struct change *c = (struct change *)errand;
	enum ledger_result result = ledger_name(change->rows, c->account, c->name);
	if (result == LEDGER_OK)
		account_news_tell(change, c->account, "named",
		                  json_pack("{s:s?}", "displayName", *c->name ? c->name : NULL));
	answer(c, change, result);
}

void account_changes_name(struct call *call, const char *id)
{
	bool house;
	if (!may_change(call, id, &house))
		return;
	json_t *body = call_json(call);
	if (body == NULL)
		return;
	const json_t *given = json_object_get(body, "displayName");
	const char *name = json_is_null(given) ? "" : json_string_value(given);
	bool shaped = name != NULL && json_object_size(body) == 1;
	bool good = shaped &&
	            strlen(name) == (json_is_null(given) ? 0 : json_string_length(given)) &&
	            (*name == '\0' || ledger_display_name_valid(name));
	struct change *c = good ? change_create(call, id, house, run_name) : NULL;
	if (c != NULL)
		snprintf(c->name, sizeof c->name, "%s", name);
	json_decref(body);
	if (c == NULL)
		call_refuse(
		        call, shaped ? 422 : 400,
		        "the body must be {displayName}: null, or 1 to 32 bytes that can be shown, "
		        "and not as an id begins (acc_)");
	else
		asked_submit(&c->asked);
}
