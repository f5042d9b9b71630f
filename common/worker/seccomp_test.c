#include "common/worker/seccomp.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int result(long value)
{
	return value < 0 ? errno : 0;
}

/* ---- what is tried: 0, or errno ---- */

static int try_program(void)
{
	char *const argv[] = {(char *)"true", NULL};
	execv("/bin/true", argv);
	return errno;
}

static int try_program_of_descriptor(void)
{
	char *const nothing[] = {NULL};
	return result(syscall(SYS_execveat, -1, "", nothing, nothing, 0));
}

static int try_new_clone(void)
{
	return result(syscall(SYS_clone3, NULL, 0));
}

static int try_descriptors_of_its_own(void)
{
	return result(syscall(SYS_unshare, CLONE_FILES));
}

static int try_descriptor_of_itself(void)
{
	int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
	return process < 0 ? errno : result(syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0));
}

static int try_file_system(void)
{
	return result(syncfs(STDERR_FILENO));
}

static int try_truncate(void)
{
	return result(truncate("/nowhere", 0));
}

static int try_namespace(void)
{
	return result(syscall(SYS_unshare, CLONE_NEWUSER));
}

static int try_mount(void)
{
	return result(mount("none", "/", "tmpfs", 0, NULL));
}

static int try_root(void)
{
	return result(chroot("/"));
}

static int try_user(void)
{
	return result(syscall(SYS_setuid, 0));
}

static int try_kernel_program(void)
{
	return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_keys(void)
{
	return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}

static int try_faults(void)
{
	return result(syscall(SYS_userfaultfd, 0));
}

static int try_ring(void)
{
	return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_events(void)
{
	return result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int try_clock(void)
{
	return result(syscall(SYS_clock_settime, 0, NULL));
}

static int try_name(void)
{
	return result(sethostname("x", 1));
}

static int try_packets(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_vm_sockets(void)
{
	return result(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int try_internet(void)
{
	return result(socket(AF_INET6, SOCK_STREAM, 0));
}

static int try_unix(void)
{
	int pair[2];
	return result(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int try_addresses(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);
	return error != 0 ? error : pthread_join(thread, NULL);
}

static int try_map(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
	                                                                                     : 0;
}

static int try_sync(void)
{
	FILE *file = tmpfile();
	return file == NULL ? errno : result(fdatasync(fileno(file)));
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
static int try_process(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int try_trace(void)
{
	return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int try_memory_of_others(void)
{
	return result(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
}
#endif

#define ROW(expected, attempt)                                                                     \
	{                                                                                          \
#attempt, attempt, expected                                                        \
	}
static const struct attempt {
	const char *name;
	int (*attempt)(void);
	int expected;
} attempts[] = {
        ROW(0, try_thread),
        ROW(0, try_map),
        ROW(0, try_sync),
        ROW(0, try_unix),
        ROW(0, try_internet),
        ROW(0, try_addresses),
        ROW(0, try_descriptors_of_its_own),
        ROW(0, try_descriptor_of_itself),
        ROW(0, try_file_system),
        ROW(EPERM, try_truncate),
        ROW(EPERM, try_program),
        ROW(EPERM, try_program_of_descriptor),
        ROW(ENOSYS, try_new_clone),
        ROW(EPERM, try_namespace),
        ROW(EPERM, try_mount),
        ROW(EPERM, try_root),
        ROW(EPERM, try_user),
        ROW(EPERM, try_kernel_program),
        ROW(EPERM, try_keys),
        ROW(EPERM, try_faults),
        ROW(EPERM, try_ring),
        ROW(EPERM, try_events),
        ROW(EPERM, try_clock),
        ROW(EPERM, try_name),
        ROW(EPERM, try_packets),
        ROW(EPERM, try_vm_sockets),
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
        ROW(EPERM, try_process),
        ROW(EPERM, try_trace),
        ROW(EPERM, try_memory_of_others),
#endif
};

static int try_all(void)
{
	int wrong = 0;
	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		int got = attempts[i].attempt();
		if (got != attempts[i].expected) {
			fprintf(stderr, "%s: %s, expected %s\n", attempts[i].name, strerror(got),
			        strerror(attempts[i].expected));
			wrong++;
		}
	}
	return wrong;
}

/* In a process of its own: it is for ever. */
static void closed(int (*within)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		char reason[256];
		if (seccomp_close(reason))
			_exit(within());
		fprintf(stderr, "%s\n", reason);
		_exit(255);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void each_denial_and_each_leave(void **state)
{
	(void)state;
	closed(try_all);
}

/* ---- of all threads ---- */

static int pipes[2];

static void *ask_when_told(void *arg)
{
	char byte;
	if (read(pipes[0], &byte, 1) == 1)
		*(int *)arg = try_mount();
	return NULL;
}

static void threads_that_were_there_are_closed_in_too(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		char reason[256];
		int error = 0;
		pthread_t thread;
		if (pipe(pipes) != 0 || pthread_create(&thread, NULL, ask_when_told, &error) != 0 ||
		    !seccomp_close(reason) || write(pipes[1], "x", 1) != 1 ||
		    pthread_join(thread, NULL) != 0)
			_exit(255);
		_exit(error == EPERM && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_denial_and_each_leave),
	        cmocka_unit_test(threads_that_were_there_are_closed_in_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
