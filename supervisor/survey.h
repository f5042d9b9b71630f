/* What a configuration means for those who will ask: for `ringside check-config`, and for the log.
 * Reads settings and nothing else. */
#pragma once

#include "common/base/settings.h"

#include <stdio.h>

/* Says of each token that somebody could guess where it stands and what is wrong with it, never the
 * token, and of each right in auth.public that is no visitor's what everybody could do. `certain`:
 * check-config refuses it; else it is doubtful. Nothing under dev. `file` is the configuration's,
 * or NULL. */
void survey_access(const struct settings *settings, const char *file,
                   void (*say)(void *arg, bool certain, const char *text), void *arg);

/* Prints who may do what, and what a game and a market lack. Returns how many things. The rows of
 * tokens are those of auth.token_rows, where those of the file of auth.tokens are, once they are in
 * effect. */
size_t survey_print(const struct settings *settings, FILE *out);
