#include "common/base/process.h"
#include "proto/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { STACK_BYTES = 8 << 20 }; /* what the kernel gives; threads get as much */

void process_fill_standard_fds(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* They outlive an exec, unlike what would have handled their signals. */
static void stop_alarms(void)
{
	static const int which[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	const struct itimerval never = {0};
	for (size_t i = 0; i < sizeof which / sizeof *which; i++)
		setitimer(which[i], &never, NULL);
	/* One that has struck already and is blocked is forgotten by ignoring it once. */
	signal(SIGALRM, SIG_IGN);
	signal(SIGVTALRM, SIG_IGN);
	signal(SIGPROF, SIG_IGN);
}

static void heed_signals(void)
{
	struct sigaction action;
	for (int i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
			signal(i, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
}

void process_hold_signals(void)
{
	static const int sent[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	sigset_t held;
	sigemptyset(&held);
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
		sigaddset(&held, sent[i]);
	sigprocmask(SIG_SETMASK, &held, NULL);
}

void process_release_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void process_reset(void)
{
	process_reset_held();
	process_release_signals();
}

void process_reset_held(void)
{
	stop_alarms();
	heed_signals();
	process_hold_signals();
	mode_t mask = umask(0);
	umask((mask & (S_IRWXG | S_IRWXO)) | S_IWGRP | S_IWOTH);
}

static void set_soft(int resource, rlim_t most)
{
	struct rlimit limit;
	if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
	setrlimit((__rlimit_resource_t)resource, &limit);
}

void process_raise_limits(void)
{
	static const int raised[] = {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_FSIZE,
	                             RLIMIT_AS,     RLIMIT_DATA,  RLIMIT_CPU};
	for (size_t i = 0; i < sizeof raised / sizeof *raised; i++)
		set_soft(raised[i], RLIM_INFINITY);
	set_soft(RLIMIT_STACK, STACK_BYTES);
}

int process_exit_code(int error)
{
	static const int passing[] = {ENOSPC,    EDQUOT,     EIO,           ENOMEM,  EMFILE,
	                              ENFILE,    EAGAIN,     EINTR,         EBUSY,   ESTALE,
	                              ETIMEDOUT, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN};
	for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
		if (error == passing[i])
			return EXIT_FAILED;
	return EXIT_USAGE;
}
