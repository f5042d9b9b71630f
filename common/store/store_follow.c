/* A state that follows the log: the loop's view, the commit thread's head. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <stdlib.h>

static struct state_backing backing_of(struct follower *follower)
{
	/* tables_* take the reader, append_at the follower: the reader is its member. */
	return (struct state_backing){.arg = &follower->reader,
	                              .path = tables_load_path,
	                              .stream = tables_load_stream,
	                              .producers = tables_load_producers,
	                              .kv = tables_load_kv,
	                              .kv_each = tables_each_kv,
	                              .path_each = tables_each_path,
	                              .append_at = store_append_at};
}

void follower_init(struct follower *follower, struct store *store)
{
	*follower = (struct follower){.store = store,
	                              .reader = {.tables = &store->tables, .own = true}};
	struct state_backing backing = backing_of(follower);
	state_init(&follower->state, &backing, &store->options.limits);
}

void follower_finish(struct follower *follower)
{
	state_finish(&follower->state);
	tables_reader_finish(&follower->reader);
	free(follower->append);
	free(follower->record);
}

/* The struct stays where it is (readers hold on to it); what it says is read again. */
static void reload_pinned(struct follower *follower, struct stream *stream)
{
	struct stream fresh = {0};
	enum row_found found = tables_load_stream(&follower->reader, stream->id, &fresh);
	if (found != ROW_PRESENT) { /* unreadable: its readers are let go and ask again */
		stream_clear(&fresh);
		stream->dropped = true;
		stream->pieces_count = 0;
		return;
	}
	stream_clear(stream);
	fresh.pieces = stream->pieces;
	fresh.pieces_room = stream->pieces_room;
	fresh.pins = stream->pins;
	fresh.follower = stream->follower;
	fresh.next = stream->next;
	fresh.previous = stream->previous;
	*stream = fresh;
}

/* The pinned streams move over into the new overlay. */
static void forget_overlay(struct follower *follower, uint64_t lsn)
{
	struct state *state = &follower->state;
	state_begin_anew(state, lsn);
	for (struct stream *stream = state->streams; stream != NULL; stream = stream->next)
		reload_pinned(follower, stream);
}

int follower_restart(struct follower *follower)
{
	struct tables_checkpoint checkpoint;
	follower->lost = true;
	MDB_txn *txn = tables_begin(&follower->reader);
	if (txn == NULL)
		return EIO;
	int rc = tables_get_checkpoint(follower->reader.tables, txn, &checkpoint);
	tables_end(&follower->reader);
	if (rc != 0)
		return rc;
	forget_overlay(follower, checkpoint.position.lsn);
	follower->lsn = checkpoint.position.lsn;
	follower->state.next_id = checkpoint.next_id;
	follower->state.streams_count = checkpoint.streams_count;
	follower->state.counted_lsn = 0;
	if (checkpoint.now_ms > follower->state.now_ms)
		follower->state.now_ms = checkpoint.now_ms;
	follower->lost = false;
	return 0;
}

enum { RECORD_KEEP = 1 << 20 }; /* a copy of a larger one is not kept */

/* The record's entries, copied and then known to be whole: what is read in place may change under
 * our hands when the ring laps us. False: it has. */
static bool copy_record(struct follower *follower, const struct ring_record *record,
                        struct span *entries)
{
	const struct ring *ring = &follower->store->ring;
	size_t len = record->bytes - sizeof *record;
	if (follower->record_room < len || follower->record_room > RECORD_KEEP) {
		free(follower->record);
		follower->record_room = len > RECORD_KEEP / 16 ? len : RECORD_KEEP / 16;
		follower->record = xmalloc(follower->record_room);
	}
	memcpy(follower->record, ring_at(ring, follower->lsn + sizeof *record).at, len);
	*entries = span_of(follower->record, len);
	return ring_holds(ring, follower->lsn);
}

enum { AT_A_TIME = 16 }; /* entries whose streams are fetched into the cache together */

static bool decode_some(struct span *left, uint32_t count, struct entry entries[], size_t lens[])
{
	for (uint32_t k = 0; k < count; k++) {
		lens[k] = entry_decode(*left, &entries[k]);
		if (lens[k] == 0)
			return false;
		left->at += lens[k];
		left->len -= lens[k];
	}
	return true;
}

static void prefetch_streams(const struct state *state, const struct entry entries[],
                             uint32_t count)
{
	for (int step = 0; count > 1 && step < 2; step++)
		for (uint32_t k = 0; k < count; k++)
			if (entries[k].kind == ENTRY_APPEND)
				state_prefetch_stream(state, entries[k].stream_id, step);
}

