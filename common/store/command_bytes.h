/* How much a command writes to the log at most, before it is decided: a record has its place, its
 * room in memory and its share of the ring by that. True for every state that a command may meet,
 * or for the one that it does meet: what is dropped with a stream, a whole chain of forks maybe, is
 * seldom there, and of a transaction with many streams it would be most. */
#pragma once

#include "common/store/state.h"

/* Whatever is there. Does not read anything. */
size_t command_bytes_max(const struct command *command, const struct state_limits *limits);

/* In this state, the one that it will be decided by. May load streams. What cannot be read counts
 * nothing: nothing is decided by it then. */
size_t command_bytes_now(const struct command *command, struct state *state);
