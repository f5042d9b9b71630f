#include "supervisor/spawn.h"
#include "common/base/check.h"
#include "supervisor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FD_ABOVE = BOOT_FD_END }; /* sources out of the way of the numbers of roles.h */

static bool inherited(const char *variable)
{
	static const char *const own[] = {"RINGSIDE_", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_",
	                                  "CREDENTIALS_DIRECTORY="};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strncmp(variable, own[i], strlen(own[i])) == 0)
			return false;
	return true;
}

static char **make_environment(void)
{
	size_t count = 0, kept = 0;
	while (environ[count] != NULL)
		count++;
	char **copy = xcalloc(count + 1, sizeof *copy);
	for (size_t i = 0; i < count; i++)
		if (inherited(environ[i]))
			copy[kept++] = environ[i];
	return copy;
}

struct plan_fds {
	int program, sandbox, null_fd, bus_fd, counters_fd, listen_fds[BOOT_LISTENERS_MAX];
	unsigned listen_count;
};

static void close_fds(const struct plan_fds *fds)
{
	if (fds->program >= 0)
		close(fds->program);
	if (fds->sandbox >= 0)
		close(fds->sandbox);
	if (fds->null_fd >= 0)
		close(fds->null_fd);
	if (fds->bus_fd >= 0)
		close(fds->bus_fd);
	if (fds->counters_fd >= 0)
		close(fds->counters_fd);
	for (unsigned i = 0; i < fds->listen_count; i++)
		close(fds->listen_fds[i]);
}

static bool gather_fds(struct plan_fds *fds, const struct spawn *spawn)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds->null_fd = null_fd >= 0 ? fcntl(null_fd, F_DUPFD_CLOEXEC, FD_ABOVE) : -1;
	if (null_fd >= 0)
		close(null_fd);
	bool confined = spawn->sandbox != SANDBOX_NONE, pinned = spawn->program_fd >= 0;
	fds->program = pinned ? fcntl(spawn->program_fd, F_DUPFD_CLOEXEC, FD_ABOVE) : -1;
	fds->sandbox = confined ? fcntl(spawn->sandbox, F_DUPFD_CLOEXEC, FD_ABOVE) : SANDBOX_NONE;
	fds->bus_fd = fcntl(spawn->bus_fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	fds->counters_fd = fcntl(spawn->counters_fd, F_DUPFD_CLOEXEC, FD_ABOVE);
	fds->listen_count = 0;
	for (int fd = 0; fd >= 0 && fds->listen_count < spawn->listen_count;) {
		fd = fcntl(spawn->listen_fds[fds->listen_count], F_DUPFD_CLOEXEC, FD_ABOVE);
		if (fd >= 0)
			fds->listen_fds[fds->listen_count++] = fd;
	}
	if (fds->null_fd >= 0 && fds->bus_fd >= 0 && fds->counters_fd >= 0 &&
	    fds->listen_count == spawn->listen_count && (fds->sandbox >= 0) == confined &&
	    (fds->program >= 0) == pinned)
		return true;
	int error = errno;
	close_fds(fds);
	errno = error;
	return false;
}

/* Nothing of what our starter gave us and they have no use for: signals, and what an unprivileged
 * user may bind low ports with. */
static void start_afresh(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* Between fork and exec: only what is safe after a fork of a process with threads. */
static _Noreturn void become_worker(const struct plan_fds *fds, pid_t parent, const char *path,
                                    char *const argv[], char *const environment[])
{
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_SUPERVISOR_GONE); /* it died before it could be tied to us */
	start_afresh();
	bool ok = dup2(fds->null_fd, STDIN_FILENO) >= 0 &&
	          dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && dup2(fds->bus_fd, BOOT_FD_BUS) >= 0 &&
	          dup2(fds->counters_fd, BOOT_FD_COUNTERS) >= 0;
	for (unsigned i = 0; ok && i < fds->listen_count; i++)
		ok = dup2(fds->listen_fds[i], BOOT_FD_LISTEN + (int)i) >= 0;
	if (ok && fds->sandbox != SANDBOX_NONE && !sandbox_enter(fds->sandbox))
		_exit(SPAWN_SANDBOX_FAILED);
	int program = BOOT_FD_LISTEN + (int)fds->listen_count;
	if (ok && fds->program >= 0)
		ok = dup3(fds->program, program, O_CLOEXEC) >= 0;
	close_range((unsigned)program + (fds->program >= 0), ~0u, 0);
	if (ok && fds->program >= 0)
		execveat(program, "", argv, environment, AT_EMPTY_PATH);
	else if (ok)
		execve(path, argv, environment);
	_exit(SPAWN_EXEC_FAILED);
}

/* Until the child has let go of its copies of our descriptors a socket that we close stays open,
 * and the kernel's numbering of the listening sockets is not yet what listener.c takes it for. */
static void await_release(int pipe_fd)
{
	char nothing;
	while (read(pipe_fd, &nothing, 1) < 0 && errno == EINTR) {
	}
}

void spawn_let_go(unsigned first_closed)
{
	setsid();
	start_afresh();
	close_range(first_closed, ~0u, 0);
}

pid_t spawn_fork(void (*become)(void *arg), void *arg)
{
	int release[2];
	sigset_t all, before;
	if (pipe2(release, O_CLOEXEC) != 0)
		return -1;
	/* A handler of ours that ran in the child would write into our own pipes. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0) {
		become(arg);
		_exit(SPAWN_EXEC_FAILED);
	}
	int error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(release[1]);
	if (pid > 0)
		await_release(release[0]);
	close(release[0]);
	errno = error;
	return pid;
}

struct beginning {
	const struct plan_fds *fds;
	pid_t parent;
	const char *path;
	char *const *argv, *const *environment;
};

static void become(void *arg)
{
	const struct beginning *b = arg;
	become_worker(b->fds, b->parent, b->path, b->argv, b->environment);
}

pid_t spawn_start(const struct spawn *spawn)
{
	char slot[16], generation[24], name[64];
	struct plan_fds fds;
	snprintf(name, sizeof name, "%s", spawn->name);
	snprintf(slot, sizeof slot, "%u", spawn->slot);
	snprintf(generation, sizeof generation, "%llu", (unsigned long long)spawn->generation);
	char slot_flag[] = "--slot", generation_flag[] = "--generation";
	char *const argv[] = {name, slot_flag, slot, generation_flag, generation, NULL};
	if (!gather_fds(&fds, spawn))
		return -1;
	char **environment = make_environment();
	struct beginning beginning = {&fds, getpid(), spawn->path, argv, environment};
	pid_t pid = spawn_fork(become, &beginning);
	int error = errno;
	free(environment);
	close_fds(&fds);
	errno = error;
	return pid;
}
