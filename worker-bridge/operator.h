/* What a market asks of whoever keeps it: the ledger (operator_ledger.c), a receiver of webhooks
 * (operator_webhook.c), or others that implement this. Which one a market uses is recorded in it
 * when it is created, and stays.
 *
 * An operator takes a market's steps: create, lock, resolve, cancel. One inside takes them within
 * the market's own transaction (apply). One outside is called by the outbox (outbox.h): an attempt
 * is durable before anything is sent, and its outcome after it.
 *
 *     due -> read, where an earlier attempt is in doubt
 *         -> prepare, where something must be durable before it is sent: a signature, when it
 *            expires, the bytes themselves
 *         -> the attempt is durable -> send -> its outcome is durable
 *
 * What was prepared is sent as it is until its outcome is known: AGAIN ends it, and the next
 * attempt is prepared anew; with UNKNOWN it is read, and sent once more. */
#pragma once

#include "common/store/rows.h"
#include "worker-bridge/market.h"

/* What it can. A step that it cannot take is none of its business: it is done at once. */
enum {
	OPERATOR_CREATES = 1u << MARKET_STEP_CREATE,
	OPERATOR_LOCKS = 1u << MARKET_STEP_LOCK,
	OPERATOR_RESOLVES = 1u << MARKET_STEP_RESOLVE,
	OPERATOR_CANCELS = 1u << MARKET_STEP_CANCEL,
	OPERATOR_IN_PARTS = 1u << MARKET_STEP_COUNT, /* a step may take effect in parts: propose,
	                                                not before a time, finalize */
	OPERATOR_ALL_STEPS =
	        OPERATOR_CREATES | OPERATOR_LOCKS | OPERATOR_RESOLVES | OPERATOR_CANCELS,
};

enum operator_outcome {
	OPERATOR_DONE,       /* the step has taken effect, now or before */
	OPERATOR_AGAIN,      /* it has not, and this attempt will not any more: again */
	OPERATOR_UNKNOWN,    /* it may take effect, or have: read, then the same again */
	OPERATOR_FINAL,      /* never: a person is needed */
	OPERATOR_CHALLENGED, /* somebody disputes what was proposed: a person is needed */
};

struct operator_answer {
	enum operator_outcome outcome;
	const char *error;       /* for people; NULL with DONE */
	uint64_t retry_after_ms; /* with AGAIN and UNKNOWN: as the other side says; 0: nothing */
	/* With AGAIN, where part is above the attempt's: that many parts of the step have taken
	 * effect, the next is due at not_before_ms (Unix), and nothing has failed. */
	uint64_t part, not_before_ms;
	/* With AGAIN and UNKNOWN: what failed is not the step but the way to it (nobody answers, it
	 * has no funds): it is tried again for as long as it takes, and no attempt is spent. */
	bool spared;
	/* With DONE, and a part: what it took effect by; NULL: nobody knows. */
	const struct market_receipt *receipt;
	/* Of prepare(): reference, expires and data of the attempt; NULL: the outcome says why not.
	 */
	const struct market_attempt *made;
};

/* One step, as it is asked for. It stays as it is until the answer has been given. */
struct operator_step {
	struct market market; /* with its attempt */
	enum market_step step;
	uint64_t fence; /* grows with every change of the bridge that acts */
};

/* Called once for each call, also from within it. What it is given is the operator's. */
struct operator_done {
	void (*call)(void *arg, const struct operator_answer *answer);
	void *arg;
};

struct market_operator {
	const char *name; /* as market.operator has it */
	unsigned can;
	/* Inside: takes the step, or as much of it as fits (AGAIN: the next transaction goes on).
	 * FINAL: `why` says what a person has to do. NULL: it is outside. */
	enum operator_outcome (*apply)(struct rows *rows, struct market *market,
	                               enum market_step step, char why[160]);
	/* Outside. read: DONE, FINAL and CHALLENGED are the step's; AGAIN: nothing shows that it
	 * took effect; UNKNOWN: it is too early to ask, or to try. read and prepare may be NULL. */
	uint64_t watch_ms; /* while a part waits for its time it is read so often; AGAIN says when
	                      that is now. 0: not at all */
	void (*read)(struct market_operator *self, const struct operator_step *step,
	             struct operator_done done);
	void (*prepare)(struct market_operator *self, const struct operator_step *step,
	                struct operator_done done);
	void (*send)(struct market_operator *self, const struct operator_step *step,
	             struct operator_done done);
};
