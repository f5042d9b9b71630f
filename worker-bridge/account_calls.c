#include "worker-bridge/account_calls.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/domain/owner.h"
#include "common/domain/rights.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/market_change.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, SECRET_BYTES = 24 };

struct opened {
	struct asked asked; /* first */
	char account[LEDGER_ID_MAX + 1], name[NAME_MAX_BYTES + 1], secret[2 * SECRET_BYTES + 1];
	char owner[OWNER_DIGEST_LEN + 1];
	uint64_t grant;
};

static void digest_of(const char *text, char out[65])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256((const uint8_t *)text, strlen(text), digest);
	hex_print(digest, sizeof digest, out);
}

static const char accounts_key[] = "ledger/accounts"; /* how many there are */

static json_t *account_shown(json_t *account)
{
	static const char *const totals[] = {"bets", "staked", "returned"};
	json_object_del(account, "owner");
	for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
		if (json_object_get(account, totals[i]) == NULL) /* of a release before */
			json_object_set_new(account, totals[i], json_integer(0));
	return account;
}

/* One's own is one: whoever asks again gets it again. True: answered. */
static bool opened_before(struct opened *o, struct market_change *change)
{
	json_t *account;
	enum row_found found = ledger_account(change->rows, o->account, &account);
	if (found == ROW_PRESENT)
		asked_answer(&o->asked, 200, NULL, account_shown(account));
	else if (found == ROW_UNREADABLE)
		asked_answer(&o->asked, 503, book_call_unreadable, NULL);
	return found != ROW_ABSENT;
}

static void run_open(struct errand *errand, struct market_change *change)
{
	struct opened *o = (struct opened *)errand;
	const struct settings *s = change->settings;
	json_t *count, *account;
	uint64_t issued;
	if (opened_before(o, change))
		return;
	enum row_found found = rows_json(change->rows, accounts_key, &count);
	json_int_t accounts = json_integer_value(count);
	if (found == ROW_PRESENT && !json_is_integer(count))
		rows_mark(change->rows, accounts_key);
	bool readable = found == ROW_ABSENT || json_is_integer(count);
	json_decref(count);
	if (!readable || ledger_issued(change->rows, &issued) != LEDGER_OK) {
		asked_answer(&o->asked, 503, book_call_unreadable, NULL);
		return;
	}
	if ((uint64_t)accounts >= s->ledger_accounts_max) {
		asked_answer(&o->asked, 507,
		             "there are as many accounts as may be (ledger.accounts_max)", NULL);
		return;
	}
	if (issued > LEDGER_AMOUNT_MAX - o->grant) {
		asked_answer(&o->asked, 507,
		             "all accounts together were granted as many units as can be counted "
		             "(2^53-1)",
		             NULL);
		return;
	}
	check(ledger_open(change->rows, o->account, o->name, o->owner, o->grant, change->now_ms) ==
	      LEDGER_OK);
	rows_put_json(change->rows, accounts_key, json_integer(accounts + 1));
	check(ledger_account(change->rows, o->account, &account) == ROW_PRESENT);
	account_shown(account);
	if (*o->secret != '\0')
		json_object_set_new(account, "secret", json_string(o->secret));
	asked_answer(&o->asked, 201, NULL, account);
}

static void random_hex(size_t bytes, char *out)
{
	uint8_t random[64];
	clock_random(random, bytes);
	hex_print(random, bytes, out);
}

/* An account of one's own has no secret: it is had by whatever names its owner. */
static void name_own(struct opened *o, const struct call *call)
{
	char text[96], digest[65];
	snprintf(text, sizeof text, "ringside account\n%.*s", OWNER_DIGEST_LEN,
	         (const char *)call->principal.at);
	digest_of(text, digest);
	snprintf(o->account, sizeof o->account, "acc_%.24s", digest);
	memcpy(o->owner, call->principal.at, OWNER_DIGEST_LEN);
}

static void name_with_secret(struct opened *o)
{
	memcpy(o->account, "acc_", 5);
	random_hex(12, o->account + 4);
	random_hex(SECRET_BYTES, o->secret);
	digest_of(o->secret, o->owner);
}

