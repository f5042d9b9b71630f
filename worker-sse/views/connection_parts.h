/* Inside connections: the row and its turn (connection_turn.c), how it is opened
 * (connection_open.c), a live stream (connection_stream.c), how it looks (connection_frames.c,
 * connection_told.c) and how fast it goes (connection_pace.c), what is asked beside it
 * (connection_posts.c, connection_talk.c), and what is said on one from elsewhere
 * (connection_peer.c). */
#pragma once

#include "common/base/hash.h"
#include "common/domain/connection.h"
#include "common/store/actor.h"
#include "worker-sse/views/connection_due.h"
#include "worker-sse/views/connection_logins.h"
#include "worker-sse/views/connections.h"
#include "worker-sse/views/conversation_parts.h"
#include "worker-sse/views/event_id.h"

#include <assert.h>

enum {
	CONNECTION_PROTOCOL = 2,
	CONNECTION_NONCE_MAX = 100,
	CONNECTION_HEADERS = 3,
	CONNECTION_TOLD_KEPT = 4,
};

/* connection_told.c: the events of a range, one behind the other. */
struct connection_told {
	uint64_t stream_id; /* 0: nothing is kept here */
	uint64_t from, asked;
	struct sse_builder text;
	struct connection_told_event {
		uint64_t ends_at; /* a position in its stream */
		size_t len;       /* of its text */
	} * events;
	size_t count, room;
	struct sse_tail tails[2]; /* the last of them, ready but for ids; [1]: for WebSockets */
};

struct connection_socket;
struct connection_stream;
struct websocket;

/* Of one worker. */
struct connections {
	struct sse_worker *worker;
	struct fanout_observer observer;
	/* By id, in buckets: a power of 2 of them. */
	struct connection_stream **streams;
	size_t streams_count, buckets;
	struct connection_stream *noted; /* whose row has changed */
	struct slices_job apply;
	uint64_t rows;                   /* that there are, as the last sweep counted */
	struct connection_logins logins; /* ... and whose */
	/* Those whose stream has ended here, and the timer of whichever is due first. */
	struct connection_dues dues;
	struct wheel_node first_due;
	/* The sweep: what nobody's timer looks after any more. */
	struct wheel_node sweep_due;
	struct slices_job sweep;
	char swept[CONNECTION_CID_ROOM]; /* up to where */
	uint64_t counted;
	bool sweeping;
	struct connection_told told[CONNECTION_TOLD_KEPT];
	unsigned told_next;
	struct chunk *spare;                     /* of the frame that was made last */
	const struct sink_events *reader_events; /* connection_pace.c: of those who follow */
	struct connection_holder *holders;       /* by slot */
	size_t holders_count;
};

/* ---- connection_turn.c: one change of a row ---- */

struct connection_op {
	struct actor actor;
	struct connections *all;
	char cid[CONNECTION_CID_ROOM];
	struct request *request; /* NULL: nobody waits, or has left */
	/* Judges, and says what is to become: `write`, `remove`. Has no other effect. */
	void (*step)(struct connection_op *op);
	/* Once, with the row as it is now. Not `done`: it could not be written, or not be read;
	 * status and text say why. The op is freed behind it. */
	void (*end)(struct connection_op *op, bool done);
	uint64_t generation; /* that it is about; 0: whichever there is */
	json_t *body;        /* owned; NULL: none */
	const struct connection_deed *deed;
	struct connection_opening opening;
	struct connection_watch *places; /* owned: of the opening, or what the body states */
	size_t places_count;
	json_t *lost; /* owned: of what was stated, what there is not, or not from there */
	char subject[CONNECTION_SUBJECT_ROOM];
	struct connection_socket *socket; /* that the stream is for; NULL: it is an answer */
	const char *rejected; /* the id that was asked for is not taken, for this reason */
	uint32_t slot;        /* of connection_lose() */
	uint64_t worker;
	bool stated;
	uint64_t from;
	char id[CONVERSATION_ID_ROOM]; /* of the conversation; "": none */

	/* ---- of a step ---- */
	struct actor_change *change;
	uint64_t now_ms; /* Unix */
	bool there;
	struct connection row;
	bool write, remove, took_over;
	bool counted; /* of an opening: as one more of its login's */
	enum connection_verdict verdict;
	unsigned status; /* of a fault; 0: none */
	const char *code, *text;
};

struct connection_op *connection_op_create(struct connections *all, const char *cid);
void connection_op_run(struct connection_op *op);
void connection_op_free(struct connection_op *op);
/* Of a step: it is refused. */
void connection_op_fault(struct connection_op *op, unsigned status, const char *code,
                         const char *text);
/* The row of `cid` in a change: ROW_PRESENT is to be finished. */
enum row_found connection_load(struct rows *rows, const char *cid, struct connection *row);
void connection_store(struct rows *rows, const struct connection *row);

/* Its stream has ended. */
void connection_over(struct connections *all, const char *cid, uint64_t generation);
/* Its stream is here, whatever the row says. */
void connection_hold_on(struct connections *all, const char *cid, uint64_t generation);
/* Its stream of this generation has told this of what is watched. Takes `told`. */
void connection_has_told(struct connections *all, const char *cid, uint64_t generation,
                         struct connection_watch *told, size_t count);
void connections_sweep_start(struct connections *all);
/* Is a sweep under way that has been where this row is? */
bool connections_swept(const struct connections *all, const char *cid);

/* ---- conversations, as connections see them ---- */

/* The path of its events; false: no such conversation, or not for who asks (*status then). */
bool connection_may(const struct request *request, const char *id, unsigned verbs,
                    const char *about, unsigned *status);
