#include "common/store/state_walk.h"
#include "common/store/stream_name.h"
#include "common/base/check.h"

#include <stdlib.h>

void state_init(struct state *state, const struct state_backing *backing,
                const struct state_limits *limits)
{
	*state = (struct state){.limits = *limits, .next_id = 1};
	if (backing != NULL)
		state->backing = *backing;
}

/* The lists: in at the end, out anywhere. */
#define DL_IN(first, last, thing)                                                                  \
	do {                                                                                       \
		(thing)->previous = (last);                                                        \
		(thing)->next = NULL;                                                              \
		*((last) != NULL ? &(last)->next : &(first)) = (thing);                            \
		(last) = (thing);                                                                  \
	} while (0)
#define DL_OUT(first, last, thing)                                                                 \
	do {                                                                                       \
		*((thing)->previous != NULL ? &(thing)->previous->next : &(first)) =               \
		        (thing)->next;                                                             \
		*((thing)->next != NULL ? &(thing)->next->previous : &(last)) = (thing)->previous; \
	} while (0)

static uint64_t path_hash(struct span path)
{
	return hash_keyed_wide(path.at, path.len);
}

static void forget_stream(struct state *state, struct stream *stream)
{
	open_table_remove(&state->streams_by_id, open_table_number(stream->id), stream);
	DL_OUT(state->streams, state->streams_last, stream);
	stream_free(stream);
}

static void forget_path(struct state *state, struct state_path *path)
{
	state_walks_leave(state, path);
	open_table_remove(&state->paths_by_name, path_hash(span_of(path->path, path->len)), path);
	DL_OUT(state->paths, state->paths_last, path);
	free(path);
}

static size_t kv_bytes(const struct state_kv *kv)
{
	return sizeof *kv + kv->key_len + kv->value_len;
}

static void forget_kv(struct state *state, struct state_kv *kv)
{
	HASH_DELETE(hh, state->kvs, kv);
	state->kvs_bytes -= kv_bytes(kv);
	free(kv->value);
	free(kv);
}

void state_finish(struct state *state)
{
	state_walks_lose(state);
	open_table_finish(&state->streams_by_id);
	open_table_finish(&state->paths_by_name);
	for (struct stream *stream = state->streams, *next; stream != NULL; stream = next) {
		next = stream->next;
		stream_free(stream);
	}
	for (struct state_path *path = state->paths, *next; path != NULL; path = next) {
		next = path->next;
		free(path);
	}
	struct state_kv *kv, *kv_next;
	HASH_ITER (hh, state->kvs, kv, kv_next)
		forget_kv(state, kv);
	*state = (struct state){0};
}

/* ---- looking up: the overlay, then the backing ---- */

struct stream *state_overlay_stream(const struct state *state, uint64_t id)
{
	return open_table_only(&state->streams_by_id, open_table_number(id));
}

static struct state_path *overlay_path(const struct state *state, struct span path, uint64_t hash)
{
	size_t at = open_table_first(hash);
	for (;; at++) {
		struct state_path *found = open_table_from(&state->paths_by_name, hash, &at);
		if (found == NULL || span_equal(span_of(found->path, found->len), path))
			return found;
	}
}

struct state_path *state_overlay_path(const struct state *state, struct span path)
{
	return overlay_path(state, path, path_hash(path));
}

void state_prefetch_stream(const struct state *state, uint64_t id, int step)
{
	if (step == 0) {
		open_table_prefetch(&state->streams_by_id, open_table_number(id));
		return;
	}
	const char *stream = (const char *)state_overlay_stream(state, id);
	if (stream == NULL)
		return;
	__builtin_prefetch(stream, 1);
	__builtin_prefetch(stream + 64, 1);
}

void state_prefetch_path(const struct state *state, struct span path, int step)
{
	uint64_t hash = path_hash(path);
	if (step == 0) {
		open_table_prefetch(&state->paths_by_name, hash);
		return;
	}
	/* By its hash alone: if it is another's, little is lost. */
	const struct state_path *found = open_table_only(&state->paths_by_name, hash);
	if (found == NULL)
		return;
	if (step == 1)
		__builtin_prefetch(found);
	else
		state_prefetch_stream(state, found->id, step - 2);
}

static struct state_path *path_put(struct state *state, struct span path)
{
	uint64_t hash = path_hash(path);
	struct state_path *found = overlay_path(state, path, hash);
	if (found != NULL)
		return found;
	found = xcalloc(1, sizeof *found + path.len + 1);
	found->len = (uint16_t)path.len;
	memcpy(found->path, path.at, path.len);
	open_table_add(&state->paths_by_name, hash, found);
	DL_IN(state->paths, state->paths_last, found);
	return found;
}

