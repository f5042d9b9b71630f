/* A duel cycle as JSON: how it lies in the store, and what GET /v1/source/FEED shows. Reads back to
 * the same struct, times and configuration excepted, which come from the settings. */
#pragma once

#include "worker-bridge/duel.h"

#include <jansson.h>

/* New reference. */
json_t *duel_record(const struct duel_cycle *cycle);
/* `cycle->times`, `scheduled` and `grace_until_ms` stay as they are. False: `record` is none that
 * this release can read; `cycle` is then half of it. Members that an older release did not write
 * have defaults. */
bool duel_record_read(struct duel_cycle *cycle, const json_t *record);
