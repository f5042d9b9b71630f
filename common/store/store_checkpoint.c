/* From the ring into LMDB, and what keeps the files bounded: expiry, retention, garbage. Whichever
 * process comes first when it is due does it, under a robust lock. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map_guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	PURGE_ROWS = 4000,            /* per transaction */
	PORTION_BYTES_MIN = 16 << 10, /* of the log, per transaction */
	EXPIRE_MAX = 1000,            /* commands per round */
	AGE_SCAN_STREAMS = 500,       /* per round */
	ROUND_MS = 20,
};

/* ---- data of one stream ---- */

struct row_builder {
	uint8_t *sizes, *data;
	size_t sizes_len, sizes_room, data_len, data_room;
	uint32_t count;
	uint64_t start, at_ms;
};

static void row_add(struct row_builder *b, const uint8_t *sizes, uint32_t count, struct span data,
                    bool mark_end)
{
	size_t table = 4 * (size_t)count;
	if (b->sizes_room < b->sizes_len + table) {
		b->sizes_room = (b->sizes_len + table) * 2;
		b->sizes = xrealloc(b->sizes, b->sizes_room);
	}
	if (b->data_room < b->data_len + data.len) {
		b->data_room = (b->data_len + data.len) * 2;
		b->data = xrealloc(b->data, b->data_room);
	}
	memcpy(b->sizes + b->sizes_len, sizes, table);
	memcpy(b->data + b->data_len, data.at, data.len);
	b->sizes_len += table;
	b->data_len += data.len;
	b->count += count;
	if (mark_end && count > 0) {
		uint32_t last;
		memcpy(&last, b->sizes + b->sizes_len - 4, 4);
		last |= chunk_append_ends;
		memcpy(b->sizes + b->sizes_len - 4, &last, 4);
	}
}

static int row_flush(struct store *store, MDB_txn *txn, uint64_t id, struct row_builder *b)
{
	if (b->count == 0)
		return 0;
	struct id_key id_key = key_of(id, b->start);
	MDB_val key = {16, id_key.bytes};
	MDB_val value = {CHUNK_HEAD_BYTES + b->sizes_len + b->data_len, NULL};
	int rc = mdb_put(txn, store->tables.chunk, &key, &value, MDB_RESERVE);
	if (rc != 0)
		return rc;
	uint8_t *at = value.mv_data;
	const uint32_t zero = 0;
	memcpy(at, &b->count, 4);
	memcpy(at + 4, &zero, 4);
	memcpy(at + 8, &b->at_ms, 8);
	memcpy(at + CHUNK_HEAD_BYTES, b->sizes, b->sizes_len);
	memcpy(at + CHUNK_HEAD_BYTES + b->sizes_len, b->data, b->data_len);
	chunk_row_seal(id, b->start, at, value.mv_size);
	b->count = 0;
	b->sizes_len = b->data_len = 0;
	return 0;
}

/* A slow stream would leave a row per checkpoint: go on with its last row while that is small. It
 * is written over by row_flush(). */
static int row_resume(struct store *store, MDB_txn *txn, uint64_t id, uint64_t at,
                      struct row_builder *b)
{
	struct tables_reader reader = {.tables = &store->tables, .txn = txn};
	MDB_cursor *cursor;
	struct chunk_row row;
	int rc = tables_cursor_open(&store->tables, txn, store->tables.chunk, &cursor);
	if (rc != 0)
		return rc;
	/* A damaged one stays as it is: what comes behind it is sound. */
	if (at > 0 && tables_seek_chunk(&reader, cursor, id, at - 1, &row) == ROW_PRESENT &&
	    row.start + row.data.len == at && row.data.len < store->options.chunk_bytes / 2) {
		b->start = row.start;
		row_add(b, row.sizes, row.count, row.data, false);
	}
	mdb_cursor_close(cursor);
	return rc;
}

