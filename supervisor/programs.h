/* Programs that somebody at the hub had started (docs/hub.md): hub.commands, in directories below
 * hub.roots. The supervisor starts them, for it reaps and outlives the workers; everything that may
 * wait for a file system is done by the child, between fork and exec.
 *
 * They are no workers: nobody starts them again, and they go on when this process ends. Loop thread
 * only. */
#pragma once

#include "proto/messages.h"
#include "supervisor/child.h"
#include "supervisor/events.h"

struct program;

/* Zero-initialised but for the first three, which are the caller's. */
struct programs {
	uv_loop_t *loop;
	const struct settings_source *settings;
	struct events *events;
	struct program *first; /* those that have not ended */
	size_t count;
};

/* Answers `asker` by SPAWNED, later as a rule: when it runs, or cannot. */
void programs_start(struct programs *programs, struct child *asker, const struct proto_spawn *m);
/* False: it is none of ours. */
bool programs_exited(struct programs *programs, pid_t pid, int status);
bool programs_own(const struct programs *programs, pid_t pid);
/* Is somebody still to be told whether one runs? */
bool programs_starting(const struct programs *programs);
/* Calls `visit` for each that has not ended. */
void programs_each(const struct programs *programs,
                   void (*visit)(void *arg, pid_t pid, const char *name, const char *subject),
                   void *arg);
/* One that runs, started by another supervisor in this process (upgrade.h). */
void programs_adopt(struct programs *programs, pid_t pid, const char *name, const char *subject);
/* Forgets them; they go on. Their handles close with the loop's others. */
void programs_finish(struct programs *programs);
