/* A round (round.h). */
#include "tests/crash/round.h"
#include "tests/crash/judge.h"
#include "tests/crash/kept.h"
#include "tests/crash/owed.h"
#include "tests/crash/volume.h"
#include "tests/crash/work.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	GENERATIONS = 3,
	PATH_ROOM = 512,
	CLIENTS = 12,
	RING_BYTES = 1 << 20,
	REAL_RING_BYTES = 4 << 20, /* the least that a setting may say */
	JUDGE_HANGS_S = 60,
	BAD_MAX = 20, /* of one run; then it is enough */
	NEAR = 3,     /* events around a commit of LMDB */
};

/* ---- the recorded process ---- */

static struct work_options parse_work(char **argv)
{
	return (struct work_options){.dir = argv[1],
	                             .generation = (uint32_t)atoi(argv[2]),
	                             .processes = (uint32_t)atoi(argv[3]),
	                             .clients = (uint32_t)atoi(argv[4]),
	                             .ops = (uint32_t)atoi(argv[5]),
	                             .ring_bytes = (uint64_t)atoll(argv[6]),
	                             .retention_bytes = (uint64_t)atoll(argv[7]),
	                             .checkpoint_ms = (uint64_t)atoll(argv[8]),
	                             .seed = (uint32_t)atoll(argv[9]),
	                             .observe = strchr(argv[10], 'o') != NULL,
	                             .backup = strchr(argv[10], 'b') != NULL,
	                             .kill = strchr(argv[10], 'k') != NULL,
	                             .faulty = strchr(argv[10], 'f') != NULL,
	                             .real = strchr(argv[10], 'r') != NULL};
}

int round_work(int argc, char **argv)
{
	check(argc == 11);
	struct work_options options = parse_work(argv);
	if (options.faulty)
		log_set_level(LOG_LEVEL_ERROR + 1);
	return work(&options);
}

/* ---- what a round is made of ---- */

static struct {
	const struct round_options *options;
	uint64_t random_state;
	char run_dir[PATH_ROOM], base_dir[PATH_ROOM], state_dir[PATH_ROOM], trace_path[PATH_ROOM];
	struct work_options work;
	char fault[64];
	bool has_base, restored, unsynced;
	bool backup_tried;  /* of this run */
	struct mark *marks; /* all that counts, of this run and those before */
	size_t marks_count, marks_room;
	struct trace trace;
	uint32_t bad;
} round_;
#define r round_

static struct shared {
	uint32_t state; /* in hand, of the point */
	bool backup;    /* it is the backup of the state */
	uint64_t states, open, backups, runs;
	uint64_t policies[VOLUME_POLICIES];
	struct judge_totals judged;
} * shared;

static uint32_t below(uint32_t n)
{
	r.random_state ^= r.random_state << 13;
	r.random_state ^= r.random_state >> 7;
	r.random_state ^= r.random_state << 17;
	return (uint32_t)(r.random_state >> 16) % n;
}

static void take_mark(const struct mark *mark)
{
	if (r.marks_count == r.marks_room) {
		r.marks_room = r.marks_room * 2 + 4096;
		r.marks = xrealloc(r.marks, r.marks_room * sizeof *r.marks);
	}
	struct mark *taken = &r.marks[r.marks_count++];
	*taken = *mark;
	if (mark->kind == MARK_BACKUP_DONE && mark->tail == 0) /* who made it did not know */
		taken->tail = owed.epoch_min;
	owed_take(taken);
}

/* What a store that was restored from the last backup owes: what was answered before that was
 * begun; what was asked until it was done may be there, what came later is not. False: there is
 * no backup. */
static bool owe_backup(void)
{
	size_t done = r.marks_count, begun;
	while (done > 0 &&
	       (r.marks[done - 1].kind != MARK_BACKUP_DONE || r.marks[done - 1].verdict != 0))
		done--;
	if (done == 0)
		return false;
	struct mark renewed = {.kind = MARK_OPENED, .tail = r.marks[done - 1].tail + 1};
	for (begun = done; r.marks[begun - 1].kind != MARK_BACKUP_BEGUN;)
		begun--;
	size_t count = r.marks_count;
	struct mark *all = r.marks;
	r.marks = NULL;
	r.marks_count = r.marks_room = 0;
	owed_clear();
	for (size_t i = 0; i < done && i < count; i++)
		if (i < begun ? all[i].kind != MARK_BACKUP_DONE : all[i].kind == MARK_ASKED)
			take_mark(&all[i]);
	take_mark(&renewed);
	owed_crashed();
	free(all);
	return true;
}

