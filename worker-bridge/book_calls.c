/* What people and programs ask of markets, ledger and oracle over HTTP. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/domain/owner.h"
#include "common/domain/rights.h"
#include "worker-bridge/inbox.h"
#include "worker-bridge/ledger.h"
#include "worker-bridge/market_news.h"
#include "worker-bridge/oracle.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { BETS_SHOWN_MAX = 1000, NAME_MAX_BYTES = 64, SECRET_BYTES = 24 };

static struct book *book_of(const struct call *call)
{
	return ((struct bridge *)call->context)->book;
}

static struct state *view_of(const struct call *call)
{
	return store_view(book_store(book_of(call)));
}

static struct span below(struct span path, const char *prefix)
{
	size_t len = strlen(prefix);
	return path.len >= len ? span_of(path.at + len, path.len - len) : (struct span){path.at, 0};
}

/* The part up to the next '/', and what follows it. */
static struct span segment(struct span *rest)
{
	const uint8_t *slash = rest->len != 0 ? memchr(rest->at, '/', rest->len) : NULL;
	struct span first =
	        span_of(rest->at, slash != NULL ? (size_t)(slash - rest->at) : rest->len);
	*rest = slash != NULL ? span_of(slash + 1, rest->len - first.len - 1)
	                      : (struct span){rest->at, 0};
	return first;
}

static bool text_of(struct span from, char *into, size_t room)
{
	if (from.len == 0 || from.len >= room)
		return false;
	memcpy(into, from.at, from.len);
	into[from.len] = '\0';
	return true;
}

static const char unreadable[] = "what this needs is in the store, but this release cannot read it "
                                 "(see the log and rows_unreadable): "
                                 "it is left as it is";

/* The row; alerted when it cannot be read. */
static enum row_found row_of(const struct call *call, const char *key, json_t **row)
{
	enum row_found found = row_json(view_of(call), key, row);
	if (found == ROW_UNREADABLE)
		row_alert(((struct bridge *)call->context)->worker->mine, key);
	return found;
}

/* For a row that is JSON, but not what it ought to be. Takes it. */
static enum row_found not_ours(const struct call *call, const char *key, json_t **row)
{
	row_alert(((struct bridge *)call->context)->worker->mine, key);
	json_decref(*row);
	*row = NULL;
	return ROW_UNREADABLE;
}

/* ---- who ---- */

static void digest_of(const char *text, char out[65])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256((const uint8_t *)text, strlen(text), digest);
	hex_print(digest, sizeof digest, out);
}

static void refuse_stranger(struct call *call, const char *reason)
{
	if (call->principal.len == 0)
		call_header(call, "WWW-Authenticate", "Bearer realm=\"ledger\"");
	call_refuse(call, call->principal.len == 0 ? 401 : 403, reason);
}

/* ---- markets, as they are shown ---- */

static json_t *odds_value(const struct market *m, unsigned side)
{
	double odds = market_odds(m, side);
	return odds > 0 ? json_real(odds) : json_null();
}

static json_t *market_shown(const struct market *m)
{
	json_t *o = market_record(m);
	json_object_set_new(o, "odds",
	                    json_pack("{s:o,s:o}", "A", odds_value(m, 0), "B", odds_value(m, 1)));
	json_object_del(o, "attemptData"); /* the operator's own */
	market_put_payout(m, o);
	json_object_set_new(o, "takesBets", json_boolean(market_takes_bets(m, clock_wall_ms())));
	return o;
}

static enum row_found market_stored(const struct call *call, const char *duel_id, struct market *m,
                                    const char **feed_at)
{
	enum row_found found = ROW_ABSENT;
	const char *const *feed = book_feeds(book_of(call));
	for (; *feed != NULL && found == ROW_ABSENT; feed++) {
		char key[MARKET_KEY_ROOM];
		json_t *record;
		market_key(*feed, duel_id, key);
		found = row_of(call, key, &record);
		if (found == ROW_PRESENT && !market_read(m, record))
			found = not_ours(call, key, &record);
		json_decref(record);
		*feed_at = *feed;
	}
	return found;
}

