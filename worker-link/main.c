/* ringside-link: makes this node's store a copy of the one that is followed. It opens the store as
 * every worker does, writes the other node's records to its log and tells who serves them. It
 * decides nothing: link_step.c says what comes next. */
#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/domain/cluster_wire.h"
#include "common/worker/worker_store.h"
#include "proto/roles.h"
#include "worker-link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TICK_MS = 50,
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 2000,
	FETCH_AGAIN_MAX_MS = 15000, /* each costs the other node a copy of its store */
	OPEN_AGAIN_MAX_MS = 1000,
	SNAPSHOT_SILENCE_MS = 600000, /* it is made before the first byte of it comes */
	PATH_ROOM = 4096
};

#define CTX struct link
PROTO_INBOX_FOLLOWER(PROTO_HANDLER)

/* Nobody else writes here. */
static void on_log_durable(struct link *link, const struct party *from,
                           const struct proto_log_durable *m)
{
	(void)link;
	(void)from;
	(void)m;
}

static enum proto_verdict on_frame(struct worker *worker, const struct party *from, unsigned type,
                                   struct span body)
{
	struct link *ctx = worker->context;
	switch (type) {
		PROTO_INBOX_FOLLOWER(PROTO_DISPATCH)
	default:
		return PROTO_NOT_MINE;
	}
}

static void on_store(uv_async_t *async)
{
	(void)async; /* nothing is submitted and nothing read here */
}

/* ---- what link_step() says ---- */

static bool there(const struct settings *s, const char *name)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/%s", s->data_dir, name);
	return access(path, F_OK) == 0;
}

static void tell_joined(struct link *link, bool joined)
{
	peer_put(worker_supervisor(link->worker), joined, JOINED, {.joined = joined});
}

static void open_store(struct link *link)
{
	int code = worker_open_store(link->worker, &link->store_async, &link->store);
	if (code == 0) {
		tell_joined(link, true);
		link->on_event(link, LINK_ON_OPEN);
	} else if (code == EXIT_FAILED) {
		/* A snapshot that came takes the place of what others have open: a former life of
		 * this process may have ended before it could say so. */
		if (there(link->worker->settings.newest, STORE_SNAPSHOT_NAME))
			tell_joined(link, false);
		link->busy++;
		link->on_event(link, LINK_ON_BUSY);
	} else {
		worker_exit(link->worker, code);
	}
}

static void do_later(struct link *link, enum link_action action, uint64_t in_ms)
{
	link->later = action;
	link->due_ms = clock_monotonic_ms() + in_ms;
}

static void retry(struct link *link, enum link_action action, uint64_t times, uint64_t max_ms)
{
	const struct backoff backoff = {.min_ms = RETRY_MIN_MS, .max_ms = max_ms};
	do_later(link, action,
	         backoff_ms(&backoff, times > 0 ? times : 1, 0,
	                    (unsigned)clock_random_below(BACKOFF_DICE)));
}

/* It has started when it knows whether it can follow, or that nobody says so; and when the store is
 * open, or cannot be yet: that may take longer than a heartbeat may be late. */
static void act(struct link *link, enum link_action action)
{
	if (action != LINK_DO_NOTHING && action != LINK_DO_ASK && action != LINK_DO_OPEN)
		worker_ready(link->worker);
	switch (action) {
	case LINK_DO_NOTHING:
	case LINK_ACTIONS_COUNT:
		return;
	case LINK_DO_ASK:
		link_ask(link);
		return;
	case LINK_DO_ASK_LATER:
		if (link->fetch_lost)
			retry(link, LINK_DO_ASK, link->fetches_failed, FETCH_AGAIN_MAX_MS);
		else
			retry(link, LINK_DO_ASK, link->failures, RETRY_MAX_MS);
		return;
	case LINK_DO_FETCH:
		link_fetch(link);
		return;
	case LINK_DO_OPEN:
		open_store(link);
		return;
	case LINK_DO_OPEN_LATER:
		retry(link, LINK_DO_OPEN, link->busy, OPEN_AGAIN_MAX_MS);
		return;
	case LINK_DO_FOLLOW:
		link_follow(link);
		return;
	case LINK_DO_FOLLOW_LATER:
		retry(link, LINK_DO_FOLLOW, link->failures, RETRY_MAX_MS);
		return;
	case LINK_DO_RESTART:
		tell_joined(link, false);
		worker_exit(link->worker, EXIT_DONE);
		return;
	}
}

