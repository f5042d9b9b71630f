/* Inside the store: what its files share. Nobody else includes this. */
#pragma once

#include "common/base/clock.h"
#include "common/store/ring.h"
#include "common/store/store.h"
#include "common/store/tables.h"

#include <pthread.h>
#include <semaphore.h>

/* A state that follows the log, with what it needs to load from LMDB and the ring. One thread. */
struct follower {
	struct store *store;
	struct state state;
	struct tables_reader reader;
	uint64_t lsn;    /* everything below is in state */
	bool lost;       /* it could not be started over: the state says nothing */
	uint8_t *append; /* scratch of append_at */
	uint8_t *record; /* a copy of the record being applied */
	size_t record_room;
	uint64_t evicted_at; /* the checkpoint it was last done for */
};

/* A growing list of iovecs and the small bytes some of them point to: one record in the making. */
struct record_builder {
	struct iovec *iov;
	size_t iov_count, iov_room;
	uint8_t *heads; /* fixed room, so that pointers into it stay */
	size_t heads_len, heads_room;
	uint64_t base_lsn; /* of the record */
	size_t bytes;      /* so far, head included */
	uint32_t entries;
};

/* Commands that stand in the log, on their way to the disk. */
struct written {
	uint32_t cuts; /* of the ring, when they were written: else they stand there no more */
	struct written *next;
	struct command *commands;
	uint64_t lsn; /* durable when the log is up to here */
	uint64_t begun_ns;
};

enum { REFUSED_SHOWN_MS = 5000 }; /* so long after the last one it counts as going on */

extern const char store_full_reason[]; /* of refusals at store.full_ms */

struct store {
	struct store_options options;
	char *dir;
	struct ring ring;
	struct tables tables;

	/* commit thread */
	pthread_t commit_thread;
	pthread_mutex_t queue_lock;
	pthread_cond_t queue_filled;
	struct command *queue, **queue_last;     /* under queue_lock */
	struct written *written, **written_last; /* its own; in log order, not yet durable */
	bool stopping;
	bool kick_due;      /* the loop's: commands were queued since the last store_kick() */
	size_t under_way;   /* the loop's: submitted, not yet collected */
	uint64_t kicked_ns; /* the loop's: the last store_kick() */
	_Atomic bool busy;  /* the commit thread's: it has something to do */
	_Atomic uint64_t progress; /* and has done so much of it */
	_Atomic bool refusing;     /* the loop's: store_refuse() */
	struct {
		uint64_t progress, looked_ms, stalled_ms;
	} watch; /* the loop's: store_stalled_ms() */
	struct follower head;
	uint32_t head_cuts; /* of the ring, that the head knows of */
	struct record_builder builder;
	_Atomic uint64_t commits, commit_ns, synced_bytes;
	_Atomic uint64_t commit_ns_lately; /* moving average */
	_Atomic uint64_t refused_ms; /* monotonic: a growing command was last refused for space */
	_Atomic uint64_t full_ms;    /* monotonic: the ring was last found full */

	sem_t begun; /* posted by each thread when it has its descriptors */

	/* finished, for the loop */
	struct command *finished, **finished_last; /* under queue_lock */

	/* loop */
	struct follower view;
	void (*on_change)(void *arg, const struct store_change *);
	void *on_change_arg;
	uint8_t *ring_copy; /* of the slice in hand */
	size_t ring_copy_room;

	/* checkpointer thread */
	pthread_t maintain_thread;
	_Atomic bool maintain_stop;
	/* 0, ENOSPC, EIO: this process's last checkpoint failed so. That another's went well does
	 * not heal it: only one of its own does. */
	_Atomic int checkpoint_error;
	uint64_t failed_ms;       /* monotonic: when it did */
	_Atomic bool writer_lost; /* no more checkpoints of this process */
	size_t portion_bytes;     /* of the log, that one transaction applies at most */
	uint64_t reserved_to; /* data.mdb has its blocks up to here, as far as this process knows */
	bool unreservable;    /* its file system gives none ahead */
	_Atomic uint64_t checkpoints, checkpoint_ns;
	struct {
		uint64_t used_bytes, free_bytes;
	} space; /* under queue_lock */
	char refuse_reason[128];
	struct clock_watch clock;  /* the maintaining thread's */
	struct id_key ahead_below; /* of the index of expiry, where renew_ahead() goes on */
	unsigned ahead_passes;     /* that are left; 0: it does not look */
	_Atomic bool ran_back;     /* the log's time did: told by the commit thread */
	uint64_t scan_id;          /* retention by age walks all streams, a few each time */
};

