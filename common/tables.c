#include "common/tables.h"
#include "common/check.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static const uint64_t format_number = 0x52530001;

/* ---- environment ---- */

static int open_tables(struct tables *t, MDB_txn *txn)
{
	const struct {
		const char *name;
		MDB_dbi *dbi;
	} rows[] = {{"path", &t->path},     {"stream", &t->stream},   {"producer", &t->producer},
	            {"chunk", &t->chunk},   {"kv", &t->kv},           {"expiry", &t->expiry},
	            {"garbage", &t->garbage}, {"meta", &t->meta}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int rc = mdb_dbi_open(txn, rows[i].name, MDB_CREATE, rows[i].dbi);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int prepare(struct tables *t)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(t->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = open_tables(t, txn);
	MDB_val key = {6, (void *)(uintptr_t) "format"}, value = {8, (void *)(uintptr_t)&format_number};
	MDB_val present;
	if (rc == 0)
		rc = mdb_get(txn, t->meta, &key, &present);
	if (rc == MDB_NOTFOUND)
		rc = mdb_put(txn, t->meta, &key, &value, 0);
	else if (rc == 0 && (present.mv_size != 8 || memcmp(present.mv_data, &format_number, 8) != 0))
		rc = MDB_VERSION_MISMATCH;
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/* What has been admitted must always fit, fragments and copies of pages included: LMDB's wall stands
 * well behind the limit that admission goes by. The map is virtual; it costs nothing. */
enum { MAP_SPARE_BYTES = 64 << 20 };

uint64_t tables_map_room(uint64_t map_bytes)
{
	return (map_bytes + map_bytes / 2 + MAP_SPARE_BYTES) & ~4095ull;
}

uint64_t tables_map_within(uint64_t bytes)
{
	return bytes > MAP_SPARE_BYTES ? (bytes - MAP_SPARE_BYTES) / 3 * 2 : 0;
}

int tables_env_open(MDB_env *env, const char *dir, unsigned flags)
{
	int fd, rc = mdb_env_open(env, dir, flags, 0600);
	if (rc == 0)
		rc = mdb_env_get_fd(env, &fd);
	if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		rc = errno;
	return rc;
}

int tables_open(struct tables *tables, const char *dir, uint64_t map_bytes, uint32_t readers_max,
                char reason[256])
{
	*tables = (struct tables){0};
	int rc = mdb_env_create(&tables->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(tables->env, tables_map_room(map_bytes));
	if (rc == 0)
		rc = mdb_env_set_maxreaders(tables->env, readers_max);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(tables->env, 16);
	if (rc == 0)
		rc = tables_env_open(tables->env, dir, MDB_NOTLS | MDB_NORDAHEAD);
	if (rc == 0)
		rc = prepare(tables);
	if (rc == 0)
		return 0;
	snprintf(reason, 256, "cannot open %.150s/data.mdb: %s", dir, mdb_strerror(rc));
	tables_close(tables);
	return rc > 0 ? rc : rc == MDB_READERS_FULL ? EAGAIN : EINVAL;
}

void tables_close(struct tables *tables)
{
	if (tables->env != NULL)
		mdb_env_close(tables->env);
	tables->env = NULL;
}

static MDB_val val(const void *at, size_t len)
{
	return (MDB_val){len, (void *)(uintptr_t)at};
}

static MDB_val val_span(struct span s)
{
	return val(s.at, s.len);
}

int tables_get_checkpoint(const struct tables *tables, MDB_txn *txn,
                          struct tables_checkpoint *checkpoint)
{
	MDB_val key = val("checkpoint", 10), value;
	*checkpoint = (struct tables_checkpoint){.next_id = 1};
	int rc = mdb_get(txn, tables->meta, &key, &value);
	if (rc == 0 && value.mv_size == sizeof *checkpoint)
		memcpy(checkpoint, value.mv_data, sizeof *checkpoint);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_put_checkpoint(const struct tables *tables, MDB_txn *txn,
                          const struct tables_checkpoint *checkpoint)
{
	MDB_val key = val("checkpoint", 10), value = val(checkpoint, sizeof *checkpoint);
	return mdb_put(txn, tables->meta, &key, &value, 0);
}

int tables_get_log(const struct tables *tables, MDB_txn *txn, struct tables_log *log)
{
	MDB_val key = val("log", 3), value;
	*log = (struct tables_log){0};
	int rc = mdb_get(txn, tables->meta, &key, &value);
	if (rc == 0 && value.mv_size == sizeof *log)
		memcpy(log, value.mv_data, sizeof *log);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_put_log(const struct tables *tables, MDB_txn *txn, const struct tables_log *log)
{
	MDB_val key = val("log", 3), value = val(log, sizeof *log);
	return mdb_put(txn, tables->meta, &key, &value, 0);
}

static int put_backup_mark(MDB_env *env)
{
	const struct tables_log none = {.state = TABLES_LOG_NONE, .renew_epoch = 1};
	struct tables copy = {.env = env};
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, "meta", 0, &copy.meta);
	if (rc == 0)
		rc = tables_put_log(&copy, txn, &none);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

int tables_mark_backup(const char *path)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);
	if (rc != 0)
		return rc;
	rc = mdb_env_set_maxdbs(env, 16);
	if (rc == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
	if (rc == 0)
		rc = put_backup_mark(env);
	mdb_env_close(env);
	return rc;
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

MDB_txn *tables_begin(struct tables_reader *reader)
{
	if (!reader->own && reader->txn != NULL)
		return reader->txn;
	reader->own = true;
	int rc = 0;
	if (reader->depth == 0)
		rc = reader->txn != NULL
		             ? mdb_txn_renew(reader->txn)
		             : mdb_txn_begin(reader->tables->env, NULL, MDB_RDONLY, &reader->txn);
	if (rc == 0) {
		reader->depth++;
		return reader->txn;
	}
	log_error("store not readable", "error=\"%s\"", mdb_strerror(rc));
	return NULL;
}

void tables_end(struct tables_reader *reader)
{
	if (reader->own && reader->depth > 0 && --reader->depth == 0)
		mdb_txn_reset(reader->txn);
}

void tables_reader_finish(struct tables_reader *reader)
{
	if (reader->own && reader->txn != NULL)
		mdb_txn_abort(reader->txn);
	free(reader->scratch);
	*reader = (struct tables_reader){0};
}

struct path_row {
	uint64_t id, lsn;
};

bool tables_load_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_val key = val_span(path), value;
	struct path_row row;
	bool found = txn != NULL && path.len > 0 &&
	             mdb_get(txn, reader->tables->path, &key, &value) == 0 &&
	             value.mv_size == sizeof row;
	if (found) {
		memcpy(&row, value.mv_data, sizeof row);
		*id = row.id;
		*lsn = row.lsn;
	}
	tables_end(reader);
	return found;
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
	uint64_t source_id, fork_offset, fork_offset_asked, fork_sub_asked, closed_epoch, closed_seq;
	uint64_t indexed_ms;
	uint32_t refs, flags;
	uint16_t path_len, content_type_len, fork_source_len, closed_producer_len, stream_seq_len, pad;
	uint32_t pad2;
};

static char *take_text(struct reader *r, uint16_t len)
{
	struct span s = reader_bytes(r, len);
	return xmemdup_text(s.at, r->ok ? len : 0);
}

static bool parse_stream(const MDB_val *value, struct stream *s)
{
	struct stream_row row;
	if (value->mv_size < sizeof row)
		return false;
	memcpy(&row, value->mv_data, sizeof row);
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
	s->content_type = take_text(&r, row.content_type_len);
	s->fork_source = take_text(&r, row.fork_source_len);
	s->closed_producer = take_text(&r, row.closed_producer_len);
	s->stream_seq = (uint8_t *)take_text(&r, row.stream_seq_len);
	return r.ok;
}

bool tables_load_stream(void *arg, uint64_t id, struct stream *into)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	struct id_key id_key = key_of(id, 0);
	MDB_val key = val(id_key.bytes, 8), value;
	into->id = id;
	bool found = txn != NULL && mdb_get(txn, reader->tables->stream, &key, &value) == 0 &&
	             parse_stream(&value, into);
	tables_end(reader);
	return found;
}

struct producer_row {
	uint64_t epoch, seq, at_ms, lsn;
};

void tables_load_producers(void *arg, struct stream *into)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_cursor *cursor;
	if (txn == NULL || mdb_cursor_open(txn, reader->tables->producer, &cursor) != 0) {
		tables_end(reader);
		return;
	}
	struct id_key id_key = key_of(into->id, 0);
	MDB_val key = val(id_key.bytes, 8), value;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	for (; rc == 0 && key.mv_size > 8 && key_number(&key, 0) == into->id;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct producer_row row;
		if (value.mv_size != sizeof row)
			continue;
		memcpy(&row, value.mv_data, sizeof row);
		stream_producer_load(into, span_of((uint8_t *)key.mv_data + 8, key.mv_size - 8),
		                     row.epoch, row.seq, row.at_ms, row.lsn);
	}
	mdb_cursor_close(cursor);
	tables_end(reader);
}

bool tables_load_kv(void *arg, struct span key_span, struct span *value_out, uint64_t *lsn)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_val key = val_span(key_span), value;
	bool found = txn != NULL && mdb_get(txn, reader->tables->kv, &key, &value) == 0 &&
	             value.mv_size >= 8;
	if (found) {
		memcpy(lsn, value.mv_data, 8);
		free(reader->scratch);
		size_t len = value.mv_size - 8;
		reader->scratch =
		        (uint8_t *)xmemdup_text((const uint8_t *)value.mv_data + 8, len);
		*value_out = span_of(reader->scratch, len);
	}
	tables_end(reader);
	return found;
}

void tables_each_kv(void *arg, struct span prefix,
                    bool (*visit)(void *, struct span, struct span, uint64_t), void *visit_arg)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_cursor *cursor;
	if (txn == NULL || mdb_cursor_open(txn, reader->tables->kv, &cursor) != 0) {
		tables_end(reader);
		return;
	}
	MDB_val key = val_span(prefix), value;
	int rc = mdb_cursor_get(cursor, &key, &value, prefix.len != 0 ? MDB_SET_RANGE : MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		uint64_t lsn;
		if (key.mv_size < prefix.len || memcmp(key.mv_data, prefix.at, prefix.len) != 0)
			break;
		if (value.mv_size < 8)
			continue;
		memcpy(&lsn, value.mv_data, 8);
		if (!visit(visit_arg, span_of(key.mv_data, key.mv_size),
		           span_of((const uint8_t *)value.mv_data + 8, value.mv_size - 8), lsn))
			break;
	}
	mdb_cursor_close(cursor);
	tables_end(reader);
}

void tables_each_path(void *arg, struct span prefix, bool (*visit)(void *, struct span, uint64_t), void *visit_arg)
{
	struct tables_reader *reader = arg;
	MDB_txn *txn = tables_begin(reader);
	MDB_cursor *cursor;
	if (txn == NULL || mdb_cursor_open(txn, reader->tables->path, &cursor) != 0) {
		tables_end(reader);
		return;
	}
	MDB_val key = val(prefix.at, prefix.len), value;
	int rc = mdb_cursor_get(cursor, &key, &value, prefix.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct path_row row;
		if (key.mv_size < prefix.len || memcmp(key.mv_data, prefix.at, prefix.len) != 0)
			break;
		if (value.mv_size != sizeof row)
			continue;
		memcpy(&row, value.mv_data, sizeof row);
		if (!visit(visit_arg, span_of(key.mv_data, key.mv_size), row.id))
			break;
	}
	mdb_cursor_close(cursor);
	tables_end(reader);
}

/* ---- writing ---- */

/* Moves the stream's row in the expiry index when its time has changed. What is deleted and only kept
 * for its forks goes with the last of them, not with time: in the index it would come up for ever. */
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
		struct producer_row row = {p->epoch, p->seq, p->at_ms, p->lsn};
		MDB_val key = val(bytes, 8u + p->id_len), value = val(&row, sizeof row);
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
	struct writer w = {at, at + size, true};
	writer_bytes(&w, span_of(&row, sizeof row));
	writer_bytes(&w, span_of(s->path, s->path_len));
	writer_bytes(&w, span_of(s->content_type, s->content_type_len));
	writer_bytes(&w, span_of(s->fork_source, s->fork_source_len));
	writer_bytes(&w, span_of(s->closed_producer, s->closed_producer_len));
	writer_bytes(&w, span_of(s->stream_seq, s->stream_seq_len));
	check(w.ok);
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
	struct path_row row = {path->id, path->lsn};
	MDB_val value = val(&row, sizeof row);
	int rc = path->id != 0 ? mdb_put(txn, tables->path, &key, &value, 0)
	                       : mdb_del(txn, tables->path, &key, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int tables_put_kv(const struct tables *tables, MDB_txn *txn, const struct state_kv *kv)
{
	MDB_val key = val(kv->key, kv->key_len), value = {8 + (size_t)kv->value_len, NULL};
	int rc;
	if (kv->removed) {
		rc = mdb_del(txn, tables->kv, &key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	rc = mdb_put(txn, tables->kv, &key, &value, MDB_RESERVE);
	if (rc != 0)
		return rc;
	memcpy(value.mv_data, &kv->lsn, 8);
	if (kv->value_len != 0)
		memcpy((uint8_t *)value.mv_data + 8, kv->value, kv->value_len);
	return 0;
}

int tables_put_garbage(const struct tables *tables, MDB_txn *txn, uint64_t id, uint64_t below)
{
	struct id_key id_key = key_of(id, 0);
	MDB_val key = val(id_key.bytes, 8), value = val(&below, 8);
	return mdb_put(txn, tables->garbage, &key, &value, 0);
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
		if (!chunk_row_parse(&key, &value, &row) || row.start + row.data.len > below)
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

bool chunk_row_parse(const MDB_val *key, const MDB_val *value, struct chunk_row *row)
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
	row->data = span_of(at + CHUNK_HEAD_BYTES + table, value->mv_size - CHUNK_HEAD_BYTES - table);
	return true;
}

bool tables_seek_chunk(MDB_cursor *cursor, uint64_t id, uint64_t at, struct chunk_row *row)
{
	struct id_key wanted = key_of(id, at);
	MDB_val key = val(wanted.bytes, 16), value;
	int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (rc == 0 && key_number(&key, 0) == id && key_number(&key, 1) == at)
		return chunk_row_parse(&key, &value, row);
	/* The row before may cover it. */
	rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
	if (rc == 0 && key_number(&key, 0) == id && chunk_row_parse(&key, &value, row) &&
	    row->start + row->data.len > at)
		return true;
	return tables_next_chunk(cursor, id, row) ||
	       (rc == MDB_NOTFOUND && mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == 0 &&
	        key_number(&key, 0) == id && chunk_row_parse(&key, &value, row));
}

bool tables_next_chunk(MDB_cursor *cursor, uint64_t id, struct chunk_row *row)
{
	MDB_val key, value;
	return mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0 && key.mv_size == 16 &&
	       key_number(&key, 0) == id && chunk_row_parse(&key, &value, row);
}
