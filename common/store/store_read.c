/* Reading: the newest bytes from the ring, copied and then verified; all older ones from LMDB's
 * map. */
#include "common/store/store_parts.h"
#include "common/base/check.h"
#include "common/base/log.h"

#include <stdlib.h>

enum { SLICE_IOV_MAX = 60 }; /* leaves room for the framing of an answer */

/* ---- the ring ---- */

/* Length of the entry at lsn, 0 when its head makes no sense. */
static size_t entry_bytes(const struct ring *ring, uint64_t lsn)
{
	struct span bytes = ring_at(ring, lsn);
	uint32_t total;
	if (bytes.len < 32)
		return 0;
	memcpy(&total, bytes.at, sizeof total);
	return total <= bytes.len ? total : 0;
}

bool ring_entry(const struct ring *ring, uint64_t lsn, uint8_t **copy, size_t *room,
                struct entry *entry)
{
	size_t len = entry_bytes(ring, lsn);
	if (len == 0 || !ring_holds(ring, lsn))
		return false;
	if (*room < len) {
		*copy = xrealloc(*copy, len);
		*room = len;
	}
	memcpy(*copy, ring_at(ring, lsn).at, len);
	return ring_holds(ring, lsn) && entry_decode(span_of(*copy, len), entry) == len;
}