static enum follow_result
apply_record(struct follower *follower, const struct ring_record *record,
             void (*visit)(void *arg, const struct entry *, struct stream *), void *arg)
{
	uint64_t lsn = follower->lsn + sizeof *record;
	struct span left;
	if (!copy_record(follower, record, &left))
		return FOLLOW_LAPPED;
	for (uint32_t i = 0, count; i < record->entries; i += count) {
		struct entry entries[AT_A_TIME];
		size_t lens[AT_A_TIME];
		count = record->entries - i < AT_A_TIME ? record->entries - i : AT_A_TIME;
		if (!decode_some(&left, count, entries, lens))
			return FOLLOW_LAPPED;
		prefetch_streams(&follower->state, entries, count);
		for (uint32_t k = 0; k < count; lsn += lens[k++]) {
			struct stream *stream = state_apply(&follower->state, &entries[k], lsn);
			if (follower->state.unreadable)
				return FOLLOW_UNREADABLE;
			if (visit != NULL)
				visit(arg, &entries[k], stream);
		}
	}
	return FOLLOW_DONE;
}

enum follow_result follower_advance(struct follower *follower, uint64_t to, size_t bytes_max,
                                    void (*visit)(void *arg, const struct entry *, struct stream *),
                                    void *arg)
{
	const struct ring *ring = &follower->store->ring;
	uint64_t from = follower->lsn;
	uint64_t tail = ring_tail(ring).lsn, checkpoint = ring_checkpoint(ring);
	/* The live path reads the ring: pieces stay while they are safe and younger than half of
	 * it. */
	uint64_t young = tail > ring->bytes / 2 ? tail - ring->bytes / 2 : 0;
	follower->state.pieces_keep_lsn = young < checkpoint ? young : checkpoint;
	if (follower->lost)
		return FOLLOW_LAPPED;
	while (follower->lsn < to && (bytes_max == 0 || follower->lsn - from < bytes_max)) {
		struct ring_record record;
		uint64_t at = follower->lsn;
		if (!ring_record_at(ring, at, &record) || !ring_holds(ring, at))
			return FOLLOW_LAPPED;
		enum follow_result result = record.entries == RING_PAD
		                                    ? FOLLOW_DONE
		                                    : apply_record(follower, &record, visit, arg);
		if (result != FOLLOW_DONE)
			return result;
		if (!ring_holds(ring, at))
			return FOLLOW_LAPPED;
		follower->lsn = at + record.bytes;
	}
	return FOLLOW_DONE;
}

/* They are not read often: no more than saves the eviction from running over few. */
enum { KVS_KEEP_BYTES = 1 << 20 };

void follower_evict(struct follower *follower)
{
	size_t keep = follower->store->options.streams_cached;
	if (follower->state.streams_by_id.count <= keep &&
	    follower->state.paths_by_name.count <= keep &&
	    follower->state.kvs_bytes <= KVS_KEEP_BYTES)
		return;
	uint64_t bound = ring_checkpoint(&follower->store->ring);
	if (bound == follower->evicted_at)
		return; /* nothing more can go before the next checkpoint */
	follower->evicted_at = bound;
	state_evict(&follower->state, bound < follower->lsn ? bound : follower->lsn, keep / 2);
}

/* ---- the loop's side ---- */

static void on_entry(void *arg, const struct entry *entry, struct stream *stream)
{
	struct store *store = arg;
	if (store->on_change == NULL)
		return;
	const struct store_change change = {.entry = entry, .stream = stream};
	store->on_change(store->on_change_arg, &change);
}

bool store_advance(struct store *store, size_t bytes_max)
{
	struct follower *view = &store->view;
	uint64_t durable = ring_durable(&store->ring);
	if (view->lsn >= durable)
		return false;
	switch (follower_advance(view, durable, bytes_max, on_entry, store)) {
	case FOLLOW_DONE:
		break;
	case FOLLOW_UNREADABLE:
		return false; /* logged; the next change, or the next look, tries again */
	case FOLLOW_LAPPED:
		log_warn("reader lapped by the log", "at=%llu", (unsigned long long)view->lsn);
		if (follower_restart(view) != 0)
			return false;
		const struct store_change lapped = {.lapped = true};
		if (store->on_change != NULL)
			store->on_change(store->on_change_arg, &lapped);
		break;
	}
	follower_evict(view);
	return view->lsn < durable;
}

void store_set_follower(struct store *store,
                        void (*on_change)(void *arg, const struct store_change *), void *arg)
{
	store->on_change = on_change;
	store->on_change_arg = arg;
}

struct state *store_view(struct store *store)
{
	return &store->view.state;
}

uint64_t store_durable(struct store *store)
{
	return ring_durable(&store->ring);
}

uint64_t store_position(struct store *store)
{
	return store->view.lsn;
}

struct ring *store_ring(struct store *store)
{
	return &store->ring;
}
