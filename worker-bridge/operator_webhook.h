/* The webhook operator: each step of a market as one signed POST to market.webhook_url.
 *
 * The body is {"step": "create"|"lock"|"resolve"|"cancel", "market": {...}}; the headers carry
 * Idempotency-Key (DUELID:STEP, the same for every attempt), Ringside-Fence (grows with every change
 * of the bridge that acts: a receiver refuses a smaller one than it has seen) and Webhook-Signature
 * (Ed25519, as for subscriptions). The receiver answers 2xx once the step has taken effect, also when
 * it had before. */
#pragma once

#include "common/settings.h"
#include "worker-bridge/market.h"

#include <uv.h>

struct operator_webhook;

enum operator_result {
	OPERATOR_DONE,
	OPERATOR_RETRY,   /* it did not take effect, or nobody knows: again, with the same key */
	OPERATOR_REFUSED, /* never: a person is needed */
};

struct operator_webhook *operator_webhook_create(uv_loop_t *loop, const struct settings *settings);

/* `seed`: of the signing key; empty: unsigned. Everything is copied; `done` is called once. `error` is a
 * constant or lives until it returns. */
void operator_webhook_call(struct operator_webhook *operator, const struct market *market,
                           enum market_step step, uint64_t fence, struct span seed,
                           void (*done)(void *arg, enum operator_result result, const char *error),
                           void *arg);
size_t operator_webhook_in_flight(const struct operator_webhook *operator);
