/* What the settings solana.* may be: part of the validation of settings. Pure. */
#pragma once

#include "common/base/settings_jwt.h"

/* NULL: the value fits the key, or it is another's key; else what it must be. */
const char *settings_solana_fault(const char *key, const char *value);

/* What the solana operator lacks. `what` NULL: nothing, or it is not wanted. */
struct settings_clash settings_solana_clash(const struct settings *settings);
