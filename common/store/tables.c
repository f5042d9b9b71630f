#include "common/store/tables_parts.h"
#include "common/base/check.h"
#include "common/base/map_guard.h"

#include <stdlib.h>
#include <xxhash.h>

static uint64_t check_of(const MDB_val *key, const void *at, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(at, len,
	                            XXH3_64bits_withSeed(key->mv_data, key->mv_size, seed));
}

/* A row of `len` bytes with its check behind it, or one of a release that had none. */
static bool row_whole(const MDB_val *key, const MDB_val *value, size_t len)
{
	uint64_t check;
	if (value->mv_size == len)
		return true;
	if (value->mv_size != len + sizeof check)
		return false;
	memcpy(&check, (const uint8_t *)value->mv_data + len, sizeof check);
	return check == check_of(key, value->mv_data, len, 0);
}

static enum row_found damaged(const struct tables *tables, const char *what)
{
	tables_unreadable(tables, what);
	return ROW_UNREADABLE;
}

static enum row_found missing(int rc)
{
	return rc == MDB_NOTFOUND ? ROW_ABSENT : ROW_UNREADABLE;
}

struct checkpoint_row {
	struct tables_checkpoint checkpoint;
	uint64_t check;
};

int tables_get_checkpoint(const struct tables *tables, MDB_txn *txn,
                          struct tables_checkpoint *checkpoint)
{
	MDB_val key = val("checkpoint", 10), value;
	*checkpoint = (struct tables_checkpoint){.next_id = 1};
	int rc = tables_get(tables, txn, tables->meta, &key, &value);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	if (!row_whole(&key, &value, sizeof *checkpoint))
		return MDB_CORRUPTED;
	memcpy(checkpoint, value.mv_data, sizeof *checkpoint);
	return checkpoint->next_id != 0 ? 0 : MDB_CORRUPTED;
}

int tables_put_checkpoint(const struct tables *tables, MDB_txn *txn,
                          const struct tables_checkpoint *checkpoint)
{
	struct checkpoint_row row = {.checkpoint = *checkpoint};
	MDB_val key = val("checkpoint", 10), value = val(&row, sizeof row);
	row.check = check_of(&key, checkpoint, sizeof *checkpoint, 0);
	return mdb_put(txn, tables->meta, &key, &value, 0);
}

int tables_get_log(const struct tables *tables, MDB_txn *txn, struct tables_log *log)
{
	MDB_val key = val("log", 3), value;
	*log = (struct tables_log){0};
	int rc = tables_get(tables, txn, tables->meta, &key, &value);
	if (rc == 0 && value.mv_size == sizeof *log)
		memcpy(log, value.mv_data, sizeof *log);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_put_log(const struct tables *tables, MDB_txn *txn, const struct tables_log *log)
{
	MDB_val key = val("log", 3), value = val(log, sizeof *log);
	return mdb_put(txn, tables->meta, &key, &value, 0);
}

/* ---- keys ---- */

static void put_number(uint8_t *at, uint64_t n)
{
	n = __builtin_bswap64(n);
	memcpy(at, &n, 8);
}

struct id_key key_of(uint64_t a, uint64_t b)
{
	struct id_key key;
	put_number(key.bytes, a);
	put_number(key.bytes + 8, b);
	return key;
}

uint64_t key_number(const MDB_val *key, size_t index)
{
	uint64_t n;
	memcpy(&n, (const uint8_t *)key->mv_data + 8 * index, 8);
	return __builtin_bswap64(n);
}

/* ---- reading ---- */

struct path_row {
	uint64_t id, lsn;
};

enum row_found tables_load_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn)
{
	struct tables_reader *reader = arg;
	MDB_val key = val_span(path), value;
	struct path_row row;
	if (path.len == 0)
		return ROW_ABSENT;
	MDB_txn *txn = tables_begin(reader);
	if (txn == NULL)
		return ROW_UNREADABLE;
	int rc = tables_get(reader->tables, txn, reader->tables->path, &key, &value);
	enum row_found result = rc != 0 ? missing(rc) : ROW_PRESENT;
	if (result == ROW_PRESENT && row_whole(&key, &value, sizeof row)) {
		memcpy(&row, value.mv_data, sizeof row);
		*id = row.id;
		*lsn = row.lsn;
	}
	if (result == ROW_PRESENT && (!row_whole(&key, &value, sizeof row) || row.id == 0))
		result = damaged(reader->tables, "the row of a path is damaged");
	tables_end(reader);
	return result;
}

