/* The one state machine: what durable commands do, and the facts they are judged by.
 *
 * A `struct state` is a view of everything durable at one position of the log: an overlay in memory
 * of what changed lately, over a backing store that holds the rest. Several stand side by side in
 * one process, each at its own position and each owned by one thread: the commit thread's at the
 * head (it decides), the loop's at the durable mark (it is read), the checkpointer's (it is written
 * to LMDB). They follow the same entries, so they come to the same bytes.
 *
 * Pure: no clock, no randomness, no I/O but through the backing; time comes with the command. */
#pragma once

#include "common/store/entry.h"
#include "common/base/hash.h"
#include "common/base/open_table.h"

/* Where the newest data of a stream stands in the ring; older data is in the backing. */
struct stream_piece {
	uint64_t offset; /* of its first byte */
	uint64_t lsn;    /* of its entry */
};

struct stream_producer {
	uint64_t epoch, seq; /* highest accepted */
	uint64_t at_ms;      /* when */
	uint64_t lsn;
	bool dropped; /* a tombstone until checkpointed */
	UT_hash_handle hh;
	uint16_t id_len;
	uint8_t id[];
};

/* What each append needs stands first, in the first two cache lines, and what few streams have
 * (forks, expiry, who closed it) last: with many streams it is the misses that cost. */
struct stream {
	uint64_t id;  /* incarnation: never reused, never 0 */
	uint64_t lsn; /* log position of its last change */
	uint64_t tail;
	uint64_t last_start; /* position where the last append began */
	uint64_t touched_ms, appended_ms;
	uint32_t pieces_count, pieces_room;
	struct stream_piece *pieces; /* ascending by offset */

	const char *content_type; /* NUL-terminated: stream_text() */
	uint16_t path_len, content_type_len, fork_source_len, closed_producer_len;
	uint16_t stream_seq_len; /* 0: none yet */
	bool json, closed, deleted /* soft */, dropped /* gone, a tombstone until checkpointed */;
	bool ttl_present, expires_present, expiry_inherited, fork_offset_present;
	bool closed_by_present;
	bool producers_loaded;
	bool dirty;
	uint32_t pins;    /* > 0: never evicted (readers follow it) */
	void *follower;   /* the fan-out engine's; only in the loop's state */
	uint64_t lineage; /* of the first source of a fork chain: whose offsets these are */
	struct stream_producer *producers; /* hash by id */
	struct stream *dirty_next;         /* the checkpointer's list */

	struct stream *next, *previous; /* the state's list, oldest in the overlay first */
	char *path;                     /* owned, NUL-terminated, as are those below */
	uint8_t *stream_seq;            /* owned */
	uint64_t first; /* oldest position retained; below fork_offset the sources' own apply */
	uint64_t created_ms;
	uint64_t ttl_s;
	int64_t expires_at_ms;
	uint64_t source_id, fork_offset; /* source_id 0: not a fork */
	uint64_t fork_offset_asked, fork_sub_asked;
	uint64_t closed_epoch, closed_seq;
	const char *fork_source, *closed_producer; /* stream_text() */
	uint64_t indexed_ms; /* the checkpointer's: its row in the expiry index; 0: none */
	uint32_t refs;       /* living forks of this stream */
};

/* A path that changed lately; over the backing's table. */
struct state_path {
	uint64_t id; /* 0: free */
	uint64_t lsn;
	struct state_path *next, *previous; /* the state's list, oldest in the overlay first */
	uint16_t len;
	char path[];
};

struct state_kv {
	uint64_t lsn;
	bool removed;
	uint8_t *value; /* owned */
	uint32_t value_len;
	UT_hash_handle hh;
	uint16_t key_len;
	uint8_t key[];
};

/* Is it there? Not to be able to tell is an answer of its own: what cannot be read is not absent.
 */
enum row_found { ROW_ABSENT, ROW_PRESENT, ROW_UNREADABLE };

/* What lies below the overlay. Every function reads one consistent snapshot, and the state tells
 * the position it must at least be at by evicting nothing newer. Spans handed out are borrowed
 * until the next call. All may be NULL in a state that stands alone (tests). */
