/* Starting one worker by the boot contract of proto/roles.h. */
#pragma once

#include "proto/roles.h"

#include <stdint.h>
#include <sys/types.h>

struct spawn {
	const char *path; /* of the program */
	int program_fd;   /* the program itself, wherever its path leads now; -1: by its path */
	const char *name; /* argv[0] */
	unsigned slot;
	uint64_t generation;
	/* All stay the caller's. */
	int bus_fd, counters_fd, listen_fds[BOOT_LISTENERS_MAX];
	unsigned listen_count;
	int sandbox; /* ruleset that it enters (sandbox.h); SANDBOX_NONE */
};

/* Returns the process, the leader of its own session and group, which dies with the supervisor;
 * -1 with errno. A program that cannot be executed exits with SPAWN_EXEC_FAILED, one that does not
 * get into its sandbox with SPAWN_SANDBOX_FAILED. The environment is ours without what concerns the
 * supervisor alone (NOTIFY_SOCKET, RINGSIDE_*: they hold secrets).
 */
pid_t spawn_start(const struct spawn *spawn);

enum { SPAWN_EXEC_FAILED = 127, SPAWN_SANDBOX_FAILED = 126 };

/* Forks for whatever else is started. `become` runs in the child, with all signals blocked, and
 * never returns; it may do only what is safe after a fork of a process with threads, begins with
 * spawn_let_go(), and ends by exec. Returns when the child has let go of the listening sockets. -1
 * with errno. */
pid_t spawn_fork(void (*become)(void *arg), void *arg);
/* In the child: signals as a program expects them, a session of its own, nothing of ours open but
 * 0, 1 and 2 and the descriptors below `first_closed`. */
void spawn_let_go(unsigned first_closed);
