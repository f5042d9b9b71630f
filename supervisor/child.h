/* One worker as the supervisor sees it, and what to do about it. The decision is pure and looks at
 * the present facts only, never at how they came about: asking again is always right. */
#pragma once

#include "common/base/counters.h"
#include "common/worker/peer.h"
#include "common/base/settings.h"
#include "supervisor/restart.h"
#include "supervisor/watch.h"

#include <sys/types.h>

enum child_state {
	CHILD_ABSENT,   /* neither wanted nor there */
	CHILD_STOPPED,  /* no process; waits for its (re)start */
	CHILD_STARTING, /* a process that has not said READY */
	CHILD_READY,
	CHILD_DRAINING, /* told to finish and exit */
	CHILD_FAILED,   /* no process; refused its start, until people or a reload say otherwise */
};

struct child_facts {
	enum child_state state;
	bool wanted;            /* the plan has it */
	bool recycle;           /* to be replaced by a fresh process */
	bool may_recycle;       /* it is its turn, and somebody else serves meanwhile */
	bool queue_waits;       /* its socket holds connections nobody has accepted */
	bool stopping;          /* the supervisor stops: start nothing */
	bool leave;             /* the supervisor stops, and it is this role's turn */
	uint64_t start_due_ms;  /* STOPPED: not before */
	uint64_t settle_due_ms; /* not wanted: drain not before, late handshakes are under way */
	uint64_t kill_due_ms;   /* STARTING, DRAINING: killed then; UINT64_MAX: never or done */
};

enum child_action {
	CHILD_WAIT,
	CHILD_START,
	CHILD_DRAIN,
	CHILD_KILL,
	CHILD_RELEASE, /* close its socket and forget it */
};

/* Returns what to do now. CHILD_WAIT: *due_ms is when the answer may change by time alone. */
enum child_action child_decide(const struct child_facts *facts, uint64_t now_ms, uint64_t *due_ms);

/* Requests per second and the like, from counters that only grow. */
struct child_rates {
	uint64_t at_ms, connections, requests, appends, deliveries; /* at at_ms */
	double connections_s, requests_s, appends_s, deliveries_s;
};

struct life;
struct held_bus;

struct child {
	struct life *life; /* what it has in common with all others */
	const struct role *role;
	unsigned slot;
	char name[24]; /* "sse-0" */
	enum child_state state;
	bool wanted, recycle;
	bool said_hello, hung, late;
	bool confined; /* it sees the files of its sandbox only */
	uint64_t generation;
	pid_t pid; /* and process group; 0: no process */
	struct peer *peer;
	struct held_bus *held; /* instead: another supervisor started it; it is to be replaced */
	struct restart restart;
	struct watch watch;
	const struct settings *settings; /* kept: what the process was given; NULL: none was */
	struct counters_slot *counters;
	uint64_t started_ms, start_due_ms, settle_due_ms, kill_due_ms; /* monotonic */
	char last_exit[64]; /* "", "code 1", "signal 9 (Killed)" */
	char refusal[PROTO_REASON_MAX +
	             1]; /* why this process cannot start, in its own words; "" */
	struct child_rates rates;
};

/* Nobody should be sent to it or wait for it: it refused its start, or failed too often and waits
 * for its next attempt. */
bool child_failed(const struct child *child);

/* Does it have listening sockets? */
bool child_listens(const struct child *child);

/* "absent", "waiting", "failed", ... */
const char *child_state_name(const struct child *child);

void child_rates_update(struct child *child, uint64_t now_ms);
