#include "supervisor/reap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void reap_exited(void (*on_exit)(void *arg, pid_t pid, int status), void *arg)
{
	for (;;) {
		siginfo_t info = {0};
		int rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
		if (rc != 0 && errno == EINTR)
			continue;
		if (rc != 0 || info.si_pid == 0)
			return;
		int status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
		                                        : W_EXITCODE(0, info.si_status);
		on_exit(arg, info.si_pid, status);
		while (waitpid(info.si_pid, NULL, 0) < 0 && errno == EINTR) {
		}
	}
}

void reap_each_child(void (*visit)(void *arg, pid_t pid), void *arg)
{
	char path[64];
	int pid;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return; /* a kernel without CONFIG_PROC_CHILDREN */
	while (fscanf(file, "%d", &pid) == 1)
		visit(arg, pid);
	fclose(file);
}

void reap_describe(int status, char text[64])
{
	if (WIFSIGNALED(status))
		snprintf(text, 64, "signal %d (%.40s)", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else
		snprintf(text, 64, "code %d", WEXITSTATUS(status));
}
