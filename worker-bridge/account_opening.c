#include "worker-bridge/account_opening.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/domain/owner.h"
#include "common/domain/rights.h"
#include "worker-bridge/account_news.h"
#include "worker-bridge/account_shown.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/ledger.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, ID_BYTES = 12, SECRET_BYTES = 24, SEED_ROOM = 65, GUEST_KEY_MIN = 32 };

/* Whose an account is that somebody opens. */
enum opening {
	OPENING_REFUSED, /* answered */
	OPENING_HOUSE,   /* for others, of whoever is given its secret */
	OPENING_OWN,     /* by whoever may bet: his own */
	OPENING_GUEST,   /* by whoever may bet and is nobody we know: of whoever has its secret */
};

struct opened {
	struct asked asked; /* first */
	enum opening opening;
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

static void random_hex(size_t bytes, char *out)
{
	uint8_t random[64];
	clock_random(random, bytes);
	hex_print(random, bytes, out);
}

/* With an Idempotency-Key the same account comes of the same key again, with its secret: both are
 * made of the key and of what only this data directory knows. So nothing is kept of the key, and
 * what it once made is never forgotten. */
static void name_by_key(struct opened *o, const char seed[SEED_ROOM])
{
	const struct call *call = o->asked.call;
	uint8_t made[SHA512_DIGEST_LENGTH];
	unsigned made_len = sizeof made;
	size_t who_len = call->principal.len, len = who_len + 1 + call->idempotency_key.len;
	uint8_t *text = xmalloc(len);
	memcpy(text, call->principal.at, who_len);
	text[who_len] = '\n';
	memcpy(text + who_len + 1, call->idempotency_key.at, call->idempotency_key.len);
	check(HMAC(EVP_sha512(), seed, SEED_ROOM - 1, text, len, made, &made_len) != NULL);
	free(text);
	memcpy(o->account, "acc_", 5);
	hex_print(made, ID_BYTES, o->account + 4);
	hex_print(made + ID_BYTES, SECRET_BYTES, o->secret);
	digest_of(o->secret, o->owner);
}

/* False: it cannot be read, and is left as it is. */
static bool take_seed(struct rows *rows, char seed[SEED_ROOM])
{
	static const char key[] = "ledger/seed";
	struct span row;
	switch (rows_find(rows, key, &row)) {
	case ROW_PRESENT:
		if (book_call_text(row, seed, SEED_ROOM) && row.len == SEED_ROOM - 1)
			return true;
		rows_mark(rows, key);
		return false;
	case ROW_ABSENT:
		random_hex(SEED_ROOM / 2, seed);
		rows_put(rows, key, span_str(seed));
		return true;
	case ROW_UNREADABLE:
		break;
	}
	return false;
}

static json_t *shown_with_secret(const struct opened *o, json_t *account)
{
	account_shown(account, o->opening == OPENING_HOUSE);
	if (*o->secret != '\0')
		json_object_set_new(account, "secret", json_string(o->secret));
	return account;
}

/* Was it this that the key was used for? */
static bool same_opening(const struct opened *o, const json_t *account)
{
	const char *name = json_string_value(json_object_get(account, "name"));
	return *o->secret == '\0' ||
	       (name != NULL && strcmp(name, o->name) == 0 &&
	        (uint64_t)json_integer_value(json_object_get(account, "granted")) == o->grant);
}

/* One's own is one: whoever asks again gets it again, and one that he closed with nothing in it.
 * The same of an account that was opened with this Idempotency-Key. True: answered. */
static bool opened_before(struct opened *o, struct market_change *change)
{
	json_t *account;
	enum row_found found = ledger_account(change->rows, o->account, &account);
	if (found == ROW_PRESENT && o->opening == OPENING_OWN && ledger_account_ended(account)) {
		json_decref(account);
		check(ledger_begin_again(change->rows, o->account) == LEDGER_OK);
		account_news_tell(change, o->account, "reopened", NULL);
		check(ledger_account(change->rows, o->account, &account) == ROW_PRESENT);
	}
	if (found == ROW_PRESENT && same_opening(o, account))
		asked_answer(&o->asked, 200, NULL, shown_with_secret(o, account));
	else if (found == ROW_PRESENT) {
		json_decref(account);
		asked_answer(&o->asked, 422, "another account was opened with this Idempotency-Key",
		             NULL);
	} else if (found == ROW_UNREADABLE)
		asked_answer(&o->asked, 503, book_call_unreadable, NULL);
	return found != ROW_ABSENT;
}

static void run_open(struct errand *errand, struct market_change *change)
{
	struct opened *o = (struct opened *)errand;
	const struct settings *s = change->settings;
	json_t *count, *account;
	uint64_t issued;
	if (o->opening != OPENING_OWN && o->asked.call->idempotency_key.len != 0) {
		char seed[SEED_ROOM];
		if (!take_seed(change->rows, seed)) {
			asked_answer(&o->asked, 503, book_call_unreadable, NULL);
			return;
		}
		name_by_key(o, seed);
	}
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
	account_news_tell(change, o->account, "opened", NULL);
	asked_answer(&o->asked, 201, NULL, shown_with_secret(o, account));
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
	random_hex(ID_BYTES, o->account + 4);
	random_hex(SECRET_BYTES, o->secret);
	digest_of(o->secret, o->owner);
}

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

/* Whoever is nobody we know shares his keys with all who are: they are as good as secrets, and have
 * to be as hard to guess. */
static bool key_may(struct call *call, enum opening opening)
{
	if (opening != OPENING_GUEST || call->principal.len != 0 ||
	    call->idempotency_key.len == 0 || call->idempotency_key.len >= GUEST_KEY_MIN)
		return true;
	call_refuse(
	        call, 422,
	        "without a token an Idempotency-Key is as good as the account's secret: make it of "
	        "32 random bytes at least");
	return false;
}

void account_opening_take(struct call *call)
{
	const struct settings *s = book_settings(book_call_book(call));
	enum opening opening = opening_of(call);
	if (opening == OPENING_REFUSED || !key_may(call, opening))
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
	o->opening = opening;
	if (opening == OPENING_OWN)
		name_own(o, call);
	else
		name_with_secret(o);
	json_decref(body);
	asked_submit(&o->asked);
}