struct state_backing {
	void *arg;
	/* *id 0 never occurs. */
	enum row_found (*path)(void *arg, struct span path, uint64_t *id, uint64_t *lsn);
	/* Fills a zeroed stream (owned strings by malloc), without producers. */
	enum row_found (*stream)(void *arg, uint64_t id, struct stream *into);
	/* Calls stream_producer_load() for each; false: not all could be read. */
	bool (*producers)(void *arg, struct stream *into);
	enum row_found (*kv)(void *arg, struct span key, struct span *value, uint64_t *lsn);
	/* Visits keys that begin with prefix, in byte order; only those behind `behind`, unless
	 * that is empty; stops when visit returns false. False: there are more, which could not be
	 * read. */
	bool (*kv_each)(void *arg, struct span prefix, struct span behind,
	                bool (*visit)(void *visit_arg, struct span key, struct span value,
	                              uint64_t lsn),
	                void *visit_arg);
	/* As kv_each; only those behind `behind`, unless that is empty. */
	bool (*path_each)(void *arg, struct span prefix, struct span behind,
	                  bool (*visit)(void *visit_arg, struct span path, uint64_t id,
	                                uint64_t lsn),
	                  void *visit_arg);
	/* All messages of the one append that begins at or covers `at` in this stream's own data
	 * (fork sources are the caller's), from ring or rows. ROW_ABSENT: trimmed. */
	enum row_found (*append_at)(void *arg, const struct stream *stream, uint64_t at,
	                            struct batch *out, uint64_t *begins_at);
};

/* Is the path, in any spelling, the product's own? Its surfaces write there (feeds, sessions,
 * conversations); everybody else reads. */
bool state_path_owned(struct span path);

struct state_limits {
	uint64_t streams_max;
	uint32_t producers_per_stream_max;
	size_t fork_prefix_bytes_max; /* Stream-Fork-Sub-Offset takes at most this much; 0: no limit
	                               */
	uint64_t producer_idle_ms; /* a producer this long silent may be forgotten when at the limit
	                            */
};

/* Takes one entry into the log and returns the LSN it stands at (its own, unique, growing). Copies
 * the head and a KV's value; data.sizes and data.bytes stay borrowed until the command is done. */
struct entry_sink {
	void *arg;
	uint64_t (*put)(void *arg, const struct entry *entry);
};

struct state_walk;

struct state {
	struct state_backing backing;
	struct state_limits limits;
	struct open_table streams_by_id, paths_by_name;
	struct stream *streams, *streams_last;
	struct state_path *paths, *paths_last;
	struct state_kv *kvs;   /* hash by key */
	size_t kvs_bytes;       /* what they take */
	uint64_t next_id;       /* next stream id */
	uint64_t streams_count; /* living streams */
	uint64_t counted_lsn;   /* entries up to here are in it */
	uint64_t now_ms; /* of the last entry; runs back only when the machine's clock was set back
	                  */
	struct stream *dirty; /* changed since state_clean(); only when track_dirty */
	bool track_dirty;
	bool unreadable; /* the last look-up below had no answer: NULL or false means nothing */
	/* state_decide() put entries into the sink that it could then not apply, or not all of a
	 * transaction: what is in the sink since its beginning must not be written. Its owner's to
	 * clear. */
	bool torn;
	uint64_t pieces_keep_lsn; /* pieces below may go: the backing has them */
	uint64_t overlay_lsn;     /* every path that changed at or above it is in the overlay */
	struct state_walk *walks; /* that are under way (state_walk.h) */
};

/* Begins empty, before the first entry. next_id and streams_count are then set from the backing
 * by its owner. */
void state_init(struct state *state, const struct state_backing *backing,
                const struct state_limits *limits);

/* Frees everything; the struct may be initialised again. */
void state_finish(struct state *state);

/* Judges `command` at `now_ms` (wall clock), puts what it does into the sink and applies it here.
 * Fills the command's answer. A refused command puts nothing. */
void state_decide(struct state *state, struct command *command, uint64_t now_ms,
                  const struct entry_sink *sink);

/* Carries out one entry that stands at `lsn`. Returns the stream it touched, which may be a dropped
 * one, or NULL (kv, or already contained). An entry that makes no sense here has been applied
 * before. With state->unreadable afterwards it was not applied, and may be again. */
