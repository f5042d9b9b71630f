/* A new configuration for what runs: build the whole value, validate it, then swap. */
#pragma once

#include "supervisor/supervisor.h"

/* Reads file, environment and flags again. On any error the old configuration stays, the reason is
 * logged and left in `reason`, and false is returned. Otherwise LIVE keys are in effect, a key of
 * class WORKERS has begun a restart one by one, and *report (the caller's reference) names them:
 * {"changed": [...], "restarting": bool, "needs_restart": [...]}.
 *
 * Only keys whose configured value changed are touched: a scale or log-level given at run time
 * stays until its key changes in the configuration. */
bool reload_configuration(struct supervisor *supervisor, json_t **report,
                          char reason[SETTINGS_REASON_MAX]);
