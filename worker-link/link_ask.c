/* What is asked of the other node: who it is, a snapshot, its log. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/domain/cluster_wire.h"
#include "worker-link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	STATUS_TIMEOUT_MS = 5000,
	SYNC_BYTES =
	        8 << 20, /* of a snapshot, as it comes: all of it at once would take its time */
	URL_ROOM = 1280,
	PATH_ROOM = 4096
};

static const struct settings *settings_of(const struct link *link)
{
	return link->worker->settings.newest;
}

static void path_in_store(const struct link *link, const char *name, char path[PATH_ROOM])
{
	check(snprintf(path, PATH_ROOM, "%s/%s", settings_of(link)->data_dir, name) < PATH_ROOM);
}

static void ask(struct link *link, const char *what, uint64_t timeout_ms,
                bool (*on_piece)(void *arg, struct span piece),
                void (*done)(void *arg, const struct http_post_answer *answer))
{
	char url[URL_ROOM];
	const char *const headers[] = {link->bearer, NULL};
	snprintf(url, sizeof url, "%s/v1/cluster/%s", settings_of(link)->cluster_follow, what);
	link->asking = true;
	link->heard_ms = clock_monotonic_ms();
	const struct http_post post = {.url = url,
	                               .get = true,
	                               .headers = headers,
	                               .timeout_ms = timeout_ms,
	                               .once = true,
	                               .reach = address_reach_of_own(url),
	                               .on_piece = on_piece};
	http_posts_send(link->posts, &post, done, link);
}

void link_cancel(struct link *link)
{
	if (link->asking)
		http_posts_cancel(link->posts, link);
}

/* Why there was no 200, for the log: once while it stays the same. */
static void say_failure(struct link *link, const char *what, const struct http_post_answer *answer)
{
	if (link->failures > 1 || link->draining)
		return;
	if (answer->status == 0)
		log_warn("the node that is followed is not reached", "asked=%s error=\"%s\"", what,
		         answer->error);
	else if (answer->status == 401 || answer->status == 403)
		log_error("the node that is followed refuses this one",
		          "asked=%s status=%u advice=\"cluster.secret must be the same on both\"",
		          what, answer->status);
	else
		log_warn("the node that is followed does not give it", "asked=%s status=%u", what,
		         answer->status);
}

static void end(struct link *link, const char *what, const struct http_post_answer *answer,
                enum link_event event)
{
	link->asking = false;
	if (event == LINK_ON_LOST) {
		link->failures++;
		say_failure(link, what, answer);
	}
	if (!link->draining)
		link->on_event(link, event);
}

/* ---- who it is ---- */

/* What makes it impossible to follow that node, for people; NULL: nothing. */
static const char *unfit(const struct link *link, const json_t *status, char reason[256])
{
	uint64_t ring_bytes = settings_of(link)->store_ring_bytes & ~4095ull;
	uint64_t theirs = (uint64_t)json_integer_value(json_object_get(status, "ring_bytes"));
	uint64_t format = (uint64_t)json_integer_value(json_object_get(status, "format"));
	if (format != CLUSTER_FORMAT) {
		snprintf(reason, 256,
		         "cluster.follow: that node's log has format %llu, this release's %d",
		         (unsigned long long)format, CLUSTER_FORMAT);
		return reason;
	}
	if (theirs != ring_bytes) {
		snprintf(reason, 256,
		         "store.ring_bytes: the node that is followed has %llu, this one %llu: "
		         "they must be equal",
		         (unsigned long long)theirs, (unsigned long long)ring_bytes);
		return reason;
	}
	return NULL;
}

/* At the start that is a mistake that no restart can mend. Who serves goes on with what it has: the
 * other node may be another one for a while. */
static void cannot_follow(struct link *link, const char *reason)
{
	link->asking = false;
	if (link->state == LINK_ASKING) {
		log_error("this node cannot follow", "reason=\"%s\"", reason);
		worker_exit(link->worker, worker_cannot_start(link->worker, "%s", reason));
		return;
	}
	if (!link->said_unfit)
		log_error("this node cannot follow any more",
		          "reason=\"%s\" consequence=\"what it has is served\"", reason);
	link->said_unfit = true;
	link->failures++;
	if (!link->draining)
		link->on_event(link, LINK_ON_LOST);
}

static void on_status(void *arg, const struct http_post_answer *answer)
{
	struct link *link = arg;
	char reason[256];
	link->fetch_lost = false;
	json_t *status = answer->status == 200 ? json_loadb((const char *)answer->body.at,
	                                                    answer->body.len, 0, NULL)
	                                       : NULL;
	if (json_is_object(status) && unfit(link, status, reason) != NULL)
		cannot_follow(link, reason);
	else
		end(link, "status", answer, json_is_object(status) ? LINK_ON_FITS : LINK_ON_LOST);
	json_decref(status);
}

void link_ask(struct link *link)
{
	ask(link, "status", STATUS_TIMEOUT_MS, NULL, on_status);
}

/* ---- a snapshot ---- */

