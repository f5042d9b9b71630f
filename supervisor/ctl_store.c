/* ringsidectl: opening the store, checking it, copying it. */
#include "common/base/check.h"
#include "proto/roles.h"
#include "supervisor/admin.h"
#include "supervisor/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_MS = 200 };

static void use_settings(struct settings *settings, const json_t *answer)
{
	const char *key;
	json_t *value;
	char reason[SETTINGS_REASON_MAX];
	json_object_foreach ((json_t *)(uintptr_t)answer, key, value)
		if (strncmp(key, "store.", 6) == 0 || strncmp(key, "limits.", 7) == 0)
			settings_set(settings, span_str(key), span_str(json_string_value(value)),
			             reason);
}

/* Where the store is: as told, else as the supervisor says. */
static int find_store(const struct ctl *ctl, struct settings *settings, char data_dir[4096])
{
	static const char *const status[] = {"status"}, *const effective[] = {"settings"};
	json_t *answer;
	if (ctl->data_dir != NULL) {
		snprintf(data_dir, 4096, "%s", ctl->data_dir);
		return 0;
	}
	int fd = ctl_connect(ctl, true);
	if (fd < 0)
		return ctl_fail(
		        "no supervisor answers in %s: start ringside, or say --data-dir DIR",
		        ctl->run_dir);
	close(fd);
	int code = ctl_ask(ctl, 1, status, &answer);
	if (code != 0)
		return code;
	snprintf(data_dir, 4096, "%s", json_string_value(json_object_get(answer, "data_dir")));
	json_decref(answer);
	code = ctl_ask(ctl, 1, effective, &answer);
	if (code == 0)
		use_settings(settings, answer);
	json_decref(answer);
	return code;
}

/* A restored store that root looks into before its first start gets the rest of its files then.
 * They are for whoever runs ringside, as data.mdb is. */
static void leave_to_owner(const char *data_dir)
{
	static const char *const names[] = {"ring", "control", "open.lock", "lock.mdb"};
	char path[4200];
	struct stat data, own;
	snprintf(path, sizeof path, "%s/data.mdb", data_dir);
	if (geteuid() != 0 || lstat(path, &data) != 0 || data.st_uid == 0)
		return;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", data_dir, names[i]);
		/* O_PATH: closing any other would let go of LMDB's locks. */
		int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		/* Of one name only: another's link to a file of root stays what it is. */
		if (fd >= 0 && fstat(fd, &own) == 0 && S_ISREG(own.st_mode) && own.st_uid == 0 &&
		    own.st_nlink == 1 &&
		    fchownat(fd, "", data.st_uid, data.st_gid, AT_EMPTY_PATH) != 0)
			fprintf(stderr, "ringsidectl: %s stays root's: %s\n", path,
			        strerror(errno));
		if (fd >= 0)
			close(fd);
	}
}

static int open_store(struct store **store, const struct settings *s, const char *data_dir)
{
	const struct store_options options = {
	        .dir = data_dir,
	        .ring_bytes = s->store_ring_bytes,
	        .map_bytes = s->store_map_bytes,
	        .readers_max = 2048,
	        .checkpoint_ms = s->store_checkpoint_ms,
	        .chunk_bytes = s->store_chunk_bytes,
	        .streams_cached = s->store_streams_cached,
	        .free_bytes_min = s->store_free_bytes_min,
	        .limits = {.streams_max = s->limits_streams,
	                   .producers_per_stream_max = (uint32_t)s->limits_producers,
	                   .producer_idle_ms = s->limits_producer_idle_ms}};
	char reason[256], path[4200];
	snprintf(path, sizeof path, "%s/data.mdb", data_dir);
	/* Opening would make a new one. */
	if (access(path, F_OK) != 0)
		return ctl_fail("there is no store in %s", data_dir);
	if (access(path, R_OK | W_OK) != 0)
		return ctl_fail(
		        "%s belongs to another user: become root or the one who runs ringside",
		        data_dir);
	int error = store_open(store, &options, reason);
	leave_to_owner(data_dir);
	return error != 0 ? ctl_fail("%s", reason) : 0;
}