/* Whose an account is that somebody opens. */
enum opening {
	OPENING_REFUSED, /* answered */
	OPENING_HOUSE,   /* for others, of whoever is given its secret */
	OPENING_OWN,     /* by whoever may bet: his own */
	OPENING_GUEST,   /* by whoever may bet and is nobody we know: of whoever has its secret */
};

static enum opening opening_of(struct call *call)
{
	if (bridge_is_house(call))
		return OPENING_HOUSE;
	if (call->may & RIGHT(BET))
		return call->principal.len == OWNER_DIGEST_LEN ? OPENING_OWN : OPENING_GUEST;
	if (call->configured & RIGHT(BET))
		book_call_refuse_stranger(call, "to open an account of one's own is a right: bet");
	else
		bridge_house(call); /* refuses */
	return OPENING_REFUSED;
}

static void open_account(struct call *call)
{
	const struct settings *s = book_settings(book_call_book(call));
	enum opening opening = opening_of(call);
	if (opening == OPENING_REFUSED)
		return;
	json_t *body = call->body.len != 0 ? call_json(call) : json_object();
	if (body == NULL)
		return;
	const char *name = "";
	json_int_t grant = (json_int_t)s->ledger_grant;
	bool chosen = opening != OPENING_HOUSE && json_object_get(body, "grant") != NULL;
	json_error_t error;
	bool good = json_unpack_ex(body, &error, JSON_STRICT, "{s?s,s?I}", "name", &name, "grant",
	                           &grant) == 0;
	char reason[128] = "";
	if (!good)
		snprintf(reason, sizeof reason, "the body must be {name?, grant?}: %.80s",
		         error.text);
	else if (strlen(name) > NAME_MAX_BYTES || grant < 0 ||
	         (uint64_t)grant > s->ledger_grant_max)
		snprintf(reason, sizeof reason,
		         "name has at most 64 bytes, grant is 0 to ledger.grant_max");
	else if (chosen)
		snprintf(reason, sizeof reason, "how much it is granted is the house's to say");
	if (*reason != '\0') {
		json_decref(body);
		call_refuse(call, good ? 422 : 400, reason);
		return;
	}
	struct opened *o = asked_create(call, run_open, sizeof *o);
	snprintf(o->name, sizeof o->name, "%s", name);
	o->grant = (uint64_t)grant;
	if (opening == OPENING_OWN)
		name_own(o, call);
	else
		name_with_secret(o);
	json_decref(body);
	asked_submit(&o->asked);
}

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

static void show_account(struct call *call, struct span id_span)
{
	char id[LEDGER_ID_MAX + 1];
	json_t *account = NULL;
	enum row_found found = book_call_text(id_span, id, sizeof id)
	                               ? account_calls_stored(call, id, &account)
	                               : ROW_ABSENT;
	bool allowed =
	        account != NULL && (bridge_is_house(call) || account_calls_owns(call, account));
	if (allowed) {
		call_reply(call, 200, account_shown(account));
		return;
	}
	json_decref(account);
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, book_call_unreadable);
	else if (account == NULL && bridge_is_house(call))
		call_refuse(call, 404, "no such account");
	else
		book_call_refuse_stranger(call,
		                          "an account is its owner's: his secret as Bearer token");
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

void book_on_ledger_call(struct call *call)
{
	struct span rest = book_call_below(call->path, "/v1/ledger/"),
	            what = book_call_segment(&rest);
	if (span_equal(what, SPAN("accounts")) && rest.len == 0 && call->method == CALL_POST)
		open_account(call);
	else if (span_equal(what, SPAN("accounts")) && rest.len != 0 && call->method == CALL_GET)
		show_account(call, rest);
	else if (span_equal(what, SPAN("sums")) && rest.len == 0 && call->method == CALL_GET)
		show_sums(call);
	else
		call_refuse(call, 404,
		            "POST /v1/ledger/accounts, GET /v1/ledger/accounts/ID, GET "
		            "/v1/ledger/sums");
}
