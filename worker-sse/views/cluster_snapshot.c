/* GET /v1/cluster/snapshot: a backup of this node's store, made for whoever asks and gone with the
 * answer. One at a time, whichever worker is asked: it needs as much room again as the store. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-sse/views/cluster_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <uv.h>

enum { SLICE_BYTES = 256 * 1024, PATH_ROOM = 4096 };

struct snapshot {
	uv_work_t work;
	struct cluster *cluster;
	struct request *request; /* NULL: who asked has left */
	char path[PATH_ROOM], reason[256];
	int error, fd, lock_fd;
	bool writer_lost; /* by the thread that made it */
	uint64_t at, end;
};

static void snapshot_free(struct snapshot *s)
{
	if (s->fd >= 0)
		close(s->fd);
	close(s->lock_fd); /* which unlocks it */
	s->cluster->copying = false;
	free(s);
}

static void on_gone(struct request *request)
{
	struct snapshot *s = request->feature;
	snapshot_free(s);
}

/* The answer is cut: what has come is not whole. */
static void give_up(struct snapshot *s, const char *why)
{
	struct request *request = s->request;
	log_error("snapshot cut", "error=\"%s\"", why);
	request->on_gone = NULL;
	snapshot_free(s);
	reply_abort(request);
}

static void go_on(struct snapshot *s)
{
	static uint8_t bytes[SLICE_BYTES];
	struct request *request = s->request;
	size_t wanted = s->end - s->at < SLICE_BYTES ? s->end - s->at : SLICE_BYTES;
	ssize_t n = pread(s->fd, bytes, wanted, (off_t)s->at);
	if (n <= 0) {
		give_up(s, n < 0 ? strerror(errno) : "it is cut short");
		return;
	}
	const struct iovec iov = {bytes, (size_t)n};
	s->at += (uint64_t)n;
	bool all = reply_write(request, &iov, 1);
	if (s->at == s->end) {
		request->on_gone = NULL;
		snapshot_free(s);
		reply_end(request);
	} else if (all) {
		reply_again(request);
	}
}

static void on_drain(struct request *request)
{
	go_on(request->feature);
}

/* In a thread of the pool. */
static void make(uv_work_t *work)
{
	struct snapshot *s = work->data;
	struct store *store = s->cluster->worker->store;
	bool lost_before = store_writer_lost(store);
	s->error = store_backup(store, s->path, s->reason);
	s->writer_lost = !lost_before && store_writer_lost(store);
	if (s->error == 0) {
		struct stat st;
		s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
		s->error = s->fd < 0 || fstat(s->fd, &st) != 0 ? errno : 0;
		s->end = s->error == 0 ? (uint64_t)st.st_size : 0;
		snprintf(s->reason, sizeof s->reason, "%s", strerror(s->error));
	}
	unlink(s->path);
}

static void print_path(const struct sse_worker *w, const char *end, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s/snapshot-out-%u.mdb%s", w->settings->data_dir,
	         w->worker->slot, end);
}

void cluster_snapshot_forget(struct cluster *cluster)
{
	char path[PATH_ROOM];
	print_path(cluster->worker, "", path);
	unlink(path);
	print_path(cluster->worker, ".part", path);
	unlink(path);
}

static void on_made(uv_work_t *work, int status)
{
	static const struct header headers[] = {{"content-type", SPAN("application/octet-stream")},
	                                        {"cache-control", SPAN("no-store")}};
	struct snapshot *s = work->data;
	struct request *request = s->request;
	(void)status;
	s->cluster->making = false;
	if (s->writer_lost) /* that thread does not end, and has what all writers wait for */
		worker_exit(s->cluster->worker->worker, EXIT_FAILED);
	if (request_left(request) || s->error != 0) {
		if (s->error != 0)
			log_error("snapshot not made", "error=\"%s\"", s->reason);
		snapshot_free(s);
		reply_error(request, 503, "the snapshot could not be made; the log says why");
		return;
	}
	request->feature = s;
	request->on_gone = on_gone;
	request->on_drain = on_drain;
	reply_start(request, 200, headers, 2, s->end);
	go_on(s);
}

/* -1: another worker makes one, or sends it. */
static int lock(const struct sse_worker *w)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/snapshot-out.lock", w->settings->data_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd < 0)
		log_error("snapshot not made", "path=%s error=\"%s\"", path, strerror(errno));
	else
		close(fd);
	return -1;
}

/* What this node needs for its own writes is left alone. */
static bool has_room(const struct sse_worker *w)
{
	struct store_status status;
	struct statvfs fs;
	store_status(w->store, &status);
	if (statvfs(w->settings->data_dir, &fs) != 0)
		return true; /* who writes it will say */
	uint64_t there = (uint64_t)fs.f_bavail * fs.f_frsize,
	         needed = status.used_bytes + w->settings->store_free_bytes_min;
	if (there < needed)
		log_warn("no room for a snapshot", "free=%llu needed=%llu",
		         (unsigned long long)there, (unsigned long long)needed);
	return there >= needed;
}

void cluster_snapshot_begin(struct request *request)
{
	struct sse_worker *w = worker_of(request);
	int lock_fd = w->cluster->copying ? -1 : lock(w);
	if (lock_fd < 0) {
		reply_error(request, 503, "a snapshot is being made for another node");
		return;
	}
	if (!has_room(w)) {
		close(lock_fd);
		reply_error(request, 503, "no room for a snapshot; the log says how much");
		return;
	}
	struct snapshot *s = xcalloc(1, sizeof *s);
	*s = (struct snapshot){
	        .cluster = w->cluster, .request = request, .fd = -1, .lock_fd = lock_fd};
	s->work.data = s;
	print_path(w, "", s->path);
	w->cluster->copying = w->cluster->making = true;
	uv_queue_work(w->worker->loop, &s->work, make, on_made);
}
