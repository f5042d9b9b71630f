/* The webhook operator: each step of a market as one signed POST to market.webhook_url.
 *
 * The body is {"step": "create"|"lock"|"resolve"|"cancel", "market": {...}}; the headers carry
 * Idempotency-Key (DUELID:STEP, the same for every attempt), Ringside-Fence (grows with every
 * change of the bridge that acts: a receiver refuses a smaller one than it has seen) and
 * Webhook-Signature (Ed25519, as for subscriptions). The receiver answers 2xx once the step has
 * taken effect, also when it had before. It is read by GET market.webhook_url?duel=DUELID. */
#pragma once

#include "common/base/settings.h"
#include "worker-bridge/market.h"

#include <uv.h>

struct operator_webhook;

enum operator_result {
	OPERATOR_DONE,
	OPERATOR_RETRY,   /* it did not take effect, or nobody knows: again, with the same key */
	OPERATOR_REFUSED, /* never: a person is needed */
};

/* The newest settings at each call; tls.ca_file as it is now. */
struct operator_webhook *operator_webhook_create(uv_loop_t *loop,
                                                 const struct settings_source *settings);

/* One attempt. `doubt`: nobody knows whether an earlier attempt of this step took effect; the
 * receiver is asked for its view of the duel first, and the step is posted only if that does not
 * show it (or there is no answer that says). `seed`: of the signing key; empty: unsigned.
 * Everything is copied; `done` is called once. `error` lives until it returns. */
struct operator_step {
	const struct market *market;
	enum market_step step;
	uint64_t fence;
	struct span seed;
	bool doubt;
};

struct operator_answer {
	enum operator_result result;
	bool known; /* whatever came of it, no effect is outstanding */
	const char *error;
	uint64_t retry_after_ms; /* when to try again, as the receiver says; 0: it says nothing */
};

void operator_webhook_call(struct operator_webhook *operator, const struct operator_step * step,
                           void (*done)(void *arg, const struct operator_answer *answer),
                           void *arg);

/* What a view ({"state": ..., "winnerSide": ...}) says of a step: DONE: it took effect; REFUSED: it
 * contradicts it; RETRY: neither. Pure. */
enum operator_result operator_webhook_judge(const struct market *market, enum market_step step,
                                            struct span view);
