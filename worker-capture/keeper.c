#include "worker-capture/keeper.h"
#include "common/base/clock.h"
#include "proto/roles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	FIXED_ARGUMENTS = 6, /* name, --keep, given, uid, gid, profile */
	REAP_PAUSE_US = 2000,
	REAP_MS_MAX = 2500, /* what is not dead by then hangs in the kernel; its killer need not */
	DEPTH_MAX = 64,
};

/* ---- the browser ---- */

static bool drop_privileges(uid_t uid, gid_t gid)
{
	if (uid == 0)
		return true;
	return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
	       setresuid(uid, uid, uid) == 0;
}

static void reset_signals(void)
{
	sigset_t none;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_browser(unsigned given, uid_t uid, gid_t gid, const char *profile,
                                     pid_t keeper, char **argv)
{
	char home[4200];
	const struct rlimit no_core = {0, 0};
	snprintf(home, sizeof home, "HOME=%s", *profile != '\0' ? profile : "/nonexistent");
	char path[] = "PATH=/usr/bin:/bin", language[] = "LANG=C.UTF-8";
	bool more = *argv[0] != '/' && argv[1] != NULL; /* NAME=VALUE before the program */
	char *environment[] = {path, home, language, more ? argv[0] : NULL, NULL};
	argv += more ? 1 : 0;
	int null_fd = open("/dev/null", O_RDWR);
	setrlimit(RLIMIT_CORE, &no_core);
	reset_signals();
	setpgid(0, 0);
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(2, 1) < 0 || !drop_privileges(uid, gid)) {
		fprintf(stderr, "uid %u cannot be had: %s\n", (unsigned)uid, strerror(errno));
		_exit(KEEPER_EXEC_FAILED);
	}
	close_range(given, ~0u, 0);
	/* After the change of uid, which clears it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(KEEPER_EXEC_FAILED);
	execve(argv[0], argv, environment);
	fprintf(stderr, "cannot execute: %s\n", strerror(errno));
	_exit(KEEPER_EXEC_FAILED);
}

/* ---- the end of all of it ---- */

/* What has lost its parents has become ours (PR_SET_CHILD_SUBREAPER). */
static void kill_children(void)
{
	char path[64];
	int pid;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "re");
	if (children == NULL)
		return;
	while (fscanf(children, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(children);
}

/* Until nobody is left; tells how the browser itself ended. */
static void end_all(pid_t browser, int *status)
{
	uint64_t due_ms = clock_monotonic_ms() + REAP_MS_MAX;
	for (;;) {
		int its;
		pid_t pid;
		kill(-browser, SIGKILL);
		kill_children();
		while ((pid = waitpid(-1, &its, WNOHANG)) > 0)
			if (pid == browser)
				*status = its;
		if ((pid < 0 && errno == ECHILD) || clock_monotonic_ms() >= due_ms)
			return;
		usleep(REAP_PAUSE_US);
	}
}

/* What a browser left there may be meant to mislead: no link is ever followed. */
static void remove_within(int dir_fd, unsigned depth)
{
	DIR *dir = fdopendir(dir_fd);
	if (dir == NULL) {
		close(dir_fd);
		return;
	}
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			continue;
		int below = openat(dirfd(dir), entry->d_name,
		                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0 && depth < DEPTH_MAX)
			remove_within(below, depth + 1);
		else if (below >= 0)
			close(below);
		unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

void keeper_remove(const char *path)
{
	int dir_fd =
	        *path != '\0' ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (dir_fd < 0)
		return;
	remove_within(dir_fd, 0);
	rmdir(path);
}

/* ---- waiting ---- */

/* True: the browser has ended by itself and *status says how. */
static bool browser_ended(int signals, pid_t browser, int *status)
{
	struct signalfd_siginfo info;
	int its;
	pid_t pid;
	while (read(signals, &info, sizeof info) > 0) {
	}
	bool ended = false;
	while ((pid = waitpid(-1, &its, WNOHANG)) > 0)
		if (pid == browser) {
			*status = its;
			ended = true;
		}
	return ended;
}

static void wait_for_end(int signals, pid_t browser, int *status)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
	                       {.fd = signals, .events = POLLIN}};
	for (;;) {
		char nothing;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents != 0 && browser_ended(signals, browser, status))
			return;
		if (fds[0].revents != 0 && read(STDIN_FILENO, &nothing, 1) <= 0 && errno != EINTR)
			return;
	}
}

static int watch_signals(void)
{
	sigset_t child;
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	return signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
}

static _Noreturn void keep(unsigned given, uid_t uid, gid_t gid, const char *profile, char **argv)
{
	close_range(given, ~0u, 0);
	int status = 0, signals = watch_signals();
	pid_t self = getpid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "ringside-keeper");
	pid_t browser = fork();
	if (browser == 0)
		become_browser(given, uid, gid, profile, self, argv);
	/* The browser must be the only one at its end: its death is the worker's end-of-file. */
	close_range(STDERR_FILENO + 1, given - 1, 0);
	if (browser > 0) {
		setpgid(browser, browser);
		wait_for_end(signals, browser, &status);
		end_all(browser, &status);
	}
	keeper_remove(profile);
	if (browser < 0)
		_exit(KEEPER_EXEC_FAILED);
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

void keeper_main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--keep") != 0)
		return;
	if (argc <= FIXED_ARGUMENTS)
		_exit(EXIT_USAGE);
	keep((unsigned)strtoul(argv[2], NULL, 10), (uid_t)strtoul(argv[3], NULL, 10),
	     (gid_t)strtoul(argv[4], NULL, 10), argv[5], argv + FIXED_ARGUMENTS);
}
