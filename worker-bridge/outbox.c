#include "worker-bridge/outbox.h"
#include "worker-bridge/account_news.h"
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-bridge/market_news.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what an operator was asked, and says ---- */

struct asked {
	struct errand errand; /* first */
	struct outbox *outbox;
	struct market_operator *operator;
	struct operator_step step;
	bool prepares; /* only what is to be durable */
	bool watches;  /* only whether the part that waits may still be done */
	enum operator_outcome outcome;
	uint64_t retry_after_ms, part, not_before_ms;
	bool made, spared, receipted;
	struct market_attempt attempt;
	struct market_receipt receipt;
	char error[160];
};

static struct backoff backoff_of(const struct settings *s)
{
	return (struct backoff){s->market_retry_min_ms, s->market_retry_max_ms,
	                        s->market_retry_after_max_ms};
}

static uint64_t delay_ms(const struct settings *s, uint64_t failures, uint64_t asked_ms)
{
	struct backoff backoff = backoff_of(s);
	return backoff_ms(&backoff, failures, asked_ms, (unsigned)clock_random_below(BACKOFF_DICE));
}

/* How long an attempt is given, at most: a view, and the step. */
static uint64_t call_ms(const struct settings *s)
{
	return 2 * s->market_webhook_timeout_ms;
}

/* The attempt becomes durable with this change, and is made then. `again`: what was prepared is
 * sent once more as it is. That can do no harm, so nobody waits for the one before to end. */
static void note_attempt(struct market_change *change, struct listed *e, enum market_step step,
                         bool doubt, bool again)
{
	struct market *m = &e->market;
	bool prepared = *m->attempt.data != '\0';
	m->attempt.number += !again;
	m->attempt.unknown = true; /* until its outcome is durable */
	m->attempt.at_ms = change->now_ms;
	m->attempt.next_ms = change->now_ms + (prepared ? 0 : call_ms(change->settings)) +
	                     delay_ms(change->settings, m->attempt.number, 0);
	e->doubt = doubt;
	e->to_call = step;
	e->prepares = e->watches = false;
	markets_changed(change, m, false);
	market_audit(change, m, "attempt",
	             json_pack("{s:s,s:I,s:s*}", "step", market_step_name(step), "number",
	                       (json_int_t)m->attempt.number, "reference",
	                       *m->attempt.reference != '\0' ? m->attempt.reference : NULL));
}

static void note_receipt(struct market *m, const struct asked *a, bool whole)
{
	if (a->receipted)
		market_receive(m, market_effect_of(a->step.step, whole), &a->receipt);
}

/* Another part of the step has taken effect; the next is another attempt. */
static void note_part(struct market_change *change, struct market *m, const struct asked *a)
{
	check(a->operator->can & OPERATOR_IN_PARTS);
	note_receipt(m, a, false);
	m->attempt = (struct market_attempt){.part = a->part, .not_before_ms = a->not_before_ms};
	*m->error = '\0';
	markets_changed(change, m, false);
	market_audit(change, m, "part_done",
	             json_pack("{s:s,s:I,s:I,s:s*}", "step", market_step_name(a->step.step), "part",
	                       (json_int_t)a->part, "notBefore", (json_int_t)a->not_before_ms,
	                       "transaction", a->receipted ? a->receipt.reference : NULL));
}

/* False: it is not to be tried again. */
static bool may_try_again(const struct settings *s, const struct market *m, const struct asked *a)
{
	return (a->outcome == OPERATOR_AGAIN || a->outcome == OPERATOR_UNKNOWN) &&
	       (a->spared || m->attempt.number < s->market_attempts_max);
}

static void give_up(struct market_change *change, struct market *m, const struct asked *a)
{
	char why[160];
	const char *how = a->outcome == OPERATOR_FINAL        ? "was refused"
	                  : a->outcome == OPERATOR_CHALLENGED ? "was challenged"
	                                                      : "failed too often";
	snprintf(why, sizeof why, "%s %s: %.110s", market_step_name(a->step.step), how, a->error);
	said_count(change->said, market_dead_letters_total, 1);
	market_alert(change, m, why);
}

