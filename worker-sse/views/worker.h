/* One SSE worker: what its views share. */
#pragma once

#include "common/base/wheel.h"
#include "common/store/store.h"
#include "common/worker/slices.h"
#include "common/worker/worker_store.h"
#include "worker-sse/edge/edge.h"
#include "worker-sse/edge/request.h"
#include "worker-sse/live/fanout.h"

struct asks;
struct calls;
struct cluster;
struct connections;
struct conversations;
struct events_reader;
struct hub;
struct kit_session;
struct picture;
struct events_search;

struct sse_worker {
	struct worker *worker;
	const struct settings *settings; /* the newest: a reload puts another here */
	struct counters_slot *counters;
	struct wheel wheel; /* every coarse timer, and the time of this turn */
	struct store *store;
	struct edge edge;
	struct fanout *fanout;
	uv_async_t store_async;         /* the store has something to collect or to follow */
	struct events_reader *events;   /* those with patterns or several streams (events.c) */
	struct events_search *searches; /* who waits for the streams of patterns (events.c) */
	struct slices slices;           /* what takes more than one turn */
	struct asks *asks;              /* what other workers are to answer */
	struct calls *calls;            /* what those of our kind ask us */
	struct picture *pictures;       /* hash (picture.c): what is asked for at the moment */
	struct fanout_observer events_observer;
	uint64_t bet_sync_said_ms; /* when an unreadable message was last in the log; 0: never */
	struct conversations *conversations;
	size_t compressions; /* pages that are being coded (streams_read.c) */
	struct connections *connections;
	struct hub *hub;
	uint64_t stream_sockets_seed;     /* of hashes of what clients choose (stream_socket.c) */
	struct cluster *cluster;          /* who follows this node, and whom it follows */
	struct kit_session *kit_sessions; /* hash (stream_kit.c): who is followed here */
};

/* Whose request it is. */
static inline struct sse_worker *worker_of(const struct request *request)
{
	return request->edge->options.context;
}

/* So many readers more. With none, this worker asks the others not to tell it of every commit: it
 * looks for itself at each request. */
static inline void sse_worker_readers(struct sse_worker *w, int change)
{
	counter_add(w->counters, subscribers, change);
	bool any = counter_get(w->counters, subscribers) != 0;
	worker_follow(w->worker, any);
	if (any && change > 0)
		uv_async_send(&w->store_async);
}

/* Brings the view up to the durable mark: what any worker has acknowledged before this request came
 * is visible to it. An atomic load when there is nothing new. */
static inline void sse_worker_catch_up(struct sse_worker *w)
{
	worker_catch_up(w->store, &w->store_async);
}