enum stream_flag {
	STREAM_JSON = 1,
	STREAM_CLOSED = 2,
	STREAM_DELETED = 4,
	STREAM_TTL = 8,
	STREAM_EXPIRES = 16,
	STREAM_EXPIRY_INHERITED = 32,
	STREAM_FORK_OFFSET = 64,
	STREAM_CLOSED_BY = 128,
};

struct stream_row {
	uint64_t lineage, lsn, first, tail, last_start, created_ms, touched_ms, appended_ms, ttl_s;
	int64_t expires_at_ms;
	uint64_t source_id, fork_offset, fork_offset_asked, fork_sub_asked, closed_epoch,
	        closed_seq;
	uint64_t indexed_ms;
	uint32_t refs, flags;
	uint16_t path_len, content_type_len, fork_source_len, closed_producer_len, stream_seq_len,
	        pad;
	uint32_t check; /* over the rest; 0: of a release that had none */
};

static char *take_text(struct reader *r, uint16_t len)
{
	struct span s = reader_bytes(r, len);
	return xmemdup_text(s.at, r->ok ? len : 0);
}

static const char *take_constant(struct reader *r, uint16_t len)
{
	struct span s = reader_bytes(r, len);
	return stream_text(span_of(s.at, r->ok ? len : 0));
}

/* Of the texts behind the row, seeded by the row without its check. Never 0. */
static uint32_t stream_check(uint64_t id, const struct stream_row *row, const uint8_t *texts,
                             size_t len)
{
	struct stream_row bare = *row;
	bare.check = 0;
	uint64_t h = XXH3_64bits_withSeed(texts, len, XXH3_64bits_withSeed(&bare, sizeof bare, id));
	uint32_t check = (uint32_t)(h ^ h >> 32);
	return check != 0 ? check : 1;
}

static bool parse_stream(const MDB_val *value, struct stream *s)
{
	struct stream_row row;
	if (value->mv_size < sizeof row)
		return false;
	memcpy(&row, value->mv_data, sizeof row);
	if (row.lsn == 0 ||
	    (row.check != 0 &&
	     row.check != stream_check(s->id, &row, (const uint8_t *)value->mv_data + sizeof row,
	                               value->mv_size - sizeof row)))
		return false;
	const uint8_t *at = value->mv_data;
	struct reader r = {at + sizeof row, at + value->mv_size, true};
	*s = (struct stream){.id = s->id,
	                     .lineage = row.lineage,
	                     .lsn = row.lsn,
	                     .first = row.first,
	                     .tail = row.tail,
	                     .last_start = row.last_start,
	                     .created_ms = row.created_ms,
	                     .touched_ms = row.touched_ms,
	                     .appended_ms = row.appended_ms,
	                     .ttl_s = row.ttl_s,
	                     .expires_at_ms = row.expires_at_ms,
	                     .source_id = row.source_id,
	                     .fork_offset = row.fork_offset,
	                     .fork_offset_asked = row.fork_offset_asked,
	                     .fork_sub_asked = row.fork_sub_asked,
	                     .closed_epoch = row.closed_epoch,
	                     .closed_seq = row.closed_seq,
	                     .indexed_ms = row.indexed_ms,
	                     .refs = row.refs,
	                     .json = row.flags & STREAM_JSON,
	                     .closed = row.flags & STREAM_CLOSED,
	                     .deleted = row.flags & STREAM_DELETED,
	                     .ttl_present = row.flags & STREAM_TTL,
	                     .expires_present = row.flags & STREAM_EXPIRES,
	                     .expiry_inherited = row.flags & STREAM_EXPIRY_INHERITED,
	                     .fork_offset_present = row.flags & STREAM_FORK_OFFSET,
	                     .closed_by_present = row.flags & STREAM_CLOSED_BY,
	                     .path_len = row.path_len,
	                     .content_type_len = row.content_type_len,
	                     .fork_source_len = row.fork_source_len,
	                     .closed_producer_len = row.closed_producer_len,
	                     .stream_seq_len = row.stream_seq_len};
	s->path = take_text(&r, row.path_len);
	s->content_type = take_constant(&r, row.content_type_len);
	s->fork_source = take_constant(&r, row.fork_source_len);
	s->closed_producer = take_constant(&r, row.closed_producer_len);
	if (row.stream_seq_len != 0)
		s->stream_seq = (uint8_t *)take_text(&r, row.stream_seq_len);
	return r.ok;
}