static void note_failure(struct market_change *change, struct market *m, const struct asked *a)
{
	struct listed *e = markets_listed(change->markets, m->duel_id);
	bool news = !a->spared || strcmp(m->error, a->error) != 0;
	m->attempt.unknown = a->outcome == OPERATOR_UNKNOWN;
	if (!m->attempt.unknown) {
		*m->attempt.reference = *m->attempt.data = '\0';
		m->attempt.expires = 0;
	}
	said_count(change->said, market_call_failures_total, 1);
	markets_changed(change, m, false);
	if (news) /* once, however long the way to it is barred */
		market_audit(change, m, "attempt_failed",
		             json_pack("{s:s,s:I,s:s}", "step", market_step_name(a->step.step),
		                       "number", (json_int_t)m->attempt.number, "error", a->error));
	if (!may_try_again(change->settings, m, a)) {
		give_up(change, m, a);
		return;
	}
	memcpy(m->error, a->error, sizeof m->error);
	m->attempt.at_ms = change->now_ms;
	if (e != NULL)
		e->spared = a->spared ? e->spared + 1 : 0;
	uint64_t failures = m->attempt.number + (e != NULL ? e->spared : 0);
	m->attempt.next_ms =
	        change->now_ms + delay_ms(change->settings, failures, a->retry_after_ms);
}

/* While it was asked nothing was due for the market: whatever came of it, it may be now. */
static void look_again(struct market_change *change)
{
	change->again = true;
}

static void take_answer(struct market_change *change, struct market *m, const struct asked *a)
{
	struct listed *e = markets_listed(change->markets, m->duel_id);
	if (e != NULL && !a->spared)
		e->spared = 0;
	if (a->outcome == OPERATOR_DONE) {
		note_receipt(m, a, true);
		market_step_done(change, m, a->step.step);
	} else if (a->outcome == OPERATOR_AGAIN && a->part > m->attempt.part)
		note_part(change, m, a);
	else
		note_failure(change, m, a);
}

/* Is it about the attempt that the market has now? A bridge that had stopped acting may hear of one
 * that another bridge has followed by the next: that this one failed says nothing of that one. */
static bool is_about(const struct asked *a, const struct market *m)
{
	const struct market_attempt *asked = &a->step.market.attempt;
	return asked->number == m->attempt.number &&
	       strcmp(asked->reference, m->attempt.reference) == 0;
}

static void run_answered(struct errand *errand, struct market_change *change)
{
	const struct asked *a = (const struct asked *)errand;
	struct market *m;
	look_again(change);
	if (markets_find(change, a->step.market.duel_id, &m) != ROW_PRESENT ||
	    m->step != a->step.step)
		return; /* an earlier attempt's answer has been taken */
	bool happened = a->outcome == OPERATOR_DONE ||
	                (a->outcome == OPERATOR_AGAIN && a->part > m->attempt.part);
	if (happened || is_about(a, m))
		take_answer(change, m, a);
}

/* What was prepared is the next attempt, unless another was faster. */
static void run_prepared(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	struct listed *e = markets_listed(change->markets, a->step.market.duel_id);
	struct market *m = &e->market;
	look_again(change);
	if (e == NULL || m->step != a->step.step || *m->attempt.data != '\0' ||
	    m->attempt.number != a->step.market.attempt.number)
		return;
	if (!a->made) {
		if (a->outcome != OPERATOR_DONE && !a->spared && a->part <= m->attempt.part)
			m->attempt.number++;
		take_answer(change, m, a);
		return;
	}
	memcpy(m->attempt.reference, a->attempt.reference, sizeof m->attempt.reference);
	memcpy(m->attempt.data, a->attempt.data, sizeof m->attempt.data);
	m->attempt.expires = a->attempt.expires;
	note_attempt(change, e, a->step.step, false, false);
}

