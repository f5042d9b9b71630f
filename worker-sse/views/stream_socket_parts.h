/* Inside the WebSockets of streams (stream_socket.h). */
#pragma once

#include "worker-sse/edge/websocket.h"
#include "worker-sse/views/events_parts.h"
#include "worker-sse/views/stream_append.h"
#include "worker-sse/views/stream_socket_message.h"

struct stream_socket_append;

/* One name that a client gave to some streams.
 *
 *     search -> reader -> (freed)      search -> (freed): refused, or not wanted any more */
struct stream_subscription {
	struct stream_socket *socket;
	struct stream_subscription *next, **previous; /* socket->subscriptions */
	struct events_search *search;                 /* its streams are looked for */
	struct live_reader *reader;                   /* ... are found */
	void *holder;                                 /* of its sink */
	const struct sink_events *holder_events;
	struct stream_subscription *line_next; /* socket->line */
	bool in_line;                          /* blocked: it goes on when it is its turn */
	enum fanout_end why;                   /* it ended; FANOUT_END_TIME: it was asked to */
	char name[STREAM_SOCKET_NAME_MAX + 1];
};

struct stream_socket {
	struct sse_worker *worker;
	struct websocket *websocket; /* NULL: it is over, and only appends are under way */
	struct request *request;     /* that it began with; NULL as that */
	uint8_t address[16];         /* from which it came (request_address()) */
	struct stream_subscription *subscriptions;
	size_t subscriptions_count;
	struct stream_subscription *line, **line_last; /* who is blocked, in the order of that */
	struct stream_socket_append *first, **last;    /* appends that were not submitted yet */
	size_t appends, append_bytes;                  /* that are under way, and those */
	bool splitting; /* one is read by another thread: what is behind it waits */
	bool held;      /* there are as many as may be: it is not read */
	bool leaving;   /* this worker stops: nothing is begun any more */
};

/* ---- stream_socket.c ---- */

/* Tells what was put since stream_socket_begin(), as it is. */
void stream_socket_tell(struct stream_socket *socket, struct sse_builder *builder, size_t begun);

struct stream_socket_error {
	unsigned status;
	const char *code; /* NULL: that of the status */
	const char *reason;
	const char *subscription, *request;    /* NULL: none */
	uint64_t retry_ms;                     /* 0: none */
	const struct stream_append_told *told; /* NULL: none; of */
	const struct command *command;
};
void stream_socket_refuse(struct stream_socket *socket, const struct stream_socket_error *error);

/* Ends it behind what was said. */
void stream_socket_close(struct stream_socket *socket, unsigned code, const char *reason);
/* Appends came or went: reads on or does not, ends when it is to. The socket may be gone. */
void stream_socket_settle(struct stream_socket *socket);

/* ---- stream_socket_frames.c ---- */

extern const struct events_form stream_socket_form; /* the holder is a subscription */

/* A message in the making, whose text is put behind this; and its end. `window`: as
 * websocket_window(); 0: not packed. */
size_t stream_socket_begin(struct sse_builder *builder);
void stream_socket_end(struct sse_builder *builder, size_t begun, bool binary, struct edge *edge,
                       unsigned window);
/* As a JSON string. What is no UTF-8 becomes U+FFFD. */
void stream_socket_put(struct sse_builder *builder, struct span text);
/* A whole `end`; without an id: it never followed anything. */
void stream_socket_put_end(struct sse_builder *builder, const char *subscription,
                           const char *reason);
void stream_socket_put_fields(struct sse_builder *builder, const struct stream_append_told *told,
                              const struct command *command);

/* ---- stream_socket_follow.c ---- */

void stream_socket_subscribe(struct stream_socket *socket, struct stream_socket_message *message);
void stream_socket_unsubscribe(struct stream_socket *socket, const char *name);
/* All it was told has left: who is blocked goes on, one after another. */
void stream_socket_drained(struct stream_socket *socket);
/* Those that follow nothing yet are told that this worker stops, and end. */
void stream_socket_leave(struct stream_socket *socket);
/* All end, and nobody is told. */
void stream_socket_drop(struct stream_socket *socket);

/* ---- stream_socket_append.c ---- */

/* Takes of the message what it keeps. */
void stream_socket_append(struct stream_socket *socket, struct stream_socket_message *message);
