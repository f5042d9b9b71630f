/* Inside the hub: the roster as a worker has it (hub_roster.c), changes of rows (hub_change.c), the
 * sockets of agents and dashboards (hub_rpc.c), the way to an agent (hub_proxy.c). */
#pragma once

#include "common/base/hash.h"
#include "common/domain/agent.h"
#include "common/store/actor.h"
#include "worker-sse/edge/websocket.h"
#include "worker-sse/views/hub.h"
#include "worker-sse/views/worker.h"

struct hub_change;
struct hub_channel;
struct hub_asked;
struct hub_conn;
struct hub_session;
struct hub_wish;
struct hub_tunnel;

/* One agent of the roster. */
struct hub_entry {
	UT_hash_handle hh;
	char *node; /* its Node, as JSON; NULL: its row has not been read yet */
	size_t node_len;
	uint64_t generation, offline_since_s, process_ms;
	uint32_t slot;
	enum agent_status status;
	bool there, evicted; /* there: in a block */
	bool dirty;          /* its row has changed since it was read */
	struct hub_entry *dirty_next;
	struct hub_conn *conn; /* that registered it here; NULL: another worker has it, or nobody */
	size_t proxies;        /* dashboards that are led to it from here */
	uint32_t id_len;
	char id[];
};

/* Some neighbours of the roster, and their nodes as dashboards get them: what is sent is a list of
 * such texts, each made once for all who come until something in it changes. */
enum { HUB_BLOCK_ENTRIES = 64 };
struct hub_init;
struct hub_block {
	struct hub_entry *entries[HUB_BLOCK_ENTRIES]; /* by the bytes of their ids; never none */
	size_t count;
	struct chunk *text; /* ",NODE,NODE..."; NULL: to be made anew */
};

/* The roster at one instant, a reference to each text. */
struct hub_list {
	size_t count;
	size_t bytes; /* of the array, brackets and all */
	struct chunk *texts[];
};

/* Of one worker. */
struct hub {
	struct sse_worker *worker;
	struct fanout_observer observer;
	struct hub_entry *entries; /* hash by id */
	struct hub_block **blocks; /* those that are there, by the bytes of their ids */
	size_t blocks_count, blocks_room;
	size_t count; /* of entries in them */
	struct hub_entry *dirty;
	bool all_dirty;
	uint64_t alive; /* digest of the processes when all were judged; 0: judge anew */
	struct hub_tunnel *tunnels;   /* hash by number (hub_tunnel.c): dashboards here */
	struct hub_channel *channels; /* hash by whose they are: agents here */
	uint64_t tunnels_made;
	struct hub_wish *wishes;      /* hub_places.c, in the order of asking */
	size_t wishes_count, reading; /* of them directories that are being read */
	uint64_t spawns;              /* that were asked for, ever */
	struct hub_session *sessions; /* hash by id: leases of agents here (hub_sessions.c) */
	struct hub_session *session_due, **session_due_last; /* to be looked at */
	struct slices_job session_work;
	struct hub_asked *asked;   /* in their names, and not answered yet */
	struct wheel_node refresh; /* rows of agents that are held here have changed */
	struct wheel_node sweep;
	bool sweeping;
};

/* ---- hub_roster.c ---- */

/* From here on it is what the store has. */
void hub_roster_start(struct hub *hub);
/* Reads the rows that have changed. */
void hub_roster_refresh(struct hub *hub);
/* NULL: nobody of this id is known here. */
struct hub_entry *hub_entry_find(struct hub *hub, struct span id);
/* The same, made if need be: for whoever holds on to it. */
struct hub_entry *hub_entry_of(struct hub *hub, struct span id);
/* Forgets it, when nothing is known of it and nobody holds on to it any more. */
void hub_entry_let_go(struct hub *hub, struct hub_entry *entry);
/* Does the process still run that holds this socket? */
bool hub_alive(const struct hub *hub, uint32_t slot, uint64_t process_ms);
/* The row, judged by whether its socket can still be there. */
enum row_found hub_agent_load(struct hub *hub, struct span id, struct agent *agent);
/* All nodes as they are now. */
struct hub_list *hub_roster_list(struct hub *hub);

/* ---- hub_list.c: the order of those that are there ---- */