enum row_found tables_load_stream(void *arg, uint64_t id, struct stream *into)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	struct id_key id_key = key_of(id, 0);
	MDB_val key = val(id_key.bytes, 8), value;
	into->id = id;
	if (txn == NULL)
		return ROW_UNREADABLE;
	int rc = tables_get(reader->tables, txn, reader->tables->stream, &key, &value);
	enum row_found result = rc != 0 ? missing(rc) : ROW_PRESENT;
	if (result == ROW_PRESENT && !parse_stream(&value, into))
		result = damaged(reader->tables, "the row of a stream is damaged");
	tables_end(reader);
	return result;
}

struct producer_row {
	uint64_t epoch, seq, at_ms, lsn;
};

/* What a walk over rows is for. */
struct walk {
	const struct tables *tables;
	struct span prefix, behind;
	struct stream *stream;
	bool (*visit_kv)(void *, struct span, struct span, uint64_t);
	bool (*visit_path)(void *, struct span, uint64_t, uint64_t);
	void *arg;
	bool damaged;
};

static bool take_producer(void *arg, const MDB_val *key, const MDB_val *value)
{
	struct walk *walk = arg;
	struct producer_row row;
	if (key->mv_size <= 8 || key_number(key, 0) != walk->stream->id)
		return false;
	if (!row_whole(key, value, sizeof row)) {
		walk->damaged = true;
		return false;
	}
	memcpy(&row, value->mv_data, sizeof row);
	stream_producer_load(walk->stream, span_of((uint8_t *)key->mv_data + 8, key->mv_size - 8),
	                     row.epoch, row.seq, row.at_ms, row.lsn);
	return true;
}

bool tables_load_producers(void *arg, struct stream *into)
{
	struct tables_reader *reader = arg;
	struct id_key id_key = key_of(into->id, 0);
	struct walk walk = {.stream = into};
	bool whole = tables_each_row(reader, reader->tables->producer, span_of(id_key.bytes, 8),
	                             take_producer, &walk);
	if (walk.damaged)
		tables_unreadable(reader->tables, "the row of a producer is damaged");
	return whole && !walk.damaged;
}

/* A small value: u64 LSN, u64 check, the value. Without the top bit of the LSN there is no check.
 */
static const uint64_t kv_checked = 1ull << 63;

static bool parse_kv(const MDB_val *key, const MDB_val *row, struct span *value, uint64_t *lsn)
{
	const uint8_t *at = row->mv_data;
	uint64_t check;
	if (row->mv_size < sizeof *lsn)
		return false;
	memcpy(lsn, at, sizeof *lsn);
	size_t head = sizeof *lsn + (*lsn & kv_checked ? sizeof check : 0);
	if (row->mv_size < head || *lsn == 0)
		return false;
	*value = span_of(at + head, row->mv_size - head);
	if (!(*lsn & kv_checked))
		return true;
	*lsn &= ~kv_checked;
	memcpy(&check, at + sizeof *lsn, sizeof check);
	return check == check_of(key, value->at, value->len, *lsn);
}

enum row_found tables_load_kv(void *arg, struct span key_span, struct span *value_out,
                              uint64_t *lsn)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_val key = val_span(key_span), row;
	struct span value;
	if (txn == NULL)
		return ROW_UNREADABLE;
	int rc = tables_get(reader->tables, txn, reader->tables->kv, &key, &row);
	enum row_found result = rc != 0 ? missing(rc) : ROW_PRESENT;
	if (result == ROW_PRESENT && !parse_kv(&key, &row, &value, lsn))
		result = damaged(reader->tables, "a small value is damaged");
	if (result == ROW_PRESENT) {
		free(reader->scratch);
		reader->scratch = (uint8_t *)xmemdup_text(value.at, value.len);
		*value_out = span_of(reader->scratch, value.len);
	}
	tables_end(reader);
	return result;
}

static bool begins_with(const MDB_val *key, struct span prefix)
{
	return prefix.len == 0 ||
	       (key->mv_size >= prefix.len && memcmp(key->mv_data, prefix.at, prefix.len) == 0);
}

