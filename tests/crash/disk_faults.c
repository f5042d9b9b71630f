/* Which call fails, and what unsynced writes have covered. */
#include "tests/crash/disk_parts.h"
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_ROOM = 512, WORD_MAX = 32 };

static struct {
	char op[WORD_MAX], file[WORD_MAX], what[WORD_MAX];
	long n, count;
	enum fault fault;
	int error;
	_Atomic bool armed;
	_Atomic long calls;
} plan;

static const struct {
	const char *what;
	enum fault fault;
	int error;
} kinds[] = {{"EIO", FAULT_ERRNO, EIO},        {"ENOSPC", FAULT_ERRNO, ENOSPC},
             {"ENOMEM", FAULT_ERRNO, ENOMEM},  {"EMFILE", FAULT_ERRNO, EMFILE},
             {"short", FAULT_SHORT, EIO},      {"half", FAULT_HALF, EIO},
             {"done", FAULT_DONE, EIO},        {"drop", FAULT_DROP, EIO},
             {"kill", FAULT_KILL, 0},          {"half-kill", FAULT_HALF_KILL, 0},
             {"done-kill", FAULT_DONE_KILL, 0}};

static void on_death(int signal);

static struct disk_switch *shared; /* by DISK_SWITCH; NULL: none */

static void map_switch(const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	void *at = fd < 0 ? MAP_FAILED
	                  : (void *)syscall(SYS_mmap, NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	                                    MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		abort();
	syscall(SYS_close, fd);
	shared = at;
}

void faults_init(void)
{
	if (getenv("DISK_SWITCH") != NULL)
		map_switch(getenv("DISK_SWITCH"));
	const char *text = getenv("DISK_FAULT");
	const struct sigaction death = {.sa_handler = on_death, .sa_flags = SA_RESTART};
	sigaction(DISK_DEATH_SIGNAL, &death, NULL);
	char copy[4 * WORD_MAX], *rest = copy, *words[5] = {0};
	if (text == NULL)
		return;
	snprintf(copy, sizeof copy, "%s", text);
	for (int i = 0; i < 5; i++)
		words[i] = strsep(&rest, ":");
	if (words[4] == NULL)
		abort();
	snprintf(plan.op, sizeof plan.op, "%s", words[0]);
	snprintf(plan.file, sizeof plan.file, "%s", words[1]);
	plan.n = atol(words[2]);
	plan.count = atol(words[3]);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].what, words[4]) == 0) {
			plan.fault = kinds[i].fault;
			plan.error = kinds[i].error;
		}
	if (plan.fault == FAULT_NONE)
		abort();
}

void disk_arm(void)
{
	plan.calls = 0;
	plan.armed = true;
}

void disk_disarm(void)
{
	plan.armed = false;
}

long disk_calls(void)
{
	return plan.calls;
}

static bool ends_with(const char *text, const char *end)
{
	size_t text_len = strlen(text), len = strlen(end);
	return text_len >= len && strcmp(text + text_len - len, end) == 0;
}

static bool fits(const char *path, int fd, const char *file)
{
	char link[64], real[PATH_ROOM];
	if (file[0] == '\0')
		return true;
	if (path == NULL) {
		snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
		ssize_t n = readlink(link, real, sizeof real - 1);
		real[n > 0 ? n : 0] = '\0';
		path = real;
	}
	return ends_with(path, file);
}

/* ---- dying ----
 *
 * What a killed process had begun to write has either got there or not, and the trace must know: so
 * nobody dies between the two events of a write, and nobody begins one when the process is to die.
 * Everywhere else it dies at once. (A kernel that is told to kill a process within a write that is
 * to be synced does not either.) */

static _Atomic int writing;
static _Atomic bool dying;

static void die_now(void)
{
	syscall(SYS_kill, getpid(), SIGKILL);
	for (;;)
		syscall(SYS_pause);
}

static void on_death(int signal)
{
	(void)signal;
	dying = true;
	if (writing == 0)
		die_now();
}

void faults_write_begins(void)
{
	writing++;
	if (!dying)
		return;
	writing--;
	faults_die();
}

void faults_write_ended(void)
{
	if (--writing == 0 && dying)
		die_now();
}

void faults_die(void)
{
	dying = true;
	while (writing != 0)
		usleep(50);
	die_now();
}

/* One plan for all processes, which somebody else makes and ends. */
static enum fault next_shared(const char *op, const char *path, int fd)
{
	if (!shared->armed || strcmp(op, shared->op) != 0 ||
	    strcmp(program_invocation_short_name, shared->program) != 0 ||
	    !fits(path, fd, shared->file))
		return FAULT_NONE;
	uint32_t call = ++shared->calls;
	if (call < shared->n || (shared->count != 0 && call >= shared->n + shared->count))
		return FAULT_NONE;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(kinds[i].what, shared->what) != 0)
			continue;
		shared->failed++;
		if (kinds[i].fault == FAULT_KILL)
			faults_die();
		errno = kinds[i].error;
		return kinds[i].fault;
	}
	abort();
}

enum fault faults_next(const char *op, const char *path, int fd)
{
	if (shared != NULL)
		return next_shared(op, path, fd);
	if (!plan.armed || strcmp(op, plan.op) != 0 || !fits(path, fd, plan.file))
		return FAULT_NONE;
	long call = ++plan.calls;
	if (call < plan.n || (plan.count != 0 && call >= plan.n + plan.count))
		return FAULT_NONE;
	if (plan.fault == FAULT_KILL)
		faults_die();
	errno = plan.error;
	return plan.fault;
}

/* ---- what was there before ---- */

struct undo {
	struct undo *next;
	uint64_t inode;
	off_t at;
	size_t bytes;
	uint8_t old[];
};
static struct undo *undos;
static pthread_mutex_t undo_lock = PTHREAD_MUTEX_INITIALIZER;

void undo_remember(uint64_t inode, int fd, off_t at, size_t bytes)
{
	char link[64];
	if (plan.fault != FAULT_DROP)
		return;
	struct undo *undo = calloc(1, sizeof *undo + bytes);
	*undo = (struct undo){.inode = inode, .at = at, .bytes = bytes};
	snprintf(link, sizeof link, "/proc/thread-self/fd/%d", fd);
	int reader = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
	if (reader < 0 || syscall(SYS_pread64, reader, undo->old, bytes, at) < 0)
		abort();
	syscall(SYS_close, reader);
	pthread_mutex_lock(&undo_lock);
	undo->next = undos;
	undos = undo;
	pthread_mutex_unlock(&undo_lock);
}

static void take_back(uint64_t inode, int fd, bool write_back)
{
	pthread_mutex_lock(&undo_lock);
	for (struct undo **at = &undos; *at != NULL;) {
		struct undo *undo = *at;
		if (undo->inode != inode) {
			at = &undo->next;
			continue;
		}
		if (write_back && syscall(SYS_pwrite64, fd, undo->old, undo->bytes, undo->at) < 0)
			abort();
		*at = undo->next;
		free(undo);
	}
	pthread_mutex_unlock(&undo_lock);
}

void undo_forget(uint64_t inode)
{
	take_back(inode, -1, false);
}

void undo_all(uint64_t inode, int fd)
{
	take_back(inode, fd, true);
}
