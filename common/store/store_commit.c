/* The commit thread: takes what has gathered, decides it under the lock, writes one record, makes
 * it durable with one sync, and says so.
 *
 * One process syncs at a time, and its sync covers what every process has written before. What it
 * gathered meanwhile it writes before anybody's next sync may begin; so does every other when it
 * hears of the end. A command thus waits for the end of at most one sync before its own. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/store/command_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	ROOM_WAIT_MS = 2000,   /* for the checkpointer, when the ring is full */
	LIGHT_BYTES = 4 << 20, /* upper bounds of a write that takes a moment */
	LIGHT_COMMANDS = 500,
	BATCH_COMMANDS = 4096, /* in one record: others wait for the lock */
	LATELY = 8,            /* commits that the moving average of their time reaches back */
	RECORD_BYTES = sizeof(struct ring_record) + 64,
	PREFETCH_STEPS = 4, /* table, path, table of streams, stream */
	PREFETCH_APART = 3, /* commands between two steps of one */
};

/* ---- the record in the making ---- */

static void builder_iov(struct record_builder *b, const void *at, size_t len)
{
	if (len == 0)
		return;
	if (b->iov_count == b->iov_room) {
		b->iov_room = b->iov_room != 0 ? b->iov_room * 2 : 256;
		b->iov = xrealloc(b->iov, b->iov_room * sizeof *b->iov);
	}
	/* Heads that follow each other are one piece. */
	struct iovec *last = b->iov_count > 1 ? &b->iov[b->iov_count - 1] : NULL;
	if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == at)
		last->iov_len += len;
	else
		b->iov[b->iov_count++] = (struct iovec){(void *)(uintptr_t)at, len};
}

static uint8_t *builder_copy_room(struct record_builder *b, size_t len)
{
	check(b->heads_room - b->heads_len >= len);
	return b->heads + b->heads_len;
}

static void builder_copied(struct record_builder *b, size_t len)
{
	builder_iov(b, b->heads + b->heads_len, len);
	b->heads_len += len;
}

/* Small bodies are cheaper to copy than to point to. */
enum { COPY_MAX = 512 };

static void builder_bytes(struct record_builder *b, const void *at, size_t len)
{
	if (len == 0)
		return;
	if (len > COPY_MAX) {
		builder_iov(b, at, len);
		return;
	}
	memcpy(builder_copy_room(b, len), at, len);
	builder_copied(b, len);
}

static uint64_t sink_put(void *arg, const struct entry *entry)
{
	struct record_builder *b = arg;
	uint64_t lsn = b->base_lsn + b->bytes;
	size_t total;
	size_t head = entry_encode_head(entry, builder_copy_room(b, ENTRY_HEAD_MAX), &total);
	builder_copied(b, head);
	size_t table = 4 * (size_t)entry->data.count;
	builder_bytes(b, entry->data.sizes, table);
	struct span data = entry->kind == ENTRY_KV ? entry->value : entry->data.bytes;
	if (entry->kind == ENTRY_KV && data.len != 0) {
		memcpy(builder_copy_room(b, data.len), data.at, data.len);
		builder_copied(b, data.len);
	} else {
		builder_bytes(b, data.at, data.len);
	}
	size_t pad = total - head - table - data.len;
	memset(builder_copy_room(b, 8), 0, 8);
	if (pad != 0)
		builder_copied(b, pad);
	b->bytes += total;
	b->entries++;
	return lsn;
}

/* What must be copied for a batch at most: heads, small bodies, values. */
static void builder_begin(struct record_builder *b, size_t bytes_max)
{
	size_t room = bytes_max + ENTRY_HEAD_MAX;
	if (b->heads_room < room || b->heads_room > 8 * room + (4u << 20)) {
		free(b->heads);
		b->heads = xmalloc(room);
		b->heads_room = room;
	}
	b->heads_len = 0;
	b->iov_count = 0;
	builder_iov(b, b->heads, 1); /* place of the record's own head */
	b->bytes = sizeof(struct ring_record);
	b->entries = 0;
}

/* ---- deciding ---- */

/* Would it make the store larger? Deletes, trims, closes and touches go through when it is full. */
static bool grows(const struct command *c)
{
	return c->kind == COMMAND_CREATE || c->kind == COMMAND_TXN || c->body.count != 0 ||
	       (c->kind == COMMAND_KV && c->value.at != NULL);
}

