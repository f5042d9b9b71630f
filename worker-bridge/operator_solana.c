#include "worker-bridge/operator_solana.h"
#include "common/base/base64.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-bridge/solana_rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct operator_solana {
	struct market_operator operator; /* first */
	struct solana_rpc *rpc;
	const struct settings_source *settings;
	struct counters_slot *counters;
	uv_loop_t *loop;
	bool configured;
	struct keypair pair;
	struct solana_address who, oracle, market, clock;
	uv_timer_t balance_timer;
	bool poor; /* alerted */
};

struct run {
	struct operator_solana *self;
	const struct operator_step *asked;
	struct operator_done done;
	struct solana_step step;
	uv_timer_t timer;
	struct operator_answer answer;
	struct market_attempt made;
	struct market_receipt receipt;
};

/* ---- funds ---- */

static void alert_poor(struct operator_solana *self, const char *why)
{
	char address[SOLANA_ADDRESS_ROOM];
	if (self->poor)
		return;
	self->poor = true;
	counter_add(self->counters, solana_poor_total, 1);
	solana_address_print(&self->who, address);
	log_error("solana operator needs funds", "address=%s why=\"%s\"", address, why);
}

static void on_balance(void *arg, const struct solana_reply *reply)
{
	struct operator_solana *self = arg;
	uint64_t enough = self->settings->newest->solana_balance_min;
	char why[96];
	if (reply->fault != SOLANA_OK)
		return;
	counter_set(self->counters, solana_balance_lamports, reply->height);
	if (reply->height < enough) {
		snprintf(why, sizeof why, "%" PRIu64 " lamports, solana.balance_min is %" PRIu64,
		         reply->height, enough);
		alert_poor(self, why);
	} else if (reply->height > 0) {
		self->poor = false;
	}
}

static void on_balance_timer(uv_timer_t *timer)
{
	struct operator_solana *self = timer->data;
	solana_rpc_balance(self->rpc, &self->who, (struct solana_rpc_done){on_balance, self});
}

/* ---- signing ---- */

enum { FEE_PER_SIGNATURE = 5000, UNITS_PER_INSTRUCTION = 200000, DOUBLINGS_MAX = 20 };

/* What a million units pay: more after each transaction that no block had room for, within what one
 * may cost. */
static uint64_t price_of(const struct settings *s, const struct run *run)
{
	uint64_t failures = run->asked->market.attempt.number;
	uint64_t units = s->solana_compute_units != 0
	                         ? s->solana_compute_units
	                         : run->step.plan.count * UNITS_PER_INSTRUCTION;
	uint64_t most = (s->solana_fee_max - FEE_PER_SIGNATURE) * 1000000 / units,
	         price = s->solana_compute_price
	                 << (failures < DOUBLINGS_MAX ? failures : DOUBLINGS_MAX);
	return price < most ? price : most;
}

static bool sign(const struct run *run, struct solana_transaction *transaction)
{
	const struct settings *s = run->self->settings->newest;
	const struct solana_plan *plan = &run->step.plan;
	struct solana_instruction all[SOLANA_PLAN_MAX + 2];
	size_t count = 0;
	uint64_t price = price_of(s, run);
	if (s->solana_compute_units != 0)
		solana_compute_limit(&all[count++], (uint32_t)s->solana_compute_units);
	if (price != 0)
		solana_compute_price(&all[count++], price);
	memcpy(all + count, plan->instructions, plan->count * sizeof *all);
	return solana_transaction_make(&run->self->pair, run->step.blockhash, all,
	                               count + plan->count, transaction);
}

/* What does not fit does without the address of the attestation, which is nobody's right. */
static bool sign_shorter(struct run *run, struct solana_transaction *transaction)
{
	struct solana_step *s = &run->step;
	*s->facts.uri = '\0';
	solana_plan(&s->facts, &s->seen, &s->places, &s->who, s->step, s->part, &s->plan);
	return sign(run, transaction);
}