static bool take_kv(void *arg, const MDB_val *key, const MDB_val *row)
{
	struct walk *walk = arg;
	struct span value;
	uint64_t lsn;
	if (walk->behind.len > 0 && span_equal(span_of(key->mv_data, key->mv_size), walk->behind))
		return true;
	if (!begins_with(key, walk->prefix))
		return false;
	if (parse_kv(key, row, &value, &lsn))
		return walk->visit_kv(walk->arg, span_of(key->mv_data, key->mv_size), value, lsn);
	tables_unreadable(walk->tables, "a small value is damaged");
	walk->damaged = true;
	return true; /* the others are as good as ever */
}

bool tables_each_kv(void *arg, struct span prefix, struct span behind,
                    bool (*visit)(void *, struct span, struct span, uint64_t), void *visit_arg)
{
	struct tables_reader *reader = arg;
	struct walk walk = {.tables = reader->tables,
	                    .prefix = prefix,
	                    .behind = behind,
	                    .visit_kv = visit,
	                    .arg = visit_arg};
	struct span from = behind.len > 0 ? behind : prefix;
	return tables_each_row(reader, reader->tables->kv, from, take_kv, &walk) && !walk.damaged;
}

static bool take_path(void *arg, const MDB_val *key, const MDB_val *value)
{
	struct walk *walk = arg;
	struct path_row row = {0};
	if (walk->behind.len > 0 && span_equal(span_of(key->mv_data, key->mv_size), walk->behind))
		return true;
	if (!begins_with(key, walk->prefix))
		return false;
	if (row_whole(key, value, sizeof row))
		memcpy(&row, value->mv_data, sizeof row);
	if (row.id != 0)
		return walk->visit_path(walk->arg, span_of(key->mv_data, key->mv_size), row.id,
		                        row.lsn);
	tables_unreadable(walk->tables, "the row of a path is damaged");
	walk->damaged = true;
	return true;
}

bool tables_each_path(void *arg, struct span prefix, struct span behind,
                      bool (*visit)(void *, struct span, uint64_t, uint64_t), void *visit_arg)
{
	struct tables_reader *reader = arg;
	struct walk walk = {.tables = reader->tables,
	                    .prefix = prefix,
	                    .behind = behind,
	                    .visit_path = visit,
	                    .arg = visit_arg};
	struct span from = behind.len > 0 ? behind : prefix;
	return tables_each_row(reader, reader->tables->path, from, take_path, &walk) &&
	       !walk.damaged;
}

/* ---- writing ---- */

/* Moves the stream's row in the expiry index when its time has changed. What is deleted and only
 * kept for its forks goes with the last of them, not with time: in the index it would come up for
 * ever. */