static bool catch_up(struct store *store)
{
	struct follower *head = &store->head;
	uint32_t cuts = ring_cuts(&store->ring);
	if (cuts != store->head_cuts && follower_restart(head) != 0)
		return false;
	store->head_cuts = cuts;
	for (int tries = 0; tries < 3; tries++) {
		switch (follower_advance(head, ring_tail(&store->ring).lsn, 0, NULL, NULL)) {
		case FOLLOW_DONE:
			return true;
		case FOLLOW_UNREADABLE:
			return false;
		case FOLLOW_LAPPED:
			if (follower_restart(head) != 0)
				return false;
		}
	}
	return false;
}

/* What stands in the log must fit into LMDB later: refused before it is written, not after.
 * VERDICT_OK, or why what grows is refused. */
static enum verdict refusal(struct store *store, size_t bytes)
{
	const struct ring *ring = &store->ring;
	int refuse = atomic_load(&ring->control->refuse),
	    own = atomic_load(&store->checkpoint_error);
	if (refuse == EIO || own == EIO)
		return VERDICT_IO_ERROR;
	bool full = refuse != 0 || own != 0 ||
	            ring_tail(ring).lsn - ring_checkpoint(ring) + bytes >
	                    atomic_load(&ring->control->room_bytes);
	return full ? VERDICT_NO_SPACE : VERDICT_OK;
}

/* Nobody has made room in the ring: as what grows is refused, or because the checkpoint gets
 * nowhere. Whoever writes to data.mdb stands still, or its disk does: space would not help. */
static enum verdict without_room(struct store *store)
{
	enum verdict verdict = refusal(store, 0);
	if (verdict != VERDICT_OK)
		return verdict;
	uint64_t now_ms = clock_monotonic_ms(), last_ms = atomic_exchange(&store->full_ms, now_ms);
	if (last_ms == 0 || now_ms - last_ms >= REFUSED_SHOWN_MS)
		log_error("appends refused", "reason=\"%s\"", store_full_reason);
	return VERDICT_STALLED;
}

static size_t bytes_of(const struct store *store, const struct command *c)
{
	return command_bytes_max(c, &store->options.limits);
}

/* Under the lock. What might not fit into a record, and stands alone then, is measured by what is
 * there: only that decides whether it does. False: that cannot be read. */
static bool measure(struct store *store, const struct command *list, size_t *bytes_max)
{
	if (*bytes_max <= store->ring.record_max)
		return true;
	if (list->next != NULL || !catch_up(store))
		return false;
	*bytes_max = RECORD_BYTES + command_bytes_now(list, &store->head.state);
	return true;
}

/* VERDICT_OK: the lock is held, and there is room for so many bytes. What never fits is not worth
 * waiting for. */
static enum verdict wait_for_room(struct store *store, const struct command *list,
                                  size_t *bytes_max)
{
	uint64_t due_ms = clock_monotonic_ms() + ROOM_WAIT_MS;
	for (size_t at_most = *bytes_max;; *bytes_max = at_most) {
		ring_lock(&store->ring);
		bool measured = measure(store, list, bytes_max);
		bool fits = measured && *bytes_max <= store->ring.record_max;
		if (fits && ring_has_room(&store->ring, *bytes_max))
			return VERDICT_OK;
		ring_unlock(&store->ring);
		if (!fits)
			return measured ? VERDICT_NO_SPACE : VERDICT_IO_ERROR;
		if (clock_monotonic_ms() >= due_ms)
			return without_room(store);
		usleep(500);
	}
}

/* What the next few commands are judged by is fetched while those before them are: with many
 * streams each is three misses, one behind the other. */
static void prefetch_ahead(const struct state *state, struct command *ahead[PREFETCH_STEPS])
{
	for (int step = 0; step < PREFETCH_STEPS; step++) {
		const struct command *c = ahead[step];
		if (c == NULL)
			continue;
		if (c->kind == COMMAND_APPEND)
			state_prefetch_path(state, c->path, step);
		ahead[step] = c->next;
	}
}

/* The step that comes first is farthest ahead. */
static void prefetch_begin(struct command *list, struct command *ahead[PREFETCH_STEPS])
{
	struct command *c = list;
	for (int step = PREFETCH_STEPS - 1; step >= 0; step--) {
		for (int n = 0; n < PREFETCH_APART && c != NULL; n++)
			c = c->next;
		ahead[step] = c;
	}
}