/* Index of the piece that covers `at`, or pieces_count. */
static uint32_t piece_covering(const struct stream *stream, uint64_t at)
{
	if (stream->pieces_count == 0 || at < stream->pieces[0].offset || at >= stream->tail)
		return stream->pieces_count;
	uint32_t low = 0, high = stream->pieces_count;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (stream->pieces[middle].offset <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The bytes of [from, to) that one entry holds, appended to the copy. */
static bool copy_data(struct store *store, uint64_t lsn, uint64_t piece_at, uint64_t from,
                      uint64_t to, size_t *len)
{
	const struct ring *ring = &store->ring;
	struct entry entry;
	size_t total = entry_bytes(ring, lsn);
	if (total == 0 || !ring_holds(ring, lsn) ||
	    entry_decode(span_of(ring_at(ring, lsn).at, total), &entry) != total ||
	    entry.offset != piece_at)
		return false;
	uint64_t end = piece_at + entry.data.bytes.len;
	if (from < piece_at || from >= end)
		return false;
	size_t n = (size_t)((end < to ? end : to) - from);
	if (store->ring_copy_room < *len + n) {
		store->ring_copy_room = (*len + n) * 2;
		store->ring_copy = xrealloc(store->ring_copy, store->ring_copy_room);
	}
	memcpy(store->ring_copy + *len, entry.data.bytes.at + (from - piece_at), n);
	*len += n;
	return ring_holds(ring, lsn);
}

/* False: not (any more) in the ring. */
static bool read_ring(struct store *store, const struct stream *stream, uint64_t from, uint64_t to,
                      size_t bytes_max, struct store_slice *slice)
{
	uint32_t i = piece_covering(stream, from);
	size_t len = 0;
	uint64_t at = from;
	for (; i < stream->pieces_count && at < to && len < bytes_max; i++) {
		const struct stream_piece *piece = &stream->pieces[i];
		uint64_t limit = to - at > bytes_max - len ? at + (bytes_max - len) : to;
		size_t before = len;
		if (!copy_data(store, piece->lsn, piece->offset, at, limit, &len))
			return false;
		at += len - before;
	}
	if (at == from)
		return false;
	*slice = (struct store_slice){.count = 1, .from = from, .to = at, .copied = true};
	slice->iov[0] = (struct iovec){store->ring_copy, len};
	return true;
}

/* ---- LMDB ---- */

static bool open_cursor(struct store *store, struct tables_reader *reader, MDB_cursor **cursor)
{
	MDB_txn *txn = tables_begin(reader);
	if (txn == NULL)
		return false;
	if (tables_cursor_open(&store->tables, txn, store->tables.chunk, cursor) == 0)
		return true;
	tables_end(reader);
	return false;
}

static void close_cursor(struct tables_reader *reader, MDB_cursor *cursor)
{
	mdb_cursor_close(cursor);
	tables_end(reader);
}

static enum store_read_result read_rows(struct store *store, const struct stream *stream,
                                        uint64_t from, uint64_t to, size_t bytes_max,
                                        struct store_slice *slice)
{
	struct tables_reader *reader = &store->view.reader;
	MDB_cursor *cursor;
	if (!open_cursor(store, reader, &cursor))
		return STORE_READ_FAILED;
	*slice = (struct store_slice){.from = from, .to = from, .hold = cursor};
	struct chunk_row row;
	enum row_found found = tables_seek_chunk(reader, cursor, stream->id, from, &row);
	size_t len = 0;
	while (found == ROW_PRESENT && slice->count < SLICE_IOV_MAX && slice->to < to &&
	       len < bytes_max && row.start <= slice->to && slice->to < row.start + row.data.len) {
		size_t skip = (size_t)(slice->to - row.start), n = row.data.len - skip;
		n = n > to - slice->to ? (size_t)(to - slice->to) : n;
		n = n > bytes_max - len ? bytes_max - len : n;
		slice->iov[slice->count++] =
		        (struct iovec){(void *)(uintptr_t)(row.data.at + skip), n};
		slice->to += n;
		len += n;
		found = slice->to < to && len < bytes_max
		                ? tables_next_chunk(reader, cursor, stream->id, &row)
		                : ROW_ABSENT;
	}
	if (slice->to > from)
		return STORE_READ_OK; /* what cannot be read comes up again when it is its turn */
	store_slice_release(store, slice);
	return found == ROW_UNREADABLE ? STORE_READ_FAILED : STORE_READ_TRIMMED;
}

/* ---- fork chains ---- */

/* Why there is no holder. */
static enum store_read_result not_there(const struct store *store)
{
	return store->view.state.unreadable ? STORE_READ_FAILED : STORE_READ_TRIMMED;
}

/* The stream that holds `at`, and how far it goes for this reader. */
static const struct stream *holder_of(struct store *store, const struct stream *stream, uint64_t at,
                                      uint64_t *to)
{
	store->view.state.unreadable = false;
	while (stream != NULL && stream->source_id != 0 && at < stream->fork_offset) {
		if (*to > stream->fork_offset)
			*to = stream->fork_offset;
		stream = state_find_id(&store->view.state, stream->source_id);
	}
	return stream;
}

static enum store_read_result read_slice(struct store *store, const struct stream *stream,
                                         uint64_t from, uint64_t to, size_t bytes_max,
                                         struct store_slice *slice)
{
	const struct stream *holder = holder_of(store, stream, from, &to);
	if (holder == NULL)
		return not_there(store);
	if (from < holder->first)
		return STORE_READ_TRIMMED;
	if (to > holder->tail)
		to = holder->tail;
	if (from >= to)
		return STORE_READ_TRIMMED;
	if (read_ring(store, holder, from, to, bytes_max, slice))
		return STORE_READ_OK;
	return read_rows(store, holder, from, to, bytes_max, slice);
}

enum store_read_result store_read(struct store *store, const struct stream *stream, uint64_t from,
                                  uint64_t to, size_t bytes_max, struct store_slice *slice)
{
	check(from < to);
	enum store_read_result result = read_slice(store, stream, from, to, bytes_max, slice);
	store->view.state.unreadable = result == STORE_READ_FAILED;
	return result;
}

void store_slice_release(struct store *store, struct store_slice *slice)
{
	if (slice->hold != NULL)
		close_cursor(&store->view.reader, slice->hold);
	slice->hold = NULL;
	if (store->ring_copy_room > 4u << 20) {
		free(store->ring_copy);
		store->ring_copy = NULL;
		store->ring_copy_room = 0;
	}
}

/* ---- by message ---- */

/* Messages of one row or entry: sizes may be unaligned; entry tables have no end marks, the last is
 * the end of the append. */
struct message_run {
	uint64_t start;
	uint32_t count;
	const uint8_t *sizes;
	struct span data;
	bool one_append;
};

static struct message_run run_of_row(const struct chunk_row *row)
{
	return (struct message_run){row->start, row->count, row->sizes, row->data, false};
}

static struct message_run run_of_entry(const struct entry *entry)
{
	return (struct message_run){entry->offset, entry->data.count,
	                            (const uint8_t *)entry->data.sizes, entry->data.bytes, true};
}

static uint32_t run_size(const struct message_run *run, uint32_t i, bool *append_ends)
{
	uint32_t size;
	memcpy(&size, run->sizes + 4 * (size_t)i, 4);
	*append_ends = run->one_append ? i + 1 == run->count : (size & chunk_append_ends) != 0;
	return size & ~chunk_append_ends;
}

/* The run that covers `at` in `holder`'s own data. `cursor` is set when it comes from LMDB and must
 * then be closed; else the entry was copied. */
static enum row_found run_covering(struct follower *follower, const struct stream *holder,
                                   uint64_t at, uint8_t **copy, size_t *room, MDB_cursor **cursor,
                                   struct message_run *run)
{
	struct store *store = follower->store;
	struct entry entry;
	uint32_t i = piece_covering(holder, at);
	*cursor = NULL;
	if (i < holder->pieces_count &&
	    ring_entry(&store->ring, holder->pieces[i].lsn, copy, room, &entry) &&
	    entry.offset == holder->pieces[i].offset) {
		*run = run_of_entry(&entry);
		return ROW_PRESENT;
	}
	struct chunk_row row;
	if (!open_cursor(store, &follower->reader, cursor))
		return ROW_UNREADABLE;
	enum row_found found = tables_seek_chunk(&follower->reader, *cursor, holder->id, at, &row);
	if (found == ROW_PRESENT && row.start <= at && at < row.start + row.data.len) {
		*run = run_of_row(&row);
		return ROW_PRESENT;
	}
	close_cursor(&follower->reader, *cursor);
	*cursor = NULL;
	return found == ROW_UNREADABLE ? ROW_UNREADABLE : ROW_ABSENT;
}

struct scan {
	bool json;
	uint64_t from, to;
	size_t left;
	bool (*visit)(void *arg, const struct store_message *);
	void *arg;
	bool stopped;
};

/* Returns the position behind the last message of the run that lies below scan->to. A fork may
 * begin within an append of its source: it has what lies before, as every reading of bytes has it.
 */
static uint64_t scan_run(struct scan *scan, const struct message_run *run)
{
	uint64_t at = run->start;
	const uint8_t *data = run->data.at;
	for (uint32_t i = 0; i < run->count && at < scan->to && !scan->stopped; i++) {
		bool append_ends;
		uint32_t size = run_size(run, i, &append_ends);
		if (size > scan->to - at) {
			size = (uint32_t)(scan->to - at);
			append_ends = true;
		}
		if (at >= scan->from) {
			const struct store_message message = {
			        .bytes = {data, scan->json && size > 0 ? size - 1 : size},
			        .ends_at = at + size,
			        .append_ends = append_ends};
			scan->stopped = !scan->visit(scan->arg, &message) || scan->left <= size;
			scan->left -= size < scan->left ? size : scan->left;
		}
		at += size;
		data += size;
	}
	return at;
}

enum store_read_result store_scan(struct store *store, const struct stream *stream, uint64_t from,
                                  uint64_t to, size_t bytes_max,
                                  bool (*visit)(void *arg, const struct store_message *), void *arg)
{
	struct scan scan = {
	        .json = stream->json, .from = from, .left = bytes_max, .visit = visit, .arg = arg};
	uint8_t *copy = NULL;
	size_t room = 0;
	enum store_read_result result = STORE_READ_OK;
	for (uint64_t at = from; at < to && !scan.stopped && result == STORE_READ_OK;) {
		scan.to = to;
		const struct stream *holder = holder_of(store, stream, at, &scan.to);
		struct message_run run;
		MDB_cursor *cursor;
		if (holder == NULL || at < holder->first) {
			result = holder == NULL ? not_there(store) : STORE_READ_TRIMMED;
			break;
		}
		enum row_found found =
		        run_covering(&store->view, holder, at, &copy, &room, &cursor, &run);
		if (found != ROW_PRESENT) {
			result = found == ROW_UNREADABLE ? STORE_READ_FAILED : STORE_READ_TRIMMED;
			break;
		}
		uint64_t behind = scan_run(&scan, &run);
		if (cursor != NULL)
			close_cursor(&store->view.reader, cursor);
		check(behind > at);
		at = behind;
	}
	free(copy);
	store->view.state.unreadable = result == STORE_READ_FAILED;
	return result;
}

/* ---- boundaries ---- */

static bool run_boundary(const struct message_run *run, uint64_t at)
{
	uint64_t p = run->start;
	bool append_ends;
	for (uint32_t i = 0; i < run->count && p < at; i++)
		p += run_size(run, i, &append_ends);
	return p == at;
}

/* The run of `stream`'s chain that covers `at`; to be closed when ROW_PRESENT. */
struct covering {
	struct message_run run;
	MDB_cursor *cursor;
	uint8_t *copy;
	size_t room;
	uint64_t to; /* the run counts for this reader up to here */
};

static enum row_found cover(struct store *store, const struct stream *stream, uint64_t at,
                            uint64_t to, struct covering *c)
{
	*c = (struct covering){.to = to};
	const struct stream *holder = holder_of(store, stream, at, &c->to);
	if (holder == NULL)
		return store->view.state.unreadable ? ROW_UNREADABLE : ROW_ABSENT;
	enum row_found found =
	        run_covering(&store->view, holder, at, &c->copy, &c->room, &c->cursor, &c->run);
	if (found != ROW_PRESENT)
		free(c->copy);
	return found;
}

static void uncover(struct store *store, struct covering *c)
{
	if (c->cursor != NULL)
		close_cursor(&store->view.reader, c->cursor);
	free(c->copy);
}

bool store_boundary(struct store *store, const struct stream *stream, uint64_t at)
{
	struct covering c;
	if (at == 0 || at == stream->tail)
		return true;
	enum row_found found = cover(store, stream, at, UINT64_MAX, &c);
	if (found != ROW_PRESENT)
		return found == ROW_UNREADABLE; /* reading from there will say so */
	bool yes = run_boundary(&c.run, at);
	uncover(store, &c);
	return yes;
}

/* Of the ends of appends in a run, and its start: the last one in (from, aim], else the first
 * behind. A run begins with an append. */
static uint64_t append_end(const struct message_run *run, uint64_t from, uint64_t aim)
{
	uint64_t p = run->start, last = run->start;
	for (uint32_t i = 0; i < run->count && (p <= aim || last <= from); i++) {
		bool append_ends;
		p += run_size(run, i, &append_ends);
		if (append_ends && (p <= aim || last <= from))
			last = p;
	}
	return last;
}

/* How rows were cut, and whether the ring still has it, must not show: URL, next offset and ETag of
 * a page are the same in every process, today and after compaction. */
uint64_t store_page_end(struct store *store, const struct stream *stream, uint64_t from,
                        uint64_t to, size_t bytes_max)
{
	struct covering c;
	if (to - from <= bytes_max)
		return to;
	if (cover(store, stream, from + bytes_max, to, &c) != ROW_PRESENT)
		return to;
	uint64_t end = append_end(&c.run, from, from + bytes_max);
	uncover(store, &c);
	return end < c.to ? end : c.to;
}

/* ---- for the state machine ---- */

/* Where the append that covers `at` begins and ends within a run. */
static void cut_append(const struct message_run *run, uint64_t at, uint32_t *first, uint32_t *count,
                       uint64_t *begins_at, size_t *bytes)
{
	uint64_t p = run->start;
	*first = *count = 0;
	*begins_at = p;
	*bytes = 0;
	for (uint32_t i = 0; i < run->count; i++) {
		bool append_ends;
		uint32_t size = run_size(run, i, &append_ends);
		p += size;
		*bytes += size;
		(*count)++;
		if (!append_ends)
			continue;
		if (p > at)
			return;
		*first = i + 1;
		*count = 0;
		*begins_at = p;
		*bytes = 0;
	}
}

enum row_found store_append_at(void *arg, const struct stream *stream, uint64_t at,
                               struct batch *out, uint64_t *begins_at)
{
	struct tables_reader *reader = arg;
	struct follower *follower = (void *)((uint8_t *)reader - offsetof(struct follower, reader));
	struct message_run run;
	MDB_cursor *cursor;
	uint8_t *copy = NULL;
	size_t room = 0, bytes;
	uint32_t first, count;
	enum row_found found = run_covering(follower, stream, at, &copy, &room, &cursor, &run);
	if (found == ROW_PRESENT) {
		cut_append(&run, at, &first, &count, begins_at, &bytes);
		size_t table = 4 * (size_t)count;
		follower->append = xrealloc(follower->append, table + bytes + 1);
		uint32_t *sizes = (uint32_t *)(void *)follower->append;
		for (uint32_t i = 0; i < count; i++) {
			bool append_ends;
			sizes[i] = run_size(&run, first + i, &append_ends);
		}
		memcpy(follower->append + table, run.data.at + (*begins_at - run.start), bytes);
		*out = (struct batch){sizes, count, {follower->append + table, bytes}};
		if (cursor != NULL)
			close_cursor(reader, cursor);
	}
	free(copy);
	return found;
}
