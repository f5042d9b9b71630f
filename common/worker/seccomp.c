#include "common/worker/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* By name, so that an architecture that lacks one is no fault. What the C library, libuv, LMDB,
 * OpenSSL and libcurl ask for, and what newer ones may ask in its place. */
static const char *const allowed[] = {
        /* files and descriptors */
        "access",
        "close",
        "close_range",
        "copy_file_range",
        "creat",
        "dup",
        "dup2",
        "dup3",
        "faccessat",
        "faccessat2",
        "fadvise64",
        "fallocate",
        "fchmod",
        "fchown",
        "fcntl",
        "fdatasync",
        "flock",
        "fstat",
        "fstatfs",
        "fsync",
        "ftruncate",
        "getcwd",
        "getdents",
        "getdents64",
        "ioctl",
        "link",
        "linkat",
        "lseek",
        "lstat",
        "memfd_create",
        "mkdir",
        "mkdirat",
        "newfstatat",
        "open",
        "openat",
        "openat2",
        "pipe",
        "pipe2",
        "pread64",
        "preadv",
        "preadv2",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "read",
        "readahead",
        "readlink",
        "readlinkat",
        "readv",
        "rename",
        "renameat",
        "renameat2",
        "rmdir",
        "sendfile",
        "splice",
        "stat",
        "statfs",
        "statx",
        "sync_file_range",
        "syncfs",
        "tee",
        "umask",
        "unlink",
        "unlinkat",
        "write",
        "writev",
        /* memory */
        "brk",
        "madvise",
        "mincore",
        "mlock",
        "mlock2",
        "mmap",
        "mprotect",
        "mremap",
        "msync",
        "munlock",
        "munmap",
        /* sockets; which: below */
        "accept",
        "accept4",
        "bind",
        "connect",
        "getpeername",
        "getsockname",
        "getsockopt",
        "listen",
        "recvfrom",
        "recvmmsg",
        "recvmsg",
        "sendmmsg",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
        "socketpair",
        /* waiting */
        "clock_getres",
        "clock_gettime",
        "clock_nanosleep",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "eventfd2",
        "futex",
        "gettimeofday",
        "inotify_add_watch",
        "inotify_init1",
        "inotify_rm_watch",
        "nanosleep",
        "poll",
        "ppoll",
        "pselect6",
        "restart_syscall",
        "select",
        "time",
        "timerfd_create",
        "timerfd_gettime",
        "timerfd_settime",
        /* of oneself: identity, threads, signals, limits */
        "alarm",
        "arch_prctl",
        "exit",
        "exit_group",
        "get_robust_list",
        "getcpu",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getitimer",
        "getpgid",
        "getpgrp",
        "getpid",
        "getppid",
        "getpriority",
        "getrandom",
        "getresgid",
        "getresuid",
        "getrlimit",
        "getrusage",
        "getsid",
        "gettid",
        "getuid",
        "kill",
        "membarrier",
        "prctl",
        "pidfd_getfd",
        "pidfd_open",
        "prlimit64",
        "rseq",
        "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask",
        "rt_sigqueueinfo",
        "rt_sigreturn",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "rt_tgsigqueueinfo",
        "sched_get_priority_max",
        "sched_get_priority_min",
        "sched_getaffinity",
        "sched_getparam",
        "sched_getscheduler",
        "sched_setaffinity",
        "sched_setscheduler",
        "sched_yield",
        "set_robust_list",
        "set_tid_address",
        "setitimer",
        "setpriority",
        "setrlimit",
        "sigaltstack",
        "sysinfo",
        "tgkill",
        "times",
        "tkill",
        "uname",
        "wait4",
        "waitid",
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
        /* What looks for leaks at the end is a thread that stops the others. */
        "ptrace",
        "process_vm_readv",
        "personality",
        "clone",
        "fork",
        "vfork",
#endif
};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK /* getaddrinfo(3) */};

/* 0, or a negative errno. */
static int add_rules(scmp_filter_ctx filter)
{
	int error = 0;
	for (size_t i = 0; error == 0 && i < sizeof allowed / sizeof *allowed; i++) {
		int number = seccomp_syscall_resolve_name(allowed[i]);
		if (number != __NR_SCMP_ERROR)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
	for (size_t i = 0; error == 0 && i < sizeof families / sizeof *families; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		                         SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	/* Threads of the store have descriptors of their own (store_thread.c). */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unshare), 1,
		                         SCMP_A0(SCMP_CMP_EQ, CLONE_FILES, 0));
	/* Threads, and no processes. Of clone3() the flags lie in memory, where no filter looks:
	 * with this the C library asks clone(). */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
	if (error == 0)
		error = seccomp_rule_add(
		        filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD));
#endif
	return error;
}

bool seccomp_close(char reason[256])
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL) {
		snprintf(reason, 256, "no system call filter can be made");
		return false;
	}
	int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (error == 0)
		error = add_rules(filter);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	if (error != 0)
		snprintf(reason, 256, "no system call filter: %s", strerror(-error));
	return error == 0;
}
