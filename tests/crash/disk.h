/* The preloaded library: records what a store does to the files of one directory, and makes the
 * n-th call of a kind fail.
 *
 *     DISK_DIR=DIR          the directory; only what is in it counts
 *     DISK_TRACE=FILE       where events go (trace.h), on the same file system; none: nowhere
 *     DISK_DELAY_US=N       syncs take up to so much longer, so that more gathers behind them
 *     DISK_FAULT=OP:FILE:N:COUNT:WHAT
 *     DISK_SWITCH=FILE      a struct disk_switch: the faults of all processes, while they run
 *
 * OP is open, pwrite, pwritev, write, fdatasync, fsync, mmap, ftruncate, fallocate, rename, unlink,
 * commit (mdb_txn_commit) or malloc; FILE what the path must end with, or empty; from the N-th such
 * call on, COUNT fail, 0: all. WHAT is an errno (EIO, ENOSPC, ENOMEM, EMFILE), or
 *
 *     short     a write writes half and says so; a commit or sync: as EIO
 *     half      a write writes half and fails with EIO
 *     done      all of it is done, and it fails with EIO
 *     drop      a sync fails with EIO, and what was not synced is gone from memory too
 *     kill      the process dies at the call; half-kill: half way through a write;
 *     done-kill behind it
 *
 * Faults begin with disk_arm() in the process that is to have them. In a program, the functions
 * below are weak: NULL without the library. */
#pragma once

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* Calls are those of all processes of that name since `calls` was set to 0. Without "drop". */
struct disk_switch {
	_Atomic uint32_t armed, calls, failed;
	uint32_t n, count;
	char op[16], file[32], what[16], program[32];
};

/* With the library, ends a process as SIGKILL does, only not within a write. One that no program
 * of ours has a use for. */
enum { DISK_DEATH_SIGNAL = SIGSTKFLT };

__attribute__((weak)) void disk_arm(void);
__attribute__((weak)) void disk_disarm(void);
/* Calls of the kind since disk_arm(), in this process. */
__attribute__((weak)) long disk_calls(void);
__attribute__((weak)) void disk_mark(const void *mark, size_t bytes);
