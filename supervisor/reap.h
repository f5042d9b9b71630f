/* Exits of children, ours and those we adopted as subreaper or PID 1. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Calls on_exit for every child that has ended, before its pid is given back to the kernel: so its
 * process group can still be killed safely. `status` is as from waitpid(). */
void reap_exited(void (*on_exit)(void *arg, pid_t pid, int status), void *arg);

/* Calls visit for every living direct child. */
void reap_each_child(void (*visit)(void *arg, pid_t pid), void *arg);

/* "code 1", "signal 9 (Killed)". */
void reap_describe(int status, char text[64]);
