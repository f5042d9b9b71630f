/* Reading LMDB whose pages may be unreadable: a page fault ends one look-up, not the process. */
#include "common/store/tables_parts.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map_guard.h"
#include "proto/roles.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOG_AGAIN_MS = 1000 };

void tables_unreadable(const struct tables *tables, const char *what)
{
	struct tables *t = (struct tables *)(uintptr_t)tables; /* its counters are nobody's state */
	uint64_t now_ms = clock_monotonic_ms(), last_ms = atomic_load(&t->unreadable_ms);
	uint64_t count = atomic_fetch_add(&t->unreadable, 1) + 1;
	if (last_ms != 0 && now_ms < last_ms + LOG_AGAIN_MS)
		return;
	atomic_store(&t->unreadable_ms, now_ms);
	log_error("store not readable",
	          "error=\"%s\" count=%llu advice=\"see ringsidectl store check\"", what,
	          (unsigned long long)count);
}

/* One read of LMDB's; `cursor` or else `txn` and `table`. */
struct read {
	const struct tables *tables;
	MDB_cursor *cursor;
	MDB_txn *txn;
	MDB_dbi table;
	MDB_val *key, *value;
	MDB_cursor_op op;
	int rc;
};

static void read_guarded(void *arg)
{
	struct read *read = arg;
	read->rc = read->cursor != NULL
	                   ? mdb_cursor_get(read->cursor, read->key, read->value, read->op)
	                   : mdb_get(read->txn, read->table, read->key, read->value);
	if (read->rc != 0)
		return;
	if (read->value->mv_size > read->tables->map_bytes) {
		read->rc = MDB_CORRUPTED;
		return;
	}
	/* Once through, so that its pages are there for whoever parses it next. */
	const volatile uint8_t *at = read->value->mv_data;
	for (size_t i = 0; i < read->value->mv_size; i += PAGE_BYTES)
		(void)at[i];
	if (read->value->mv_size > 0)
		(void)at[read->value->mv_size - 1];
}

static int read_safely(struct read *read)
{
	if (!map_guard(read_guarded, read))
		read->rc = EIO;
	if (read->rc != 0 && read->rc != MDB_NOTFOUND)
		tables_unreadable(read->tables, mdb_strerror(read->rc));
	return read->rc;
}

int tables_get(const struct tables *tables, MDB_txn *txn, MDB_dbi table, MDB_val *key,
               MDB_val *value)
{
	struct read read = {
	        .tables = tables, .txn = txn, .table = table, .key = key, .value = value};
	return read_safely(&read);
}

int tables_cursor_get(const struct tables *tables, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                      MDB_cursor_op op)
{
	struct read read = {
	        .tables = tables, .cursor = cursor, .key = key, .value = value, .op = op};
	return read_safely(&read);
}

struct opening {
	MDB_txn *txn;
	MDB_dbi table;
	MDB_cursor *cursor;
	int rc;
};

static void open_guarded(void *arg)
{
	struct opening *opening = arg;
	MDB_stat stat;
	/* Reads the table's root into the transaction: opening a cursor would do it with memory in
	 * hand, which leaving the guard would lose. */
	opening->rc = mdb_stat(opening->txn, opening->table, &stat);
	if (opening->rc == 0)
		opening->rc = mdb_cursor_open(opening->txn, opening->table, &opening->cursor);
}

int tables_cursor_open(const struct tables *tables, MDB_txn *txn, MDB_dbi table,
                       MDB_cursor **cursor)
{
	struct opening opening = {.txn = txn, .table = table};
	if (!map_guard(open_guarded, &opening))
		opening.rc = EIO;
	if (opening.rc != 0)
		tables_unreadable(tables, mdb_strerror(opening.rc));
	*cursor = opening.cursor;
	return opening.rc;
}

/* ---- snapshots ---- */

static void begin_guarded(void *arg)
{
	struct tables_reader *reader = arg;
	reader->rc = reader->txn != NULL
	                     ? mdb_txn_renew(reader->txn)
	                     : mdb_txn_begin(reader->tables->env, NULL, MDB_RDONLY, &reader->txn);
}

void tables_leave_if_broken(int rc)
{
	if (rc != MDB_PANIC)
		return;
	/* LMDB wants to be opened anew; what is acknowledged is in the ring. */
	log_error("store must be opened again", "error=\"%s\"", mdb_strerror(rc));
	log_flush();
	_exit(EXIT_FAILED);
}

MDB_txn *tables_begin(struct tables_reader *reader)
{
	if (!reader->own && reader->txn != NULL)
		return reader->txn;
	reader->own = true;
	reader->rc = 0;
	if (reader->depth == 0 && !map_guard(begin_guarded, reader))
		reader->rc = EIO;
	if (reader->rc == 0) {
		reader->depth++;
		return reader->txn;
	}
	tables_leave_if_broken(reader->rc);
	tables_unreadable(reader->tables, mdb_strerror(reader->rc));
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

bool tables_each_row(struct tables_reader *reader, MDB_dbi table, struct span from,
                     bool (*take)(void *arg, const MDB_val *key, const MDB_val *value), void *arg)
{
	MDB_txn *txn = tables_begin(reader);
	MDB_cursor *cursor;
	if (txn == NULL)
		return false;
	int rc = tables_cursor_open(reader->tables, txn, table, &cursor);
	if (rc == 0) {
		MDB_val key = val_span(from), value;
		rc = tables_cursor_get(reader->tables, cursor, &key, &value,
		                       from.len != 0 ? MDB_SET_RANGE : MDB_FIRST);
		while (rc == 0 && take(arg, &key, &value))
			rc = tables_cursor_get(reader->tables, cursor, &key, &value, MDB_NEXT);
		mdb_cursor_close(cursor);
	}
	tables_end(reader);
	return rc == 0 || rc == MDB_NOTFOUND;
}