static void list_feed(const struct call *call, const char *feed, json_t *into, json_t *stopped)
{
	char key[96];
	size_t i;
	json_t *recent, *id;
	snprintf(key, sizeof key, "market/recent/%s", feed);
	if (row_of(call, key, &recent) == ROW_PRESENT && !json_is_array(recent))
		not_ours(call, key, &recent);
	json_array_foreach (recent, i, id) {
		struct market m;
		const char *its_feed, *duel_id = json_string_value(id);
		enum row_found found =
		        duel_id != NULL ? market_stored(call, duel_id, &m, &its_feed) : ROW_ABSENT;
		if (found == ROW_PRESENT)
			json_array_append_new(into, market_shown(&m));
		if (found == ROW_UNREADABLE)
			json_array_append_new(stopped, json_pack("{s:s,s:s}", "feed", its_feed,
			                                         "duelId", duel_id));
	}
	json_decref(recent);
}

static void list_markets(struct call *call)
{
	json_t *markets = json_array(), *stopped = json_array();
	for (const char *const *feed = book_feeds(book_of(call)); *feed != NULL; feed++)
		list_feed(call, *feed, markets, stopped);
	call_reply(call, 200,
	           json_pack("{s:o,s:o,s:I}", "markets", markets, "unreadable", stopped, "now",
	                     (json_int_t)clock_wall_ms()));
}

/* ---- work that waits for the disk ---- */

struct asked {
	struct errand errand; /* first */
	struct call *call;
	unsigned status;
	const char *reason; /* of a refusal, constant; NULL: `answer` */
	json_t *answer;
	/* what is asked */
	char duel_id[64], account[LEDGER_ID_MAX + 1], name[NAME_MAX_BYTES + 1],
	        secret[2 * SECRET_BYTES + 1];
	char owner[OWNER_DIGEST_LEN + 1];
	char outcome[12], side[2], who[129], why[501];
	unsigned bet_side;
	uint64_t amount;
};

static void finish_asked(struct errand *errand, bool durable)
{
	struct asked *a = (struct asked *)errand;
	if (!durable) {
		call_header(a->call, "Retry-After", "1");
		call_refuse(a->call, 503, "it could not be made durable; try again");
		json_decref(a->answer);
	} else if (a->reason != NULL)
		call_refuse(a->call, a->status, a->reason);
	else
		call_reply(a->call, a->status, a->answer);
	free(a);
}

static void answer(struct asked *a, unsigned status, const char *reason, json_t *body)
{
	json_decref(a->answer); /* of an earlier run */
	a->status = status;
	a->reason = reason;
	a->answer = body;
}

static struct asked *asked_create(struct call *call,
                                  void (*run)(struct errand *, struct market_change *))
{
	struct asked *a = xcalloc(1, sizeof *a);
	a->errand = (struct errand){.run = run, .finish = finish_asked};
	a->call = call;
	return a;
}

static void submit(struct asked *a)
{
	struct call *call = a->call;
	if (book_submit(book_of(call), &a->errand))
		return;
	free(a);
	call_header(call, "Retry-After", "1");
	call_refuse(call, 503,
	            "too many requests wait (market.queue), or this worker stops; try again");
}

/* ---- accounts ---- */

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
static bool opened_before(struct asked *a, struct market_change *change)
{
	json_t *account;
	enum row_found found = ledger_account(change->rows, a->account, &account);
	if (found == ROW_PRESENT)
		answer(a, 200, NULL, account_shown(account));
	else if (found == ROW_UNREADABLE)
		answer(a, 503, unreadable, NULL);
	return found != ROW_ABSENT;
}

static void run_open(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	const struct settings *s = change->settings;
	json_t *count, *account;
	uint64_t issued;
	if (opened_before(a, change))
		return;
	enum row_found found = rows_json(change->rows, accounts_key, &count);
	json_int_t accounts = json_integer_value(count);
	if (found == ROW_PRESENT && !json_is_integer(count))
		rows_mark(change->rows, accounts_key);
	bool readable = found == ROW_ABSENT || json_is_integer(count);
	json_decref(count);
	if (!readable || ledger_issued(change->rows, &issued) != LEDGER_OK) {
		answer(a, 503, unreadable, NULL);
		return;
	}
	if ((uint64_t)accounts >= s->ledger_accounts_max) {
		answer(a, 507, "there are as many accounts as may be (ledger.accounts_max)", NULL);
		return;
	}
	if (issued > LEDGER_AMOUNT_MAX - a->amount) {
		answer(a, 507,
		       "all accounts together were granted as many units as can be counted "
		       "(2^53-1)",
		       NULL);
		return;
	}
	check(ledger_open(change->rows, a->account, a->name, a->owner, a->amount, change->now_ms) ==
	      LEDGER_OK);
	rows_put_json(change->rows, accounts_key, json_integer(accounts + 1));
	check(ledger_account(change->rows, a->account, &account) == ROW_PRESENT);
	account_shown(account);
	if (*a->secret != '\0')
		json_object_set_new(account, "secret", json_string(a->secret));
	answer(a, 201, NULL, account);
}