static void stream_put(struct state *state, struct stream *stream)
{
	open_table_add(&state->streams_by_id, open_table_number(stream->id), stream);
	DL_IN(state->streams, state->streams_last, stream);
}

#undef DL_IN
#undef DL_OUT

static bool is_found(struct state *state, enum row_found result)
{
	state->unreadable |= result == ROW_UNREADABLE;
	return result == ROW_PRESENT;
}

/* The path's overlay row, brought up from the backing when that has one; else NULL. */
static struct state_path *path_get(struct state *state, struct span path)
{
	struct state_path *found = state_overlay_path(state, path);
	if (found != NULL)
		return found;
	uint64_t id, lsn;
	if (state->backing.path == NULL ||
	    !is_found(state, state->backing.path(state->backing.arg, path, &id, &lsn)))
		return NULL;
	found = path_put(state, path);
	found->id = id;
	found->lsn = lsn;
	return found;
}

/* Tombstones included. */
static struct stream *stream_get(struct state *state, uint64_t id)
{
	struct stream *stream = state_overlay_stream(state, id);
	if (stream != NULL || state->backing.stream == NULL)
		return stream;
	stream = xcalloc(1, sizeof *stream);
	if (!is_found(state, state->backing.stream(state->backing.arg, id, stream))) {
		stream_free(stream);
		return NULL;
	}
	stream->id = id;
	stream_put(state, stream);
	return stream;
}

struct stream *state_find_id(struct state *state, uint64_t id)
{
	state->unreadable = false;
	struct stream *stream = stream_get(state, id);
	return stream != NULL && !stream->dropped ? stream : NULL;
}

struct stream *state_find_exact(struct state *state, struct span path)
{
	state->unreadable = false;
	struct state_path *found = path_get(state, path);
	if (found == NULL || found->id == 0)
		return NULL;
	return state_find_id(state, found->id);
}

struct stream *state_find_living(struct state *state, struct span path, uint64_t now_ms)
{
	uint8_t out[STREAM_NAME_ROOM];
	struct span spelling;
	state->unreadable = false;
	for (unsigned n = 0; stream_name_spelling(n, path, out, &spelling); n++) {
		struct stream *stream = spelling.len <= STREAM_NAME_STORED_MAX
		                                ? state_find_exact(state, spelling)
		                                : NULL;
		if (stream != NULL && !stream_expired(stream, now_ms))
			return stream;
		if (state->unreadable)
			return NULL;
	}
	return NULL;
}

struct stream *state_find(struct state *state, struct span path)
{
	return state_find_living(state, path, 0);
}

static struct state_kv *kv_find(struct state *state, struct span key)
{
	struct state_kv *kv;
	HASH_FIND(hh, state->kvs, key.at, key.len, kv);
	return kv;
}

bool state_kv_get(struct state *state, struct span key, struct span *value)
{
	struct state_kv *kv = kv_find(state, key);
	state->unreadable = false;
	if (kv != NULL) {
		*value = (struct span){kv->value, kv->value_len};
		return !kv->removed;
	}
	uint64_t lsn;
	return state->backing.kv != NULL &&
	       is_found(state, state->backing.kv(state->backing.arg, key, value, &lsn));
}

struct kv_walk {
	struct state *state;
	bool (*visit)(void *arg, struct span key, struct span value);
	void *arg;
	bool stopped;
};

/* Backing rows that the overlay does not hide. */
static bool kv_walk_row(void *arg, struct span key, struct span value, uint64_t lsn)
{
	struct kv_walk *walk = arg;
	(void)lsn;
	if (kv_find(walk->state, key) != NULL)
		return true;
	walk->stopped = !walk->visit(walk->arg, key, value);
	return !walk->stopped;
}

void state_kv_each(struct state *state, struct span prefix,
                   bool (*visit)(void *arg, struct span key, struct span value), void *arg)
{
	struct kv_walk walk = {.state = state, .visit = visit, .arg = arg};
	bool whole = state->backing.kv_each == NULL ||
	             state->backing.kv_each(state->backing.arg, prefix, (struct span){0},
	                                    kv_walk_row, &walk);
	for (struct state_kv *kv = state->kvs; kv != NULL && !walk.stopped; kv = kv->hh.next) {
		struct span key = {kv->key, kv->key_len};
		if (kv->removed || key.len < prefix.len ||
		    !span_equal((struct span){key.at, prefix.len}, prefix))
			continue;
		walk.stopped = !visit(arg, key, (struct span){kv->value, kv->value_len});
	}
	state->unreadable = !whole; /* last: a visitor may look things up */
}

