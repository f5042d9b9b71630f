/* Wakes subscriptions: follows the log, links new streams, makes wakes, delivers them, ends leases.
 *
 * Everything durable is in the subscriptions' documents; what is here can be lost at any instant. A
 * wake found under way after a restart is delivered again under the same wake id. */
#pragma once

#include "common/base/counters.h"
#include "common/worker/slices.h"
#include "common/store/store.h"
#include "worker-bridge/webhook.h"

struct wakes;

/* The newest settings, whenever they are needed. */
struct wakes *wakes_create(uv_loop_t *loop, struct store *store, struct webhooks *webhooks,
                           const struct settings_source *settings, struct counters_slot *counters);

/* The store moved on: look at what changed. */
void wakes_turn(struct wakes *wakes);

/* By timer: leases, retries, announcements. */
void wakes_tick(struct wakes *wakes);

/* Looks for no more streams; before the store is closed. */
void wakes_drain(struct wakes *wakes);
