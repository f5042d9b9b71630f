#include "common/worker/worker_store.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/store/tables.h"
#include "proto/roles.h"

#include <sys/resource.h>

enum {
	READERS_MAX = 2048, /* LMDB reader slots: workers, their threads, tools */
	TURN_NS = 10000,    /* about one more turn; the next asks again */
	WATCH_MS = 250,     /* how often the commit thread is looked at */
};
_Static_assert((int)WATCH_MS < (int)STORE_LOOK_MS, "or pauses are taken for the loop's own");

static void on_store_thread(void *arg)
{
	uv_async_send(arg);
}

/* Each turn of the loop ends with it. One store in a worker, for its whole life. */
static struct {
	uv_prepare_t prepare;
	uv_timer_t watch;
	struct worker *worker;
	struct store **store;
	uint64_t poll_ns; /* a commit that is expected within so long is waited for awake */
} turn;

/* Before the loop waits again: all input of this turn has been read. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct store *store = *turn.store;
	(void)prepare;
	if (store == NULL)
		return;
	store_kick(store);
	if (turn.poll_ns != 0 && store_expects(store, turn.poll_ns))
		busy_poll_for(&turn.worker->busy_poll, TURN_NS);
}

static void say_stalled(uint64_t stalled_ms)
{
	int holder = store_lock_holder(*turn.store);
	if (holder == 0)
		log_error("commits stand still", "for_ms=%llu cause=\"the disk\"",
		          (unsigned long long)stalled_ms);
	else
		log_error("commits stand still",
		          "for_ms=%llu cause=\"thread %d has the lock of the log\"",
		          (unsigned long long)stalled_ms, holder);
}

/* The loop turns, and nothing is written: whoever waits is told, and the supervisor hears nothing
 * until it goes on. */
static void on_watch(uv_timer_t *timer)
{
	struct worker *worker = turn.worker;
	(void)timer;
	if (*turn.store == NULL)
		return;
	uint64_t stalled_ms = store_stalled_ms(*turn.store);
	bool stalled = stalled_ms >= worker->settings.newest->store_commit_timeout_ms;
	if (stalled == worker->stalled)
		return;
	worker->stalled = stalled;
	atomic_store(&worker->mine->stalled, stalled);
	store_refuse(*turn.store, stalled);
	if (stalled)
		say_stalled(stalled_ms);
	else
		log_info("commits go on", "%s", "");
}

static void begin_turns(struct worker *worker, struct store **store)
{
	turn.worker = worker;
	turn.store = store;
	if ((role_of(worker->program->role)->traits & ROLE_HURRIES) != 0)
		turn.poll_ns = worker->settings.newest->store_busy_poll_us * 1000;
	atomic_store(&worker->mine->stalled, 0);
	uv_timer_init(worker->loop, &turn.watch);
	uv_timer_start(&turn.watch, on_watch, WATCH_MS, WATCH_MS);
	uv_prepare_init(worker->loop, &turn.prepare);
	uv_prepare_start(&turn.prepare, on_prepare);
}

/* LMDB writes to a file limit's end and not further: admission must stop well before (tables.c). */
static uint64_t map_bytes_within_file_limit(uint64_t map_bytes)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return map_bytes;
	uint64_t most = tables_map_within(limit.rlim_cur);
	return map_bytes < most ? map_bytes : most;
}

int worker_open_store(struct worker *worker, uv_async_t *async, struct store **store)
{
	const struct settings *s = worker->settings.newest;
	const struct store_options options = {
	        .dir = s->data_dir,
	        .ring_bytes = s->store_ring_bytes,
	        .map_bytes = map_bytes_within_file_limit(s->store_map_bytes),
	        .readers_max = READERS_MAX,
	        .checkpoint_ms = s->store_checkpoint_ms,
	        .commit_priority = (int)s->store_commit_priority,
	        .chunk_bytes = s->store_chunk_bytes,
	        .streams_cached = s->store_streams_cached,
	        .retention_bytes = s->store_retention_bytes,
	        .retention_ms = s->store_retention_age_ms,
	        .free_bytes_min = s->store_free_bytes_min,
	        .truncate = strcmp(s->store_recover, "truncate") == 0,
	        .limits = {.streams_max = s->limits_streams,
	                   .producers_per_stream_max = (uint32_t)s->limits_producers,
	                   .producer_idle_ms = s->limits_producer_idle_ms},
	        .maintain = true,
	        .gather = true,
	        .notify = on_store_thread,
	        .notify_arg = async,
	        .commit_latency = &worker->mine->commit,
	        .append_latency = &worker->mine->append};
	char reason[256];
	worker_follow(worker, true); /* before the durable mark is read */
	int error = store_open(store, &options, reason);
	if (error == 0) {
		begin_turns(worker, store);
		return 0;
	}
	if (process_exit_code(error) == EXIT_USAGE)
		return worker_cannot_start(worker, "%s", reason);
	log_line(error == EAGAIN ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "store not opened",
	         "reason=\"%s\"", reason);
	return EXIT_FAILED;
}
