#include "worker-bridge/solana_step.h"
#include "common/base/check.h"

#include <stdio.h>

enum {
	FAULTS_MAX = 5,   /* in a row, then the outbox waits */
	RESEND_POLLS = 4, /* so many in vain, and the same bytes are sent again */
	LOOKS_MAX = 8,    /* at accounts that do not show what the status says */
};

/* What it looks at the accounts for. */
enum {
	FOR_PREPARE,
	FOR_READ,
	FOR_CONFIRM, /* its status says that it is done */
	FOR_EXPIRED,
	FOR_REFUSAL
};

static const char *const level_names[SOLANA_LEVELS] = {"processed", "confirmed", "finalized"};

const char *solana_level_name(enum solana_level level)
{
	return level_names[level];
}

/* ---- answers ---- */

static void answer(struct solana_step *s, enum operator_outcome outcome, const char *error)
{
	s->ask = SOLANA_ASK_NOTHING;
	s->outcome = outcome;
	snprintf(s->error, sizeof s->error, "%s", error);
}

/* The outbox comes back to it, and no attempt is spent. */
static void put_off(struct solana_step *s, const struct solana_reply *reply)
{
	answer(s, s->work == SOLANA_PREPARE ? OPERATOR_AGAIN : OPERATOR_UNKNOWN, reply->text);
	s->spared = true;
	s->retry_after_ms = reply->retry_after_ms;
}

/* What settles a market is seen at `finalized`, whatever else counts. */
static enum solana_level level_of(const struct solana_step *s)
{
	bool settles = s->step == MARKET_STEP_RESOLVE || s->step == MARKET_STEP_CANCEL;
	return settles ? SOLANA_FINALIZED : s->level;
}

static void look(struct solana_step *s, unsigned purpose)
{
	s->purpose = purpose;
	s->ask = SOLANA_ASK_DUEL;
	/* Whether it may be signed anew is a question to what no fork takes back. */
	s->look_level =
	        purpose == FOR_EXPIRED || purpose == FOR_REFUSAL ? SOLANA_FINALIZED : level_of(s);
}

/* ---- what the accounts show ---- */

static void took(struct solana_step *s)
{
	answer(s, OPERATOR_DONE, "");
}

/* When the next part is due: what the chain's clock says, where it says something. */
static void tell_due(struct solana_step *s)
{
	s->waits = s->plan.due_s != 0 && s->clock_s != 0;
	if (s->waits)
		s->due_s = s->plan.due_s > s->clock_s ? s->plan.due_s - s->clock_s : 0;
}

static void proposed(struct solana_step *s)
{
	answer(s, OPERATOR_AGAIN, "");
	s->new_part = 1;
	tell_due(s);
}

/* A refusal that may have come because it was done already, or that time cures. What a create made
 * a fork may have taken back: then the next plan makes it anew. Before it, what is not there is for
 * a person. */
static bool is_about_state(enum market_step step, const struct solana_reply *refusal)
{
	static const uint32_t codes[] = {0, /* the account exists */
	                                 SOLANA_ORACLE_TRANSITION,
	                                 SOLANA_ORACLE_FINALIZED,
	                                 SOLANA_ORACLE_CANCELLED,
	                                 SOLANA_ORACLE_NOT_PROPOSED,
	                                 SOLANA_ORACLE_CHALLENGED,
	                                 SOLANA_ORACLE_WINDOW};
	if (refusal->fault != SOLANA_PROGRAM || !refusal->custom)
		return false;
	if (refusal->code == SOLANA_NOT_THERE)
		return step != MARKET_STEP_CREATE;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (refusal->code == codes[i])
			return true;
	return false;
}

/* It was refused, and has not been done: the bytes stay until they expire, where they may be taken
 * yet; else they are signed anew, or a person is needed. */
static void judge_refusal(struct solana_step *s)
{
	if (s->refusal.fault == SOLANA_POOR) {
		answer(s, OPERATOR_AGAIN, s->refusal.text);
		s->spared = s->poor = true;
		return;
	}
	if (!is_about_state(s->step, &s->refusal)) {
		answer(s, OPERATOR_FINAL, s->refusal.text);
		return;
	}
	s->early = s->refusal.code == SOLANA_ORACLE_WINDOW;
	if (!s->landed) {
		s->refused = true;
		s->ask = SOLANA_ASK_WAIT;
		return;
	}
	answer(s, OPERATOR_AGAIN, s->refusal.text);
	s->spared = s->early;
}

