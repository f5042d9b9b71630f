/* The main() every worker shares: boot contract (proto/roles.h), bus, settings, heartbeats, drain.
 *
 *     int main(int argc, char **argv) { return worker_main(argc, argv, &program); }
 */
#pragma once

#include "common/base/busy_poll.h"
#include "common/base/counters.h"
#include "common/worker/peer.h"
#include "common/base/settings.h"

struct worker;

struct worker_program {
	unsigned role; /* ROLE_SSE, ... */
	/* Settings are there; open everything. Call worker_ready() when serving. Returns 0, or an
	 * exit code after logging why: EXIT_FAILED, it is tried again; or worker_cannot_start(). */
	int (*start)(struct worker *worker);
	/* Settings changed: worker->settings has the new snapshot, which differs in LIVE keys only.
	 * The one before is dropped when this returns. May be NULL. */
	void (*reload)(struct worker *worker);
	/* Stop accepting, finish, then worker_exit(). Called once. At due_ms (monotonic) the worker
	 * is ended, finished or not. */
	void (*drain)(struct worker *worker, uint64_t due_ms);
	/* A frame from another worker, or one of the supervisor's that only this program is told;
	 * what all workers are told is handled here. */
	enum proto_verdict (*on_frame)(struct worker *worker, const struct party *from,
	                               unsigned type, struct span body);
	/* A worker that we were introduced to has gone, or has been replaced. May be NULL. */
	void (*on_peer_gone)(struct worker *worker, const struct party *gone);
	/* The loop has ended behind drain(), within its time: closes what whatever ran in its last
	 * turn may have used, the store above all. May be NULL. */
	void (*finish)(struct worker *worker);
};

enum { WORKER_PEERS_MAX = COUNTERS_SLOTS };

struct worker {
	const struct worker_program *program;
	uv_loop_t *loop;
	struct settings_source settings; /* the defaults until start() */
	uint64_t memory_bytes;           /* what the control group allows; UINT64_MAX: no limit */
	unsigned slot;
	uint64_t generation;
	struct counters *counters;  /* everybody's */
	struct counters_slot *mine; /* in it */
	void *context;              /* the program's */
	/* private: */
	char name[32];
	struct peer *supervisor;
	struct worker_peer {
		struct peer *peer;
		const struct counters_slot *slot; /* its; NULL: unknown */
		uint64_t link;                    /* number of the pair of sockets */
	} peers[WORKER_PEERS_MAX];
	size_t peers_count;
	uv_timer_t heartbeat;
	struct busy_poll busy_poll; /* of its loop; anybody's */
	bool stalled; /* its store gets nowhere: no heartbeat, so that the supervisor takes it for
	                 hung */
	bool started, ready, draining, cut;
	uint64_t drain_due_ms;
	int exit_code;
};

/* From start(), for what no restart can mend: a file that is not ours, a limit that is too low. The
 * reason names the file, the limit or the setting. The supervisor logs it once, starts nothing
 * again and ends with EXIT_USAGE; only in a restart one by one the others serve on. Returns
 * EXIT_USAGE, which start() returns in turn. */
int worker_cannot_start(struct worker *worker, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

int worker_main(int argc, char **argv, const struct worker_program *program);
void worker_ready(struct worker *worker);
/* As they are at the moment: workers may have come or gone. */
struct ceilings worker_ceilings(const struct worker *worker);
/* The peer in this place, NULL when there is none now. */
struct peer *worker_peer(struct worker *worker, unsigned role, unsigned slot);
struct peer *worker_supervisor(struct worker *worker);
/* Ends the loop; worker_main() returns `code`. */
void worker_exit(struct worker *worker, int code);
/* Tells every peer that follows that the log is durable to `lsn`. Merged where a peer is slow. */
void worker_announce_durable(struct worker *worker, uint64_t lsn);
/* Does this worker want to hear of it? Whoever begins must look at the durable mark once
 * afterwards: what became durable before was not announced to it. Cheap when nothing changes. */
void worker_follow(struct worker *worker, bool follows);
