/* `ringside run`: what is looked at before a start, who is told of what, signals and timers, and
 * the end. */
#pragma once

#include "supervisor/options.h"

/* Runs until it is asked to end. Returns the exit code. */
int run_supervisor(const struct options *options);
