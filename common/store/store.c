/* Opening, closing, status. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A refusal shows in the status for this long. */

enum { FS_NFS = 0x6969, FS_OVERLAY = 0x794c7630, FS_FUSE = 0x65735546 };

static int fail(char reason[256], const char *what, const char *dir)
{
	int error = errno;
	snprintf(reason, 256, "%s %.150s: %s", what, dir, strerror(error));
	return error;
}

/* LMDB and the robust locks need a local file system with coherent maps. */
static void warn_of_file_system(const char *dir)
{
	struct statfs fs;
	if (statfs(dir, &fs) != 0)
		return;
	if (fs.f_type == FS_NFS || fs.f_type == FS_OVERLAY || fs.f_type == FS_FUSE)
		log_warn("data directory is not on a local file system",
		         "dir=%s type=0x%lx advice=\"use a volume, not NFS or overlayfs\"", dir,
		         (unsigned long)fs.f_type);
}

/* Openers come one at a time, processes and threads alike. */
static int lock_directory(const char *path, int *fd)
{
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock lock = {.l_type = F_WRLCK};
	while (*fd >= 0 && fcntl(*fd, F_OFD_SETLKW, &lock) != 0)
		if (errno != EINTR)
			return errno;
	return *fd >= 0 ? 0 : errno;
}

/* Threads that began meanwhile have the descriptor too, so that closing ours would not let go of
 * it. */
static void unlock_directory(int fd)
{
	struct flock lock = {.l_type = F_UNLCK};
	fcntl(fd, F_OFD_SETLK, &lock);
	close(fd);
}

static uint64_t present_epoch(struct store *store, struct span name)
{
	struct span value;
	char text[32];
	if (!state_kv_get(&store->view.state, name, &value) || value.len >= sizeof text)
		return 0;
	memcpy(text, value.at, value.len);
	text[value.len] = '\0';
	return strtoull(text, NULL, 10);
}

/* What clients hold offsets of may not be here any more, and they must be told: the directory is a
 * restored backup, or the end of its log was given up. Nobody is served before that is durable. */
static int renew_epoch(struct store *store, char reason[256])
{
	char text[32];
	struct span name = SPAN("store.epoch");
	int len = snprintf(text, sizeof text, "%llu",
	                   (unsigned long long)present_epoch(store, name) + 1);
	struct command command = {
	        .kind = COMMAND_KV, .key = name, .value = span_of(text, (size_t)len)};
	store_execute(store, &command);
	if (command.verdict != VERDICT_OK) {
		snprintf(reason, 256, "cannot raise the epoch of the store in %.150s: %s",
		         store->dir,
		         command.verdict == VERDICT_NO_SPACE ? "no space left" : "the disk failed");
		return command.verdict == VERDICT_NO_SPACE ? ENOSPC : EIO;
	}
	log_warn("store begins anew",
	         "epoch=%s reason=\"a backup was restored, or the log was given up\"", text);
	return store_log_renewed(store, reason);
}

static int open_tables(struct store *store, bool *renew, char reason[256])
{
	const struct store_options *o = &store->options;
	int error = tables_open(&store->tables, store->dir, o->map_bytes, o->readers_max, reason);
	if (error != 0)
		return error;
	error = store_log_open(store, renew, reason);
	if (error != 0)
		tables_close(&store->tables);
	return error;
}

/* The ring first: whether we are alone shows there. */
static int open_files(struct store *store, bool *renew, char reason[256])
{
	int error = ring_find(&store->ring, store->dir, reason);
	if (error != 0)
		return error;
	error = store_log_swap(store, reason);
	if (error == 0)
		error = open_tables(store, renew, reason);
	if (error != 0)
		ring_close(&store->ring);
	return error;
}

static void start_threads(struct store *store)
{
	queue_init(store);
	store->written_last = &store->written;
	check(sem_init(&store->begun, 0, 0) == 0);
	thread_start(store, &store->commit_thread, commit_main);
	if (store->options.maintain)
		thread_start(store, &store->maintain_thread, maintain_main);
}

/* Both followers begin at the checkpoint; a lap between the two steps just means trying again. */
static bool follow_to_tail(struct follower *follower)
{
	for (int tries = 0; tries < 10; tries++)
		if (follower_restart(follower) == 0 &&
		    follower_advance(follower, ring_durable(&follower->store->ring), 0, NULL,
		                     NULL) == FOLLOW_DONE)
			return true;
	return false;
}

static int open_directory(struct store *store, int *lock_fd, char reason[256])
{
	if (mkdir(store->dir, 0700) != 0 && errno != EEXIST)
		return fail(reason, "cannot create", store->dir);
	warn_of_file_system(store->dir);
	char path[4096];
	snprintf(path, sizeof path, "%s/open.lock", store->dir);
	int error = lock_directory(path, lock_fd);
	return error != 0 ? (errno = error, fail(reason, "cannot lock", path)) : 0;
}

