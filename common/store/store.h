/* The durable store: a shared write-ahead ring in front of LMDB.
 *
 * Any number of processes on one machine open the same directory; each may write. A command is
 * decided against the head of the log and written to the ring by the process's commit thread, one
 * fdatasync for all that gathered meanwhile (and for what other processes wrote before it). Then it
 * is durable and its `done` is called. The loop thread follows the log up to the durable mark and
 * reads from there: it never waits for the disk or for a lock.
 *
 *     data-dir/data.mdb  LMDB: all older state      data-dir/ring     the newest, fixed size
 *     data-dir/lock.mdb  LMDB's                     data-dir/control  locks and marks, volatile
 *
 * Threads: functions marked [loop] belong to the one thread that owns the store object; the rest
 * may be called from any thread. Sources: shared-log design and measurements in docs/storage.md. */
#pragma once

#include "common/base/histogram.h"
#include "common/store/state.h"
#include <sys/uio.h>

struct ring;
struct store;

/* In a data directory that is a copy of another node's (worker-link): of files
 *
 *     cluster       says that it is. What is written comes by the link alone, and a log that ends
 *                   early is no loss; everybody else's commands end with VERDICT_ELSEWHERE. Without
 *                   it the next start makes it a store of its own, and raises the epoch.
 *     snapshot.mdb  a backup of the other node, whole: whoever opens the store next, alone, puts it
 *                   in the place of data.mdb. */
#define STORE_REPLICA_NAME  "cluster"
#define STORE_SNAPSHOT_NAME "snapshot.mdb"
bool store_is_replica(const char *dir);

struct store_options {
	const char *dir;
	uint64_t ring_bytes; /* used when the ring is created; an existing ring keeps its size */
	uint64_t map_bytes;  /* LMDB map: virtual, an upper bound of data.mdb */
	uint32_t readers_max;
	uint64_t checkpoint_ms;
	int commit_priority; /* nice levels of the commit thread above the others, where allowed */
	size_t streams_cached;    /* so many stay in memory though they did not change lately */
	uint64_t chunk_bytes;     /* messages of a stream are gathered into rows of about this */
	uint64_t retention_bytes; /* per stream; 0: keep all */
	uint64_t retention_ms;    /* per stream, by age of the append; 0: keep all */
	uint64_t free_bytes_min;  /* refuse appends when the file system has less */
	bool truncate; /* go on with what is left of a lost or damaged log, else do not open */
	struct state_limits limits;
	bool maintain; /* take part in checkpoint, sweep, retention (workers: yes) */
	bool gather;   /* store_submit() wakes nobody: store_kick() does */
	/* Called from the store's threads when store_collect() or store_advance() has work.
	 * Must not block: uv_async_send() in a worker. */
	void (*notify)(void *arg);
	void *notify_arg;
	/* Where latencies are counted; NULL: nowhere. The first is the commit thread's, the second
	 * [loop]. */
	struct histogram *commit_latency, *append_latency;
};

/* Opens or creates; recovers when nobody else has it open. Blocks (it zero-fills the ring once).
 * Returns 0, else an errno value with a reason for humans that names the file. ENOSPC, EIO, ENOMEM,
 * EMFILE and their like may pass: a worker tries again. Every other value (EINVAL, EACCES, ...)
 * says that no attempt can succeed, and ends the start (common/worker/worker_store.c): EBADMSG, the
 * log is lost or damaged and options.truncate is not set. */
int store_open(struct store **store, const struct store_options *options, char reason[256]);

/* Finishes what was submitted (done() is called from here) and frees everything. The ring keeps
 * what LMDB has not yet taken; the next opener goes on from there. Sets *store to NULL; NULL is
 * fine. */
void store_close(struct store **store);

/* ---- writing ---- */

/* [loop] Queues the command for the commit thread. Order of submission is kept. Never blocks. */
void store_submit(struct store *store, struct command *command);

/* [loop] With options.gather: wakes the commit thread for what was submitted since. Once per turn
 * of the loop, after all input of the turn was read, so that what came together is committed
 * together: one command waking the thread would have the others wait for its sync. */
void store_kick(struct store *store);

/* [loop] Calls done() of finished commands, after advancing the view past them: what a command did
 * is visible to reads from its done() on. Returns how many. */
size_t store_collect(struct store *store);

/* [loop] Is a command under way whose commit, by how long the last ones took, ends within `ns`?
 * False again when it takes twice as long. */
bool store_expects(const struct store *store, uint64_t ns);

/* Submits and waits: for tools, tests and a start, before the loop turns. `command->done` is not
 * called; that of others which end meanwhile is. */
void store_execute(struct store *store, struct command *command);

/* [loop] For how long, in ms, the commit thread has had something to do without getting on: it
 * waits for a lock or a disk. Ask at least every STORE_LOOK_MS: longer pauses count no more, since
 * the loop itself stood still then. */
enum { STORE_LOOK_MS = 1000 };
uint64_t store_stalled_ms(struct store *store);

/* [loop] While on, what is submitted ends at once with VERDICT_STALLED, and so does what was
 * submitted and not yet taken by the commit thread. What that has in hand ends when it gets on. */
void store_refuse(struct store *store, bool on);