static void decide_all(struct store *store, struct command *list, size_t bytes_max)
{
	struct follower *head = &store->head;
	const struct entry_sink sink = {&store->builder, sink_put};
	enum verdict refused = refusal(store, bytes_max);
	uint64_t now_ms = clock_wall_ms();
	if (head->state.now_ms > now_ms + CLOCK_STEP_MS)
		atomic_store(&store->ran_back, true);
	struct command *ahead[PREFETCH_STEPS];
	prefetch_begin(list, ahead);
	for (struct command *c = list; c != NULL; c = c->next) {
		prefetch_ahead(&head->state, ahead);
		if (refused != VERDICT_OK && grows(c)) {
			c->verdict = refused;
			atomic_store(&store->refused_ms, clock_monotonic_ms());
			continue;
		}
		state_decide(&head->state, c, now_ms, &sink);
	}
}

/* Under the lock. The head state has already taken the entries: when they do not reach the ring, it
 * is started over. */
static enum verdict write_record(struct store *store, struct ring_position *at, size_t bytes_max)
{
	struct record_builder *b = &store->builder;
	if (store->head.state.torn) {
		store->head.state.torn = false;
		follower_restart(&store->head);
		return VERDICT_IO_ERROR;
	}
	if (b->entries == 0)
		return VERDICT_OK;
	check(b->bytes <= bytes_max); /* else it might run over the end of the file */
	int error = ring_write(&store->ring, at, b->iov, b->iov_count, b->entries, b->bytes);
	if (error == 0) {
		store->head.lsn = at->lsn;
		return VERDICT_OK;
	}
	log_error("log not written", "error=\"%s\"", strerror(error));
	follower_restart(&store->head);
	return VERDICT_IO_ERROR;
}

/* One record of commands: decided and written, not yet durable. VERDICT_OK or why not. */
static enum verdict write_batch(struct store *store, struct command *list, size_t bytes_max)
{
	struct ring_position at;
	if (ring_role(&store->ring) == RING_FOLLOWS)
		return VERDICT_ELSEWHERE;
	enum verdict verdict = wait_for_room(store, list, &bytes_max);
	if (verdict != VERDICT_OK)
		return verdict;
	verdict = VERDICT_IO_ERROR;
	if (ring_role(&store->ring) == RING_FOLLOWS) /* since then */
		verdict = VERDICT_ELSEWHERE;
	else if (ring_begin(&store->ring, bytes_max, &at) == 0 && catch_up(store)) {
		store->builder.base_lsn = at.lsn;
		builder_begin(&store->builder, bytes_max);
		decide_all(store, list, bytes_max);
		verdict = write_record(store, &at, bytes_max);
	}
	ring_unlock(&store->ring);
	return verdict;
}

/* ---- syncing ---- */

static void count_commit(struct store *store, uint64_t took_ns)
{
	atomic_fetch_add(&store->commits, 1);
	atomic_fetch_add(&store->commit_ns, took_ns);
	uint64_t lately = atomic_load(&store->commit_ns_lately);
	atomic_store(&store->commit_ns_lately, lately - lately / LATELY + took_ns / LATELY);
	histogram_add(store->options.commit_latency, took_ns);
}

static bool was_cut(const struct store *store, const struct written *batch)
{
	return batch->cuts != ring_cuts(&store->ring);
}

/* Those up to `lsn`: durable, or given up. `lsn` was read before. */
static void finish_written(struct store *store, uint64_t lsn, enum verdict verdict)
{
	while (store->written != NULL &&
	       (store->written->lsn <= lsn || was_cut(store, store->written))) {
		struct written *batch = store->written;
		store->written = batch->next;
		atomic_fetch_add(&store->progress, 1);
		if (verdict != VERDICT_OK || was_cut(store, batch))
			queue_refuse(batch->commands,
			             verdict != VERDICT_OK ? verdict : VERDICT_IO_ERROR);
		count_commit(store, clock_monotonic_ns() - batch->begun_ns);
		queue_finish(store, batch->commands);
		free(batch);
	}
	if (store->written == NULL)
		store->written_last = &store->written;
	queue_say_finished(store);
}

/* ---- batches ---- */

static void commit_batch(struct store *store, struct command *list, size_t bytes_max)
{
	uint64_t begun_ns = clock_monotonic_ns();
	enum verdict verdict =
	        atomic_load(&store->ring.control->io_error) != 0 && ring_sync(&store->ring) != 0
	                ? VERDICT_IO_ERROR
	                : write_batch(store, list, bytes_max);
	follower_evict(&store->head);
	atomic_fetch_add(&store->progress, 1);
	if (verdict != VERDICT_OK) {
		queue_refuse(list, verdict);
		queue_finish(store, list);
		queue_say_finished(store);
		return;
	}
	struct written *batch = xmalloc(sizeof *batch);
	*batch = (struct written){.cuts = store->head_cuts,
	                          .commands = list,
	                          .lsn = store->head.lsn,
	                          .begun_ns = begun_ns};
	atomic_fetch_add(&store->synced_bytes, store->builder.bytes);
	*store->written_last = batch;
	store->written_last = &batch->next;
}