static int flush_data(struct store *store, MDB_txn *txn, struct stream *stream,
                      struct row_builder *b)
{
	uint8_t *copy = NULL;
	size_t room = 0;
	b->count = 0;
	b->sizes_len = b->data_len = 0;
	int rc = stream->pieces_count == 0
	                 ? 0
	                 : row_resume(store, txn, stream->id, stream->pieces[0].offset, b);
	for (uint32_t i = 0; i < stream->pieces_count && rc == 0; i++) {
		struct entry entry;
		/* Not yet checkpointed, so nobody may overwrite it. */
		check(ring_entry(&store->ring, stream->pieces[i].lsn, &copy, &room, &entry));
		if (b->count != 0 &&
		    b->data_len + entry.data.bytes.len > store->options.chunk_bytes)
			rc = row_flush(store, txn, stream->id, b);
		if (b->count == 0)
			b->start = entry.offset;
		b->at_ms = entry.at_ms;
		row_add(b, (const uint8_t *)entry.data.sizes, entry.data.count, entry.data.bytes,
		        true);
	}
	if (rc == 0)
		rc = row_flush(store, txn, stream->id, b);
	free(copy);
	return rc;
}

/* ---- one checkpoint ---- */

struct flush {
	struct store *store;
	MDB_txn *txn;
	struct row_builder row;
	uint64_t *over; /* ids of streams above their retention */
	size_t over_count, over_room;
};

static void note_retention(struct flush *flush, const struct stream *stream)
{
	uint64_t keep = flush->store->options.retention_bytes;
	if (keep == 0 || stream->tail - stream->first <= keep + keep / 4)
		return;
	if (flush->over_count == flush->over_room) {
		flush->over_room = flush->over_room * 2 + 64;
		flush->over = xrealloc(flush->over, flush->over_room * sizeof *flush->over);
	}
	flush->over[flush->over_count++] = stream->id;
}

static int flush_stream(struct flush *flush, struct stream *stream)
{
	const struct tables *tables = &flush->store->tables;
	if (stream->dropped)
		return tables_drop_stream(tables, flush->txn, stream);
	int rc = flush_data(flush->store, flush->txn, stream, &flush->row);
	if (rc == 0)
		rc = tables_put_stream(tables, flush->txn, stream);
	if (rc == 0 && stream->first > 0 && stream->first != stream->fork_offset)
		rc = tables_put_garbage(tables, flush->txn, stream->id, stream->first);
	note_retention(flush, stream);
	return rc;
}