static void random_hex(size_t bytes, char *out)
{
	uint8_t random[64];
	clock_random(random, bytes);
	hex_print(random, bytes, out);
}

/* An account of one's own has no secret: it is had by whatever names its owner. */
static void name_own(struct asked *a, const struct call *call)
{
	char text[96], digest[65];
	snprintf(text, sizeof text, "ringside account\n%.*s", OWNER_DIGEST_LEN,
	         (const char *)call->principal.at);
	digest_of(text, digest);
	snprintf(a->account, sizeof a->account, "acc_%.24s", digest);
	memcpy(a->owner, call->principal.at, OWNER_DIGEST_LEN);
}

static void name_with_secret(struct asked *a)
{
	memcpy(a->account, "acc_", 5);
	random_hex(12, a->account + 4);
	random_hex(SECRET_BYTES, a->secret);
	digest_of(a->secret, a->owner);
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
		refuse_stranger(call, "to open an account of one's own is a right: bet");
	else
		bridge_house(call); /* refuses */
	return OPENING_REFUSED;
}

static void open_account(struct call *call)
{
	const struct settings *s = book_settings(book_of(call));
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
	struct asked *a = asked_create(call, run_open);
	snprintf(a->name, sizeof a->name, "%s", name);
	a->amount = (uint64_t)grant;
	if (opening == OPENING_OWN)
		name_own(a, call);
	else
		name_with_secret(a);
	json_decref(body);
	submit(a);
}

/* Nobody asks for the house's. */
static enum row_found account_stored(const struct call *call, const char *id, json_t **account)
{
	char key[LEDGER_KEY_ROOM];
	*account = NULL;
	ledger_account_key(id, key);
	enum row_found found = *id != '@' ? row_of(call, key, account) : ROW_ABSENT;
	return found == ROW_PRESENT && !ledger_account_valid(*account)
	               ? not_ours(call, key, account)
	               : found;
}

static bool owns(const struct call *call, const json_t *account)
{
	const char *owner = json_string_value(json_object_get(account, "owner"));
	return owner != NULL && owner_is(span_str(owner), call->principal, call->former);
}

static void show_account(struct call *call, struct span id_span)
{
	char id[LEDGER_ID_MAX + 1];
	json_t *account = NULL;
	enum row_found found =
	        text_of(id_span, id, sizeof id) ? account_stored(call, id, &account) : ROW_ABSENT;
	bool allowed = account != NULL && (bridge_is_house(call) || owns(call, account));
	if (allowed) {
		call_reply(call, 200, account_shown(account));
		return;
	}
	json_decref(account);
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, unreadable);
	else if (account == NULL && bridge_is_house(call))
		call_refuse(call, 404, "no such account");
	else
		refuse_stranger(call, "an account is its owner's: his secret as Bearer token");
}

static void show_sums(struct call *call)
{
	struct ledger_sums sums;
	if (!bridge_house(call))
		return;
	ledger_sum(view_of(call), &sums);
	call_reply(call, 200,
	           json_pack("{s:I,s:I,s:I,s:I,s:I,s:b}", "accounts", (json_int_t)sums.accounts,
	                     "house", (json_int_t)sums.house, "pools", (json_int_t)sums.pools,
	                     "accountCount", (json_int_t)sums.account_count, "badRows",
	                     (json_int_t)sums.bad_rows, "balanced",
	                     sums.accounts + sums.house + sums.pools == 0 && sums.bad_rows == 0));
}