/* Times are told from where the other side's clock stands: a little off is the same. */
enum { SAME_TIME_MS = 2000 };

/* What waits for its time goes on waiting, or it is over. */
static void run_watched(struct errand *errand, struct market_change *change)
{
	struct asked *a = (struct asked *)errand;
	struct listed *e = markets_listed(change->markets, a->step.market.duel_id);
	look_again(change);
	if (e == NULL || e->market.step != a->step.step ||
	    e->market.attempt.part != a->step.market.attempt.part || a->outcome == OPERATOR_UNKNOWN)
		return;
	if (a->outcome != OPERATOR_AGAIN) {
		run_answered(errand, change);
		return;
	}
	uint64_t *not_before_ms = &e->market.attempt.not_before_ms;
	if (a->not_before_ms != 0 && (a->not_before_ms + SAME_TIME_MS < *not_before_ms ||
	                              a->not_before_ms > *not_before_ms + SAME_TIME_MS)) {
		*not_before_ms = a->not_before_ms;
		markets_changed(change, &e->market, false);
	}
}

static void finish_asked(struct errand *errand, bool durable)
{
	struct asked *a = (struct asked *)errand;
	struct listed *e = markets_listed(a->outbox->markets, a->step.market.duel_id);
	if (e != NULL && e->calling == a) /* what was prepared may be on its way already */
		e->calling = NULL;
	(void)durable; /* if not: the attempt is made again when its time has come */
	free(a);
}

/* ---- calling ---- */

static void on_answer(void *arg, const struct operator_answer *answer)
{
	struct asked *a = arg;
	a->outcome = answer->outcome;
	a->retry_after_ms = answer->retry_after_ms;
	a->part = answer->part;
	a->not_before_ms = answer->not_before_ms;
	a->spared = answer->spared;
	a->receipted = answer->receipt != NULL;
	if (a->receipted)
		a->receipt = *answer->receipt;
	a->made = answer->made != NULL;
	if (a->made)
		a->attempt = *answer->made;
	snprintf(a->error, sizeof a->error, "%s", answer->error != NULL ? answer->error : "");
	a->outbox->answered(a->outbox->arg, &a->errand);
}

static void call(struct asked *a)
{
	(a->prepares ? a->operator->prepare : a->operator->send)(
	        a->operator, & a->step, (struct operator_done){on_answer, a});
}

/* Where nothing shows that it took effect, it is left to the attempt. */
static void on_read(void *arg, const struct operator_answer *answer)
{
	const struct asked *a = arg;
	if (!a->watches && answer->outcome == OPERATOR_AGAIN && answer->part <= 0)
		call(arg);
	else
		on_answer(arg, answer);
}

static struct market_operator *operator_of(const struct outbox *outbox, const struct market *m)
{
	struct market_operator *const *one = outbox->operators;
	while (*one != NULL && strcmp((*one)->name, m->operator) != 0)
		one++;
	return *one;
}

static void ask(struct outbox *outbox, struct listed *e, uint64_t fence)
{
	struct asked *a = xcalloc(1, sizeof *a);
	*a = (struct asked){.errand = {.run = e->watches    ? run_watched
	                                      : e->prepares ? run_prepared
	                                                    : run_answered,
	                               .finish = finish_asked},
	                    .outbox = outbox,
	                    .operator= operator_of(outbox, &e->market),
	                    .step = {e->market, e->to_call, fence},
	                    .prepares = e->prepares,
	                    .watches = e->watches};
	e->calling = a;
	e->to_call = MARKET_STEP_NONE;
	if ((e->doubt || e->watches) && a->operator->read != NULL)
		a->operator->read(a->operator, & a->step, (struct operator_done){on_read, a});
	else
		call(a);
}

size_t outbox_send(struct outbox *outbox, uint64_t fence)
{
	size_t made = 0;
	struct listed *e, *next;
	HASH_ITER (hh, outbox->markets->listed, e, next) {
		if (e->to_call == MARKET_STEP_NONE)
			continue;
		made += !e->prepares && !e->watches;
		ask(outbox, e, fence);
	}
	return made;
}

