/* Faults at every call: a scripted run (script.h) in which the n-th open, write, sync, map,
 * allocation, rename or commit fails, for every n, once and for ever, each time in another way.
 *
 *     calls [--seed N] [--seconds N] [--op OP] [--keep DIR] [--tmp DIR]
 *
 * Of each run is judged: its answers, that it ends, that it goes on when the fault ends; then the
 * store that it leaves, and one that a power failure at a random point leaves (tests/crash).
 * Without --seconds all of them are tried, in an order by the seed, which is printed; else as many
 * as there is time for. Exit code 1: something failed. `calls script DIR once|ever` is the run
 * itself. */
#include "tests/crash/judge.h"
#include "tests/crash/kept.h"
#include "tests/crash/owed.h"
#include "tests/crash/volume.h"
#include "tests/faults/script.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PATH_ROOM = 512,
	TRIALS_MAX = 1 << 16,
	HANGS_S = 40,
	RING_BYTES = 1 << 20,
	SLACK = 2, /* how many calls there are differs a little: the checkpointer goes by time */
	MALLOCS_MAX = 400, /* so many of each way; there are thousands */
	EXIT_GAVE_UP = 1,  /* EXIT_FAILED: the log says why, a successor goes on */
	EXIT_REFUSED = 2,
	FAILED_MAX = 10, /* then it is enough */
};

static const struct row {
	const char *op, *file, *what; /* words, by commas */
} rows[] = {
        {"open", "", "EIO,EMFILE,ENOSPC"},
        {"pwritev", "", "EIO,ENOSPC,short,half,done"},
        {"pwrite", "", "EIO,ENOSPC,short,half,done"},
        {"write", "", "EIO,ENOSPC,short,half"},
        {"fdatasync", "", "EIO,ENOSPC,done,drop"},
        {"fsync", "", "EIO,ENOSPC,done"},
        {"mmap", "", "ENOMEM"},
        {"ftruncate", "", "EIO,ENOSPC"},
        {"fallocate", "", "EIO,ENOSPC"},
        {"rename", "", "EIO,ENOSPC,done"},
        {"unlink", "", "EIO"},
        {"commit", "", "EIO,ENOSPC,ENOMEM,done"},
        {"malloc", "", "ENOMEM"},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct trial {
	const struct row *row;
	char what[16];
	uint32_t n;
	bool for_ever;
};

static struct trial trials[TRIALS_MAX];
static uint32_t trials_count, tried[ROWS], failed[ROWS], calls[ROWS];
static char run_dir[PATH_ROOM], state_dir[PATH_ROOM], trace_path[PATH_ROOM], out_path[PATH_ROOM];
static const char *keep = "crash-states";
static uint64_t random_state;

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

/* ---- the run ---- */

static void fault_text(const struct trial *trial, char text[64])
{
	snprintf(text, 64, "%s:%s:%u:%u:%s", trial->row->op, trial->row->file, trial->n,
	         trial->for_ever ? 0 : 1, trial->what);
}

static void exec_script(const struct trial *trial)
{
	char library[PATH_ROOM + 64], fault[64];
	ssize_t n = readlink("/proc/self/exe", library, PATH_ROOM);
	check(n > 0);
	library[n] = '\0';
	snprintf(strrchr(library, '/'), 64, "/../crash/libcrash_disk.so");
	fault_text(trial, fault);
	setenv("LD_PRELOAD", library, 1);
	setenv("DISK_DIR", run_dir, 1);
	setenv("DISK_TRACE", trace_path, 1);
	setenv("DISK_FAULT", fault, 1);
	int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0);
	execl("/proc/self/exe", "calls", "script", run_dir, trial->for_ever ? "ever" : "once",
	      NULL);
	_exit(127);
}

static int run_script(const struct trial *trial)
{
	int status;
	kept_command("rm", "-rf", run_dir, trace_path, NULL);
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0)
		exec_script(trial);
	check(waitpid(pid, &status, 0) == pid);
	return status;
}

