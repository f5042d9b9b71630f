/* What a process inherits from whoever started it, and what of it would break a server: a signal
 * mask, ignored signals, a running alarm, closed standard descriptors, a umask that takes our own
 * rights away, soft limits. What people may mean (nice, scheduling, affinity, OOM score, hard
 * limits, working directory, core files) stays. */
#pragma once

/* Descriptors 0 to 2 are taken from now on, with /dev/null where they were closed: else the next
 * file or socket would land there and get what is printed. First thing in main(). */
void process_fill_standard_fds(void);

/* No signal is blocked, none is ignored but SIGPIPE and SIGXFSZ (errors say it: EPIPE, EFBIG) and
 * SIGTTOU (a terminal takes the log of its background, too), no alarm runs, and the umask leaves
 * the owner every right and nobody else the right to write. Before the first thread. Handlers that
 * are installed already stay. */
void process_reset(void);

/* The same by who takes another's place by exec (supervisor/upgrade.h), which has blocked the
 * signals that people send, so that none is lost or met by its default action in between. */
void process_reset_held(void);
void process_hold_signals(void);
void process_release_signals(void);

/* Soft limits that end or starve a server are raised to the hard ones: descriptors, processes, file
 * size, memory, CPU time. Stacks are as they usually are. Children inherit it. */
void process_raise_limits(void);

/* With which code (proto/roles.h) who met this errno at its start ends. EXIT_FAILED: it may pass,
 * as a full disk, a lack of memory or descriptors, a broken disk, an address in use. EXIT_USAGE:
 * rights, names and what files contain do not change by themselves. */
int process_exit_code(int error);
