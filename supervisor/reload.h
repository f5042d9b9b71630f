/* What a reload would change: reads and validates, touches nothing. */
#pragma once

#include "supervisor/options.h"

#include <jansson.h>

struct reload {
	struct settings fresh; /* what the configuration says now */
	struct settings next;  /* what will be in effect */
	bool workers;          /* a key that the workers are restarted for changed */
	/* {"changed": [...], "restarting": bool, "needs_restart": [...]}: the second list are START
	 * keys that are not what is in effect. */
	json_t *report;
};

/* Reads file, environment and flags again, and compares with what they said before (`loaded`) and
 * what is in effect. True: both settings and the report are the caller's. False: reason, and
 * nothing is.
 *
 * Only keys whose configured value changed differ: a scale or log-level given at run time stays
 * until its key changes in the configuration. */
bool reload_read(struct reload *reload, const struct options *options,
                 const struct settings *loaded, const struct settings *in_effect,
                 char reason[SETTINGS_REASON_MAX]);