/* ---- recording ---- */

static const char *const faults[] = {
        "fdatasync:/ring:%u:2:drop",    "fdatasync:/ring:%u:9:drop",
        "fdatasync:/ring:%u:1:EIO",     "fdatasync:/ring:%u:3:drop",
        "fdatasync:/ring:%u:1:drop",    "fdatasync:/ring:%u:1:done",
        "pwritev:/ring:%u:1:half",      "pwritev:/ring:%u:2:ENOSPC",
        "pwritev:/ring:%u:1:short",     "pwrite:/data.mdb:%u:1:EIO",
        "pwrite:/data.mdb:%u:1:done",   "pwrite:/data.mdb:%u:2:ENOSPC",
        "fdatasync:/data.mdb:%u:1:EIO", "commit::%u:1:done",
        "commit::%u:2:ENOSPC",          "pwritev:/ring:%u:1:kill",
        "pwritev:/ring:%u:1:half-kill", "pwritev:/ring:%u:1:done-kill",
        "fdatasync:/ring:%u:1:kill",    "fdatasync:/ring:%u:1:done-kill",
        "pwrite:/data.mdb:%u:1:kill",   "commit::%u:1:kill",
        "commit::%u:1:done-kill",
};

static void choose_fault(void)
{
	const char *kind = faults[below(sizeof faults / sizeof *faults)];
	bool rows = strstr(kind, "ring") == NULL;
	const char *number = strchr(kind, '%');
	snprintf(r.fault, sizeof r.fault, "%.*s%u%s", (int)(number - kind), kind,
	         1 + below(rows ? 20 : 60), number + 2);
	r.work.faulty = true;
	if (strstr(kind, "drop") != NULL)
		r.work.processes = 1; /* what another's sync has covered is not known here */
}

static uint64_t ring_bytes(void)
{
	return r.options->with != NULL ? REAL_RING_BYTES : RING_BYTES;
}

static void choose_work(uint32_t generation)
{
	static const uint32_t checkpoints_ms[] = {10, 25, 25, 100};
	r.work = (struct work_options){.dir = r.run_dir,
	                               .generation = generation,
	                               .processes = 1 + below(3),
	                               .clients = CLIENTS,
	                               .ops = 10 + below(50),
	                               .ring_bytes = ring_bytes(),
	                               .retention_bytes = below(3) != 0 ? 30000 : 0,
	                               .checkpoint_ms = checkpoints_ms[below(4)],
	                               .seed = r.options->seed,
	                               .observe = r.has_base,
	                               .backup = true};
	r.fault[0] = '\0';
	uint32_t kind = below(4);
	if (kind == 1)
		r.work.kill = true;
	else if (kind == 2 && r.options->with == NULL)
		choose_fault();
}

static void set_environment(void)
{
	char library[PATH_ROOM], delay[16];
	ssize_t n = readlink("/proc/self/exe", library, sizeof library - 32);
	check(n > 0);
	library[n] = '\0';
	snprintf(strrchr(library, '/'), 32, "/libcrash_disk.so");
	snprintf(delay, sizeof delay, "%u", 200 + 200 * below(6));
	setenv(r.options->with != NULL ? "DISK_LIBRARY" : "LD_PRELOAD", library, 1);
	setenv("DISK_DIR", r.run_dir, 1);
	setenv("DISK_TRACE", r.trace_path, 1);
	setenv("DISK_DELAY_US", delay, 1);
	if (r.fault[0] != '\0')
		setenv("DISK_FAULT", r.fault, 1);
}

/* The program is told as `crash work` is, by its environment how to record, and whom to ask what a
 * store shows. */