static uint32_t count_calls(const struct row *row)
{
	struct trial none = {.row = row, .what = "EIO", .n = 1000000000};
	check(run_script(&none) == 0);
	FILE *out = fopen(out_path, "r");
	char line[256];
	long count = -1;
	check(out != NULL);
	while (fgets(line, sizeof line, out) != NULL)
		if (sscanf(line, "calls %ld", &count) == 1)
			break;
	fclose(out);
	check(count >= 0);
	return (uint32_t)count;
}

/* ---- judging it ---- */

/* Ways in which a process may end before the script does; then a successor goes on, and is judged.
 */
static bool may_end_so(const struct trial *trial, int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status) == EXIT_GAVE_UP || WEXITSTATUS(status) == EXIT_REFUSED;
	bool memory = strcmp(trial->row->op, "malloc") == 0;
	return WTERMSIG(status) == SIGABRT && memory; /* xmalloc() */
}

static bool judge_state(const char *dir)
{
	const struct judge_options options = {.ring_bytes = RING_BYTES};
	return judge(dir, &options) == 0;
}

static void keep_state(const char *dir, const struct mark *marks, size_t count, const char *about)
{
	char name[64];
	const struct judge_options options = {.ring_bytes = RING_BYTES};
	snprintf(name, sizeof name, "fault-%d-%u", getpid(), below(1000000));
	kept_write(keep, name, dir, marks, count, &options, about);
}

/* In a process of its own. The power fails at one point of the trace; then the directory as the run
 * left it. */