static void judge_undone(struct solana_step *s)
{
	switch (s->purpose) {
	case FOR_PREPARE:
		s->ask = SOLANA_ASK_BLOCKHASH;
		return;
	case FOR_READ:
		answer(s, OPERATOR_AGAIN, "");
		tell_due(s);
		return;
	case FOR_CONFIRM:
		/* A node that is behind; or it did what was due then, and there is more. */
		if (++s->looks < LOOKS_MAX) {
			s->ask = SOLANA_ASK_WAIT;
			return;
		}
		answer(s, OPERATOR_AGAIN, "it is done, but the accounts do not show the step");
		s->spared = true;
		return;
	case FOR_EXPIRED:
		answer(s, OPERATOR_AGAIN,
		       s->refused ? s->refusal.text : "the transaction expired unseen");
		s->spared = s->early;
		s->expired = true;
		return;
	case FOR_REFUSAL:
		judge_refusal(s);
		return;
	}
	check(false);
}

static void judge(struct solana_step *s)
{
	solana_plan(&s->facts, &s->seen, &s->places, &s->who, s->step, s->part, &s->plan);
	s->shown = s->purpose == FOR_CONFIRM || (s->purpose == FOR_READ && s->slot != 0);
	switch (s->plan.verdict) {
	case SOLANA_TOOK:
		took(s);
		return;
	case SOLANA_PROPOSED:
		proposed(s);
		return;
	case SOLANA_NEVER:
		answer(s, OPERATOR_FINAL, s->plan.why);
		return;
	case SOLANA_DISPUTED:
		answer(s, OPERATOR_CHALLENGED, s->plan.why);
		return;
	case SOLANA_TELL:
		break;
	}
	s->shown = false;
	judge_undone(s);
}

/* ---- the cluster's replies ---- */

/* True: it was a fault, and what follows is in s->ask. */
static bool failed(struct solana_step *s, const struct solana_reply *reply)
{
	if (reply->fault == SOLANA_OK) {
		s->faults = 0;
		return false;
	}
	/* Before anything was sent nothing is lost by coming back later. */
	if (s->work != SOLANA_SEND || ++s->faults >= FAULTS_MAX || reply->retry_after_ms != 0)
		put_off(s, reply);
	else
		s->ask = SOLANA_ASK_WAIT;
	return true;
}

static void on_duel(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	s->seen = (struct solana_seen){.duel_there = reply->there};
	if (reply->there && !solana_duel_read(reply->bytes, &s->seen.duel))
		answer(s, OPERATOR_FINAL, "the duel's account on the chain cannot be read");
	else
		s->ask = SOLANA_ASK_MARKET;
}

static void on_market(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	s->seen.market_there = reply->there;
	if (reply->there && !solana_market_read(reply->bytes, &s->seen.market))
		answer(s, OPERATOR_FINAL, "the market's account on the chain cannot be read");
	else if (s->step == MARKET_STEP_RESOLVE)
		s->ask = SOLANA_ASK_CONFIG;
	else
		judge(s);
}

static void on_config(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	if (!reply->there || !solana_oracle_config_read(reply->bytes, &s->seen.config))
		answer(s, OPERATOR_FINAL, "the oracle's configuration on the chain cannot be read");
	else
		s->ask = SOLANA_ASK_CLOCK;
}

/* Behind 32 bytes of slots and epochs. A node that has none is asked in vain. */
static void on_clock(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	s->clock_s = 0;
	if (reply->bytes.len >= 40)
		for (size_t i = 40; i-- > 32;)
			s->clock_s = (int64_t)((uint64_t)s->clock_s << 8 | reply->bytes.at[i]);
	judge(s);
}

static void on_blockhash(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	memcpy(s->blockhash, reply->blockhash, sizeof s->blockhash);
	s->last_height = reply->last_height;
	s->planned = true;
	answer(s, OPERATOR_DONE, "");
}

