/* Agents at the hub: the rows, what is said of them, and the rules. Pure but for memory.
 *
 * An agent is a program that registered itself by a WebSocket: (id, generation), machine and port,
 * whose it is, what it can. Its row `agent/ID` outlives its socket: the agent is offline then, and
 * goes after hub.node_ttl. `agent.place/DIGEST` says whose a machine and port are, for a port
 * belongs to one process. A generation is never used twice, so whatever comes late (a close, an
 * expiry, a frame) is known by it. docs/hub.md has the wire. */
#pragma once

#include "common/store/row.h"

#define AGENT_KEY       "agent/"
#define AGENT_PLACE_KEY "agent.place/"
/* What dashboards hear of: one message for each change. */
#define AGENT_ROSTER "/v1/stream/hub/roster"
/* Rights to one agent are those to the path below: create to be it, append to talk to it, delete to
 * remove it. */
#define AGENT_ROOT "/v1/stream/hub/agents/"

enum {
	AGENT_ID_MAX = 200,
	AGENT_ID_ROOM = AGENT_ID_MAX + 1,
	AGENT_MACHINE_MAX = 253,
	AGENT_CWD_MAX = 4096,
	AGENT_KEY_ROOM = 256,
	AGENT_PATH_ROOM = sizeof AGENT_ROOT + 3 * AGENT_ID_MAX,
	AGENT_OWNER_ROOM = 65,
	AGENT_ADDRESS_ROOM = 48,
	AGENT_SWEEP_MAX = 200, /* rows that one transaction changes */
};

enum agent_status { AGENT_ACTIVE, AGENT_OFFLINE, AGENT_STATUSES };

struct agent {
	char id[AGENT_ID_ROOM], machine[AGENT_MACHINE_MAX + 1], cwd[AGENT_CWD_MAX + 1];
	uint32_t port; /* 0 to 65535 */
	int64_t pid;   /* RECORD_NULL (record.h): it did not say */
	enum agent_status status;
	uint64_t offline_since_s, last_seen_s, first_seen_s; /* Unix; 0: never */
	bool tunnel;   /* it is reached through its own socket */
	bool sessions; /* it takes conversations */
	bool items;    /* and is handed what is sent to them in its socket; the row does not say */
	bool evicted;  /* by an operator: nobody sees it, and its socket is to be closed */
	uint64_t generation, reconnects;
	char owner[AGENT_OWNER_ROOM];     /* principal that registered it; "": anybody */
	char address[AGENT_ADDRESS_ROOM]; /* where it registered from; "": unknown */
	/* The worker that holds its socket: its slot, and when that process began (Unix ms). */
	uint32_t slot;
	uint64_t process_ms; /* 0: none does */
};

/* ---- names ---- */

/* 1 to AGENT_ID_MAX bytes of UTF-8 without control characters. */
bool agent_id_good(struct span id);
/* Return a span over `out`. */
struct span agent_key(struct span id, char out[AGENT_KEY_ROOM]);
struct span agent_place_key(const struct agent *agent, char out[AGENT_KEY_ROOM]);
/* The path that rights are about, percent-encoded. */
struct span agent_path(struct span id, char out[AGENT_PATH_ROOM]);
/* The id in a key of AGENT_KEY; false: it is none. */
bool agent_key_id(struct span key, struct span *id);

/* ---- rows ---- */

/* ROW_PRESENT or ROW_UNREADABLE; `agent` is then as it was. */
enum row_found agent_read(struct agent *agent, struct span value);
/* malloc'ed. */
char *agent_text(const struct agent *agent);

/* ---- the wire ---- */

/* What a program says of itself, into a zeroed `agent`. NULL: fine; else why not, for the wire. */
const char *agent_take(const json_t *params, struct agent *agent);
/* The Node that dashboards know; new references, here and below. */
json_t *agent_node(const struct agent *agent);
json_t *agent_joined(const struct agent *agent);
/* "node_offline" or "node_removed". */
json_t *agent_event(const char *event, const char *id);

/* Something that was sent to a conversation, for the agent that has it. */
struct agent_item {
	const char *conversation;
	uint64_t epoch, lease_ms;
	const char *generation; /* an answer that a predecessor began, JSON; NULL: none */
	uint64_t seq;           /* the position behind it in the inbox */
	struct span item;       /* JSON */
};

/* {"event":"session_item","session","epoch","leaseMs","generation"?,"seq","item"}, malloc'ed. */
char *agent_session_item(const struct agent_item *item, size_t *len);

/* A request: {"id"?, "method", "params"?}. */
struct agent_request {
	json_t *id;         /* a text or a whole number; NULL: none */
	const char *method; /* within `whole` */
	json_t *params;     /* NULL: none */
	json_t *whole;      /* a reference */
};
/* False: it is none, which is dropped in silence. */
bool agent_request_read(struct agent_request *request, struct span text);
void agent_request_finish(struct agent_request *request);
/* {"id"?, "result" or "error"}, malloc'ed; takes `result`, which is NULL where `error` is not. */
char *agent_reply(const json_t *id, json_t *result, const char *error);

/* ---- rules ---- */

enum agent_verdict {
	AGENT_TAKEN,
	AGENT_OTHERS_ID,    /* somebody else's */
	AGENT_OTHERS_PLACE, /* machine and port are somebody else's who is there */
};

/* Whoever is `owner` (or one of the digests `former`, hexadecimal, one behind the other) wants to
 * be an agent. `there`: the row of this id; `place`: of another id at the same machine and port;
 * NULL: there is none. What is offline gives its place to anybody, but never its id. */
enum agent_verdict agent_judge(const struct agent *there, const struct agent *place,
                               struct span owner, struct span former);
/* Is it his? */
bool agent_owned(const struct agent *agent, struct span owner, struct span former);

/* A new life: the generation behind the one before (`there` NULL: none), and behind every one that
 * a row that is gone may have had. */
void agent_begin(struct agent *agent, const struct agent *there, uint64_t now_ms);
/* Its socket is closed. */
void agent_end(struct agent *agent, uint64_t now_ms);
/* Offline since a time that has yet to come: the clock was set back, and the row is to say now
 * instead, or it would stay for as long as that was. */
bool agent_is_ahead(const struct agent *agent, uint64_t now_ms);
/* Offline for longer than `ttl_ms`, or evicted: its row goes. */
bool agent_is_due(const struct agent *agent, uint64_t now_ms, uint64_t ttl_ms);
