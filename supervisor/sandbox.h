/* Which files a worker may see, for those that are closed in (ROLE_CONFINED): a Landlock ruleset,
 * made before the fork and entered between fork and exec, so that it holds for the whole process.
 * It may execute its own program and no other, listen on no TCP port that it was not given, and
 * signal nobody but itself, as far as the kernel knows these.
 *
 * A rule is of the directory as it is now: one that is removed and made anew is not seen any more
 * until the worker is started again. For one that is not there yet the directory that it will be
 * made in counts, if that is there and not the root. What others replace while we run (resolv.conf,
 * certificates of authorities, the log) is seen by the directory it lies in.
 *
 * What a process may ask of the kernel beside files: common/worker/seccomp.h.
 *
 * Source: Documentation/userspace-api/landlock.rst of Linux. */
#pragma once

#include "common/base/settings.h"

enum { SANDBOX_NONE = -1 };

/* Can this kernel do it? False: why not. */
bool sandbox_usable(char reason[256]);
/* Which of the kernel's ABIs; below 1: none. */
int sandbox_abi(void);

/* Of worker program `program`. Returns the ruleset as a descriptor, which the caller closes;
 * SANDBOX_NONE where settings->sandbox says off or the kernel cannot. */
int sandbox_make(const struct settings *settings, const char *program);

/* Between fork and exec: no_new_privs, and in. Async-signal-safe. False, with errno: not in. */
bool sandbox_enter(int ruleset);