static bool write_whole(int fd, struct span piece)
{
	while (piece.len > 0) {
		ssize_t n = write(fd, piece.at, piece.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		piece = span_of(piece.at + n, piece.len - (size_t)n);
	}
	return true;
}

static bool on_snapshot_piece(void *arg, struct span piece)
{
	struct link *link = arg;
	link->heard_ms = clock_monotonic_ms();
	bool written = write_whole(link->snapshot_fd, piece);
	link->unsynced += piece.len;
	if (written && link->unsynced >= SYNC_BYTES) {
		link->unsynced = 0;
		written = fdatasync(link->snapshot_fd) == 0;
		link->heard_ms = clock_monotonic_ms(); /* that may have taken its time */
	}
	if (written)
		return true;
	log_error("snapshot not written", "error=\"%s\"", strerror(errno));
	return false;
}

/* On the disk, name and all: the rest of it. */
static bool settle_snapshot(struct link *link)
{
	char part[PATH_ROOM], whole[PATH_ROOM];
	path_in_store(link, STORE_SNAPSHOT_NAME ".part", part);
	path_in_store(link, STORE_SNAPSHOT_NAME, whole);
	bool fine = fsync(link->snapshot_fd) == 0 && rename(part, whole) == 0 &&
	            ring_sync_directory(settings_of(link)->data_dir) == 0;
	if (!fine)
		log_error("snapshot not kept", "error=\"%s\"", strerror(errno));
	return fine;
}

static void on_snapshot(void *arg, const struct http_post_answer *answer)
{
	struct link *link = arg;
	bool came = answer->status == 200 && settle_snapshot(link);
	close(link->snapshot_fd);
	link->snapshot_fd = -1;
	if (came) {
		counter_add(link->worker->mine, cluster_snapshots_total, 1);
		log_info("snapshot came", "from=%s", settings_of(link)->cluster_follow);
	}
	link->fetches_failed = came ? 0 : link->fetches_failed + 1;
	link->fetch_lost = !came;
	end(link, "snapshot", answer, came ? LINK_ON_CAME : LINK_ON_LOST);
}

void link_fetch(struct link *link)
{
	char part[PATH_ROOM];
	path_in_store(link, STORE_SNAPSHOT_NAME ".part", part);
	link->snapshot_fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	link->unsynced = 0;
	if (link->snapshot_fd < 0) {
		const struct http_post_answer none = {.error = strerror(errno)};
		link->fetches_failed++;
		link->fetch_lost = true;
		end(link, "snapshot", &none, LINK_ON_LOST);
		return;
	}
	ask(link, "snapshot", 0, on_snapshot_piece, on_snapshot);
}

/* ---- the log ---- */

/* At the end of it, or since when not. */
static void judge_lag(struct link *link)
{
	uint64_t tail = ring_tail(store_ring(link->store)).lsn, now_ms = clock_monotonic_ms();
	uint64_t lag_bytes = link->intake.end_lsn - tail;
	if (lag_bytes == 0)
		link->behind_ms = 0;
	else if (link->behind_ms == 0)
		link->behind_ms = now_ms;
	uint64_t lag_ms = link->behind_ms != 0 ? now_ms - link->behind_ms : 0;
	counter_set(link->worker->mine, cluster_lag_bytes, lag_bytes);
	counter_set(link->worker->mine, cluster_lag_seconds, lag_ms);
	if (lag_bytes == 0)
		link->on_event(link, LINK_ON_AT_END);
	else if (lag_ms >= settings_of(link)->cluster_ready_lag_ms)
		link->on_event(link, LINK_ON_BEHIND);
}

static bool on_log_piece(void *arg, struct span piece)
{
	struct link *link = arg;
	struct ring *ring = store_ring(link->store);
	uint64_t before = ring_durable(ring);
	bool first = !counter_get(link->worker->mine, cluster_connected);
	link->heard_ms = clock_monotonic_ms();
	if (first) {
		link->failures = 0;
		counter_set(link->worker->mine, cluster_connected, 1);
		link->on_event(link, LINK_ON_CONNECTED);
	}
	enum intake_result result = intake_take(&link->intake, piece);
	link->heard_ms = clock_monotonic_ms(); /* that may have taken its time */
	counter_add(link->worker->mine, cluster_taken_bytes_total, piece.len);
	uint64_t durable = ring_durable(ring);
	if (durable > before)
		worker_announce_durable(link->worker, durable);
	if (result == INTAKE_FOREIGN)
		link->ends_with = LINK_ON_PARTED;
	if (result != INTAKE_FINE)
		return false;
	judge_lag(link);
	return true;
}

static void on_log(void *arg, const struct http_post_answer *answer)
{
	struct link *link = arg;
	counter_set(link->worker->mine, cluster_connected, 0);
	if (answer->status == 409 || answer->status == 410) {
		log_warn("the log leads nowhere from here",
		         "status=%u consequence=\"a snapshot is fetched\"", answer->status);
		link->ends_with = LINK_ON_PARTED;
	} else if (link->ends_with == LINK_ON_PARTED) {
		log_warn("what came does not follow",
		         "at=%llu consequence=\"a snapshot is fetched\"",
		         (unsigned long long)ring_tail(store_ring(link->store)).lsn);
	}
	end(link, "log", answer, link->ends_with);
}

void link_follow(struct link *link)
{
	char what[96];
	struct ring_position tail = ring_tail(store_ring(link->store));
	snprintf(what, sizeof what, "log?lsn=%llu&hash=%016llx", (unsigned long long)tail.lsn,
	         (unsigned long long)tail.hash);
	intake_begin(&link->intake, store_ring(link->store));
	link->ends_with = LINK_ON_LOST;
	counter_add(link->worker->mine, cluster_connects_total, 1);
	ask(link, what, 0, on_log_piece, on_log);
}