/* ---- a page of small values ---- */

struct kv_page {
	struct kv_walk walk;            /* first */
	const struct state_kv **recent; /* of the overlay, in byte order */
	size_t count, next;
};

static struct span kv_key(const struct state_kv *kv)
{
	return (struct span){kv->key, kv->key_len};
}

static int kv_order(const void *a, const void *b)
{
	return span_compare(kv_key(*(const struct state_kv *const *)a),
	                    kv_key(*(const struct state_kv *const *)b));
}

static bool begins_with(struct span key, struct span prefix)
{
	return key.len >= prefix.len && memcmp(key.at, prefix.at, prefix.len) == 0;
}

static void take_recent(struct kv_page *page, struct span prefix, struct span behind)
{
	const struct state *state = page->walk.state;
	page->recent = xmalloc((HASH_COUNT(state->kvs) + 1) * sizeof *page->recent);
	for (const struct state_kv *kv = state->kvs; kv != NULL; kv = kv->hh.next)
		if (!kv->removed && begins_with(kv_key(kv), prefix) &&
		    (behind.len == 0 || span_compare(kv_key(kv), behind) > 0))
			page->recent[page->count++] = kv;
	qsort(page->recent, page->count, sizeof *page->recent, kv_order);
}

/* Those of the overlay before `key`; at NULL: the rest. */
static bool visit_recent(struct kv_page *page, struct span key)
{
	struct kv_walk *walk = &page->walk;
	while (!walk->stopped && page->next < page->count) {
		const struct state_kv *kv = page->recent[page->next];
		if (key.at != NULL && span_compare(kv_key(kv), key) >= 0)
			break;
		page->next++;
		walk->stopped = !walk->visit(walk->arg, kv_key(kv),
		                             (struct span){kv->value, kv->value_len});
	}
	return !walk->stopped;
}

static bool kv_page_row(void *arg, struct span key, struct span value, uint64_t lsn)
{
	struct kv_page *page = arg;
	return visit_recent(page, key) && kv_walk_row(&page->walk, key, value, lsn);
}

void state_kv_page(struct state *state, struct span prefix, struct span behind,
                   bool (*visit)(void *arg, struct span key, struct span value), void *arg)
{
	struct kv_page page = {.walk = {.state = state, .visit = visit, .arg = arg}};
	take_recent(&page, prefix, behind);
	bool whole = state->backing.kv_each == NULL ||
	             state->backing.kv_each(state->backing.arg, prefix, behind, kv_page_row, &page);
	visit_recent(&page, (struct span){0});
	free(page.recent);
	state->unreadable = !whole;
}

void state_path_each(struct state *state, struct span prefix,
                     bool (*visit)(void *arg, struct span path, uint64_t id), void *arg)
{
	struct state_walk walk;
	state_walk_begin(&walk, state, prefix);
	bool whole = state_walk_step(&walk, SIZE_MAX, visit, arg) != STATE_WALK_UNREADABLE;
	state_walk_end(&walk);
	state->unreadable = !whole; /* last: a visitor may look things up */
}

/* ---- carrying out ---- */

static void touch_dirty(struct state *state, struct stream *stream)
{
	if (!state->track_dirty || stream->dirty)
		return;
	stream->dirty = true;
	stream->dirty_next = state->dirty;
	state->dirty = stream;
}

/* The stream an entry is about, if the entry is news to it. */
static struct stream *stream_for(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct stream *stream = stream_get(state, entry->stream_id);
	if (stream == NULL || stream->lsn >= lsn)
		return NULL;
	stream->lsn = lsn;
	touch_dirty(state, stream);
	return stream;
}

static void piece_add(struct state *state, struct stream *stream, uint64_t offset, uint64_t lsn)
{
	if (stream->pieces_count == stream->pieces_room) {
		stream_pieces_trim(stream, state->pieces_keep_lsn);
		/* Room is left half empty after a trim, so that trimming stays rare. */
		if (stream->pieces_count > stream->pieces_room / 2 || stream->pieces_room == 0) {
			stream->pieces_room =
			        stream->pieces_room != 0 ? stream->pieces_room * 2 : 4;
			stream->pieces = xrealloc(stream->pieces,
			                          stream->pieces_room * sizeof *stream->pieces);
		}
	}
	stream->pieces[stream->pieces_count++] = (struct stream_piece){offset, lsn};
}