static void on_event(struct link *link, enum link_event event)
{
	enum link_state was = link->state;
	enum link_action action = link_step(&link->state, event);
	if (link->state == LINK_LIVE)
		link->was_live = true;
	if (link->state != was) {
		log_info("link", "state=%s was=%s on=%s", link_state_name(link->state),
		         link_state_name(was), link_event_name(event));
		counter_set(link->worker->mine, cluster_state, link->state);
		counter_set(link->worker->mine, cluster_ready,
		            link_state_ready(link->state, link->was_live));
	}
	act(link, action);
}

/* ---- time ---- */

/* A connection that says nothing is dead, whatever the network thinks. */
static void watch_silence(struct link *link, uint64_t now_ms)
{
	bool log_comes = counter_get(link->worker->mine, cluster_connected) != 0;
	bool waits = link->state == LINK_JOINING || link->state == LINK_ISOLATED;
	uint64_t silence_ms = log_comes || waits ? CLUSTER_SILENCE_MS : SNAPSHOT_SILENCE_MS;
	if (link->asking && now_ms > link->heard_ms + silence_ms) {
		link->heard_ms = now_ms;
		link_cancel(link);
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct link *link = timer->data;
	uint64_t now_ms = clock_monotonic_ms();
	if (link->draining)
		return;
	watch_silence(link, now_ms);
	if (now_ms >= link->due_ms) {
		link->due_ms = UINT64_MAX;
		act(link, link->later);
	}
}

/* ---- life ---- */

/* From now on the directory is a copy. */
static bool mark(const struct settings *s)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s/" STORE_REPLICA_NAME, s->data_dir);
	if (mkdir(s->data_dir, 0700) != 0 && errno != EEXIST)
		return false;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	bool fine = fd >= 0 && fsync(fd) == 0 && ring_sync_directory(s->data_dir) == 0;
	if (fd >= 0)
		close(fd);
	return fine;
}

static void create(struct link *link)
{
	const struct settings *s = link->worker->settings.newest;
	uv_loop_t *loop = link->worker->loop;
	size_t len = strlen(s->cluster_secret);
	link->bearer = xmalloc(len + 32);
	snprintf(link->bearer, len + 32, "Authorization: Bearer %s", s->cluster_secret);
	link->due_ms = UINT64_MAX;
	link->snapshot_fd = -1;
	link->posts = http_posts_create(loop, s->tls_ca_file);
	uv_async_init(loop, &link->store_async, on_store);
	link->store_async.data = link;
	uv_timer_init(loop, &link->tick);
	link->tick.data = link;
	uv_timer_start(&link->tick, on_tick, TICK_MS, TICK_MS);
	counter_set(link->worker->mine, cluster_connected, 0);
	counter_set(link->worker->mine, cluster_ready, 0);
}

static int start(struct worker *worker)
{
	static struct link link;
	const struct settings *s = worker->settings.newest;
	worker->context = &link;
	link.worker = worker;
	link.on_event = on_event;
	bool data = there(s, "data.mdb"), copy = store_is_replica(s->data_dir);
	if (data && !copy)
		return worker_cannot_start(worker,
		                           "cluster.follow: %.200s holds a store of its own: give "
		                           "this node an empty data_dir",
		                           s->data_dir);
	if (!copy && !mark(s)) {
		log_error("data_dir cannot be used", "error=\"%s\"", strerror(errno));
		return EXIT_FAILED;
	}
	create(&link);
	on_event(&link, data || there(s, STORE_SNAPSHOT_NAME) ? LINK_ON_COPY : LINK_ON_EMPTY);
	return 0;
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	struct link *link = worker->context;
	(void)due_ms;
	link->draining = true;
	worker_exit(worker, EXIT_DONE);
}

static void finish(struct worker *worker)
{
	struct link *link = worker->context;
	store_close(&link->store);
}

int main(int argc, char **argv)
{
	static const struct worker_program program = {.role = ROLE_LINK,
	                                              .start = start,
	                                              .drain = drain,
	                                              .on_frame = on_frame,
	                                              .finish = finish};
	return worker_main(argc, argv, &program);
}