static void begin(struct store *store)
{
	store->options.limits.fork_prefix_bytes_max = store->ring.bytes / 32;
	follower_init(&store->head, store);
	follower_init(&store->view, store);
	store->head_cuts = ring_cuts(&store->ring);
	if (!follow_to_tail(&store->head) || !follow_to_tail(&store->view))
		fatal("store in %s is not readable: keep the directory, restore a backup",
		      store->dir);
	start_threads(store);
}

int store_open(struct store **out, const struct store_options *options, char reason[256])
{
	struct store *store = xcalloc(1, sizeof *store);
	bool renew = false;
	int lock_fd = -1;
	*out = NULL;
	store->options = *options;
	store->dir = xmemdup_text(options->dir, strlen(options->dir));
	int error = open_directory(store, &lock_fd, reason);
	if (error == 0)
		error = open_files(store, &renew, reason);
	if (error != 0) {
		if (lock_fd >= 0)
			unlock_directory(lock_fd);
		free(store->dir);
		free(store);
		return error;
	}
	begin(store);
	if (renew)
		error = renew_epoch(store, reason);
	unlock_directory(lock_fd);
	*out = store;
	if (error != 0)
		store_close(out);
	return error;
}

void store_close(struct store **out)
{
	struct store *store = *out;
	if (store == NULL)
		return;
	if (store->options.maintain) { /* first: it submits commands of its own */
		atomic_store(&store->maintain_stop, true);
		pthread_join(store->maintain_thread, NULL);
	}
	queue_stop(store);
	pthread_join(store->commit_thread, NULL);
	store_collect(store); /* who hears of it may look here once more */
	*out = NULL;
	follower_finish(&store->head);
	follower_finish(&store->view);
	tables_close(&store->tables);
	ring_close(&store->ring);
	free(store->builder.iov);
	free(store->builder.heads);
	free(store->ring_copy);
	free(store->dir);
	free(store);
}

const char store_full_reason[] = "the log is full, and the checkpoint gets nowhere";

static bool lately(const _Atomic uint64_t *at_ms)
{
	uint64_t ms = atomic_load(at_ms);
	return ms != 0 && clock_monotonic_ms() - ms < REFUSED_SHOWN_MS;
}

void store_status(struct store *store, struct store_status *status)
{
	*status = (struct store_status){.durable = ring_durable(&store->ring),
	                                .checkpoint = ring_checkpoint(&store->ring),
	                                .ring_bytes = store->ring.bytes,
	                                .streams = store->view.state.streams_count,
	                                .map_bytes = store->options.map_bytes,
	                                .commits = atomic_load(&store->commits),
	                                .commit_ns = atomic_load(&store->commit_ns),
	                                .synced_bytes = atomic_load(&store->synced_bytes),
	                                .checkpoints = atomic_load(&store->checkpoints),
	                                .checkpoint_ns = atomic_load(&store->checkpoint_ns)};
	int io_error = atomic_load(&store->ring.control->io_error);
	int own = atomic_load(&store->checkpoint_error);
	status->refusing = io_error != 0 ? EIO
	                   : own != 0    ? own
	                                 : atomic_load(&store->ring.control->refuse);
	status->unreadable = atomic_load(&store->tables.unreadable);
	bool refused = lately(&store->refused_ms), full = lately(&store->full_ms);
	if (status->refusing == 0 && (refused || full))
		status->refusing = refused ? ENOSPC : EBUSY;
	pthread_mutex_lock(&store->queue_lock);
	status->used_bytes = store->space.used_bytes;
	status->free_bytes = store->space.free_bytes;
	snprintf(status->reason, sizeof status->reason, "%s",
	         io_error != 0 ? strerror(io_error)
	         : refused && *store->refuse_reason == '\0'
	                 ? "too little room left for the last append"
	         : full && *store->refuse_reason == '\0' ? store_full_reason
	                                                 : store->refuse_reason);
	pthread_mutex_unlock(&store->queue_lock);
}

int store_reap_readers(const char *dir)
{
	MDB_env *env;
	int dead = 0, rc = mdb_env_create(&env);
	if (rc != 0)
		return rc;
	mdb_env_set_maxdbs(env, 16);
	rc = tables_env_open(env, dir, MDB_NOTLS | MDB_RDONLY);
	if (rc == 0)
		rc = mdb_reader_check(env, &dead);
	mdb_env_close(env);
	if (rc == 0 && dead > 0)
		log_info("stale reader slots freed", "count=%d", dead);
	return rc;
}
