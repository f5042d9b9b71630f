/* What a worker that is closed in (ROLE_CONFINED) may ask of the kernel: a list of system calls.
 * Every other one fails with EPERM; whoever has taken such a process over starts no program, makes
 * no process, looks into no other, loads nothing into the kernel and mounts nothing. Which files it
 * sees: supervisor/sandbox.h.
 *
 * Source: seccomp(2), by libseccomp. */
#pragma once

#include <stdbool.h>

/* For all threads of this process, for ever. False: `reason` says what is missing, and nothing has
 * changed. Sets no_new_privs. */
bool seccomp_close(char reason[256]);
