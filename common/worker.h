/* The main() every worker shares: boot contract (proto/roles.h), bus, settings, heartbeats, drain.
 *
 *     int main(int argc, char **argv) { return worker_main(argc, argv, &program); }
 */
#pragma once

#include "common/peer.h"
#include "common/settings.h"
#include <uv.h>

struct worker;

struct worker_program {
	unsigned role;    /* ROLE_SSE, ... */
	const char *name; /* "sse" */
	/* Settings are there; open everything. Call worker_ready() when serving. Returns 0, or an exit
	 * code after logging why. */
	int (*start)(struct worker *worker);
	/* Settings changed; worker->settings are the new ones. */
	void (*reload)(struct worker *worker);
	/* Stop accepting, finish, then worker_exit(). Called once. */
	void (*drain)(struct worker *worker, uint64_t due_ms);
	/* A frame from another worker (the supervisor's are handled here). */
	enum proto_verdict (*on_frame)(struct worker *worker, struct peer *from, unsigned type,
	                               struct span body);
	/* A peer came or was replaced (may be NULL). */
	void (*on_peer)(struct worker *worker, struct peer *peer);
};

struct worker {
	const struct worker_program *program;
	uv_loop_t *loop;
	struct settings settings;
	unsigned slot;
	uint64_t generation;
	struct counters_slot *counters; /* mine, in shared memory */
	void *context; /* the program's */
	/* private: */
	struct peer *supervisor;
	struct peer *peers;
	uv_timer_t heartbeat;
	bool ready, draining;
};

int worker_main(int argc, char **argv, const struct worker_program *program);
void worker_ready(struct worker *worker);
/* Ends the loop; worker_main() returns `code`. */
void worker_exit(struct worker *worker, int code);
/* Tells every follower peer that the log is durable to `lsn`. Merged when a peer is slow. */
void worker_announce_durable(struct worker *worker, uint64_t lsn);
