/* Verifying what the store holds, and copying it while it runs. */
#include "common/store/store_parts.h"
#include "common/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct inspection {
	struct store *store;
	MDB_txn *txn;
	struct tables_reader reader;
	void (*finding)(void *arg, const char *text);
	void *arg;
	uint64_t findings;
	struct store_check_totals *totals;
};

static void find(struct inspection *in, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void find(struct inspection *in, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	in->findings++;
	in->finding(in->arg, text);
}

#define ULL(n) ((unsigned long long)(n))

static bool open_walk(struct inspection *in, MDB_dbi table, MDB_cursor **cursor)
{
	int rc = tables_cursor_open(&in->store->tables, in->txn, table, cursor);
	if (rc != 0)
		find(in, "a table cannot be read: %s", mdb_strerror(rc));
	return rc == 0;
}

/* The next row; false at the end, which is a finding when it is not the table's. */
static bool next_row(struct inspection *in, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
	int rc = tables_cursor_get(&in->store->tables, cursor, key, value, MDB_NEXT);
	if (rc != 0 && rc != MDB_NOTFOUND)
		find(in, "a table cannot be read to its end: %s", mdb_strerror(rc));
	return rc == 0;
}

/* Rows follow each other without gap or overlap up to the tail, and their tables add up. */
static void check_rows(struct inspection *in, const struct stream *s)
{
	MDB_cursor *cursor;
	if (!open_walk(in, in->store->tables.chunk, &cursor))
		return;
	uint64_t at = s->first;
	struct chunk_row row;
	enum row_found found =
	        s->first < s->tail ? tables_seek_chunk(&in->reader, cursor, s->id, s->first, &row)
	                           : ROW_ABSENT;
	bool begun = false;
	while (found == ROW_PRESENT) {
		if (begun ? row.start != at : row.start > at)
			find(in, "stream %llu: rows jump from %llu to %llu", ULL(s->id), ULL(at),
			     ULL(row.start));
		uint64_t sum = 0;
		uint32_t last = 0;
		for (uint32_t i = 0; i < row.count; i++) {
			last = chunk_size(&row, i);
			sum += last & ~chunk_append_ends;
		}
		if (sum != row.data.len || row.count == 0 || !(last & chunk_append_ends))
			find(in, "stream %llu: table of the row at %llu is wrong", ULL(s->id),
			     ULL(row.start));
		at = row.start + row.data.len;
		begun = true;
		in->totals->rows++;
		in->totals->messages += row.count;
		in->totals->bytes += row.data.len;
		found = tables_next_chunk(&in->reader, cursor, s->id, &row);
	}
	if (found == ROW_UNREADABLE)
		find(in, "stream %llu: messages from %llu on cannot be read or are damaged",
		     ULL(s->id), ULL(at));
	else if (at != s->tail)
		find(in, "stream %llu: rows end at %llu, its tail is %llu", ULL(s->id), ULL(at),
		     ULL(s->tail));
	mdb_cursor_close(cursor);
}

static uint32_t count_forks(struct inspection *in, uint64_t id)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint32_t forks = 0;
	if (!open_walk(in, in->store->tables.stream, &cursor))
		return 0;
	while (next_row(in, cursor, &key, &value)) {
		struct stream *s = xcalloc(1, sizeof *s);
		if (tables_load_stream(&in->reader, key_number(&key, 0), s) == ROW_PRESENT)
			forks += s->source_id == id;
		stream_free(s);
	}
	mdb_cursor_close(cursor);
	return forks;
}

/* What a fork reads of its source is there as long as the source knows of it. */
static void check_source(struct inspection *in, const struct stream *fork)
{
	struct stream *source = xcalloc(1, sizeof *source);
	enum row_found found = tables_load_stream(&in->reader, fork->source_id, source);
	if (found == ROW_ABSENT)
		find(in, "stream %llu: its source %llu is gone", ULL(fork->id),
		     ULL(fork->source_id));
	else if (found == ROW_PRESENT && source->refs == 0)
		find(in, "stream %llu: its source %llu knows of no fork", ULL(fork->id),
		     ULL(fork->source_id));
	stream_free(source);
}