/* Commands one record can take; at least one. The rest stays in *list. */
static struct command *take_batch(struct store *store, struct command **list, size_t *bytes_max)
{
	struct command *first = *list, *last = first;
	*bytes_max = RECORD_BYTES + bytes_of(store, first);
	size_t limit = store->ring.record_max / 2, commands = 1;
	while (last->next != NULL && commands++ < BATCH_COMMANDS &&
	       *bytes_max + bytes_of(store, last->next) <= limit) {
		last = last->next;
		*bytes_max += bytes_of(store, last);
	}
	*list = last->next;
	last->next = NULL;
	return first;
}

static void write_list(struct store *store, struct command *list)
{
	while (list != NULL) {
		size_t bytes_max;
		struct command *batch = take_batch(store, &list, &bytes_max);
		commit_batch(store, batch, bytes_max);
	}
}

/* Can it be written in a moment, without waiting for the checkpointer? */
static bool is_light(const struct store *store, const struct command *list)
{
	size_t bytes = 0, commands = 0;
	for (; list != NULL && bytes <= LIGHT_BYTES; list = list->next) {
		bytes += bytes_of(store, list);
		commands += 1 + list->part_count;
	}
	return bytes <= LIGHT_BYTES && commands <= LIGHT_COMMANDS &&
	       ring_has_room(&store->ring, 2 * LIGHT_BYTES);
}

/* What gathered during a sync that ended well is written before anybody's next may begin. */
static void sync_once(struct store *store)
{
	uint64_t tail = ring_tail(&store->ring).lsn;
	struct command *heavy = NULL;
	bool durable = ring_sync_locked(&store->ring) == 0;
	if (durable) {
		struct command *list = queue_take(store);
		if (is_light(store, list))
			write_list(store, list);
		else
			heavy = list;
	}
	ring_sync_unlock(&store->ring);
	finish_written(store, durable ? ring_durable(&store->ring) : tail,
	               durable ? VERDICT_OK : VERDICT_IO_ERROR);
	write_list(store, heavy);
}

/* Until nothing written is left. */
static void sync_all(struct store *store)
{
	while (store->written != NULL) {
		uint32_t seen = ring_syncs(&store->ring);
		if (store->written->lsn <= ring_durable(&store->ring) ||
		    was_cut(store, store->written))
			finish_written(store, ring_durable(&store->ring), VERDICT_OK);
		else if (ring_sync_trylock(&store->ring))
			sync_once(store);
		else
			ring_sync_wait(&store->ring, seen);
		write_list(store, queue_take(store));
	}
}

/* It runs for some microseconds at a time and everybody waits for it; but on a CPU whose other
 * thread never sleeps (readers who catch up) each of its wake-ups may wait for the end of that
 * one's slice, milliseconds. [commit thread; nice is a thread's own on Linux, setpriority(2)] */
static void go_before_others(int levels)
{
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - levels);
}

void *commit_main(void *arg)
{
	struct store *store = arg;
	go_before_others(store->options.commit_priority);
	thread_begin(store, "commit");
	while (queue_wait(store)) {
		atomic_store(&store->busy, true);
		write_list(store, queue_take(store));
		sync_all(store);
		atomic_store(&store->busy, false);
	}
	return NULL;
}

/* ---- a thread that does not get on ---- */

uint64_t store_stalled_ms(struct store *store)
{
	uint64_t now_ms = clock_monotonic_ms(), progress = atomic_load(&store->progress);
	uint64_t passed_ms = now_ms - store->watch.looked_ms;
	bool stalled = atomic_load(&store->busy) && progress == store->watch.progress;
	store->watch.stalled_ms += passed_ms < STORE_LOOK_MS ? passed_ms : STORE_LOOK_MS;
	if (!stalled)
		store->watch.stalled_ms = 0;
	store->watch.progress = progress;
	store->watch.looked_ms = now_ms;
	return store->watch.stalled_ms;
}

int store_lock_holder(const struct store *store)
{
	return ring_lock_holder(&store->ring);
}
