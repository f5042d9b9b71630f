/* The file of auth.tokens on its disk. Blocks for it. */
#pragma once

#include "common/base/settings.h"

/* Its text, to be freed; NULL: "PATH: why". It must be a regular file of a bounded size without a
 * NUL byte, and nobody but its owner may read or write it, unless `lax`. */
char *token_file_read(const char *path, bool lax, char reason[SETTINGS_REASON_MAX]);

/* Puts this text in its place, durably and all or nothing; who owns it and may read it stays. */
bool token_file_write(const char *path, const char *text, char reason[SETTINGS_REASON_MAX]);