static void exec_with(char words[9][32], const char *flags)
{
	char self[PATH_ROOM], verdicts[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	check(n > 0);
	self[n] = '\0';
	snprintf(verdicts, sizeof verdicts,
	         "ok=%d created=%d exists=%d duplicate=%d gone=%d "
	         "no-space=%d io-error=%d",
	         VERDICT_OK, VERDICT_CREATED, VERDICT_EXISTS, VERDICT_DUPLICATE, VERDICT_GONE,
	         VERDICT_NO_SPACE, VERDICT_IO_ERROR);
	setenv("CRASH", self, 1);
	setenv("CRASH_VERDICTS", verdicts, 1);
	execl(r.options->with, r.options->with, r.run_dir, words[1], words[2], words[3], words[4],
	      words[5], words[6], words[7], words[8], flags, NULL);
	_exit(127);
}

static void exec_work(void)
{
	char words[9][32], flags[8];
	snprintf(words[1], 32, "%u", r.work.generation);
	snprintf(words[2], 32, "%u", r.work.processes);
	snprintf(words[3], 32, "%u", r.work.clients);
	snprintf(words[4], 32, "%u", r.work.ops);
	snprintf(words[5], 32, "%llu", (unsigned long long)r.work.ring_bytes);
	snprintf(words[6], 32, "%llu", (unsigned long long)r.work.retention_bytes);
	snprintf(words[7], 32, "%llu", (unsigned long long)r.work.checkpoint_ms);
	snprintf(words[8], 32, "%u", r.work.seed);
	snprintf(flags, sizeof flags, "-%s%s%s%s", r.work.observe ? "o" : "",
	         r.work.backup ? "b" : "", r.work.kill ? "k" : "", r.work.faulty ? "f" : "");
	set_environment();
	if (r.options->with != NULL)
		exec_with(words, flags);
	execl("/proc/self/exe", "crash", "work", r.run_dir, words[1], words[2], words[3], words[4],
	      words[5], words[6], words[7], words[8], flags, NULL);
	_exit(127);
}

static void describe(void)
{
	printf("  seed %u run %u: %u processes, %u ops each of %u clients, retention "
	       "%llu%s%s%s%s\n",
	       r.options->seed, r.work.generation, r.work.processes, r.work.ops, r.work.clients,
	       (unsigned long long)r.work.retention_bytes, r.restored ? ", restored" : "",
	       r.work.kill ? ", kills" : "", r.fault[0] != '\0' ? ", fault " : "", r.fault);
}

static void record(void)
{
	int status;
	kept_command("rm", "-rf", r.run_dir, r.trace_path, NULL);
	if (r.has_base)
		kept_command("cp", "-r", r.base_dir, r.run_dir, NULL);
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0)
		exec_work();
	check(waitpid(pid, &status, 0) == pid);
	shared->runs++;
	if (status != 0) {
		describe();
		printf("  FAILED: the run itself, status 0x%x\n", status);
		r.bad++;
	}
}

/* ---- points ---- */