static void make_attempt(struct run *run)
{
	struct solana_transaction transaction;
	check(sign(run, &transaction) || sign_shorter(run, &transaction));
	char *text = base64_text(span_of(transaction.bytes, transaction.len));
	check((size_t)snprintf(run->made.data, sizeof run->made.data, "%s", text) <
	      sizeof run->made.data);
	free(text);
	base58_print(transaction.signature, sizeof transaction.signature, run->made.reference);
	run->made.expires = run->step.last_height;
	run->answer.made = &run->made;
}

_Static_assert(MARKET_REFERENCE_MAX + 1 >= BASE58_TEXT_ROOM, "a signature is a reference");

/* ---- one question after the other ---- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static uint64_t due_ms(const struct solana_step *s)
{
	enum { AGES_S = 1000000000 };
	int64_t due_s = s->waits ? s->due_s : s->plan.due_s;
	if (due_s <= 0)
		return s->waits ? clock_wall_ms() : 0;
	return (s->waits ? clock_wall_ms() : 0) +
	       (uint64_t)(due_s < AGES_S * 4LL ? due_s : AGES_S * 4LL) * 1000;
}

static void finish(struct run *run)
{
	const struct solana_step *s = &run->step;
	struct operator_solana *self = run->self;
	run->answer = (struct operator_answer){.outcome = s->outcome,
	                                       .error = s->error,
	                                       .retry_after_ms = s->retry_after_ms,
	                                       .part = s->new_part,
	                                       .not_before_ms = due_ms(s),
	                                       .spared = s->spared};
	if (s->poor)
		alert_poor(self, s->error);
	if (s->expired)
		counter_add(self->counters, solana_expired_total, 1);
	if (s->planned)
		make_attempt(run);
	if (s->shown) {
		run->receipt.place = s->slot;
		memcpy(run->receipt.reference, run->asked->market.attempt.reference,
		       sizeof run->receipt.reference);
		run->answer.receipt = &run->receipt;
	}
	run->done.call(run->done.arg, &run->answer);
	uv_close((uv_handle_t *)&run->timer, on_closed);
}

static void advance(struct run *run);

static void on_reply(void *arg, const struct solana_reply *reply)
{
	struct run *run = arg;
	solana_step_reply(&run->step, reply);
	advance(run);
}

static void on_waited(uv_timer_t *timer)
{
	on_reply(timer->data, &(struct solana_reply){0});
}

static void advance(struct run *run)
{
	struct operator_solana *self = run->self;
	const struct solana_step *s = &run->step;
	const struct market_attempt *attempt = &run->asked->market.attempt;
	struct solana_rpc_done done = {on_reply, run};
	switch (s->ask) {
	case SOLANA_ASK_DUEL:
		solana_rpc_account(self->rpc, &s->places.duel, &self->oracle, s->look_level, done);
		return;
	case SOLANA_ASK_MARKET:
		solana_rpc_account(self->rpc, &s->places.market, &self->market, s->look_level,
		                   done);
		return;
	case SOLANA_ASK_CONFIG:
		solana_rpc_account(self->rpc, &s->places.oracle_config, &self->oracle,
		                   s->look_level, done);
		return;
	case SOLANA_ASK_CLOCK:
		solana_rpc_account(self->rpc, &self->clock, NULL, s->look_level, done);
		return;
	case SOLANA_ASK_BLOCKHASH:
		solana_rpc_blockhash(self->rpc, done);
		return;
	case SOLANA_ASK_SEND:
		solana_rpc_send(self->rpc, attempt->data, done);
		return;
	case SOLANA_ASK_STATUS:
		solana_rpc_status(self->rpc, attempt->reference, done);
		return;
	case SOLANA_ASK_HEIGHT:
		solana_rpc_height(self->rpc, done);
		return;
	case SOLANA_ASK_WAIT:
		uv_timer_start(&run->timer, on_waited, self->settings->newest->solana_poll_ms, 0);
		return;
	case SOLANA_ASK_NOTHING:
		finish(run);
		return;
	}
}

/* ---- what the outbox asks ---- */