static void take_data(struct state *state, struct stream *stream, const struct entry *entry,
                      uint64_t lsn)
{
	if (entry->data.count == 0)
		return;
	piece_add(state, stream, entry->offset, lsn);
	stream->last_start = entry->offset;
	stream->tail = entry->offset + entry->data.bytes.len;
	stream->appended_ms = entry->at_ms;
}

static void take_text(const char **into, uint16_t *len, struct span text)
{
	stream_text_free(*into);
	*into = stream_text(text);
	*len = (uint16_t)text.len;
}

static void take_producer(struct stream *stream, const struct entry *entry, uint64_t lsn)
{
	struct span id = entry->producer.id;
	struct stream_producer *producer;
	stream_producer_load(stream, id, 0, 0, 0, 0);
	HASH_FIND(hh, stream->producers, id.at, id.len, producer);
	if (producer->lsn >= lsn)
		return;
	producer->epoch = entry->producer.epoch;
	producer->seq = entry->producer.seq;
	producer->at_ms = entry->at_ms;
	producer->lsn = lsn;
	producer->dropped = entry->kind == ENTRY_PRODUCER_DROP;
}

static void close_stream(struct stream *stream, const struct entry *entry)
{
	stream->closed = true;
	stream->closed_by_present = entry->producer.present;
	if (!entry->producer.present)
		return;
	take_text(&stream->closed_producer, &stream->closed_producer_len, entry->producer.id);
	stream->closed_epoch = entry->producer.epoch;
	stream->closed_seq = entry->producer.seq;
}

static struct stream *apply_append(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct stream *stream = stream_for(state, entry, lsn);
	if (stream == NULL)
		return stream_get(state, entry->stream_id);
	take_data(state, stream, entry, lsn);
	stream->touched_ms = entry->at_ms;
	if (entry->producer.present)
		take_producer(stream, entry, lsn);
	if (entry->stream_seq.len != 0) {
		stream->stream_seq = xrealloc(stream->stream_seq, entry->stream_seq.len);
		memcpy(stream->stream_seq, entry->stream_seq.at, entry->stream_seq.len);
		stream->stream_seq_len = (uint16_t)entry->stream_seq.len;
	}
	if (entry->close)
		close_stream(stream, entry);
	return stream;
}

static struct stream *stream_begin(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct stream *stream = xcalloc(1, sizeof *stream);
	*stream = (struct stream){.id = entry->stream_id,
	                          .lineage = entry->lineage,
	                          .lsn = lsn,
	                          .first = entry->offset,
	                          .tail = entry->offset,
	                          .last_start = entry->offset,
	                          .created_ms = entry->at_ms,
	                          .touched_ms = entry->at_ms,
	                          .ttl_present = entry->ttl_present,
	                          .ttl_s = entry->ttl_s,
	                          .expires_present = entry->expires_present,
	                          .expires_at_ms = entry->expires_at_ms,
	                          .expiry_inherited = entry->expiry_inherited,
	                          .source_id = entry->source_id,
	                          .fork_offset = entry->fork_offset,
	                          .fork_offset_present = entry->fork_offset_present,
	                          .fork_offset_asked = entry->fork_offset_asked,
	                          .fork_sub_asked = entry->fork_sub_asked,
	                          .json = media_type_json(entry->content_type),
	                          .closed = entry->close,
	                          .producers_loaded = true};
	stream->path = xmemdup_text(entry->path.at, entry->path.len);
	stream->path_len = (uint16_t)entry->path.len;
	take_text(&stream->content_type, &stream->content_type_len, entry->content_type);
	take_text(&stream->fork_source, &stream->fork_source_len, entry->fork_source);
	stream_put(state, stream);
	touch_dirty(state, stream);
	return stream;
}

/* Once for each entry, though a record that could not be applied to its end is begun anew. */
static void count_streams(struct state *state, uint64_t lsn, int by)
{
	if (lsn <= state->counted_lsn)
		return;
	state->counted_lsn = lsn;
	if (by > 0 || state->streams_count > 0)
		state->streams_count += (uint64_t)by;
}

static struct stream *apply_create(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct state_path *path = path_get(state, entry->path);
	struct stream *stream = stream_get(state, entry->stream_id);
	if (state->unreadable)
		return NULL;
	if (entry->stream_id >= state->next_id)
		state->next_id = entry->stream_id + 1;
	count_streams(state, lsn, 1);
	if (path == NULL)
		path = path_put(state, entry->path);
	if (path->lsn < lsn) {
		path->id = entry->stream_id;
		path->lsn = lsn;
	}
	if (stream != NULL)
		return stream; /* the backing was ahead */
	stream = stream_begin(state, entry, lsn);
	take_data(state, stream, entry, lsn);
	return stream;
}