void hub_blocks_insert(struct hub *hub, struct hub_entry *entry);
void hub_blocks_take_out(struct hub *hub, struct hub_entry *entry);
/* Its node has changed. */
void hub_blocks_touch(struct hub *hub, struct hub_entry *entry);
/* One JSON array, in pieces: "[", the texts, of the first without its comma, "]". */
struct hub_list *hub_list_create(const struct hub *hub);
/* NULL is fine. */
void hub_list_destroy(struct hub_list **list);
/* When a process began, as rows have it. */
uint64_t hub_process_ms(const struct hub *hub);

/* ---- hub_change.c: one transaction each ---- */

enum hub_change_kind {
	HUB_REGISTER,   /* `agent` is to be there, held by `conn` */
	HUB_DEREGISTER, /* `id` is to be gone */
	HUB_OFFLINE,    /* the socket of `id`, `generation` is closed */
	HUB_SWEEP,      /* of `ids`: whose time is over goes, whose worker is gone is offline */
};

struct hub_change {
	struct actor actor;
	struct hub *hub;
	enum hub_change_kind kind;
	struct hub_change *next; /* hub_rpc.c: behind it on the same socket */
	char id[AGENT_ID_ROOM];
	uint64_t generation;
	struct agent agent;
	char former[AGENT_ID_ROOM]; /* registered by the same socket before; "": nobody */
	uint64_t former_generation;
	char owner[AGENT_OWNER_ROOM]; /* who asks, and what owned what is his */
	char *formers;
	bool any;  /* may remove what is not his */
	char *ids; /* of a sweep: texts, each with its NUL */
	size_t ids_count;
	json_t *reply_id; /* a reference; NULL: none */
	/* what came of it: */
	bool found;
	const char *fault; /* NULL: none */
	/* Called once; frees it by hub_change_free(). */
	void (*done)(struct hub_change *change, enum actor_end end);
	void *arg;
};

struct hub_change *hub_change_create(struct hub *hub, enum hub_change_kind kind);
void hub_change_run(struct hub_change *change);
void hub_change_free(struct hub_change *change);

/* ---- hub_rpc.c ---- */

/* A socket at /ws. */
struct hub_conn {
	struct hub *hub;
	struct websocket *websocket; /* NULL: it is over; what is under way ends first */
	struct request *request;     /* as long */
	struct identity *identity;   /* who it is, also when it has left: a reference */
	struct live_reader *reader;  /* NULL: it hears nothing yet, or any more */
	struct hub_init *init;       /* what it is still to get of it; NULL: it has it */
	/* The agent that it registered; "": none. */
	char id[AGENT_ID_ROOM];
	uint64_t generation;
	bool tunnel;                  /* it is reached through this socket */
	bool takes;                   /* conversations */
	size_t sessions;              /* that it has the lease of */
	struct hub_asked *asking;     /* for another one */
	struct wheel_node asks;       /* when that is due */
	size_t handed_bytes;          /* of items that it was handed and has not done with */
	struct hub_channel *channels; /* hash by channel (hub_tunnel.c): its dashboards */
	uint32_t channels_made;
	char address[AGENT_ADDRESS_ROOM];
	struct hub_change *first, **last; /* one after another; the first is under way */
	size_t queued;
	uint64_t seen_s; /* when it last said something */
	struct wheel_node again;
};

/* The row of an agent that this socket registered has changed. False: it is another's by now, or
 * gone, or was evicted, and this socket has nothing to do with it any more. */
bool hub_conn_judge(struct hub_conn *conn, const struct hub_entry *entry);

/* Takes `result`; NULL where `error` is not. */
void hub_answer(struct hub_conn *conn, const json_t *id, json_t *result, const char *error);

/* ---- hub_places.c ---- */

void hub_directories(struct hub_conn *conn, const struct agent_request *ask);
void hub_spawn(struct hub_conn *conn, const struct agent_request *ask);
/* It is gone: what it still waits for goes on, and is told to nobody. */
void hub_wishes_forget(struct hub_conn *conn);

/* ---- hub_sessions.c: what people send to conversations, handed to agents that take them ---- */

void hub_sessions_start(struct hub *hub);
/* It has registered and takes conversations; and does not any more. */
void hub_sessions_join(struct hub_conn *conn);
void hub_sessions_leave(struct hub_conn *conn);
/* Within a change of the view: this row was put, or is gone; at NULL: any may have been. */
void hub_sessions_row(struct hub *hub, struct span key);
/* The method "ack". */
void hub_sessions_ack(struct hub_conn *conn, const struct agent_request *ask);

/* ---- hub.c ---- */

/* It wants a WebSocket, and a page of another origin may connect where it might also read. False:
 * answered. */
bool hub_welcomes(struct request *request);