/* ---- the ring that goes with data.mdb (store_log.c) ---- */
/* Opens it, makes it, or refuses; under the open lock, the ring found, the tables open. *renew: the
 * epoch is to be raised before anybody is served, and store_log_renewed() told. 0, or errno with a
 * reason. */
int store_log_open(struct store *store, bool *renew, char reason[256]);
/* Before that, the ring found: puts a snapshot that has come (STORE_SNAPSHOT_NAME) in the place of
 * data.mdb. 0, or errno with a reason; EAGAIN: others have the store open. */
int store_log_swap(struct store *store, char reason[256]);
int store_log_renewed(struct store *store, char reason[256]);

/* ---- follower (store_follow.c) ---- */
void follower_init(struct follower *follower, struct store *store);
void follower_finish(struct follower *follower);
/* Starts over from the present checkpoint. 0 or an LMDB error. */
int follower_restart(struct follower *follower);
/* Applies records up to `to`. LAPPED: the state is not to be trusted: restart it. UNREADABLE: it
 * stands before a record that changes what cannot be read; it may be tried again. */
enum follow_result { FOLLOW_DONE, FOLLOW_LAPPED, FOLLOW_UNREADABLE };
enum follow_result follower_advance(struct follower *follower, uint64_t to, size_t bytes_max,
                                    void (*visit)(void *arg, const struct entry *, struct stream *),
                                    void *arg);
/* Lets go of what LMDB holds. */
void follower_evict(struct follower *follower);

/* ---- reading (store_read.c) ---- */
/* Copies ring bytes of one entry; false: lapped. The entry borrows from *copy. */
bool ring_entry(const struct ring *ring, uint64_t lsn, uint8_t **copy, size_t *room,
                struct entry *entry);
enum row_found store_append_at(void *follower, const struct stream *stream, uint64_t at,
                               struct batch *out, uint64_t *begins_at);

/* ---- threads (store_thread.c) ---- */
/* Starts one, and waits until it has begun. */
void thread_start(struct store *store, pthread_t *thread, void *(*run)(void *store));
/* First thing in each of the store's threads: its name (15 bytes at most), and a copy of the
 * descriptors for itself. While a process has one table for several threads, the kernel counts a
 * reference up and down at every read and send of the loop; that costs 4 % of a delivery.
 * thread_start() waits until it is done: a copy made later would keep open what the loop has only
 * for a moment, the pipe by which it hears that a child has executed its program, say. */
void thread_begin(struct store *store, const char *name);

/* ---- commands on their way (store_queue.c) ---- */
void queue_init(struct store *store);
/* The commit thread's: waits for commands. False: there are none, and none will come. */
bool queue_wait(struct store *store);
/* Lets the commit thread end when it has done what there is. */
void queue_stop(struct store *store);
/* All that wait, in their order; NULL: none. */
struct command *queue_take(struct store *store);
void queue_refuse(struct command *list, enum verdict verdict);
/* Gives decided ones back to the loop, which queue_say_finished() tells of it. */
void queue_finish(struct store *store, struct command *list);
void queue_say_finished(struct store *store);
/* For commands the store gives itself: freed when done. Any thread. */
void queue_submit_own(struct store *store, struct command command);

/* ---- commit (store_commit.c) ---- */
void *commit_main(void *store);

/* ---- checkpoint (store_checkpoint.c) ---- */
void *maintain_main(void *store);
int checkpoint_once(struct store *store, bool *more);
/* ---- space (store_space.c) ---- */
/* 0 for 0, ENOSPC: it helps to make room, EIO: all else. */
int store_error_kind(int rc);
/* After a checkpoint that ended with 0 or an error, under its lock: has blocks of data.mdb made
 * ahead of its end, and says whether and how much what grows the store may be accepted. */
void store_space_judge(struct store *store, int checkpoint_error);