/* ---- what is due ---- */

/* Its time has not come: it is only looked at, whether it is still to be done. */
static void watch(struct market_change *change, struct listed *e,
                  const struct market_operator *operator, enum market_step step)
{
	market_change_due(change, e->market.attempt.not_before_ms);
	if (operator->watch_ms == 0 || operator->read == NULL)
		return;
	if (change->now_ms >= e->watch_due_ms ||
	    e->watch_due_ms > change->now_ms + operator->watch_ms) {
		e->watches = true;
		e->prepares = false;
		e->to_call = step;
		e->watch_due_ms = change->now_ms + operator->watch_ms;
	}
	market_change_due(change, e->watch_due_ms);
}

/* By somebody outside. */
static void prepare_call(const struct outbox *outbox, struct market_change *change,
                         struct listed *e, enum market_step step)
{
	struct market *m = &e->market;
	const struct market_operator *operator= operator_of(outbox, m);
	if (e->calling != NULL)
		return;
	market_start(m, step);
	struct backoff backoff = backoff_of(change->settings);
	uint64_t longest_ms = call_ms(change->settings) + backoff_longest_ms(&backoff);
	if (!backoff_over(m->attempt.at_ms, m->attempt.next_ms, longest_ms, change->now_ms)) {
		market_change_due(change, m->attempt.next_ms);
		return;
	}
	if (change->now_ms < m->attempt.not_before_ms) {
		watch(change, e, operator, step);
		return;
	}
	e->watches = false;
	if (operator->prepare == NULL || * m->attempt.data != '\0') {
		note_attempt(change, e, step, m->attempt.unknown, *m->attempt.data != '\0');
		return;
	}
	e->doubt = m->attempt.unknown;
	e->to_call = step;
	e->prepares = true;
}

/* True: it is done, and there may be another. */
static bool apply(struct market_change *change, struct market *m, enum market_step step,
                  const struct market_operator *operator)
{
	char why[160] = "";
	enum operator_outcome outcome = OPERATOR_DONE;
	uint64_t settled = m->settled_bets;
	market_start(m, step);
	markets_changed(change, m, false);
	if (operator!= NULL)
		outcome = operator->apply(change->rows, m, step, why);
	account_news_settled(change, m, settled + 1, m->settled_bets);
	switch (outcome) {
	case OPERATOR_DONE:
		market_step_done(change, m, step);
		return true;
	case OPERATOR_AGAIN:
		change->again = true;
		return false;
	case OPERATOR_FINAL:
		market_alert(change, m, why);
		return false;
	case OPERATOR_UNKNOWN:
	case OPERATOR_CHALLENGED:
		break;
	}
	check(false);
}

static bool take(const struct outbox *outbox, struct market_change *change, struct listed *e,
                 enum market_step step)
{
	struct market *m = &e->market;
	const struct market_operator *operator= operator_of(outbox, m);
	if (step == MARKET_STEP_CANCEL && !m->entered)
		return apply(change, m, step, NULL); /* no operator knows of it */
	if (operator== NULL) {
		char why[160];
		snprintf(why, sizeof why, "this release has no operator \"%s\"", m->operator);
		market_alert(change, m, why);
		return false;
	}
	if (!(operator->can & 1u << step))
		return apply(change, m, step, NULL);
	if (operator->apply != NULL)
		return apply(change, m, step, operator);
	prepare_call(outbox, change, e, step);
	return false;
}

void outbox_advance(struct outbox *outbox, struct market_change *change, struct listed *e)
{
	enum market_step step;
	do {
		uint64_t due_ms;
		step = market_next(&e->market, change->now_ms, &due_ms);
		market_change_due(change, due_ms);
		if (step != MARKET_STEP_NONE && market_change_full(change)) {
			change->again = true;
			return;
		}
	} while (step != MARKET_STEP_NONE && take(outbox, change, e, step));
}