static void judge_run(const struct trial *trial, uint64_t seed)
{
	struct trace trace;
	char about[128], fault[64];
	fault_text(trial, fault);
	alarm(HANGS_S);
	trace_load(&trace, trace_path);
	struct mark *marks = xcalloc((size_t)trace.count + 1, sizeof *marks);
	size_t count = 0;
	int point = (int)below((uint32_t)trace.count + 1);
	bool sound = true;
	owed_clear();
	volume_begin(NULL, false);
	for (int i = 0; i <= trace.count; i++) {
		if (i == point) {
			enum volume_policy policy = volume_make(state_dir, seed);
			sound = judge_state(state_dir);
			snprintf(about, sizeof about, "power failure at %d (%s), fault %s", i,
			         volume_policy_name(policy), fault);
			if (!sound)
				volume_make(state_dir, seed);
			if (!sound)
				keep_state(state_dir, marks, count, about);
		}
		if (i == trace.count)
			break;
		volume_step(&trace, i);
		if (trace.items[i].event->kind == TRACE_MARK) {
			marks[count] = *(const struct mark *)(const void *)trace.items[i].data;
			owed_take(&marks[count++]);
		}
	}
	snprintf(about, sizeof about, "as it was left, fault %s", fault);
	kept_command("rm", "-rf", state_dir, NULL);
	if (access(run_dir, F_OK) != 0)
		_exit(sound ? EXIT_SUCCESS : EXIT_FAILURE);
	kept_command("cp", "-r", run_dir, state_dir, NULL);
	if (!judge_state(run_dir)) {
		sound = false;
		keep_state(state_dir, marks, count, about);
	}
	_exit(sound ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void show(const char *path)
{
	char line[256];
	FILE *file = fopen(path, "r");
	for (int i = 0; file != NULL && i < 12 && fgets(line, sizeof line, file) != NULL; i++)
		printf("    %s", line);
	if (file != NULL)
		fclose(file);
}

static bool try_one(const struct trial *trial)
{
	char fault[64];
	int status = run_script(trial), judged;
	bool fine = status == 0 || may_end_so(trial, status);
	fault_text(trial, fault);
	if (!fine) {
		printf("  FAILED: %s: the run ended with status 0x%x%s\n", fault, status,
		       WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
		show(out_path);
	}
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0)
		judge_run(trial, random_state);
	check(waitpid(pid, &judged, 0) == pid);
	below(1);
	if (judged != 0)
		printf("  FAILED: %s: what it left, status 0x%x\n", fault, judged);
	return fine && judged == 0;
}

/* ---- all of them ---- */

static void plan_row(int row)
{
	char words[64], *rest = words, *word;
	snprintf(words, sizeof words, "%s", rows[row].what);
	calls[row] = count_calls(&rows[row]);
	uint32_t last = calls[row] + SLACK, step = 1;
	if (last > MALLOCS_MAX)
		step = last / MALLOCS_MAX;
	while ((word = strsep(&rest, ",")) != NULL)
		for (uint32_t n = 1 + below(step); n <= last; n += 1 + below(2 * step - 1))
			for (int ever = 0; ever < 2; ever++) {
				check(trials_count < TRIALS_MAX);
				struct trial *trial = &trials[trials_count++];
				*trial =
				        (struct trial){.row = &rows[row], .n = n, .for_ever = ever};
				snprintf(trial->what, sizeof trial->what, "%s", word);
			}
}

static void shuffle(void)
{
	for (uint32_t i = trials_count; i > 1; i--) {
		uint32_t j = below(i);
		struct trial swapped = trials[i - 1];
		trials[i - 1] = trials[j];
		trials[j] = swapped;
	}
}

static int run_all(uint64_t seconds, const char *op)
{
	uint64_t begun_ms = clock_monotonic_ms();
	uint32_t all = 0, bad = 0;
	for (int row = 0; row < ROWS; row++)
		if (op == NULL || strcmp(op, rows[row].op) == 0)
			plan_row(row);
	shuffle();
	for (uint32_t i = 0; i < trials_count && bad < FAILED_MAX; i++) {
		if (seconds != 0 && clock_monotonic_ms() > begun_ms + seconds * 1000)
			break;
		size_t row = (size_t)(trials[i].row - rows);
		tried[row]++;
		all++;
		if (!try_one(&trials[i])) {
			failed[row]++;
			bad++;
		}
	}
	printf("%u of %u faults in %llu s, %u failed:", all, trials_count,
	       (unsigned long long)(clock_monotonic_ms() - begun_ms) / 1000, bad);
	for (int row = 0; row < ROWS; row++)
		if (calls[row] != 0)
			printf(" %s %u (%u calls, %u failed)", rows[row].op, tried[row], calls[row],
			       failed[row]);
	printf("\n");
	kept_command("rm", "-rf", run_dir, state_dir, trace_path, out_path, NULL);
	return bad != 0;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"seed", 1, 0, 's'}, {"seconds", 1, 0, 't'},
	                                      {"op", 1, 0, 'o'},   {"keep", 1, 0, 'k'},
	                                      {"tmp", 1, 0, 'd'},  {0, 0, 0, 0}};
	const char *tmp = "/dev/shm", *op = NULL;
	uint64_t seconds = 0;
	uint32_t seed = 0;
	log_set_level(LOG_LEVEL_ERROR);
	if (argc == 4 && strcmp(argv[1], "script") == 0) {
		alarm(HANGS_S);
		return script(argv[2], strcmp(argv[3], "ever") == 0);
	}
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (c == 's')
			seed = (uint32_t)strtoul(optarg, NULL, 10);
		else if (c == 't')
			seconds = strtoull(optarg, NULL, 10);
		else if (c == 'o')
			op = optarg;
		else if (c == 'k')
			keep = optarg;
		else if (c == 'd')
			tmp = optarg;
		else
			return 2;
	}
	if (seed == 0)
		check(getrandom(&seed, sizeof seed, 0) > 0);
	printf("seed %u\n", seed);
	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	log_set_level(LOG_LEVEL_ERROR + 1); /* of the judge: its findings tell */
	snprintf(run_dir, sizeof run_dir, "%s/calls-%d-run", tmp, getpid());
	snprintf(state_dir, sizeof state_dir, "%s/calls-%d-state", tmp, getpid());
	snprintf(trace_path, sizeof trace_path, "%s/calls-%d.trace", tmp, getpid());
	snprintf(out_path, sizeof out_path, "%s/calls-%d.out", tmp, getpid());
	return run_all(seconds, op);
}
