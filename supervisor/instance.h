/* One supervisor per run directory and per data directory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct instance {
	int run_lock_fd, data_lock_fd;
	char pid_path[128];
};

/* Creates both directories when missing, locks them, writes RUN_DIR/ringside.pid. False: reason
 * says what to do and errno what was wrong (EAGAIN: another instance); nothing is held then. */
bool instance_claim(struct instance *instance, const char *run_dir, const char *data_dir,
                    char *reason, size_t room);

/* Instead of instance_claim(), by who takes over within the process: the locks are held by these
 * descriptors (data_lock_fd -1: one directory for both), which are its own from now on. */
void instance_take_over(struct instance *instance, const char *run_dir, int run_lock_fd,
                        int data_lock_fd);

/* Removes the pid file and lets go. */
void instance_release(struct instance *instance);
