/* Under --dev, what has no bypass gets a random token at each start: set in the settings, written
 * to RUN_DIR/tokens.json (0600) for whoever tries things out, and told to whoever sits at a
 * terminal. */
#pragma once

#include "common/base/settings.h"

/* Does nothing without dev, or where a token is configured. False: the file could not be written;
 * `reason` and errno say why. */
bool dev_tokens_make(struct settings_source *source, char *reason, size_t reason_len);