static void check_stream(struct inspection *in, uint64_t id)
{
	struct stream *s = xcalloc(1, sizeof *s);
	in->totals->streams++;
	if (tables_load_stream(&in->reader, id, s) != ROW_PRESENT) {
		find(in, "stream %llu: its row is damaged", ULL(id));
		stream_free(s);
		return;
	}
	uint64_t holder = 0, lsn;
	bool reachable = tables_load_path(&in->reader, span_of(s->path, s->path_len), &holder,
	                                  &lsn) == ROW_PRESENT;
	if (!s->deleted && (!reachable || holder != id))
		find(in, "stream %llu: path %s leads to %llu", ULL(id), s->path, ULL(holder));
	if (s->first > s->tail)
		find(in, "stream %llu: begins at %llu behind its tail %llu", ULL(id), ULL(s->first),
		     ULL(s->tail));
	if ((s->refs != 0 || s->deleted) && count_forks(in, id) != s->refs)
		find(in, "stream %llu: %u forks counted, %u recorded", ULL(id), count_forks(in, id),
		     s->refs);
	if (s->source_id != 0)
		check_source(in, s);
	uint64_t expires_ms = stream_expires_ms(s);
	bool unindexed =
	        s->deleted && s->indexed_ms == 0; /* releases before had these in the index too */
	if (!unindexed && s->indexed_ms != (expires_ms == UINT64_MAX ? 0 : expires_ms + 1))
		find(in, "stream %llu: expiry index says %llu", ULL(id), ULL(s->indexed_ms));
	check_rows(in, s);
	stream_free(s);
}

static void check_streams(struct inspection *in)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	if (!open_walk(in, in->store->tables.stream, &cursor))
		return;
	while (next_row(in, cursor, &key, &value))
		check_stream(in, key_number(&key, 0));
	mdb_cursor_close(cursor);
}

static bool check_path(void *arg, struct span path, uint64_t id, uint64_t lsn)
{
	struct inspection *in = arg;
	struct stream *s = xcalloc(1, sizeof *s);
	(void)lsn;
	if (tables_load_stream(&in->reader, id, s) == ROW_ABSENT)
		find(in, "path %.*s leads to stream %llu, which is not there", (int)path.len,
		     path.at, ULL(id));
	stream_free(s);
	return true;
}

/* Rows that name a stream must name a living one. */
static void check_owned(struct inspection *in, MDB_dbi table, const char *what, size_t id_at)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t last = 0;
	const struct tables *tables = &in->store->tables;
	if (!open_walk(in, table, &cursor))
		return;
	while (next_row(in, cursor, &key, &value)) {
		uint64_t id = key_number(&key, id_at);
		struct id_key id_key = key_of(id, 0);
		MDB_val stream = {8, id_key.bytes}, garbage = stream, ignored;
		if (id != last &&
		    tables_get(tables, in->txn, tables->stream, &stream, &ignored) ==
		            MDB_NOTFOUND &&
		    tables_get(tables, in->txn, tables->garbage, &garbage, &ignored) ==
		            MDB_NOTFOUND)
			find(in, "%s of stream %llu, which is not there", what, ULL(id));
		last = id;
	}
	mdb_cursor_close(cursor);
}

static void check_ring(struct inspection *in, const struct tables_checkpoint *checkpoint)
{
	const struct ring *ring = &in->store->ring;
	uint64_t durable = ring_durable(ring);
	struct ring_position end = ring_scan(ring, checkpoint->position, UINT64_MAX);
	struct ring_record record;
	if (end.lsn < durable)
		find(in, "log: chain breaks at %llu, durable is %llu", ULL(end.lsn), ULL(durable));
	for (uint64_t at = checkpoint->position.lsn; at < end.lsn; at += record.bytes) {
		if (!ring_record_at(ring, at, &record))
			break;
		in->totals->ring_entries += record.entries == RING_PAD ? 0 : record.entries;
	}
}

static bool pass_kv(void *arg, struct span key, struct span value, uint64_t lsn)
{
	(void)arg, (void)key, (void)value, (void)lsn;
	return true;
}

/* Each is verified on its way by. */
static void check_kvs(struct inspection *in)
{
	if (!tables_each_kv(&in->reader, (struct span){0}, (struct span){0}, pass_kv, in))
		find(in, "small values cannot be read or are damaged");
}

static void check_counts(struct inspection *in, const struct tables_checkpoint *checkpoint)
{
	if (checkpoint->streams_count != in->totals->streams)
		find(in, "%llu streams counted, %llu recorded", ULL(in->totals->streams),
		     ULL(checkpoint->streams_count));
}

/* A page that cannot be read, or is not LMDB's, is damage; that the disk is full or has failed, or
 * that memory is short, says nothing of what is there. */
static void cannot(struct inspection *in, const char *what, int rc)
{
	bool lacking = rc > 0 || rc == MDB_MAP_FULL || rc == MDB_READERS_FULL;
	if (lacking && !in->store->writer_lost)
		snprintf(in->totals->unfinished, sizeof in->totals->unfinished, "%s: %s", what,
		         mdb_strerror(rc));
	else
		find(in, "%s: %s", what, mdb_strerror(rc));
}