struct stream *state_apply(struct state *state, const struct entry *entry, uint64_t lsn);

/* Look-ups, here and below, set state->unreadable when they could not find out: whoever makes a
 * decision of "there is none" looks at it.
 *
 * The stream of a path in any spelling, loaded if need be; NULL when none (soft-deleted ones are
 * returned). Does not look at expiry: see stream_expired(). Valid until the next state_apply() or
 * state_evict(), or as long as it is pinned. */
struct stream *state_find(struct state *state, struct span path);
/* The same, looking at expiry: one whose time is over is passed over for another spelling's
 * (stream_name.h). */
struct stream *state_find_living(struct state *state, struct span path, uint64_t now_ms);
/* The stream that is stored under these very bytes. */
struct stream *state_find_exact(struct state *state, struct span path);
struct stream *state_find_id(struct state *state, uint64_t id);
/* The one in memory, tombstones included, or NULL: nothing is loaded. */
struct stream *state_overlay_stream(const struct state *state, uint64_t id);
struct state_path *state_overlay_path(const struct state *state, struct span path);

/* Hints, for those who have a batch before them: what a look-up of it will read is fetched into the
 * cache, one step a call: 0 the tables, 1 the path, 2 the path's stream. Changes nothing. */
void state_prefetch_path(const struct state *state, struct span path, int step);
void state_prefetch_stream(const struct state *state, uint64_t id, int step);

/* Small values; spans are borrowed until the next change. false: absent. */
bool state_kv_get(struct state *state, struct span key, struct span *value);
void state_kv_each(struct state *state, struct span prefix,
                   bool (*visit)(void *arg, struct span key, struct span value), void *arg);

/* A page of them, in byte order: those behind `behind`, unless that is empty, until the visitor
 * returns false. What it costs grows with what the page has, and with what lately changed. */
void state_kv_page(struct state *state, struct span prefix, struct span behind,
                   bool (*visit)(void *arg, struct span key, struct span value), void *arg);

/* Visits every living stream's path that begins with prefix, in no order and all in one go: for
 * tools. Whoever has a loop to turn walks in slices (state_walk.h). */
void state_path_each(struct state *state, struct span prefix,
                     bool (*visit)(void *arg, struct span path, uint64_t id), void *arg);

/* Forgets what the backing holds anyway: everything last changed below `lsn`, unpinned, but no path
 * that a walk under way has yet to see here. Keeps at most `keep` such streams (the cache). */
void state_evict(struct state *state, uint64_t lsn, size_t keep);

/* Forgets everything unpinned, to go on from `lsn`, up to which the backing holds all. Walks under
 * way are lost. */
void state_begin_anew(struct state *state, uint64_t lsn);

/* Forgets ring pieces that stand below `lsn` (the ring is about to reuse them, or the backing has
 * them). */
void stream_pieces_trim(struct stream *stream, uint64_t lsn);

/* Past its time at now_ms. Sliding expiry is never early and at most stream_touch_interval_ms()
 * late, because reads renew it no oftener than that. */
bool stream_expired(const struct stream *stream, uint64_t now_ms);
/* Unix ms when it expires, UINT64_MAX: never. */
uint64_t stream_expires_ms(const struct stream *stream);
uint64_t stream_touch_interval_ms(const struct stream *stream);

/* Oldest position a reader may ask for, over the whole fork chain. */
uint64_t stream_first(struct state *state, const struct stream *stream);

/* For backings: adds what a row says, unless the overlay knows better. Copies the id. */
void stream_producer_load(struct stream *stream, struct span id, uint64_t epoch, uint64_t seq,
                          uint64_t at_ms, uint64_t lsn);
void stream_free(struct stream *stream);
/* A text of a stream: a constant where it is empty or a content type that many have, else a copy.
 * NUL-terminated. Freed by stream_text_free(). */
const char *stream_text(struct span text);
void stream_text_free(const char *text);
/* Frees what it owns but its pieces; the fields then dangle until they are set anew. */
void stream_clear(struct stream *stream);

/* Media type before ';', trimmed, folded: do they name the same? */
bool media_type_equal(struct span a, struct span b);
bool media_type_json(struct span content_type); /* application/json */
