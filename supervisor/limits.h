/* Do the limits that we were given (setrlimit) suffice for the settings? The hard ones: the soft
 * ones have been raised. UINT64_MAX is no limit. */
#pragma once

#include "common/base/settings.h"

struct limits {
	uint64_t files;         /* descriptors of a process */
	uint64_t file_bytes;    /* of a file */
	uint64_t address_bytes; /* of a process */
	uint64_t stack_bytes;
	uint64_t processes; /* and threads, of our user; root has no limit */
};

void limits_read(struct limits *limits);

/* Pure. False: `reason` names the limit, how it is set, and the setting or what is needed.
 * `workers` is how many are planned. */
bool limits_suffice(const struct limits *limits, const struct settings *settings, unsigned workers,
                    char *reason, size_t room);