/* The thread (as the kernel numbers it) that holds the lock all writers need; 0: nobody. For
 * messages. */
int store_lock_holder(const struct store *store);

/* ---- following ---- */

/* One change, seen in log order up to the durable mark. `stream` is NULL for kv. `lapped` is true
 * once after the ring overtook this follower: anything may have changed, look at everything. */
struct store_change {
	const struct entry *entry;
	struct stream *stream;
	bool lapped;
};

/* [loop] Called from store_advance() and store_collect() for every entry. Must not call back into
 * the store except to read its view. */
void store_set_follower(struct store *store,
                        void (*on_change)(void *arg, const struct store_change *), void *arg);

/* [loop] Applies what has become durable, at most about `bytes_max` of log (0: all). Returns true
 * when there is more. */
bool store_advance(struct store *store, size_t bytes_max);

/* [loop] The view at the durable mark, for state_find() and friends. */
struct state *store_view(struct store *store);

/* The durable mark, for LOG_DURABLE. */
uint64_t store_durable(struct store *store);
/* [loop] The position the view is at. */
uint64_t store_position(struct store *store);

/* ---- reading, all [loop] ---- */

/* Bytes of a stream, borrowed from LMDB's map or copied from the ring. */
struct store_slice {
	struct iovec iov[64];
	int count;
	uint64_t from, to; /* positions covered; to > from when STORE_READ_OK */
	bool copied;       /* from the ring */
	void *hold;        /* the read transaction or the buffer */
};

/* STORE_READ_FAILED shows in store_view()->unreadable too, until the next look-up. */
enum store_read_result {
	STORE_READ_OK,
	STORE_READ_TRIMMED, /* before the first retained position */
	STORE_READ_FAILED,  /* the page cannot be read, or what it holds is damaged; logged */
};

/* For people, with 503: where a look-up or a read had no answer. */
#define store_unreadable_reason "the store cannot read this: its disk failed, or it is damaged"

/* Some of [from, to) beginning at `from`, at most about bytes_max and never nothing; follows fork
 * sources. Nothing else of the store may be called between this and store_slice_release(). */
enum store_read_result store_read(struct store *store, const struct stream *stream, uint64_t from,
                                  uint64_t to, size_t bytes_max, struct store_slice *slice);
void store_slice_release(struct store *store, struct store_slice *slice);

/* Messages one by one. `ends_at` is the position behind the message. */
struct store_message {
	struct span bytes; /* borrowed until visit returns; JSON: without the comma */
	uint64_t ends_at;
	bool append_ends; /* last message of its append */
};

/* Visits the messages in [from, to) in order until visit returns false or bytes_max was seen. */
enum store_read_result store_scan(struct store *store, const struct stream *stream, uint64_t from,
                                  uint64_t to, size_t bytes_max,
                                  bool (*visit)(void *arg, const struct store_message *),
                                  void *arg);

/* The last append boundary in (from, from + bytes_max], or the first one behind it when a single
 * append is larger; at most `to`. */
uint64_t store_page_end(struct store *store, const struct stream *stream, uint64_t from,
                        uint64_t to, size_t bytes_max);

/* Is `at` between two messages (or 0, or the tail)? Also when that cannot be read: reading says so.
 */
bool store_boundary(struct store *store, const struct stream *stream, uint64_t at);

/* ---- replication ---- */

/* Its ring, for ring_replica.c's functions. */
struct ring *store_ring(struct store *store);

/* ---- maintenance ---- */

struct store_status {
	uint64_t durable, checkpoint, ring_bytes;
	uint64_t streams;
	uint64_t map_bytes, used_bytes, free_bytes; /* LMDB: size of the file in use, freelist */
	uint64_t commits, commit_ns, synced_bytes;  /* this process: batches, time in fdatasync */
	uint64_t checkpoints, checkpoint_ns;        /* this process */
	uint64_t unreadable; /* this process: look-ups that had no answer, damaged or unreadable */
	int refusing;        /* 0, ENOSPC, EIO, or EBUSY: the checkpoint gets nowhere */
	char reason[128];    /* why, when refusing */
};
void store_status(struct store *store, struct store_status *status);

/* Applies everything durable so far to LMDB; blocks. 0 or an errno-like code. */
int store_checkpoint(struct store *store, char reason[256]);

/* Was a checkpoint of this process torn out of its transaction? Where that was in another thread
 * than the store's own, LMDB's lock is held until that thread ends: end the process. */
bool store_writer_lost(const struct store *store);

/* A consistent copy, everything acknowledged before the call included; written to `path` + ".part",
 * synced, renamed. Online. Restore: put it as data.mdb into an empty data directory. */
int store_backup(struct store *store, const char *path, char reason[256]);

/* Verifies every invariant; calls `finding` for each violation. Returns how many. What could not be
 * looked at, because the disk is full or fails, is none: `unfinished` says what. */
struct store_check_totals {
	uint64_t streams, rows, messages, bytes, ring_entries;
	char unfinished[128]; /* "": all was looked at */
	unsigned format;      /* of the data directory */
};
uint64_t store_check(struct store *store, void (*finding)(void *arg, const char *text), void *arg,
                     struct store_check_totals *totals);

/* Frees reader slots of dead processes; the supervisor calls it at each worker's death. */
int store_reap_readers(const char *dir);