static struct stream *apply_drop(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct state_path *path = path_get(state, entry->path);
	struct stream *stream = stream_get(state, entry->stream_id);
	if (state->unreadable)
		return NULL;
	count_streams(state, lsn, -1);
	if (path != NULL && path->id == entry->stream_id && path->lsn < lsn) {
		path->id = 0;
		path->lsn = lsn;
	}
	stream = stream_for(state, entry, lsn);
	if (stream != NULL)
		stream->dropped = true;
	return stream;
}

static void apply_kv(struct state *state, const struct entry *entry, uint64_t lsn)
{
	struct state_kv *kv = kv_find(state, entry->key);
	if (kv == NULL) {
		kv = xcalloc(1, sizeof *kv + entry->key.len);
		kv->key_len = (uint16_t)entry->key.len;
		memcpy(kv->key, entry->key.at, entry->key.len);
		HASH_ADD(hh, state->kvs, key, kv->key_len, kv);
	} else if (kv->lsn >= lsn) {
		return;
	} else {
		state->kvs_bytes -= kv_bytes(kv);
	}
	free(kv->value);
	kv->removed = entry->value.at == NULL;
	kv->value = kv->removed ? NULL : (uint8_t *)xmemdup_text(entry->value.at, entry->value.len);
	kv->value_len = kv->removed ? 0 : (uint32_t)entry->value.len;
	kv->lsn = lsn;
	state->kvs_bytes += kv_bytes(kv);
}

struct stream *state_apply(struct state *state, const struct entry *entry, uint64_t lsn)
{
	state->now_ms = entry->at_ms;
	state->unreadable = false;
	struct stream *stream;
	switch (entry->kind) {
	case ENTRY_CREATE:
		return apply_create(state, entry, lsn);
	case ENTRY_APPEND:
		return apply_append(state, entry, lsn);
	case ENTRY_DROP:
		return apply_drop(state, entry, lsn);
	case ENTRY_KV:
		apply_kv(state, entry, lsn);
		return NULL;
	case ENTRY_DELETE:
		if ((stream = stream_for(state, entry, lsn)) != NULL)
			stream->deleted = true;
		return stream;
	case ENTRY_REFS:
		if ((stream = stream_for(state, entry, lsn)) != NULL)
			stream->refs += (uint32_t)entry->refs_delta;
		return stream;
	case ENTRY_TOUCH:
		if ((stream = stream_for(state, entry, lsn)) != NULL)
			stream->touched_ms = entry->at_ms;
		return stream;
	case ENTRY_TRIM:
		if ((stream = stream_for(state, entry, lsn)) != NULL &&
		    entry->offset > stream->first)
			stream->first = entry->offset;
		return stream;
	case ENTRY_PRODUCER_DROP:
		if ((stream = stream_for(state, entry, lsn)) != NULL)
			take_producer(stream, entry, lsn);
		return stream;
	}
	return NULL;
}

/* ---- forgetting ---- */

void state_evict(struct state *state, uint64_t lsn, size_t keep)
{
	size_t count = state->streams_by_id.count;
	for (struct stream *stream = state->streams, *next; stream != NULL; stream = next) {
		next = stream->next;
		bool cached = stream->lsn < lsn && stream->pins == 0 && !stream->dirty;
		if (!cached || (count <= keep && !stream->dropped))
			continue;
		forget_stream(state, stream);
		count--;
	}
	count = state->paths_by_name.count;
	uint64_t paths_lsn = state_walks_bound(state, lsn);
	if (paths_lsn > state->overlay_lsn)
		state->overlay_lsn = paths_lsn;
	for (struct state_path *path = state->paths, *next; path != NULL; path = next) {
		next = path->next;
		if (path->lsn >= paths_lsn || (count <= keep && path->id != 0))
			continue;
		forget_path(state, path);
		count--;
	}
	struct state_kv *kv, *kv_next;
	HASH_ITER (hh, state->kvs, kv, kv_next) {
		if (kv->lsn < lsn)
			forget_kv(state, kv);
	}
}

void state_begin_anew(struct state *state, uint64_t lsn)
{
	state_walks_lose(state);
	state_evict(state, UINT64_MAX, 0);
	state->overlay_lsn = lsn;
}
