/* LMDB tables and row formats: what the store keeps behind the ring.
 *
 *   path      path                          -> id, lsn, check
 *   stream    id                            -> the facts of a stream
 *   producer  id, producer id               -> epoch, seq, time, lsn, check
 *   chunk     id, first position            -> messages of the stream, back to back
 *   kv        key                           -> lsn, check, value
 *   expiry    unix ms, id                   -> (nothing)
 *   garbage   id                            -> rows of this stream below a position are to go
 *   meta      "checkpoint"                  -> how far the log is applied, and counts
 *             "log"                         -> which ring goes with this file
 *
 * `check` is a checksum over key and value; reads verify it, so that a page of zeros or of
 * something else is not taken for a row. Rows of releases before have none and are read all the
 * same.
 *
 * Numbers in keys are big-endian, so that they sort. Rows are native-endian: the directory belongs
 * to one machine; a backup carries the architecture in its format number. */
#pragma once

#include "common/store/ring.h"
#include "common/store/state.h"

#include <lmdb.h>

/* What a release that does not know of it would misread is another format: of rows, of keys, or of
 * the log's records. docs/storage.md says which release has which. */
enum { TABLES_FORMAT = 1 };

struct tables {
	MDB_env *env;
	size_t map_bytes;
	int opened;      /* while it is being opened: how that went */
	unsigned format; /* what was found; 0: another program's */
	MDB_dbi path, stream, producer, chunk, kv, expiry, garbage, meta;
	_Atomic uint64_t unreadable;    /* look-ups that had no answer, of this process */
	_Atomic uint64_t unreadable_ms; /* monotonic: one was last logged */
};

/* mdb_env_open(), and no program that is started from here inherits data.mdb: LMDB leaves its data
 * file open across an exec. */
int tables_env_open(MDB_env *env, const char *dir, unsigned flags);

/* Opens the environment in `dir`; makes it when nothing is there yet. A data.mdb that is shorter
 * than what it says it holds is refused, and one of a format that is not known. The caller holds
 * the open lock of the store. 0, or errno with a reason. After fork, once per process. */
int tables_open(struct tables *tables, const char *dir, uint64_t map_bytes, uint32_t readers_max,
                char reason[256]);
void tables_close(struct tables *tables);

/* Address space that the map of map_bytes takes, and how large data.mdb may become with it; and the
 * largest map_bytes for which that is within `bytes`, 0 when there is none. */
uint64_t tables_map_room(uint64_t map_bytes);
uint64_t tables_map_within(uint64_t bytes);
/* Size of a page, and of what the newest transaction says it holds. False: not readable. */
bool tables_size(const struct tables *tables, uint64_t *page_bytes, uint64_t *used_bytes);

/* How far LMDB is. All zero in a new store. */
struct tables_checkpoint {
	struct ring_position position;
	uint64_t next_id, streams_count, now_ms;
};
int tables_get_checkpoint(const struct tables *tables, MDB_txn *txn,
                          struct tables_checkpoint *checkpoint);
int tables_put_checkpoint(const struct tables *tables, MDB_txn *txn,
                          const struct tables_checkpoint *checkpoint);

/* The ring that goes with this file. All zero in a new store and in one that only releases without
 * this row have had. */
enum tables_log_state {
	TABLES_LOG_UNKNOWN,
	TABLES_LOG_MAKING, /* it is being made; nothing was written to it yet */
	TABLES_LOG_KEPT,   /* without it this file is not all that was acknowledged */
	TABLES_LOG_NONE,   /* this file is a backup: whole without a ring */
};
struct tables_log {
	uint64_t ring_bytes;
	uint32_t state;       /* enum tables_log_state */
	uint32_t renew_epoch; /* 1: clients may hold offsets of what is no longer there, and were
	                         not yet told */
};
int tables_get_log(const struct tables *tables, MDB_txn *txn, struct tables_log *log);
int tables_put_log(const struct tables *tables, MDB_txn *txn, const struct tables_log *log);
/* Says in a copy of data.mdb, at `path`, that it is a backup. Synced. 0 or an LMDB error. */
int tables_mark_backup(const char *path);

/* A reader of one snapshot for state backings: renews its transaction per call, or uses a given one
 * (the checkpointer's write transaction). */
