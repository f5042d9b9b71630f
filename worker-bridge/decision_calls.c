#include "worker-bridge/decision_calls.h"
#include "worker-bridge/asked.h"
#include "worker-bridge/book_call.h"
#include "worker-bridge/market_news.h"
#include "worker-bridge/market_shown.h"

#include <stdio.h>
#include <string.h>

struct decision {
	struct asked asked; /* first */
	char duel_id[64], outcome[12], side[2], who[129], why[501];
};

static void audit_person(struct market_change *change, const struct market *m,
                         const struct decision *d, const char *event)
{
	market_audit(change, m, event, json_pack("{s:s,s:s}", "actor", d->who, "reason", d->why));
}

/* NULL: it cannot be decided, and that is answered. */
static struct market *in_review(struct decision *d, struct market_change *change)
{
	struct market *m;
	enum row_found found = markets_find(change, d->duel_id, &m);
	if (found == ROW_UNREADABLE)
		asked_answer(&d->asked, 503, book_call_unreadable, NULL);
	else if (found == ROW_ABSENT)
		asked_answer(&d->asked, 404, "no such market", NULL);
	else if (m->state != MARKET_MANUAL_REVIEW)
		asked_answer(&d->asked, 409, "this market is not in manual_review", NULL);
	else
		return m;
	return NULL;
}

static void run_retry(struct errand *errand, struct market_change *change)
{
	struct decision *d = (struct decision *)errand;
	struct market *m = in_review(d, change);
	if (m == NULL)
		return;
	market_retry(m);
	markets_changed(change, m, true);
	audit_person(change, m, d, "retried");
	asked_answer(&d->asked, 200, NULL, market_shown(m));
}

static void run_resolve(struct errand *errand, struct market_change *change)
{
	struct decision *d = (struct decision *)errand;
	struct market *m = in_review(d, change);
	if (m == NULL)
		return;
	if (market_paid(m)) {
		asked_answer(&d->asked, 409,
		             "some of its bets have been paid by the outcome that it has: retry it",
		             NULL);
		return;
	}
	market_decide(m, d->outcome, d->side);
	markets_changed(change, m, true);
	audit_person(change, m, d, "decided");
	asked_answer(&d->asked, 200, NULL, market_shown(m));
}

/* {actor, reason}, and {outcome, winnerSide?} to resolve. NULL: answered. */
static struct decision *read_decision(struct call *call, const char *duel_id, bool resolve)
{
	const char *who, *why, *outcome = "", *side = "";
	json_error_t error;
	json_t *body = call_json(call);
	struct decision *d = NULL;
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
		d = asked_create(call, resolve ? run_resolve : run_retry, sizeof *d);
		snprintf(d->duel_id, sizeof d->duel_id, "%s", duel_id);
		snprintf(d->outcome, sizeof d->outcome, "%s", outcome);
		snprintf(d->side, sizeof d->side, "%s", side);
		snprintf(d->who, sizeof d->who, "%s", who);
		snprintf(d->why, sizeof d->why, "%s", why);
	}
	json_decref(body);
	if (d == NULL)
		call_refuse(
		        call, rc != 0 ? 400 : 422,
		        resolve ? "the body must be {actor (3 to 128 bytes), reason (10 to 500), "
		                  "outcome: win, draw "
		                  "or cancelled, winnerSide: A or B with win}"
		                : "the body must be {actor (3 to 128 bytes), reason (10 to 500)}");
	return d;
}

void decision_calls_take(struct call *call, const char *duel_id, bool resolve)
{
	if (!bridge_house(call))
		return;
	struct decision *d = read_decision(call, duel_id, resolve);
	if (d != NULL)
		asked_submit(&d->asked);
}