static void on_sent(struct solana_step *s, const struct solana_reply *reply)
{
	s->polls = 0;
	switch (reply->fault) {
	case SOLANA_OK:
	case SOLANA_KNOWN:
		s->faults = 0;
		s->refused = false;
		s->ask = SOLANA_ASK_WAIT;
		return;
	case SOLANA_NO_HASH: /* behind, or expired: the height says which */
		s->ask = SOLANA_ASK_STATUS;
		return;
	case SOLANA_SILENT:
	case SOLANA_LATER:
		failed(s, reply);
		return;
	case SOLANA_POOR:
		put_off(s, reply);
		s->poor = true;
		return;
	case SOLANA_PROGRAM:
	case SOLANA_REFUSED:
		/* Where it was sent before it may have been taken then. */
		s->refusal = *reply;
		s->refused = true;
		s->landed = false;
		s->purpose = FOR_CONFIRM;
		s->ask = SOLANA_ASK_STATUS;
		return;
	}
}

static void on_known(struct solana_step *s, const struct solana_reply *reply)
{
	s->slot = reply->slot;
	if (s->work == SOLANA_READ) {
		look(s, FOR_READ);
		return;
	}
	if (reply->level < level_of(s)) {
		s->ask = SOLANA_ASK_WAIT;
		return;
	}
	if (!reply->failed) {
		look(s, FOR_CONFIRM);
		return;
	}
	s->refusal = *reply;
	s->refusal.fault = reply->how;
	s->landed = true;
	look(s, FOR_REFUSAL);
}

static void on_status(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	if (reply->known) {
		s->late = false;
		on_known(s, reply);
		return;
	}
	s->slot = 0;
	if (s->work == SOLANA_READ)
		look(s, FOR_READ);
	else if (s->late)
		look(s, FOR_EXPIRED);
	else if (s->refused && s->purpose != FOR_REFUSAL)
		look(s, FOR_REFUSAL);
	else
		s->ask = SOLANA_ASK_HEIGHT;
}

static void on_height(struct solana_step *s, const struct solana_reply *reply)
{
	if (failed(s, reply))
		return;
	s->late = reply->height > s->last_height;
	/* Asked once more: between the two questions it may have been taken. */
	if (s->late)
		s->ask = SOLANA_ASK_STATUS;
	else if (++s->polls >= RESEND_POLLS)
		s->ask = SOLANA_ASK_SEND;
	else
		s->ask = SOLANA_ASK_WAIT;
}

/* ---- the machine ---- */

void solana_step_begin(struct solana_step *s)
{
	s->late = s->early = s->refused = s->landed = s->shown = s->spared = s->poor = s->planned =
	        s->waits = s->expired = false;
	s->polls = s->faults = s->looks = 0;
	s->slot = s->retry_after_ms = s->new_part = 0;
	s->due_s = s->clock_s = 0;
	*s->error = '\0';
	switch (s->work) {
	case SOLANA_PREPARE:
		look(s, FOR_PREPARE);
		return;
	case SOLANA_SEND:
		s->purpose = FOR_CONFIRM;
		s->ask = SOLANA_ASK_SEND;
		return;
	case SOLANA_READ:
		if (s->signed_before)
			s->ask = SOLANA_ASK_STATUS;
		else
			look(s, FOR_READ);
		return;
	}
}

void solana_step_reply(struct solana_step *s, const struct solana_reply *reply)
{
	switch (s->ask) {
	case SOLANA_ASK_DUEL:
		on_duel(s, reply);
		return;
	case SOLANA_ASK_MARKET:
		on_market(s, reply);
		return;
	case SOLANA_ASK_CONFIG:
		on_config(s, reply);
		return;
	case SOLANA_ASK_CLOCK:
		on_clock(s, reply);
		return;
	case SOLANA_ASK_BLOCKHASH:
		on_blockhash(s, reply);
		return;
	case SOLANA_ASK_SEND:
		on_sent(s, reply);
		return;
	case SOLANA_ASK_STATUS:
		on_status(s, reply);
		return;
	case SOLANA_ASK_HEIGHT:
		on_height(s, reply);
		return;
	case SOLANA_ASK_WAIT:
		s->ask = SOLANA_ASK_STATUS; /* whatever it waited for: that says more */
		return;
	case SOLANA_ASK_NOTHING:
		break;
	}
	check(false);
}