void book_on_ledger_call(struct call *call)
{
	struct span rest = below(call->path, "/v1/ledger/"), what = segment(&rest);
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

/* ---- bets ---- */

static void run_bet(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	struct counters_slot *counters = ((struct bridge *)a->call->context)->worker->mine;
	struct market *m;
	enum row_found found = markets_find(change, a->duel_id, &m);
	const struct ledger_bet bet = {a->account, a->bet_side, a->amount, a->call->idempotency_key,
	                               m == NULL || !markets_takes_bets(change, m)};
	json_t *made = NULL;
	if (found == ROW_UNREADABLE) {
		answer(a, 503, unreadable, NULL);
		return;
	}
	if (m == NULL || strcmp(m->operator, "ledger") != 0) {
		answer(a, 404, "no market of the ledger for this duel", NULL);
		return;
	}
	switch (ledger_stake(change->rows, m, &bet, change->settings->ledger_bets_per_market,
	                     change->now_ms, &made)) {
	case LEDGER_OK:
		markets_changed(change, m, true);
		counter_add(counters, ledger_bets_total, 1);
		answer(a, 201, NULL, made);
		return;
	case LEDGER_REPEATED:
		answer(a, 200, NULL, made);
		return;
	case LEDGER_NO_ACCOUNT:
		answer(a, 404, "no such account", NULL);
		break;
	case LEDGER_CLOSED:
		answer(a, 409, "this market takes no bets (any more)", NULL);
		break;
	case LEDGER_POOR:
		answer(a, 402, "the balance does not cover this stake", NULL);
		break;
	case LEDGER_FULL:
		answer(a, 409, "this market has all the bets it may (ledger.bets_per_market)",
		       NULL);
		break;
	case LEDGER_KEY_REUSED:
		answer(a, 422, "another bet was made with this Idempotency-Key", NULL);
		break;
	case LEDGER_UNREADABLE:
		answer(a, 503, unreadable, NULL);
		break;
	}
	counter_add(counters, ledger_bets_refused_total, 1);
}

static void place_bet(struct call *call, const char *duel_id)
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
	                               ? account_stored(call, account_id, &account)
	                               : ROW_ABSENT;
	bool owner = owns(call, account);
	struct asked *a = good && owner ? asked_create(call, run_bet) : NULL;
	if (a != NULL) {
		snprintf(a->duel_id, sizeof a->duel_id, "%s", duel_id);
		snprintf(a->account, sizeof a->account, "%s", account_id);
		a->bet_side = *side == 'B';
		a->amount = (uint64_t)amount;
	}
	json_decref(account);
	json_decref(body);
	if (!good)
		call_refuse(
		        call, 422,
		        "side is A (agent1) or B (agent2), amount a whole number of at least 1");
	else if (found == ROW_UNREADABLE)
		call_refuse(call, 503, unreadable);
	else if (a == NULL)
		refuse_stranger(
		        call,
		        "a bet is made with the account's secret as Bearer token, or by its owner");
	else
		submit(a);
}

static void list_bets(struct call *call, const struct market *m)
{
	json_t *bets = json_array();
	uint64_t first = m->bets > BETS_SHOWN_MAX ? m->bets - BETS_SHOWN_MAX + 1 : 1;
	for (uint64_t n = first; n <= m->bets; n++) {
		char key[LEDGER_KEY_ROOM];
		json_t *bet;
		ledger_bet_key(m->duel_id, n, key);
		if (row_of(call, key, &bet) == ROW_PRESENT && !ledger_bet_valid(bet))
			not_ours(call, key, &bet);
		if (bet != NULL)
			json_array_append_new(bets, ledger_bet_shown(bet));
	}
	call_reply(call, 200,
	           json_pack("{s:s,s:I,s:o}", "duelId", m->duel_id, "count", (json_int_t)m->bets,
	                     "bets", bets));
}

/* ---- what people decide ---- */

static void audit_person(struct market_change *change, const struct market *m,
                         const struct asked *a, const char *event)
{
	market_audit(change, m, event, json_pack("{s:s,s:s}", "actor", a->who, "reason", a->why));
}

/* NULL: it cannot be decided, and `a` says why. */
static struct market *in_review(struct asked *a, struct market_change *change)
{
	struct market *m;
	enum row_found found = markets_find(change, a->duel_id, &m);
	if (found == ROW_UNREADABLE)
		answer(a, 503, unreadable, NULL);
	else if (found == ROW_ABSENT)
		answer(a, 404, "no such market", NULL);
	else if (m->state != MARKET_MANUAL_REVIEW)
		answer(a, 409, "this market is not in manual_review", NULL);
	else
		return m;
	return NULL;
}

static void run_retry(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	struct market *m = in_review(a, change);
	if (m == NULL)
		return;
	market_retry(m);
	markets_changed(change, m, true);
	audit_person(change, m, a, "retried");
	answer(a, 200, NULL, market_shown(m));
}

static void run_resolve(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	struct market *m = in_review(a, change);
	if (m == NULL)
		return;
	if (market_paid(m)) {
		answer(a, 409,
		       "some of its bets have been paid by the outcome that it has: retry it",
		       NULL);
		return;
	}
	market_decide(m, a->outcome, a->side);
	markets_changed(change, m, true);
	audit_person(change, m, a, "decided");
	answer(a, 200, NULL, market_shown(m));
}

