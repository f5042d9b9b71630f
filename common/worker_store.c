#include "common/worker_store.h"
#include "common/log.h"
#include "proto/roles.h"

enum { READERS_MAX = 2048 }; /* LMDB reader slots: workers, their threads, tools */

static void on_store_thread(void *arg)
{
	uv_async_send(arg);
}

/* Before the loop waits again: all input of this turn has been read. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct store **store = prepare->data;
	if (*store != NULL)
		store_kick(*store);
}

static void kick_each_turn(uv_loop_t *loop, struct store **store)
{
	static uv_prepare_t prepare; /* one store in a worker, for its whole life */
	uv_prepare_init(loop, &prepare);
	prepare.data = store;
	uv_prepare_start(&prepare, on_prepare);
}

int worker_open_store(struct worker *worker, uv_async_t *async, struct store **store)
{
	const struct settings *s = &worker->settings;
	const struct store_options options = {
	        .dir = s->data_dir,
	        .ring_bytes = s->store_ring_bytes,
	        .map_bytes = s->store_map_bytes,
	        .readers_max = READERS_MAX,
	        .checkpoint_ms = s->store_checkpoint_ms,
	        .chunk_bytes = s->store_chunk_bytes,
	        .retention_bytes = s->store_retention_bytes,
	        .retention_ms = s->store_retention_age_ms,
	        .free_bytes_min = s->store_free_bytes_min,
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
	if (store_open(store, &options, reason) == 0) {
		kick_each_turn(worker->loop, store);
		return 0;
	}
	log_error("store not opened", "reason=\"%s\"", reason);
	return EXIT_FAILED;
}