/* The log first; what it holds is then applied, so that the rows below are all there is. */
static int begin_inspection(struct inspection *in, struct tables_checkpoint *checkpoint)
{
	const struct tables *tables = &in->store->tables;
	bool more = true;
	int rc = mdb_txn_begin(tables->env, NULL, MDB_RDONLY, &in->txn);
	if (rc != 0)
		return rc;
	rc = tables_get_checkpoint(tables, in->txn, checkpoint);
	if (rc == 0)
		check_ring(in, checkpoint);
	mdb_txn_abort(in->txn);
	if (rc != 0)
		return rc;
	if (in->findings > 0)
		more = false; /* a broken log is not applied by whoever looks at it */
	while (more && rc == 0)
		rc = checkpoint_once(in->store, &more);
	if (rc != 0) /* what is in LMDB is looked at all the same */
		cannot(in, "the log cannot be applied", rc);
	rc = mdb_txn_begin(tables->env, NULL, MDB_RDONLY, &in->txn);
	return rc == 0 ? tables_get_checkpoint(tables, in->txn, checkpoint) : rc;
}

uint64_t store_check(struct store *store, void (*finding)(void *arg, const char *text), void *arg,
                     struct store_check_totals *totals)
{
	struct inspection in = {.store = store, .finding = finding, .arg = arg, .totals = totals};
	struct tables_checkpoint checkpoint;
	*totals = (struct store_check_totals){.format = store->tables.format};
	/* The checkpointer stands still meanwhile, so that snapshot and ring belong together. */
	while (!ring_checkpoint_trylock(&store->ring, 1000)) {
	}
	int rc = begin_inspection(&in, &checkpoint);
	if (rc != 0) {
		cannot(&in, "LMDB", rc);
	} else {
		in.reader = (struct tables_reader){.tables = &store->tables, .txn = in.txn};
		check_streams(&in);
		if (!tables_each_path(&in.reader, (struct span){0}, (struct span){0}, check_path,
		                      &in))
			find(&in, "paths cannot be read or are damaged");
		check_kvs(&in);
		check_owned(&in, store->tables.producer, "producer", 0);
		check_owned(&in, store->tables.chunk, "row", 0);
		check_owned(&in, store->tables.expiry, "expiry", 1);
		check_counts(&in, &checkpoint);
		mdb_txn_abort(in.txn);
	}
	ring_checkpoint_unlock(&store->ring);
	return in.findings;
}

/* ---- backup ---- */

static int sync_directory_of(const char *path)
{
	char copy[4096];
	snprintf(copy, sizeof copy, "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int read_table(const struct tables *tables, MDB_txn *txn, MDB_dbi table)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = tables_cursor_open(tables, txn, table, &cursor);
	if (rc != 0)
		return rc;
	do
		rc = tables_cursor_get(tables, cursor, &key, &value, MDB_NEXT);
	while (rc == 0);
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* LMDB copies with a thread and locks of its own, so a guard around that could not be left: what it
 * is going to read is read before. */
static int read_all(const struct tables *tables)
{
	enum { FREE_TABLE = 0, MAIN_TABLE = 1 }; /* LMDB's own */
	const MDB_dbi all[] = {FREE_TABLE,       MAIN_TABLE,    tables->path, tables->stream,
	                       tables->producer, tables->chunk, tables->kv,   tables->expiry,
	                       tables->garbage,  tables->meta};
	struct tables_reader reader = {.tables = tables};
	MDB_txn *txn = tables_begin(&reader);
	int rc = reader.rc;
	for (size_t i = 0; txn != NULL && rc == 0 && i < sizeof all / sizeof *all; i++)
		rc = read_table(tables, txn, all[i]);
	tables_end(&reader);
	tables_reader_finish(&reader);
	return rc;
}

int store_backup(struct store *store, const char *path, char reason[256])
{
	char part[4096];
	int rc = store_checkpoint(store, reason);
	if (rc != 0)
		return rc;
	rc = read_all(&store->tables);
	if (rc != 0) {
		snprintf(reason, 256,
		         "data.mdb cannot be read whole: %s; see ringsidectl store check",
		         mdb_strerror(rc));
		return rc;
	}
	snprintf(part, sizeof part, "%s.part", path);
	int fd = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = fd < 0 ? errno : mdb_env_copyfd2(store->tables.env, fd, MDB_CP_COMPACT);
	if (rc == 0)
		rc = tables_mark_backup(part);
	if (rc == 0 && fsync(fd) != 0)
		rc = errno;
	if (fd >= 0)
		close(fd);
	if (rc == 0 && rename(part, path) != 0)
		rc = errno;
	if (rc == 0)
		rc = sync_directory_of(path);
	if (rc != 0) {
		snprintf(reason, 256, "cannot write %.150s: %s", path, mdb_strerror(rc));
		unlink(part);
	}
	return rc;
}
