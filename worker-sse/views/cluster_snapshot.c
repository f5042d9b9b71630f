/* GET /v1/cluster/snapshot: a backup of this node's store, made for whoever asks and gone with the
 * answer. One at a time: it needs as much room again as the store has. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "worker-sse/views/cluster_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

enum { SLICE_BYTES = 256 * 1024, PATH_ROOM = 4096 };

struct snapshot {
	uv_work_t work;
	struct cluster *cluster;
	struct request *request; /* NULL: who asked has left */
	char path[PATH_ROOM], reason[256];
	int error, fd;
	uint64_t at, end;
};

static void snapshot_free(struct snapshot *s)
{
	if (s->fd >= 0)
		close(s->fd);
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
	s->error = store_backup(s->cluster->worker->store, s->path, s->reason);
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

void cluster_snapshot_begin(struct request *request)
{
	struct sse_worker *w = worker_of(request);
	if (w->cluster->copying) {
		reply_error(request, 503, "a snapshot is being made for another node");
		return;
	}
	struct snapshot *s = xcalloc(1, sizeof *s);
	*s = (struct snapshot){.cluster = w->cluster, .request = request, .fd = -1};
	s->work.data = s;
	print_path(w, "", s->path);
	w->cluster->copying = w->cluster->making = true;
	uv_queue_work(w->worker->loop, &s->work, make, on_made);
}