/* {actor, reason}, and {outcome, winnerSide?} to resolve. NULL: answered. */
static struct asked *read_decision(struct call *call, const char *duel_id, bool resolve)
{
	const char *who, *why, *outcome = "", *side = "";
	json_error_t error;
	json_t *body = call_json(call);
	struct asked *a = NULL;
	if (body == NULL)
		return NULL;
	int rc = resolve ? json_unpack_ex(body, &error, JSON_STRICT, "{s:s,s:s,s:s,s?s}", "actor",
	                                  &who, "reason", &why, "outcome", &outcome, "winnerSide",
	                                  &side)
	                 : json_unpack_ex(body, &error, JSON_STRICT, "{s:s,s:s}", "actor", &who,
	                                  "reason", &why);
	bool win = strcmp(outcome, "win") == 0;
	bool good = rc == 0 && strlen(who) >= 3 && strlen(who) <= 128 && strlen(why) >= 10 &&
	            strlen(why) <= 500;
	if (rc == 0 && resolve)
		good = good && (win ? strcmp(side, "A") == 0 || strcmp(side, "B") == 0
		                    : *side == '\0' && (strcmp(outcome, "draw") == 0 ||
		                                        strcmp(outcome, "cancelled") == 0));
	if (good) {
		a = asked_create(call, resolve ? run_resolve : run_retry);
		snprintf(a->duel_id, sizeof a->duel_id, "%s", duel_id);
		snprintf(a->outcome, sizeof a->outcome, "%s", outcome);
		snprintf(a->side, sizeof a->side, "%s", side);
		snprintf(a->who, sizeof a->who, "%s", who);
		snprintf(a->why, sizeof a->why, "%s", why);
	}
	json_decref(body);
	if (a == NULL)
		call_refuse(
		        call, rc != 0 ? 400 : 422,
		        resolve ? "the body must be {actor (3 to 128 bytes), reason (10 to 500), "
		                  "outcome: win, draw "
		                  "or cancelled, winnerSide: A or B with win}"
		                : "the body must be {actor (3 to 128 bytes), reason (10 to 500)}");
	return a;
}

static void decide(struct call *call, const char *duel_id, bool resolve)
{
	if (!bridge_house(call))
		return;
	struct asked *a = read_decision(call, duel_id, resolve);
	if (a != NULL)
		submit(a);
}

void book_on_market_call(struct call *call)
{
	struct span rest = below(call->path, "/v1/markets"), what;
	char duel_id[64];
	const char *feed;
	struct market m;
	if (rest.len != 0)
		rest = span_of(rest.at + 1, rest.len - 1);
	what = segment(&rest);
	bool get = call->method == CALL_GET;
	if (what.len == 0 && get) {
		list_markets(call);
		return;
	}
	enum row_found found = text_of(what, duel_id, sizeof duel_id)
	                               ? market_stored(call, duel_id, &m, &feed)
	                               : ROW_ABSENT;
	if (found == ROW_ABSENT)
		call_refuse(call, 404,
		            "no market for this duel (settled ones are kept for market.keep)");
	else if (found == ROW_UNREADABLE)
		call_refuse(call, 503, unreadable);
	else if (get && rest.len == 0)
		call_reply(call, 200, market_shown(&m));
	else if (get && span_equal(rest, SPAN("bets")))
		list_bets(call, &m);
	else if (!get && span_equal(rest, SPAN("bets")))
		place_bet(call, duel_id);
	else if (!get && (span_equal(rest, SPAN("retry")) || span_equal(rest, SPAN("resolve"))))
		decide(call, duel_id, span_equal(rest, SPAN("resolve")));
	else
		call_refuse(
		        call, 404,
		        "GET /v1/markets, /v1/markets/DUELID[/bets]; POST /bets, /retry, /resolve");
}

/* ---- oracle ---- */

void book_on_oracle_call(struct call *call)
{
	struct span rest = below(call->path, "/v1/oracle/");
	char duel_id[64];
	if (span_equal(rest, SPAN("keys"))) {
		call_reply(call, 200, oracle_keys(view_of(call)));
		return;
	}
	json_t *attestation = NULL;
	enum row_found found = text_of(rest, duel_id, sizeof duel_id)
	                               ? oracle_attestation(view_of(call), duel_id, &attestation)
	                               : ROW_ABSENT;
	if (found == ROW_UNREADABLE)
		call_refuse(call, 503, unreadable);
	else if (attestation != NULL)
		call_reply(call, 200, attestation);
	else
		call_refuse(call, 404,
		            "this duel has not ended, never was, or is older than market.keep; "
		            "keys: /v1/oracle/keys");
}
