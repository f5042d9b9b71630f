/* One SSE worker: what its parts share. */
#pragma once

#include "common/store/store.h"
#include "common/base/wheel.h"
#include "common/worker/worker.h"
#include "proto/roles.h"
#include "worker-sse/edge/auth.h"
#include "worker-sse/edge/turn.h"

struct conn;
struct events_reader;
struct fanout;
struct call_waiting;
struct kit_session;
struct picture;
struct websocket;

struct sse_worker {
	struct worker *worker;
	const struct settings *settings; /* the newest: a reload puts another here */
	struct counters_slot *counters;
	struct store *store;
	struct auth auth;
	struct fanout *fanout;
	struct events_reader *events; /* those with patterns or several streams (events.c) */
	struct wheel wheel;           /* every coarse timer, and the time of this turn */
	uv_async_t store_async;
	uv_timer_t tick;
	uint64_t refresh_due_ms;
	uv_prepare_t flush;

	struct call_waiting *calls; /* hash (call.c): what another worker is to answer */
	uint64_t calls_id;          /* the last one's */

	struct picture *pictures; /* hash (picture.c): what is asked for at the moment */

	struct websocket *websockets;     /* all (websocket.c) */
	struct kit_session *kit_sessions; /* hash (stream_kit.c): who is followed here */

	/* transport (conn.c, listen.c) */
	uv_poll_t listeners[BOOT_LISTENERS_MAX];
	unsigned listeners_count;
	struct wheel_node accept_again; /* set: no descriptors, not even one to drop with */
	int spare_fd;                   /* given up to accept one that must be dropped; -1: none */
	uint64_t drop_logged_ms;
	bool listening, draining;
	uint64_t drain_due_ms;
	uint64_t conns_max; /* limits.connections, or what the descriptors allow */
	struct conn *conns; /* all */
	struct conn *dirty; /* with bytes to flush at the end of the turn */
	struct turn turn;   /* who waits for the next one */
	size_t conns_count;
	size_t body_bytes, body_bytes_max; /* in memory; bodies_refresh() */
	uint64_t memory_bytes;             /* what the control group allows; UINT64_MAX: no limit */
	uint64_t body_refused_ms;  /* when a body last found no room; 0: since then one gave way to
	                              it */
	struct address *addresses; /* hash; only when limited */
	char *common_headers;      /* on every answer; the Date first */
	int64_t date_s;            /* which second it says */
	size_t common_headers_len;
};

/* Brings the view up to the durable mark: what any worker has acknowledged before this request came
 * is visible to it. An atomic load when there is nothing new. */
void sse_worker_catch_up(struct sse_worker *w);

/* exchange.c: how many bytes of bodies may be in memory, from now on: limits.body_bytes_total, or
 * this worker's part of what the control group allows. */
void bodies_refresh(struct sse_worker *w);

/* listen.c */
int listen_start(struct sse_worker *w);
void listen_drain(struct sse_worker *w);
