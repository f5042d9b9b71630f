/* A row (small value) of the store, as whoever builds on it must take it: it is absent, or present,
 * or there but not readable (another release's, or damaged). The third is never taken for the first
 * and never written over: what it belongs to stands still until a release comes that can read it.
 *
 * Which members a row needs, and what those that it may lack default to, is declared by whoever
 * reads it (market.c, duel_record.c, subscription.c, ...): a member of the wrong type is never a
 * default. */
#pragma once

#include "common/base/counters.h"
#include "common/store/state.h"

#include <jansson.h>

/* The row as JSON; *json is a new reference with ROW_PRESENT, else NULL. What the JSON must look
 * like is for the caller to judge. */
enum row_found row_json(struct state *view, const char *key, json_t **json);

/* Tells people that this row cannot be read: in the log, once for each row while the process lives,
 * and in the gauge rows_unreadable (`counters` may be NULL). Loop thread only. */
void row_alert(struct counters_slot *counters, const char *key);