/* NULL: not there. */
struct stream *connection_events(struct sse_worker *w, const char *id);
/* Of whose events it is; false: of none. */
bool connection_conversation(const struct stream *stream, char out[CONVERSATION_ID_ROOM]);
/* From where somebody who says `from` can go on. *reset NULL: from there; else the reason. */
uint64_t connection_from(struct sse_worker *w, const struct stream *stream, uint64_t from,
                         const char **reset);

/* ---- connection_pace.c: no faster than connections.replay_rate ---- */

/* The sink in front of the stream's own. */
struct sink connection_paced(struct connection_stream *stream, struct sink below);
/* Bytes written and not yet taken. */
size_t connection_pending(const struct connection_stream *stream);

/* ---- connection_stream.c, connection_open.c ---- */

struct connection_replay {
	struct connection_replay_part {
		uint64_t stream_id, to, count;
	} * parts;
	size_t count;
};

/* What lies idle for each who follows: 120 bytes, and 24 for each conversation. What each event
 * needs comes first. */
struct connection_stream {
	struct request *request;    /* whose answer it is, or whose WebSocket */
	struct event_place *places; /* with room for as many revisions behind them */
	uint64_t revision;
	/* Until all that was there when the client stated what it watches has been said. */
	struct connection_replay *replay;
	struct sink below;              /* connection_pace.c */
	struct connection_pause *pause; /* NULL: none */
	uint64_t next_ms; /* by when everything written may have been, at connections.replay_rate */
	struct live_reader *reader;
	uint16_t count, room;
	bool framed;  /* of a WebSocket: its frames, each an event */
	bool blocked; /* the sink below waits */
	bool noted, superseded;
	uint64_t generation;
	uint8_t id[CONNECTION_ID_BYTES];
	struct connection_stream *next; /* of its bucket */
	struct connection_stream *next_noted;
};
static_assert(sizeof(struct connection_stream) == 120, "the comment says so");

/* Of its worker. */
static inline struct connections *connections_of(const struct connection_stream *stream)
{
	return worker_of(stream->request)->connections;
}

struct connection_stream *connection_stream_find(struct connections *all, const char *cid);
/* The op's row is open for this request: its stream begins. */
void connection_stream_begin(struct connection_op *op);
extern const struct header connection_headers[CONNECTION_HEADERS];
/* Opens the row for this request, and begins its stream. `cid` at NULL: the server chooses. `last`:
 * the position that it goes on from. `socket`: that the stream is for, else NULL. */
void connection_stream_open(struct request *request, struct span cid, struct span last,
                            struct connection_socket *socket);
/* Their rows have changed: on the next turn. at NULL: all. */
void connection_streams_note(struct connections *all, struct span key);
bool connection_streams_apply(struct slices_job *job);
/* The revision that it was watched since. */
uint64_t connection_place_drop(struct connection_stream *stream, size_t i);
/* The client has been told that it is not watched: it leaves the row. */
void connection_stream_forget(struct connection_stream *stream, const char *id, uint64_t since);
/* Says it, as an event without a place. False: it takes nothing more. */
bool connection_stream_say(struct connection_stream *stream, const json_t *event);
void connection_stream_left(struct connection_stream *stream);
/* Last of all: its sink is gone, too. */
void connection_stream_free(struct connection_stream *stream);

/* ---- connection_told.c ---- */

/* Events as JSON, from where somebody stands; never none. */
struct connection_telling {
	const uint8_t *at; /* their texts, one behind the other: valid until the next is told */
	const struct connection_told_event *events;
	size_t count;
	struct sse_tail *tails; /* of the last event: its maker fills them in */
};

/* The events of the query, or the first of them. False: they cannot be read. */
bool connection_tell(struct connections *all, const struct frame_query *query,
                     struct connection_telling *out);

/* ---- connection_frames.c ---- */

extern const struct fanout_view connection_view;
/* An event of ours, as the stream's wire has it: with an id of where it stands, or in a frame. */
void connection_put(struct sse_builder *builder, const struct connection_stream *stream,
                    const char *name, const json_t *event);
/* The same with {"v":2,"type":TYPE} and, not NULL, sessionId. Takes `more`, an object or NULL. */
void connection_put_event(struct sse_builder *builder, const struct connection_stream *stream,
                          const char *type, const char *id, json_t *more);
/* True: nothing is missing any more; it has been said in this frame. */
bool connection_put_replayed(struct sse_builder *builder, struct connection_stream *stream);
void connection_replay_free(struct connection_replay **replay);

/* ---- connection_posts.c, connection_talk.c ---- */

/* POST send, interrupt, stop, permission, mode, close. False: none of these. */
bool connection_talk(struct request *request, struct span name, const char *cid, json_t *body);
/* POST NAME, of whatever there is. Takes `body`. */
void connection_ask(struct request *request, struct span name, const char *cid, json_t *body);

/* ---- connection_socket.c ---- */

/* NULL: it is over. */
struct websocket *connection_socket_of(const struct connection_socket *socket);
struct request *connection_socket_request(const struct connection_socket *socket);
/* Its row is open: its stream begins. `asked` is what said hello. */
void connection_socket_begun(struct connection_socket *socket, const struct connection *row);
void connection_socket_answered(struct request *asked);

/* ---- connection_peer.c ---- */

/* Says `event` on the stream of the connection, wherever that is. Takes it. `done` NULL: nobody
 * waits; else it is told whether it has been said, and as which: "watched" has a `seq` by then, of
 * where the stream stands. */
void connection_say(struct connections *all, const struct connection *row, json_t *event,
                    void (*done)(void *arg, bool said, const json_t *event), void *arg);
