/* One worker's process: its start, its bus, its end. What should happen when is fleet.c's. */
#pragma once

#include "supervisor/fleet.h"

/* Where the program of a role is: beside our own; or, in a build tree, in the directory of its
 * source. */
void life_find_program(const struct fleet *fleet, const struct role *role, char *path, size_t room);

/* Starts a process for it; when that cannot be done it waits as after an exit. */
void life_start(struct child *child);

/* Its process has ended, but its pid is still taken: kills its process group, and decides when it
 * is started again, or that it never can be (fleet->refused). */
void life_exited(struct child *child, int status);

/* Tells it to finish; it is to be cut at child->kill_due_ms. */
void life_drain(struct child *child, uint64_t now_ms);
void life_cut(struct child *child);

/* It is not wanted and has no process: closes its socket, forgets its failures. */
void life_release(struct child *child);

/* To its process group; nothing without a process. */
void life_signal(const struct child *child, int signal);
void life_send_settings(struct child *child);

/* An event about it; `more` (taken, may be NULL) are further fields. */
void life_emit(struct child *child, enum log_level level, const char *event, json_t *more);
