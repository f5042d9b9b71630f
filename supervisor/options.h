/* Where the configuration comes from: file, environment, flags. Kept, so that a reload can read all
 * of it again. */
#pragma once

#include "common/base/settings.h"

struct options {
	const char *config; /* --config or RINGSIDE_CONFIG; NULL: none */
	int argc;           /* arguments after the subcommand; borrowed */
	char **argv;
	bool help;
};

/* Looks at --config and --help. False: reason, one line. */
bool options_parse(struct options *options, int argc, char **argv,
                   char reason[SETTINGS_REASON_MAX]);

/* Overwrites the secrets among the arguments, which every user can read while the process runs; the
 * options go on with a copy, for good. */
void options_hide_secrets(struct options *options);

/* Builds the whole configuration and validates it. `settings` is filled (to be finished) only when
 * true; otherwise reason is one line: "file:line: key: what". */
bool options_load(const struct options *options, struct settings *settings,
                  char reason[SETTINGS_REASON_MAX]);

/* What settings_doubts() says of what was loaded. */
void options_doubts(const struct options *options, const struct settings *settings,
                    void (*say)(void *arg, const char *text), void *arg);
