/* LMDB tables and row formats: what the store keeps behind the ring.
 *
 *   path      path                          -> id, lsn
 *   stream    id                            -> the facts of a stream
 *   producer  id, producer id               -> epoch, seq, time, lsn
 *   chunk     id, first position            -> messages of the stream, back to back
 *   kv        key                           -> lsn, value
 *   expiry    unix ms, id                   -> (nothing)
 *   garbage   id                            -> rows of this stream below a position are to go
 *   meta      "checkpoint"                  -> how far the log is applied, and counts
 *             "log"                         -> which ring goes with this file
 *
 * Numbers in keys are big-endian, so that they sort. Rows are native-endian: the directory belongs
 * to one machine; a backup carries the architecture in its format number. */
#pragma once

#include "common/ring.h"
#include "common/state.h"

#include <lmdb.h>

struct tables {
	MDB_env *env;
	MDB_dbi path, stream, producer, chunk, kv, expiry, garbage, meta;
};

/* mdb_env_open(), and no program that is started from here inherits data.mdb: LMDB leaves its data file
 * open across an exec. */
int tables_env_open(MDB_env *env, const char *dir, unsigned flags);

/* Opens the environment in `dir`. 0, or errno with a reason. After fork, once per process. */
int tables_open(struct tables *tables, const char *dir, uint64_t map_bytes, uint32_t readers_max,
                char reason[256]);
void tables_close(struct tables *tables);

/* Address space that the map of map_bytes takes, and how large data.mdb may become with it; and the
 * largest map_bytes for which that is within `bytes`, 0 when there is none. */
uint64_t tables_map_room(uint64_t map_bytes);
uint64_t tables_map_within(uint64_t bytes);

/* How far LMDB is. All zero in a new store. */
struct tables_checkpoint {
	struct ring_position position;
	uint64_t next_id, streams_count, now_ms;
};
int tables_get_checkpoint(const struct tables *tables, MDB_txn *txn,
                          struct tables_checkpoint *checkpoint);
int tables_put_checkpoint(const struct tables *tables, MDB_txn *txn,
                          const struct tables_checkpoint *checkpoint);

/* The ring that goes with this file. All zero in a new store and in one that only releases without this
 * row have had. */
enum tables_log_state {
	TABLES_LOG_UNKNOWN,
	TABLES_LOG_MAKING, /* it is being made; nothing was written to it yet */
	TABLES_LOG_KEPT,   /* without it this file is not all that was acknowledged */
	TABLES_LOG_NONE,   /* this file is a backup: whole without a ring */
};
struct tables_log {
	uint64_t ring_bytes;
	uint32_t state;       /* enum tables_log_state */
	uint32_t renew_epoch; /* 1: clients may hold offsets of what is no longer there, and were not yet told */
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
	unsigned depth;   /* begins without their end: a walk's visitor may look up other rows */
	uint8_t *scratch; /* copies handed out; owned */
};
/* May nest; all inside the outermost pair see one snapshot. NULL: logged; its end does nothing. */
MDB_txn *tables_begin(struct tables_reader *reader);
void tables_end(struct tables_reader *reader);
void tables_reader_finish(struct tables_reader *reader);

/* The backing functions that are plain rows (all but append_at). `arg` is a struct tables_reader. */
bool tables_load_path(void *arg, struct span path, uint64_t *id, uint64_t *lsn);
bool tables_load_stream(void *arg, uint64_t id, struct stream *into);
void tables_load_producers(void *arg, struct stream *into);
bool tables_load_kv(void *arg, struct span key, struct span *value, uint64_t *lsn);
void tables_each_kv(void *arg, struct span prefix,
                    bool (*visit)(void *, struct span, struct span, uint64_t), void *visit_arg);
void tables_each_path(void *arg, struct span prefix, bool (*visit)(void *, struct span, uint64_t), void *visit_arg);

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

/* A chunk row: u32 count, u32 zero, u64 time of its last append, u32 sizes[count], bytes.
 * Rows begin with an append; the top bit of a size marks the last message of its append. */
enum { CHUNK_HEAD_BYTES = 16 };
static const uint32_t chunk_append_ends = 1u << 31;
struct chunk_row {
	uint64_t start, at_ms;
	uint32_t count;
	const uint8_t *sizes; /* unaligned u32s */
	struct span data;
};
bool chunk_row_parse(const MDB_val *key, const MDB_val *value, struct chunk_row *row);
static inline uint32_t chunk_size(const struct chunk_row *row, uint32_t i)
{
	uint32_t size;
	memcpy(&size, row->sizes + 4 * (size_t)i, 4);
	return size;
}

/* The row of stream `id` that covers or begins at `at`, else the next one behind; false: none. */
bool tables_seek_chunk(MDB_cursor *cursor, uint64_t id, uint64_t at, struct chunk_row *row);
bool tables_next_chunk(MDB_cursor *cursor, uint64_t id, struct chunk_row *row);
