/* Subscriptions: durable wake-ups for consumers (Durable Streams, reserved APIs). */
#pragma once

#include "common/state.h"

/* Entries that one subscription command may write. */
enum { SUBSCRIPTION_ENTRIES_BYTES_MAX = 256 * 1024 };

struct subscriptions;
void subscriptions_on_kv(struct state *state, struct span key, struct span value);
void subscription_decide(struct state *state, struct command *command, uint64_t now_ms,
                         const struct entry_sink *sink);
