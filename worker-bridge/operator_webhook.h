/* The webhook operator: each step of a market as one signed POST to market.webhook_url.
 *
 * The body is {"step": "create"|"lock"|"resolve"|"cancel", "market": {...}}; the headers carry
 * Idempotency-Key (DUELID:STEP, the same for every attempt), Ringside-Fence (grows with every
 * change of the bridge that acts: a receiver refuses a smaller one than it has seen) and
 * Webhook-Signature (Ed25519, as for subscriptions). The receiver answers 2xx once the step has
 * taken effect, also when it had before. It is read by GET market.webhook_url?duel=DUELID. */
#pragma once

#include "common/base/settings.h"
#include "common/store/store.h"
#include "worker-bridge/operator.h"

#include <uv.h>

/* The newest settings at each call; tls.ca_file as it is now. Signed with the key of the
 * subscriptions, once there is one. */
struct market_operator *operator_webhook_create(uv_loop_t *loop, struct store *store,
                                                const struct settings_source *settings);

/* What a view ({"state": ..., "winnerSide": ...}) says of a step: DONE: it took effect; FINAL: it
 * contradicts it; AGAIN: neither. Pure. */
enum operator_outcome operator_webhook_judge(const struct market *market, enum market_step step,
                                             struct span view);