static void answer_at_once(struct operator_done done, enum operator_outcome outcome,
                           const char *error, bool spared)
{
	done.call(done.arg,
	          &(struct operator_answer){.outcome = outcome, .error = error, .spared = spared});
}

static void begin(struct market_operator *operator, const struct operator_step * asked,
                  struct operator_done done, enum solana_work work)
{
	struct operator_solana *self = (struct operator_solana *)operator;
	const struct market *m = &asked->market;
	const struct settings *s = self->settings->newest;
	struct solana_facts facts;
	const char *fault = solana_facts_of(m, s->http_public_url, &facts);
	if (!self->configured) {
		answer_at_once(done, OPERATOR_UNKNOWN,
		               "solana.rpc_url, key and programs are not all set", true);
		return;
	}
	if (fault != NULL) {
		answer_at_once(done, OPERATOR_FINAL, fault, false);
		return;
	}
	struct run *run = xcalloc(1, sizeof *run);
	run->self = self;
	run->asked = asked;
	run->done = done;
	run->step = (struct solana_step){.work = work,
	                                 .step = asked->step,
	                                 .part = m->attempt.part,
	                                 .last_height = m->attempt.expires,
	                                 .signed_before = *m->attempt.reference != '\0',
	                                 .level = strcmp(s->solana_commitment, "confirmed") == 0
	                                                  ? SOLANA_CONFIRMED
	                                                  : SOLANA_FINALIZED,
	                                 .facts = facts,
	                                 .who = self->who};
	solana_places_find(&self->oracle, &self->market, facts.duel.key, &run->step.places);
	uv_timer_init(self->loop, &run->timer);
	run->timer.data = run;
	solana_step_begin(&run->step);
	advance(run);
}

static void read_chain(struct market_operator *self, const struct operator_step *step,
                       struct operator_done done)
{
	begin(self, step, done, SOLANA_READ);
}

static void prepare(struct market_operator *self, const struct operator_step *step,
                    struct operator_done done)
{
	begin(self, step, done, SOLANA_PREPARE);
}

static void send_step(struct market_operator *self, const struct operator_step *step,
                      struct operator_done done)
{
	begin(self, step, done, SOLANA_SEND);
}

/* Settings have been validated: what is there can be read. */
static bool configure(struct operator_solana *self, const struct settings *s)
{
	if (*s->solana_rpc_url == '\0' || *s->solana_key == '\0' ||
	    *s->solana_oracle_program == '\0' || *s->solana_market_program == '\0')
		return false;
	check(keypair_read(s->solana_key, &self->pair) == NULL &&
	      base58_read(s->solana_oracle_program, self->oracle.bytes, 32) &&
	      base58_read(s->solana_market_program, self->market.bytes, 32) &&
	      base58_read("SysvarC1ock11111111111111111111111111111111", self->clock.bytes, 32));
	memcpy(self->who.bytes, self->pair.public_key, 32);
	return true;
}

struct market_operator *operator_solana_create(uv_loop_t *loop,
                                               const struct settings_source *settings,
                                               struct counters_slot *counters)
{
	struct operator_solana *self = xcalloc(1, sizeof *self);
	self->operator=(struct market_operator){.name = "solana",
	                                        .can = OPERATOR_ALL_STEPS | OPERATOR_IN_PARTS,
	                                        .read = read_chain,
	                                        .watch_ms = settings->newest->solana_watch_ms,
	                                        .prepare = prepare,
	                                        .send = send_step};
	self->rpc = solana_rpc_create(loop, settings, counters);
	self->settings = settings;
	self->counters = counters;
	self->loop = loop;
	self->configured = configure(self, settings->newest);
	uv_timer_init(loop, &self->balance_timer);
	self->balance_timer.data = self;
	if (self->configured)
		uv_timer_start(&self->balance_timer, on_balance_timer, 0,
		               settings->newest->solana_balance_every_ms);
	return &self->operator;
}