struct tables_reader {
	const struct tables *tables;
	MDB_txn *txn;
	bool own;         /* txn is a read transaction of this reader, reset between calls */
	int rc;           /* of the last begin */
	unsigned depth;   /* begins without their end: a walk's visitor may look up other rows */
	uint8_t *scratch; /* copies handed out; owned */
	struct {
		const void *at;
		size_t len;
	} verified[16]; /* large rows of this snapshot or one before whose checksum was right */
};
/* May nest; all inside the outermost pair see one snapshot. NULL: logged; its end does nothing.
 * Ends the process when the environment is broken: it has to be opened anew. */
MDB_txn *tables_begin(struct tables_reader *reader);
void tables_end(struct tables_reader *reader);
void tables_reader_finish(struct tables_reader *reader);

/* MDB_PANIC: says so and ends the process, so that its successor opens the environment anew. */
void tables_leave_if_broken(int rc);

/* mdb_get() and mdb_cursor_get() whose pages may be unreadable: EIO then. The value can be read
 * through afterwards. Other errors than MDB_NOTFOUND are logged, now and then. */
int tables_get(const struct tables *tables, MDB_txn *txn, MDB_dbi table, MDB_val *key,
               MDB_val *value);
int tables_cursor_get(const struct tables *tables, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                      MDB_cursor_op op);
/* mdb_cursor_open(), which may read too. */
int tables_cursor_open(const struct tables *tables, MDB_txn *txn, MDB_dbi table,
                       MDB_cursor **cursor);
/* Counts what had no answer, and says so in the log, at most once a second. */
void tables_unreadable(const struct tables *tables, const char *what);

/* The backing functions that are plain rows (all but append_at). `arg` is a struct tables_reader.
 */
enum row_found tables_load_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn);
enum row_found tables_load_stream(void *arg, uint64_t id, struct stream *into);
bool tables_load_producers(void *arg, struct stream *into);
enum row_found tables_load_kv(void *arg, struct span key, struct span *value, uint64_t *lsn);
bool tables_each_kv(void *arg, struct span prefix, struct span behind,
                    bool (*visit)(void *, struct span, struct span, uint64_t), void *visit_arg);
bool tables_each_path(void *arg, struct span prefix, struct span behind,
                      bool (*visit)(void *, struct span, uint64_t, uint64_t), void *visit_arg);

/* Keys. */
struct id_key {
	uint8_t bytes[16];
};
struct id_key key_of(uint64_t a, uint64_t b);
uint64_t key_number(const MDB_val *key, size_t index);

/* Writing rows, in a write transaction. 0 or an LMDB error. */
int tables_put_stream(const struct tables *tables, MDB_txn *txn, struct stream *stream);
int tables_drop_stream(const struct tables *tables, MDB_txn *txn, struct stream *stream);
int tables_put_path(const struct tables *tables, MDB_txn *txn, const struct state_path *path);
int tables_put_kv(const struct tables *tables, MDB_txn *txn, const struct state_kv *kv);
int tables_put_garbage(const struct tables *tables, MDB_txn *txn, uint64_t id, uint64_t below);
/* Deletes up to rows_max rows of the garbage; *left: there is more. */
int tables_purge(const struct tables *tables, MDB_txn *txn, size_t rows_max, bool *left);

/* A chunk row: u32 count, u32 check, u64 time of its last append, u32 sizes[count], bytes.
 * Rows begin with an append; the top bit of a size marks the last message of its append. `check` is
 * of key, count and everything behind it; 0 in rows of releases that had none. */
enum { CHUNK_HEAD_BYTES = 16 };
static const uint32_t chunk_append_ends = 1u << 31;
struct chunk_row {
	uint64_t start, at_ms;
	uint32_t count;
	const uint8_t *sizes; /* unaligned u32s */
	struct span data;
};
/* Fills in the check of a row that is otherwise complete. */
void chunk_row_seal(uint64_t id, uint64_t start, uint8_t *row, size_t len);
static inline uint32_t chunk_size(const struct chunk_row *row, uint32_t i)
{
	uint32_t size;
	memcpy(&size, row->sizes + 4 * (size_t)i, 4);
	return size;
}

/* The row of stream `id` that covers or begins at `at`, else the next one behind. A row that is
 * handed out is whole: its checksum was right, or it has none and its table adds up. */
enum row_found tables_seek_chunk(struct tables_reader *reader, MDB_cursor *cursor, uint64_t id,
                                 uint64_t at, struct chunk_row *row);
enum row_found tables_next_chunk(struct tables_reader *reader, MDB_cursor *cursor, uint64_t id,
                                 struct chunk_row *row);