int ctl_open_store(const struct ctl *ctl, struct store **store, char data_dir[4096])
{
	struct settings settings;
	settings_init(&settings);
	int code = find_store(ctl, &settings, data_dir);
	if (code == 0)
		code = open_store(store, &settings, data_dir);
	settings_finish(&settings);
	return code;
}

/* ---- check ---- */

static void print_finding(void *arg, const char *text)
{
	(void)arg;
	puts(text);
}

static int check_store(const struct ctl *ctl, int argc, char **argv)
{
	struct store_check_totals totals;
	struct store *store;
	char data_dir[4096], size[32];
	if (argc > 0)
		return ctl_usage(ctl, "unexpected argument '%s'", argv[0]);
	int code = ctl_open_store(ctl, &store, data_dir);
	if (code != 0)
		return code;
	uint64_t findings = store_check(store, print_finding, NULL, &totals);
	store_close(&store);
	printf("format %u: %llu streams, %llu messages in %llu rows (%s), %llu entries in the "
	       "log\n",
	       totals.format, (unsigned long long)totals.streams,
	       (unsigned long long)totals.messages, (unsigned long long)totals.rows,
	       ctl_size(totals.bytes, size), (unsigned long long)totals.ring_entries);
	if (findings != 0)
		return ctl_fail("%llu violations in %s: keep the directory, restore a backup",
		                (unsigned long long)findings, data_dir);
	if (*totals.unfinished != '\0')
		return ctl_fail("nothing is violated, but not all of %s could be looked at: %s; "
		                "mend that and check again",
		                data_dir, totals.unfinished);
	puts("the store is sound");
	return EXIT_DONE;
}

/* ---- backup ---- */

struct progress {
	pthread_t thread;
	_Atomic bool done;
	char part[4096], source[4200];
};

static uint64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void *show_progress(void *arg)
{
	struct progress *progress = arg;
	const struct timespec pause = {.tv_nsec = PROGRESS_MS * 1000000l};
	char now[32], all[32];
	while (!atomic_load(&progress->done)) {
		fprintf(stderr, "\r%s of at most %s ", ctl_size(size_of(progress->part), now),
		        ctl_size(size_of(progress->source), all));
		nanosleep(&pause, NULL);
	}
	fputs("\r\033[K", stderr);
	return NULL;
}

static int backup_store(const struct ctl *ctl, int argc, char **argv)
{
	static struct progress progress;
	struct store *store;
	char data_dir[4096], reason[256], size[32];
	bool tty = isatty(STDERR_FILENO) == 1;
	if (argc != 1)
		return ctl_usage(ctl, "a file to write to is expected");
	int code = ctl_open_store(ctl, &store, data_dir);
	if (code != 0)
		return code;
	snprintf(progress.part, sizeof progress.part, "%s.part", argv[0]);
	snprintf(progress.source, sizeof progress.source, "%s/data.mdb", data_dir);
	if (tty)
		check(pthread_create(&progress.thread, NULL, show_progress, &progress) == 0);
	int error = store_backup(store, argv[0], reason);
	atomic_store(&progress.done, true);
	if (tty)
		pthread_join(progress.thread, NULL);
	store_close(&store);
	if (error != 0)
		return ctl_fail("%s", reason);
	printf("%s written to %s\n", ctl_size(size_of(argv[0]), size), argv[0]);
	return EXIT_DONE;
}

const struct ctl_text ctl_text_store = {
        "check | backup FILE",
        "check looks at every invariant and prints what is violated. backup writes a consistent\n"
        "copy of everything acknowledged so far; to restore, put it as data.mdb into an empty\n"
        "data directory. Both work while ringside runs; when it does not, say --data-dir.\n"};

int ctl_store(const struct ctl *ctl, int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "check") == 0)
		return check_store(ctl, argc - 1, argv + 1);
	if (argc > 0 && strcmp(argv[0], "backup") == 0)
		return backup_store(ctl, argc - 1, argv + 1);
	return ctl_usage(ctl, "check or backup is expected");
}
