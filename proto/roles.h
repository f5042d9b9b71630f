/* The boot contract between the supervisor and a worker, on one page.
 *
 * A worker is exec'd with these descriptors open and nothing else; its arguments are
 *     ringside-<role> --slot N --generation G
 * It sends HELLO on the bus, waits for SETTINGS, opens what it needs and sends READY.
 * When the bus descriptor reads end-of-file the supervisor is gone: the worker exits. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* One process, this life of it: the slot-th of its role (ROLE_*), in the generation that the
 * supervisor has started it with. Its successor has another generation. */
struct party {
	unsigned role, slot;
	uint64_t generation;
};

static inline bool party_equal(const struct party *a, const struct party *b)
{
	return a->role == b->role && a->slot == b->slot && a->generation == b->generation;
}

enum {
	/* 0 is /dev/null; 1 and 2 are the supervisor's stderr or log file. */
	BOOT_FD_BUS = 3,      /* socketpair to the supervisor (proto frames) */
	BOOT_FD_COUNTERS = 4, /* memfd of shared counters (common/base/counters.h) */
	BOOT_FD_LISTEN = 5,   /* ringside-sse: its listening sockets, one or more without a gap */
	BOOT_LISTENERS_MAX = 8,
	BOOT_FD_END = BOOT_FD_LISTEN + BOOT_LISTENERS_MAX,
};

/* Exit codes that a worker or ringside itself ends with. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* cannot go on; the log says why; restarting may help */
	EXIT_USAGE = 2,  /* wrong arguments, configuration, limits or files: restarting cannot help.
	                  * A worker says why with CANNOT_START first, and ringside ends with it */
	EXIT_SUPERVISOR_GONE = 3,
};
