/* The edge: connections, requests and answers. It knows no feature: routes, and what happens before
 * each request, are handed to it (edge_options). Loop thread only. */
#pragma once

#include "common/base/busy_poll.h"
#include "common/base/ceilings.h"
#include "common/base/certificate.h"
#include "common/base/counters.h"
#include "common/base/settings.h"
#include "common/base/wheel.h"
#include "proto/roles.h"
#include "worker-sse/edge/cors.h"
#include "worker-sse/edge/https_only.h"
#include "worker-sse/edge/identity.h"
#include "worker-sse/edge/turn.h"
#include "worker-sse/live/waiting.h"

#include <openssl/types.h>
#include <uv.h>

struct address;
struct tls_material;
struct conn;
struct http1_field;
struct identities;
struct protocol;
struct request;
struct route;
struct websocket;
struct websocket_packer;

/* Everything is the caller's and outlives the edge. */
struct edge_options {
	uv_loop_t *loop;
	struct wheel *wheel; /* with the time of this turn */
	const struct settings *settings;
	struct counters_slot *counters;
	struct counters *all; /* what all workers count together; we are `slot` of them */
	uint32_t slot;
	struct busy_poll *busy_poll;
	/* The path that is meant by this one: a part of it, or as it is. NULL: always as it is. */
	struct span (*meant_path)(void *context, struct span path);
	/* Who answers this path. NULL: nobody. */
	const struct route *(*find_route)(struct span path);
	/* Refuses for a route in its own form. False: it has none, reply_error() does. NULL: none
	 * has. */
	bool (*refuse)(struct request *request, unsigned status, const char *reason);
	/* Answers OPTIONS of a path that nobody answers. */
	void (*preflight)(struct request *request);
	/* A request is about to be handled: what anybody acknowledged before it came is to be
	 * visible to it. */
	void (*before_request)(void *context);
	/* Takes a request that the handler of its route is not to see. False: it is. NULL: none is
	 * taken. */
	bool (*divert)(struct request *request, const struct route *route);
	void *context;                                 /* for whoever handles requests */
	struct identity_source sources[IDENTITY_WAYS]; /* credentials beside tokens; may be none */
};

enum {
	EDGE_READ_BYTES = 65536,
	EDGE_FIELDS_MAX = 1000, /* the most that limits.headers allows */
	EDGE_WANTS_MAX = 16,
	EDGE_DATE_BYTES = sizeof "date: Sat, 01 Jan 2000 00:00:00 GMT\r\n" - 1,
};

struct edge {
	struct edge_options options;
	/* For speed, of options: */
	uv_loop_t *loop;
	struct wheel *wheel;
	const struct settings *settings;
	struct counters_slot *counters;

	const struct protocol *http1, *http2; /* what a connection may speak */
	struct identities *identities;
	uint32_t again_s; /* request.c: of the refusal that is about to be answered; 0: none */
	const char
	        *wants_said[EDGE_WANTS_MAX]; /* request.c: what nobody may for want of a setting */
	/* listen.c */
	uv_poll_t listeners[BOOT_LISTENERS_MAX];
	unsigned listeners_count;
	struct wheel_node accept_again; /* set: no descriptors, not even one to drop with */
	int spare_fd;                   /* given up to accept one that must be dropped; -1: none */
	uint64_t drop_logged_ms;
	SSL_CTX *tls;         /* what new connections begin with; NULL: none can */
	uint64_t listens_tls; /* bit n: the n-th listener speaks TLS */
	bool listening, draining;
	uint64_t conns_max;        /* limits.connections, or what the descriptors allow */
	struct address *addresses; /* hash; only when limited */
	/* conn.c */
	struct conn *conns; /* all */
	struct conn *dirty; /* with bytes to flush at the end of the turn */
	struct conn
	        *judge_next; /* who is to be looked at because of stale identities; NULL: nobody */
	uv_idle_t judging;   /* runs while there is somebody */
	size_t conns_count;
	struct turn turn; /* who waits for the next one */
	/* exchange.c */
	size_t body_bytes, body_bytes_max; /* in memory */
	uint64_t body_refused_ms; /* when a body last found no room; 0: since then one gave way to
	                             it */
	/* conn_read.c: of all connections; what is left over is copied */
	uint8_t *read_buffer;       /* EDGE_READ_BYTES */
	struct http1_field *fields; /* EDGE_FIELDS_MAX */
	/* request.c */
	struct cors cors;           /* what stands on every answer */
	char hsts[HTTPS_HSTS_ROOM]; /* the line on answers over TLS; "": none */
	char date[EDGE_DATE_BYTES]; /* the line, as that does */
	int64_t date_s;             /* which second it says */
	struct waiting waiting;
	/* websocket.c */
	struct websocket *websockets;    /* all */
	struct websocket_packer *packer; /* NULL: nobody needed it yet */
};

/* `edge` is zero-initialised. Nothing is accepted yet. */
void edge_init(struct edge *edge, const struct edge_options *options);
/* Nobody is connected any more. */
void edge_finish(struct edge *edge);
/* After a reload. */
void edge_use(struct edge *edge, const struct settings *settings);
/* What connections to the sockets of `listens_tls` (bit n: the n-th) begin with from now on. False:
 * the reason, and what they began with before goes on; where there was nothing, they are closed. */
bool edge_use_tls(struct edge *edge, uint64_t listens_tls, const struct tls_material *material,
                  char reason[CERTIFICATE_REASON_ROOM]);
/* Accepts on the sockets that were inherited. 0, or an exit code after logging why. */
int edge_listen(struct edge *edge);

/* Keys or passes that credentials are judged by have changed, or a request need wait for them no
 * longer. `revoked`: something that was good may be so no more. */
void edge_credentials_changed(struct edge *edge, bool revoked);

/* Before the loop sleeps: every answer of this turn leaves. */
void edge_flush(struct edge *edge);
/* The same, and what is to be read next has its own time. */
void edge_prepare(struct edge *edge);
/* Now and then: the Date of answers. */
void edge_tick(struct edge *edge, uint64_t wall_ms);
/* How many bytes bodies, and what waits for clients, may have from now on; keeps the metrics.
 * Before anything is accepted, and now and then. */
void edge_set_ceilings(struct edge *edge, const struct ceilings *ceilings);
/* Answers 503 to requests from before `before_ns` (monotonic) that wait for the store. */
void edge_refuse_stalled(struct edge *edge, uint64_t before_ns);

/* The way out has two steps, so that live readers can say farewell between them. First: accepts no
 * more. */
void edge_stop_accepting(struct edge *edge);
/* Then: what is under way is finished, WebSockets are told to go, idle connections end. */
void edge_drain(struct edge *edge);
/* Drained: nobody is connected any more. */
bool edge_is_empty(const struct edge *edge);
/* Cuts who is left. */
void edge_close(struct edge *edge);

/* How many bytes may wait for the client of a WebSocket. */
static inline size_t websocket_output_max(const struct edge *edge)
{
	return waiting_room(&edge->waiting, edge->settings->http_websocket_output_bytes);
}