static int index_expiry(const struct tables *tables, MDB_txn *txn, struct stream *stream)
{
	bool gone = stream->dropped || stream->deleted;
	uint64_t expires_ms = gone ? UINT64_MAX : stream_expires_ms(stream);
	uint64_t wanted = expires_ms == UINT64_MAX ? 0 : expires_ms + 1; /* 0: not indexed */
	if (wanted == stream->indexed_ms)
		return 0;
	int rc = 0;
	if (stream->indexed_ms != 0) {
		struct id_key old = key_of(stream->indexed_ms - 1, stream->id);
		MDB_val key = val(old.bytes, sizeof old.bytes);
		rc = mdb_del(txn, tables->expiry, &key, NULL);
	}
	if ((rc == 0 || rc == MDB_NOTFOUND) && wanted != 0) {
		struct id_key fresh = key_of(wanted - 1, stream->id);
		MDB_val key = val(fresh.bytes, sizeof fresh.bytes), nothing = val("", 0);
		rc = mdb_put(txn, tables->expiry, &key, &nothing, 0);
	}
	stream->indexed_ms = wanted;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_producers(const struct tables *tables, MDB_txn *txn, const struct stream *stream,
                         uint64_t since_lsn)
{
	for (struct stream_producer *p = stream->producers; p != NULL; p = p->hh.next) {
		if (p->lsn < since_lsn)
			continue;
		uint8_t bytes[8 + 512];
		put_number(bytes, stream->id);
		memcpy(bytes + 8, p->id, p->id_len);
		struct {
			struct producer_row row;
			uint64_t check;
		} row = {.row = {p->epoch, p->seq, p->at_ms, p->lsn}};
		MDB_val key = val(bytes, 8u + p->id_len), value = val(&row, sizeof row);
		row.check = check_of(&key, &row.row, sizeof row.row, 0);
		int rc = p->dropped ? mdb_del(txn, tables->producer, &key, NULL)
		                    : mdb_put(txn, tables->producer, &key, &value, 0);
		if (rc != 0 && rc != MDB_NOTFOUND)
			return rc;
	}
	return 0;
}

static uint32_t flags_of(const struct stream *s)
{
	return (uint32_t)((s->json ? STREAM_JSON : 0) | (s->closed ? STREAM_CLOSED : 0) |
	                  (s->deleted ? STREAM_DELETED : 0) | (s->ttl_present ? STREAM_TTL : 0) |
	                  (s->expires_present ? STREAM_EXPIRES : 0) |
	                  (s->expiry_inherited ? STREAM_EXPIRY_INHERITED : 0) |
	                  (s->fork_offset_present ? STREAM_FORK_OFFSET : 0) |
	                  (s->closed_by_present ? STREAM_CLOSED_BY : 0));
}

int tables_put_stream(const struct tables *tables, MDB_txn *txn, struct stream *s)
{
	int rc = index_expiry(tables, txn, s);
	if (rc == 0)
		rc = put_producers(tables, txn, s, 1);
	if (rc != 0)
		return rc;
	struct stream_row row = {.lineage = s->lineage,
	                         .lsn = s->lsn,
	                         .first = s->first,
	                         .tail = s->tail,
	                         .last_start = s->last_start,
	                         .created_ms = s->created_ms,
	                         .touched_ms = s->touched_ms,
	                         .appended_ms = s->appended_ms,
	                         .ttl_s = s->ttl_s,
	                         .expires_at_ms = s->expires_at_ms,
	                         .source_id = s->source_id,
	                         .fork_offset = s->fork_offset,
	                         .fork_offset_asked = s->fork_offset_asked,
	                         .fork_sub_asked = s->fork_sub_asked,
	                         .closed_epoch = s->closed_epoch,
	                         .closed_seq = s->closed_seq,
	                         .indexed_ms = s->indexed_ms,
	                         .refs = s->refs,
	                         .flags = flags_of(s),
	                         .path_len = s->path_len,
	                         .content_type_len = s->content_type_len,
	                         .fork_source_len = s->fork_source_len,
	                         .closed_producer_len = s->closed_producer_len,
	                         .stream_seq_len = s->stream_seq_len};
	size_t size = sizeof row + s->path_len + s->content_type_len + s->fork_source_len +
	              s->closed_producer_len + s->stream_seq_len;
	struct id_key id_key = key_of(s->id, 0);
	MDB_val key = val(id_key.bytes, 8), value = {size, NULL};
	rc = mdb_put(txn, tables->stream, &key, &value, MDB_RESERVE);
	if (rc != 0)
		return rc;
	uint8_t *at = value.mv_data;
	struct writer w = {at + sizeof row, at + size, true};
	writer_bytes(&w, span_of(s->path, s->path_len));
	writer_bytes(&w, span_of(s->content_type, s->content_type_len));
	writer_bytes(&w, span_of(s->fork_source, s->fork_source_len));
	writer_bytes(&w, span_of(s->closed_producer, s->closed_producer_len));
	writer_bytes(&w, span_of(s->stream_seq, s->stream_seq_len));
	check(w.ok);
	row.check = stream_check(s->id, &row, at + sizeof row, size - sizeof row);
	memcpy(at, &row, sizeof row);
	return 0;
}

static int drop_producers(const struct tables *tables, MDB_txn *txn, uint64_t id)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, tables->producer, &cursor);
	if (rc != 0)
		return rc;
	struct id_key id_key = key_of(id, 0);
	MDB_val key = val(id_key.bytes, 8), value;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && key_number(&key, 0) == id) {
		rc = mdb_cursor_del(cursor, 0);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_drop_stream(const struct tables *tables, MDB_txn *txn, struct stream *stream)
{
	struct id_key id_key = key_of(stream->id, 0);
	MDB_val key = val(id_key.bytes, 8);
	int rc = index_expiry(tables, txn, stream);
	if (rc == 0)
		rc = drop_producers(tables, txn, stream->id);
	if (rc == 0)
		rc = mdb_del(txn, tables->stream, &key, NULL);
	if (rc == 0 || rc == MDB_NOTFOUND)
		rc = tables_put_garbage(tables, txn, stream->id, UINT64_MAX);
	return rc;
}

int tables_put_path(const struct tables *tables, MDB_txn *txn, const struct state_path *path)
{
	MDB_val key = val(path->path, path->len);
	struct {
		struct path_row row;
		uint64_t check;
	} row = {.row = {path->id, path->lsn}};
	MDB_val value = val(&row, sizeof row);
	row.check = check_of(&key, &row.row, sizeof row.row, 0);
	int rc = path->id != 0 ? mdb_put(txn, tables->path, &key, &value, 0)
	                       : mdb_del(txn, tables->path, &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_put_kv(const struct tables *tables, MDB_txn *txn, const struct state_kv *kv)
{
	MDB_val key = val(kv->key, kv->key_len), value = {16 + (size_t)kv->value_len, NULL};
	int rc;
	if (kv->removed) {
		rc = mdb_del(txn, tables->kv, &key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	rc = mdb_put(txn, tables->kv, &key, &value, MDB_RESERVE);
	if (rc != 0)
		return rc;
	uint64_t head[2] = {kv->lsn | kv_checked,
	                    check_of(&key, kv->value, kv->value_len, kv->lsn)};
	memcpy(value.mv_data, head, sizeof head);
	if (kv->value_len != 0)
		memcpy((uint8_t *)value.mv_data + sizeof head, kv->value, kv->value_len);
	return 0;
}

int tables_put_garbage(const struct tables *tables, MDB_txn *txn, uint64_t id, uint64_t below)
{
	struct id_key id_key = key_of(id, 0);
	MDB_val key = val(id_key.bytes, 8), value = val(&below, 8);
	return mdb_put(txn, tables->garbage, &key, &value, 0);
}

static bool parse_chunk(const MDB_val *key, const MDB_val *value, struct chunk_row *row)
{
	if (key->mv_size != 16 || value->mv_size < CHUNK_HEAD_BYTES)
		return false;
	const uint8_t *at = value->mv_data;
	memcpy(&row->count, at, 4);
	memcpy(&row->at_ms, at + 8, 8);
	size_t table = 4 * (size_t)row->count;
	if (value->mv_size < CHUNK_HEAD_BYTES + table)
		return false;
	row->start = key_number(key, 1);
	row->sizes = at + CHUNK_HEAD_BYTES;
	row->data =
	        span_of(at + CHUNK_HEAD_BYTES + table, value->mv_size - CHUNK_HEAD_BYTES - table);
	return true;
}

/* Rows of one stream that end at or below `below`. */
static int purge_stream(const struct tables *tables, MDB_txn *txn, uint64_t id, uint64_t below,
                        size_t *rows_left)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, tables->chunk, &cursor);
	if (rc != 0)
		return rc;
	struct id_key from = key_of(id, 0);
	MDB_val key = val(from.bytes, 16), value;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (rc == 0 && *rows_left > 0 && key_number(&key, 0) == id) {
		struct chunk_row row;
		bool whole = parse_chunk(&key, &value, &row);
		if (below != UINT64_MAX && (!whole || row.start + row.data.len > below))
			break;
		rc = mdb_cursor_del(cursor, 0);
		(*rows_left)--;
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_purge(const struct tables *tables, MDB_txn *txn, size_t rows_max, bool *left)
{
	*left = false;
	for (;;) {
		MDB_cursor *cursor;
		MDB_val key, value;
		int rc = mdb_cursor_open(txn, tables->garbage, &cursor);
		if (rc != 0)
			return rc;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
		mdb_cursor_close(cursor);
		if (rc != 0)
			return rc == MDB_NOTFOUND ? 0 : rc;
		uint64_t id = key_number(&key, 0), below;
		memcpy(&below, value.mv_data, 8);
		rc = purge_stream(tables, txn, id, below, &rows_max);
		if (rc != 0)
			return rc;
		if (rows_max == 0) {
			*left = true;
			return 0;
		}
		struct id_key done = key_of(id, 0);
		key = val(done.bytes, 8);
		rc = mdb_del(txn, tables->garbage, &key, NULL);
		if (rc != 0)
			return rc;
	}
}

/* ---- chunks ---- */

/* Not of the count that 185bcb3 wrote zero: the check stands in its place. Never 0. */
static uint32_t chunk_check(uint64_t id, uint64_t start, const uint8_t *row, size_t len)
{
	uint32_t count;
	memcpy(&count, row, sizeof count);
	uint64_t seed = id ^ start * 0x9e3779b97f4a7c15ull ^ (uint64_t)count << 32;
	uint64_t h = XXH3_64bits_withSeed(row + 8, len - 8, seed);
	uint32_t check = (uint32_t)(h ^ h >> 32);
	return check != 0 ? check : 1;
}

void chunk_row_seal(uint64_t id, uint64_t start, uint8_t *row, size_t len)
{
	uint32_t check = chunk_check(id, start, row, len);
	memcpy(row + 4, &check, sizeof check);
}

/* Rows without a check are whole as far as their table tells. */
static bool adds_up(const struct chunk_row *row)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < row->count; i++)
		sum += chunk_size(row, i) & ~chunk_append_ends;
	return row->count > 0 && sum == row->data.len;
}

/* A row in hand that has to be judged. */
struct judged {
	struct tables_reader *reader;
	const MDB_val *key, *value;
	struct chunk_row *row;
	bool whole;
};

/* Large rows are read in many slices: verified once as long as they stay where they are. */
enum { LARGE_ROW_BYTES = 256 * 1024 };

static void judge_chunk(void *arg)
{
	struct judged *j = arg;
	const uint8_t *at = j->value->mv_data;
	size_t len = j->value->mv_size;
	uint32_t check;
	j->whole = parse_chunk(j->key, j->value, j->row);
	if (!j->whole)
		return;
	memcpy(&check, at + 4, sizeof check);
	size_t slot = (uintptr_t)at / PAGE_BYTES %
	              (sizeof j->reader->verified / sizeof *j->reader->verified);
	bool large = len >= LARGE_ROW_BYTES;
	bool known =
	        large && j->reader->verified[slot].at == at && j->reader->verified[slot].len == len;
	if (known)
		return;
	if (check == 0) {
		j->whole = adds_up(j->row);
		return;
	}
	j->whole = check == chunk_check(key_number(j->key, 0), j->row->start, at, len);
	if (large && j->whole) {
		j->reader->verified[slot].at = at;
		j->reader->verified[slot].len = len;
	}
}

/* What a cursor stands at, or why it stands nowhere. */
static enum row_found chunk_at(struct tables_reader *reader, int rc, uint64_t id,
                               const MDB_val *key, const MDB_val *value, struct chunk_row *row)
{
	if (rc != 0)
		return missing(rc);
	if (key->mv_size != 16 || key_number(key, 0) != id)
		return ROW_ABSENT;
	struct judged judged = {.reader = reader, .key = key, .value = value, .row = row};
	if (map_guard(judge_chunk, &judged) && judged.whole)
		return ROW_PRESENT;
	return damaged(reader->tables, "messages of a stream are damaged");
}

enum row_found tables_seek_chunk(struct tables_reader *reader, MDB_cursor *cursor, uint64_t id,
                                 uint64_t at, struct chunk_row *row)
{
	const struct tables *tables = reader->tables;
	struct id_key wanted = key_of(id, at);
	MDB_val key = val(wanted.bytes, 16), value;
	int rc = tables_cursor_get(tables, cursor, &key, &value, MDB_SET_RANGE);
	if (rc == 0 && key_number(&key, 0) == id && key_number(&key, 1) == at)
		return chunk_at(reader, rc, id, &key, &value, row);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return ROW_UNREADABLE;
	/* The row before may cover it. */
	rc = tables_cursor_get(tables, cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
	enum row_found before = chunk_at(reader, rc, id, &key, &value, row);
	if (before == ROW_UNREADABLE || (before == ROW_PRESENT && row->start + row->data.len > at))
		return before;
	if (rc == 0)
		return tables_next_chunk(reader, cursor, id, row);
	rc = tables_cursor_get(tables, cursor, &key, &value, MDB_FIRST);
	return chunk_at(reader, rc, id, &key, &value, row);
}

enum row_found tables_next_chunk(struct tables_reader *reader, MDB_cursor *cursor, uint64_t id,
                                 struct chunk_row *row)
{
	MDB_val key, value;
	int rc = tables_cursor_get(reader->tables, cursor, &key, &value, MDB_NEXT);
	return chunk_at(reader, rc, id, &key, &value, row);
}
