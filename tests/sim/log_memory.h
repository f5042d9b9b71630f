/* A store in memory, for processes of one world: the log and the state machine are the real ones
 * (common/store/state.h), the disk is chance. Each process has a `struct store` of its own, with a
 * view of its own that follows late; the product uses it by common/store/store.h.
 *
 * A command that was submitted waits as for a disk, is decided at the head in the order of the log,
 * and its done() comes with a turn of its process. Of one that was killed meanwhile nobody hears,
 * whether it was written or not. */
#pragma once

#include "common/store/store.h"

/* `turn` is called when the store may have moved on, as the worker's handler is. */
struct store *log_memory_open(unsigned process, void (*turn)(void *arg), void *arg);
/* Its process is gone. */
void log_memory_kill(struct store *store);
/* All stores are, and the log with them: a new run. */
void log_memory_begin(void);

/* How often, of 1000, a command is refused because the disk fails. */
void log_memory_fail(unsigned per_mille);

/* ---- what is in the log, for whoever judges ---- */

/* The state at its end. */
struct state *log_memory_head(void);
/* Messages of a stream, in order, JSON without the comma; `place` grows with the log. */
struct log_memory_message {
	struct span text;
	uint64_t place;
};
size_t log_memory_messages(const char *path, const struct log_memory_message **messages);