static int compare_int(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int event_of(enum mark_kind kind)
{
	for (int i = 0; i < r.trace.count; i++)
		if (r.trace.items[i].event->kind == TRACE_MARK &&
		    ((const struct mark *)(const void *)r.trace.items[i].data)->kind == kind)
			return i;
	return r.trace.count;
}

/* A third in the first opening, a third around commits of LMDB, the rest anywhere. */
static int *choose_points(int count)
{
	int *points = xcalloc((size_t)count, sizeof *points), opened = event_of(MARK_OPENED);
	int *commits = xcalloc((size_t)r.trace.count + 1, sizeof *commits), commits_count = 0;
	for (int i = 0; i < r.trace.count; i++)
		if (r.trace.items[i].event->kind == TRACE_WRITE_BEGIN &&
		    r.trace.items[i].event->flags)
			commits[commits_count++] = i;
	for (int i = 0; i < count; i++) {
		uint32_t kind = below(3);
		int at = (int)below((uint32_t)r.trace.count + 1);
		if (kind == 0 && opened > 0)
			at = (int)below((uint32_t)opened + 1);
		else if (kind == 1 && commits_count > 0)
			at = commits[below((uint32_t)commits_count)] - NEAR +
			     (int)below(2 * NEAR + 1);
		points[i] = at < 0 ? 0 : at > r.trace.count ? r.trace.count : at;
	}
	free(commits);
	qsort(points, (size_t)count, sizeof *points, compare_int);
	return points;
}

static uint64_t state_seed(int point, uint32_t state)
{
	uint64_t mixed =
	        (r.options->seed * 0x9e3779b97f4a7c15ull) ^
	        (((uint64_t)r.work.generation << 32) + (uint64_t)point + 1) * 0xbf58476d1ce4e5b9ull;
	mixed ^= mixed >> 31;
	return (mixed >> 12) * VOLUME_POLICIES + state;
}

/* ---- judging ---- */

static struct judge_options judge_options(void)
{
	return (struct judge_options){.ring_bytes = ring_bytes(),
	                              .retention_bytes = 30000, /* of any run of the round */
	                              .real = r.options->with != NULL,
	                              .may_refuse = r.unsynced};
}

static void judge_backup(void)
{
	char from[PATH_ROOM + 16], to[PATH_ROOM + 16];
	struct judge_options options = judge_options();
	shared->backup = true;
	volume_make(r.state_dir, state_seed(INT_MAX, VOLUME_NONE));
	snprintf(from, sizeof from, "%s/backup", r.state_dir);
	snprintf(to, sizeof to, "%s/data.mdb", r.state_dir);
	if (access(from, F_OK) != 0) {
		printf("    LOST: the backup\n");
		_exit(EXIT_FAILURE);
	}
	check(rename(from, to) == 0);
	snprintf(from, sizeof from, "%s/ring", r.state_dir);
	unlink(from);
	options.may_refuse = false;
	shared->backups++;
	if (owe_backup() && judge(r.state_dir, &options) != 0)
		_exit(EXIT_FAILURE);
}

/* In a process of its own, which tells in `shared` where it is. */
static void judge_point(int point, uint32_t from, uint32_t states, bool backup)
{
	struct judge_options options = judge_options();
	for (uint32_t i = from; i < states; i++) {
		shared->state = i;
		shared->backup = false;
		alarm(JUDGE_HANGS_S);
		enum volume_policy policy = volume_make(r.state_dir, state_seed(point, i));
		shared->states++;
		shared->policies[policy]++;
		shared->open += volume_open();
		unsigned faults_found = judge(r.state_dir, &options);
		shared->judged.messages += judge_totals.messages;
		shared->judged.there += judge_totals.there;
		shared->judged.not_there += judge_totals.not_there;
		shared->judged.refused += judge_totals.refused;
		judge_totals = (struct judge_totals){0};
		if (faults_found != 0)
			_exit(EXIT_FAILURE);
	}
	if (backup)
		judge_backup();
	_exit(EXIT_SUCCESS);
}

static void keep_state(int point, int status)
{
	char name[64], about[256];
	uint64_t seed = state_seed(point, shared->state);
	struct judge_options options = judge_options();
	enum volume_policy policy = volume_make(r.state_dir, seed);
	describe();
	printf("  FAILED: point %d of %d, state %u (%s%s), status 0x%x\n", point, r.trace.count,
	       shared->state, volume_policy_name(policy), shared->backup ? ", backup" : "", status);
	if (r.bad++ >= 3)
		return;
	snprintf(name, sizeof name, "s%u-g%u-p%d-%u", r.options->seed, r.work.generation, point,
	         shared->state);
	snprintf(about, sizeof about, "seed %u run %u point %d state %u %s fault \"%s\"",
	         r.options->seed, r.work.generation, point, shared->state,
	         volume_policy_name(policy), r.fault);
	kept_write(r.options->keep, name, r.state_dir, r.marks, r.marks_count, &options, about);
	kept_command("rm", "-rf", r.state_dir, NULL);
}

static void try_point(int point)
{
	uint32_t states = volume_open() ? VOLUME_POLICIES : 1;
	/* The first there is, and a few more. */
	bool backup = owed.backup && (!r.backup_tried || point % 8 == 0);
	r.backup_tried |= backup;
	for (uint32_t from = 0; from < states && r.bad < BAD_MAX; from = shared->state + 1) {
		int status;
		fflush(stdout);
		pid_t pid = fork();
		check(pid >= 0);
		if (pid == 0)
			judge_point(point, from, states, backup);
		check(waitpid(pid, &status, 0) == pid);
		if (status == 0)
			return;
		keep_state(point, status);
		if (shared->backup)
			return;
	}
}

/* ---- from one run to the next ---- */

static bool base_has(const char *name)
{
	char path[PATH_ROOM + 32];
	snprintf(path, sizeof path, "%s/%s", r.base_dir, name);
	return access(path, F_OK) == 0;
}

/* What is left of a store, or a backup of it alone. */
static void leave_base(int point)
{
	kept_command("rm", "-rf", r.base_dir, NULL);
	volume_make(r.base_dir, state_seed(point, below(VOLUME_POLICIES)));
	r.has_base = base_has("data.mdb") || base_has("ring");
	r.restored = r.unsynced = false;
	bool restore = r.has_base && base_has("backup") && owed.backup && below(2) == 0;
	owed_crashed();
	if (restore && owe_backup()) {
		kept_command("sh", "-c",
		             "mv \"$0/backup\" \"$0.b\" && rm -r \"$0\" && mkdir \"$0\" && "
		             "mv \"$0.b\" \"$0/data.mdb\"",
		             r.base_dir, NULL);
		r.restored = true;
		r.unsynced = below(2) == 0;
	}
}

/* To before the first event of the run. */
static void rewind_run(size_t marks)
{
	volume_begin(r.has_base ? r.base_dir : NULL, r.unsynced);
	r.marks_count = marks;
	owed_clear();
	for (size_t i = 0; i < marks; i++)
		owed_take(&r.marks[i]);
	owed_crashed();
}

static void step(int i)
{
	volume_step(&r.trace, i);
	if (r.trace.items[i].event->kind == TRACE_MARK)
		take_mark((const void *)r.trace.items[i].data);
}

static void try_points(void)
{
	int count = (int)(r.options->states / VOLUME_POLICIES) + 1, next = 0;
	int *points = choose_points(count);
	for (int i = 0; next < count; i++) {
		for (int last = -1; next < count && points[next] == i; last = points[next++])
			if (last != i && (owed.served || !r.unsynced))
				try_point(i);
		if (i < r.trace.count)
			step(i);
	}
	free(points);
}

/* Where the next run begins: mostly after somebody was served. */
static void crash(void)
{
	int from = below(4) != 0 ? event_of(MARK_OPENED) : 0;
	int point = from + (int)below((uint32_t)(r.trace.count - from) + 1);
	for (int i = 0; i < point; i++)
		step(i);
	leave_base(point);
}

static void run_generation(uint32_t generation)
{
	size_t marks = r.marks_count;
	r.backup_tried = false;
	choose_work(generation);
	record();
	trace_load(&r.trace, r.trace_path);
	rewind_run(marks);
	try_points();
	rewind_run(marks);
	crash();
	trace_free(&r.trace);
}

static void name_paths(const char *tmp)
{
	snprintf(r.run_dir, sizeof r.run_dir, "%s/crash-%d-run", tmp, getpid());
	snprintf(r.base_dir, sizeof r.base_dir, "%s/crash-%d-base", tmp, getpid());
	snprintf(r.state_dir, sizeof r.state_dir, "%s/crash-%d-state", tmp, getpid());
	snprintf(r.trace_path, sizeof r.trace_path, "%s/crash-%d.trace", tmp, getpid());
}

uint32_t round_run(const struct round_options *options)
{
	if (shared == NULL)
		shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
		              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED);
	free(r.marks);
	memset(&r, 0, sizeof r);
	r.options = options;
	r.random_state = options->seed * 0x9e3779b97f4a7c15ull | 1;
	name_paths(options->tmp);
	volume_weaken(options->weaken);
	owed_clear();
	for (uint32_t i = 1; i <= GENERATIONS && r.bad < BAD_MAX; i++)
		run_generation(i);
	kept_command("rm", "-rf", r.run_dir, r.base_dir, r.state_dir, r.trace_path, NULL);
	return r.bad;
}