static int compare_ids(const void *a, const void *b)
{
	const struct stream *const *x = a, *const *y = b;
	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* In the order of the rows: what is written next stands on the page that was just looked for. */
static struct stream **by_id(struct stream *list, size_t *count)
{
	*count = 0;
	for (const struct stream *s = list; s != NULL; s = s->dirty_next)
		++*count;
	struct stream **sorted = xmalloc((*count + 1) * sizeof(struct stream *));
	size_t at = 0;
	for (struct stream *s = list; s != NULL; s = s->dirty_next)
		sorted[at++] = s;
	qsort(sorted, at, sizeof(struct stream *), compare_ids);
	return sorted;
}

static int flush_state(struct flush *flush, struct state *state, uint64_t since)
{
	const struct tables *tables = &flush->store->tables;
	int rc = 0;
	size_t count;
	struct stream **dirty = by_id(state->dirty, &count);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = flush_stream(flush, dirty[i]);
	free(dirty);
	for (struct state_path *p = state->paths; p != NULL && rc == 0; p = p->next)
		if (p->lsn >= since)
			rc = tables_put_path(tables, flush->txn, p);
	for (struct state_kv *kv = state->kvs; kv != NULL && rc == 0; kv = kv->hh.next)
		if (kv->lsn >= since)
			rc = tables_put_kv(tables, flush->txn, kv);
	return rc;
}

/* Follows the log from the checkpoint on over the write transaction itself. */
static int apply_log(struct flush *flush, struct tables_checkpoint *checkpoint, uint64_t to)
{
	struct store *store = flush->store;
	struct follower scratch;
	follower_init(&scratch, store);
	scratch.reader = (struct tables_reader){.tables = &store->tables, .txn = flush->txn};
	scratch.state.track_dirty = true;
	scratch.state.next_id = checkpoint->next_id;
	scratch.state.streams_count = checkpoint->streams_count;
	scratch.state.now_ms = checkpoint->now_ms;
	scratch.lsn = checkpoint->position.lsn;
	enum follow_result result =
	        follower_advance(&scratch, to, store->portion_bytes, NULL, NULL);
	check(result != FOLLOW_LAPPED); /* nobody overwrites what is not checkpointed */
	if (result == FOLLOW_UNREADABLE) {
		follower_finish(&scratch);
		return EIO;
	}
	int rc = flush_state(flush, &scratch.state, checkpoint->position.lsn);
	struct ring_record last = {0};
	struct ring_position at = checkpoint->position;
	while (at.lsn < scratch.lsn && ring_record_at(&store->ring, at.lsn, &last))
		at = (struct ring_position){at.lsn + last.bytes, last.hash};
	checkpoint->position = at;
	checkpoint->next_id = scratch.state.next_id;
	checkpoint->streams_count = scratch.state.streams_count;
	checkpoint->now_ms = scratch.state.now_ms;
	follower_finish(&scratch);
	return rc;
}

static void trim_over(struct flush *flush);

/* What a write transaction is to do; under a guard, because LMDB reads pages while it writes. */
struct round {
	struct store *store;
	struct flush flush;
	struct tables_checkpoint checkpoint;
	uint64_t durable;
	bool garbage_left;
	int rc;
};

static void write_round(void *arg)
{
	struct round *round = arg;
	struct store *store = round->store;
	const struct tables *tables = &store->tables;
	struct flush *flush = &round->flush;
	int rc = mdb_txn_begin(tables->env, NULL, 0, &flush->txn);
	if (rc != 0) {
		round->rc = rc;
		return;
	}
	rc = tables_get_checkpoint(tables, flush->txn, &round->checkpoint);
	if (rc == 0 && round->checkpoint.position.lsn < round->durable)
		rc = apply_log(flush, &round->checkpoint, round->durable);
	if (rc == 0)
		rc = tables_purge(tables, flush->txn, PURGE_ROWS, &round->garbage_left);
	if (rc == 0)
		rc = tables_put_checkpoint(tables, flush->txn, &round->checkpoint);
	if (rc != 0)
		mdb_txn_abort(flush->txn);
	else
		rc = mdb_txn_commit(flush->txn);
	round->rc = rc;
}

/* A commit that failed may have reached the disk all the same, or be undone in the page cache only:
 * what counts must be on the disk before anybody's next transaction writes to pages that the other
 * version still refers to. */
static int settle_data(struct store *store)
{
	int fd;
	mdb_env_get_fd(store->tables.env, &fd);
	return fdatasync(fd) == 0 ? 0 : errno;
}

/* The maintaining thread was torn out of a write transaction: LMDB's state in this process cannot
 * be trusted for another one, and its lock is free only when the thread has ended. Reading goes on.
 */
static int lose_writer(struct store *store)
{
	store->writer_lost = true;
	log_error("checkpoint given up", "%s",
	          "error=\"a page that it needs cannot be read\" advice=\"see ringsidectl store "
	          "check\"");
	return EIO;
}

bool store_writer_lost(const struct store *store)
{
	return store->writer_lost;
}

/* What has no room whole may have it in portions: each needs copies of the pages that it changes,
 * and those of the one before the last are free again. */
static void choose_portion(struct store *store, int rc)
{
	size_t whole = store->ring.bytes / 8, now = store->portion_bytes;
	if (rc == 0)
		now = now < whole / 2 ? now * 2 : whole;
	else if (store_error_kind(rc) == ENOSPC && now / 4 >= PORTION_BYTES_MIN)
		now /= 4;
	store->portion_bytes = now;
}

static int checkpoint_failed(struct store *store, int rc)
{
	if (store->writer_lost) /* others may go on; if nobody does, control->refuse stays */
		return rc;
	atomic_store(&store->checkpoint_error, store_error_kind(rc));
	store->failed_ms = clock_monotonic_ms();
	if (settle_data(store) != 0) /* then the next round begins with it */
		atomic_store(&store->ring.control->refuse, EIO);
	/* Is it the environment that broke? Then nothing here is to be relied on any more. */
	MDB_txn *txn;
	int alive = mdb_txn_begin(store->tables.env, NULL, MDB_RDONLY, &txn);
	if (alive == 0)
		mdb_txn_abort(txn);
	tables_leave_if_broken(alive);
	return rc;
}

/* Under the checkpoint lock. Applies a bounded part of the log; *more: call again. */
int checkpoint_once(struct store *store, bool *more)
{
	uint64_t before_ns = clock_monotonic_ns();
	if (store->portion_bytes == 0)
		store->portion_bytes = store->ring.bytes / 8;
	struct round round = {
	        .store = store, .flush = {.store = store}, .durable = ring_durable(&store->ring)};
	*more = false;
	if (store->writer_lost)
		return EIO;
	int rc = atomic_load(&store->ring.control->refuse) == EIO ? settle_data(store) : 0;
	if (rc == 0)
		rc = map_guard(write_round, &round) ? round.rc : lose_writer(store);
	choose_portion(store, rc);
	if (rc == 0) {
		ring_set_checkpoint(&store->ring, round.checkpoint.position.lsn);
		*more = round.checkpoint.position.lsn < round.durable || round.garbage_left;
		atomic_store(&store->checkpoint_error, 0);
		trim_over(&round.flush);
		atomic_fetch_add(&store->checkpoints, 1);
		atomic_fetch_add(&store->checkpoint_ns, clock_monotonic_ns() - before_ns);
	} else {
		rc = checkpoint_failed(store, rc);
	}
	free(round.flush.over);
	free(round.flush.row.sizes);
	free(round.flush.row.data);
	return rc;
}

/* ---- retention and expiry: the store's own commands ---- */

/* The first row that begins at or behind `at`: everything before it can go. */
static uint64_t row_start_from(struct store *store, MDB_txn *txn, uint64_t id, uint64_t at)
{
	struct tables_reader reader = {.tables = &store->tables, .txn = txn};
	MDB_cursor *cursor;
	struct chunk_row row;
	uint64_t start = 0;
	if (tables_cursor_open(&store->tables, txn, store->tables.chunk, &cursor) != 0)
		return 0;
	if (tables_seek_chunk(&reader, cursor, id, at, &row) == ROW_PRESENT) {
		if (row.start >= at || tables_next_chunk(&reader, cursor, id, &row) == ROW_PRESENT)
			start = row.start;
	}
	mdb_cursor_close(cursor);
	return start;
}

static void trim_to(struct store *store, uint64_t id, uint64_t to)
{
	if (to > 0)
		queue_submit_own(
		        store,
		        (struct command){.kind = COMMAND_TRIM, .stream_id = id, .trim_to = to});
}

static void trim_over(struct flush *flush)
{
	struct store *store = flush->store;
	MDB_txn *txn;
	struct tables_reader reader = {.tables = &store->tables};
	if (flush->over_count == 0 || ring_role(&store->ring) == RING_FOLLOWS ||
	    (txn = tables_begin(&reader)) == NULL)
		return;
	for (size_t i = 0; i < flush->over_count; i++) {
		struct stream *stream = xcalloc(1, sizeof *stream);
		uint64_t id = flush->over[i];
		if (tables_load_stream(&reader, id, stream) == ROW_PRESENT)
			trim_to(store, id,
			        row_start_from(store, txn, id,
			                       stream->tail - store->options.retention_bytes));
		stream_free(stream);
	}
	tables_end(&reader);
	tables_reader_finish(&reader);
}

/* The position before which all of the stream's rows are older than `limit_ms`. A row from a time
 * that has not come (the clock was set back since) says nothing: it is as old as what stands behind
 * it, or older. */
static uint64_t aged_until(struct store *store, MDB_txn *txn, uint64_t id, uint64_t limit_ms,
                           uint64_t now_ms)
{
	struct tables_reader reader = {.tables = &store->tables, .txn = txn};
	MDB_cursor *cursor;
	struct chunk_row row;
	uint64_t to = 0;
	if (tables_cursor_open(&store->tables, txn, store->tables.chunk, &cursor) != 0)
		return 0;
	enum row_found found = tables_seek_chunk(&reader, cursor, id, 0, &row);
	for (; found == ROW_PRESENT && (row.at_ms < limit_ms || row.at_ms > now_ms + CLOCK_STEP_MS);
	     found = tables_next_chunk(&reader, cursor, id, &row))
		if (row.at_ms < limit_ms)
			to = row.start + row.data.len;
	mdb_cursor_close(cursor);
	return to;
}

/* Walks all streams round and round, a few at a time. */
static void trim_aged(struct store *store)
{
	uint64_t keep_ms = store->options.retention_ms, now_ms = clock_wall_ms();
	const struct tables *tables = &store->tables;
	struct tables_reader reader = {.tables = tables};
	MDB_txn *txn;
	MDB_cursor *cursor;
	if (keep_ms == 0 || now_ms < keep_ms || (txn = tables_begin(&reader)) == NULL)
		return;
	if (tables_cursor_open(tables, txn, tables->stream, &cursor) == 0) {
		struct id_key from = key_of(store->scan_id + 1, 0);
		MDB_val key = {8, from.bytes}, value;
		int rc = tables_cursor_get(tables, cursor, &key, &value, MDB_SET_RANGE);
		store->scan_id = 0;
		for (int i = 0; rc == 0 && i < AGE_SCAN_STREAMS; i++) {
			store->scan_id = key_number(&key, 0);
			trim_to(store, store->scan_id,
			        aged_until(store, txn, store->scan_id, now_ms - keep_ms, now_ms));
			rc = tables_cursor_get(tables, cursor, &key, &value, MDB_NEXT);
		}
		if (rc != 0)
			store->scan_id = 0;
		mdb_cursor_close(cursor);
	}
	tables_end(&reader);
	tables_reader_finish(&reader);
}

static void expire_due(struct store *store)
{
	const struct tables *tables = &store->tables;
	struct tables_reader reader = {.tables = tables};
	MDB_txn *txn = tables_begin(&reader);
	MDB_cursor *cursor;
	if (txn == NULL)
		return;
	if (tables_cursor_open(tables, txn, tables->expiry, &cursor) == 0) {
		MDB_val key, value;
		uint64_t now_ms = clock_wall_ms();
		for (int i = 0; i < EXPIRE_MAX &&
		                tables_cursor_get(tables, cursor, &key, &value, MDB_NEXT) == 0 &&
		                key_number(&key, 0) <= now_ms;
		     i++)
			queue_submit_own(store, (struct command){.kind = COMMAND_EXPIRE,
			                                         .stream_id = key_number(&key, 1)});
		mdb_cursor_close(cursor);
	}
	tables_end(&reader);
	tables_reader_finish(&reader);
}

static bool checkpoint_is_ahead(struct store *store, MDB_txn *txn, uint64_t now_ms)
{
	struct tables_checkpoint checkpoint;
	return tables_get_checkpoint(&store->tables, txn, &checkpoint) == 0 &&
	       checkpoint.now_ms > now_ms + CLOCK_STEP_MS;
}

/* One pass over the index of expiry from its end, a part at a time. */
static void look_ahead(struct store *store, MDB_txn *txn, uint64_t now_ms)
{
	const struct tables *tables = &store->tables;
	MDB_cursor *cursor;
	if (tables_cursor_open(tables, txn, tables->expiry, &cursor) != 0)
		return;
	MDB_val key = {16, store->ahead_below.bytes}, value;
	int rc = tables_cursor_get(tables, cursor, &key, &value, MDB_SET_RANGE);
	rc = tables_cursor_get(tables, cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
	for (int i = 0; i < EXPIRE_MAX && rc == 0 && key_number(&key, 0) > now_ms; i++) {
		store->ahead_below = key_of(key_number(&key, 0), key_number(&key, 1));
		queue_submit_own(store, (struct command){.kind = COMMAND_EXPIRE,
		                                         .stream_id = key_number(&key, 1)});
		rc = tables_cursor_get(tables, cursor, &key, &value, MDB_PREV);
	}
	if (rc != 0 || key_number(&key, 0) <= now_ms) {
		store->ahead_below = key_of(UINT64_MAX, UINT64_MAX);
		store->ahead_passes--;
	}
	mdb_cursor_close(cursor);
}

/* What was renewed at a time that has not come, because the clock was set back since, would outlive
 * its TTL by as much. So after such a step, or when the log is ahead at the start, who expires
 * later is looked at, and renewed if ahead (decide_expire()). Twice: what was written just before
 * has reached the index by then. */
static void renew_ahead(struct store *store)
{
	struct tables_reader reader = {.tables = &store->tables};
	MDB_txn *txn;
	uint64_t now_ms = clock_wall_ms();
	bool first = store->clock.wall_ms == 0;
	int64_t step_ms = clock_watch_step(&store->clock, now_ms, clock_monotonic_ms());
	bool back = atomic_exchange(&store->ran_back, false) || step_ms < 0;
	if (step_ms != 0)
		log_warn("the clock was set", "by_ms=%lld", (long long)step_ms);
	if ((!first && !back && store->ahead_passes == 0) || (txn = tables_begin(&reader)) == NULL)
		return;
	if (back || (first && checkpoint_is_ahead(store, txn, now_ms))) {
		store->ahead_below = key_of(UINT64_MAX, UINT64_MAX);
		store->ahead_passes = 2;
	}
	if (store->ahead_passes > 0)
		look_ahead(store, txn, now_ms);
	tables_end(&reader);
	tables_reader_finish(&reader);
}

/* ---- the thread ---- */

static bool due(struct store *store)
{
	uint64_t last_ms = atomic_load(&store->ring.control->checkpoint_at_ms);
	uint64_t behind = ring_durable(&store->ring) - ring_checkpoint(&store->ring);
	/* One that failed here is tried again here, whoever else comes first meanwhile. */
	if (atomic_load(&store->checkpoint_error) != 0)
		return clock_monotonic_ms() >= store->failed_ms + store->options.checkpoint_ms;
	return behind > store->ring.bytes / 8 ||
	       clock_monotonic_ms() >= last_ms + store->options.checkpoint_ms;
}

static void round_of_work(struct store *store, int *last_error)
{
	bool more = true;
	int rc = 0;
	/* A record may stand there whose writer died before its sync. */
	if (ring_tail(&store->ring).lsn > ring_durable(&store->ring))
		ring_sync(&store->ring);
	while (more && rc == 0 && !atomic_load(&store->maintain_stop)) {
		rc = checkpoint_once(store, &more);
		/* Each time: what a busy writer may still add depends on what LMDB has taken by
		 * now. */
		store_space_judge(store, rc);
	}
	if (rc != 0 && rc != *last_error)
		log_error("checkpoint failed", "error=\"%s\"", mdb_strerror(rc));
	*last_error = rc;
	if (ring_role(&store->ring) == RING_FOLLOWS)
		return; /* what ends is ended where it is decided, and comes by the log */
	renew_ahead(store);
	expire_due(store);
	trim_aged(store);
}

void *maintain_main(void *arg)
{
	struct store *store = arg;
	int last_error = 0;
	thread_begin(store, "maintain");
	while (!atomic_load(&store->maintain_stop) && !store->writer_lost) {
		if (due(store) && ring_checkpoint_trylock(&store->ring, 0)) {
			if (due(store))
				round_of_work(store, &last_error);
			atomic_store(&store->ring.control->checkpoint_at_ms, clock_monotonic_ms());
			ring_checkpoint_unlock(&store->ring);
		}
		usleep(ROUND_MS * 1000);
	}
	return NULL;
}

int store_checkpoint(struct store *store, char reason[256])
{
	uint64_t until = ring_durable(&store->ring);
	uint64_t due_ms = clock_monotonic_ms() + 60000;
	int rc = 0;
	/* Whoever holds the lock may well do it for us. */
	while (rc == 0 && ring_checkpoint(&store->ring) < until) {
		bool more = true;
		if (ring_checkpoint_trylock(&store->ring, 100)) {
			while (more && rc == 0)
				rc = checkpoint_once(store, &more);
			ring_checkpoint_unlock(&store->ring);
		} else if (clock_monotonic_ms() > due_ms) {
			rc = ETIMEDOUT;
		}
	}
	if (rc != 0)
		snprintf(reason, 256, "checkpoint: %s", mdb_strerror(rc));
	return rc;
}