#define ULL(n) ((unsigned long long)(n))

void round_print_totals(uint32_t rounds, uint64_t took_ms)
{
	printf("%u rounds, %llu runs, %llu states (%llu with unsynced writes or names) and %llu "
	       "backups in %llu.%llu s; %llu messages read; ops under way at the crash: %llu "
	       "there, "
	       "%llu not\n",
	       rounds, ULL(shared->runs), ULL(shared->states), ULL(shared->open),
	       ULL(shared->backups), ULL(took_ms / 1000), ULL(took_ms % 1000 / 100),
	       ULL(shared->judged.messages), ULL(shared->judged.there),
	       ULL(shared->judged.not_there));
	for (int i = 0; i < VOLUME_POLICIES; i++)
		printf("%s%s %llu", i != 0 ? ", " : "", volume_policy_name((enum volume_policy)i),
		       ULL(shared->policies[i]));
	printf("\n");
}

int round_judge_kept(int count, char **files)
{
	unsigned bad = 0;
	for (int i = 0; i < count; i++) {
		printf("%s: ", files[i]);
		fflush(stdout);
		unsigned found = kept_judge(files[i], "/dev/shm");
		printf("%s\n", found == 0 ? "sound" : "FAILED");
		bad += found != 0;
	}
	return bad != 0;
}
