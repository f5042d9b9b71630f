/* /v1/cluster/...: what other nodes ask of this one, and what this one hands on to the node that it
 * follows (cluster.follow). Who asks shows cluster.secret as a Bearer, and may read everything. */
#pragma once

#include "worker-sse/views/worker.h"

struct cluster;

void cluster_start(struct sse_worker *w);

/* Of the route: log, snapshot, status. */
void cluster_handle(struct request *request);

/* The durable mark may have moved: the records go to whoever follows. Cheap when nobody does. */
void cluster_turn(struct sse_worker *w);
/* Does a thread of the pool read the store? Then it cannot be closed. */
bool cluster_reads_store(const struct sse_worker *w);
/* Ends their streams, and live ones that came from elsewhere; they come back elsewhere. */
void cluster_drain(struct sse_worker *w);

/* Does this node follow another? */
bool cluster_follows(const struct sse_worker *w);
/* The link of this node: what it shows. NULL: there is none. */
const struct counters_slot *cluster_link(const struct sse_worker *w);

/* Answers by what the node that is followed says, or by 307 (cluster.writes). Takes the request
 * over. */
void cluster_hand_on(struct request *request);

/* A reader is ahead of what is here. On a node that follows another the request is taken over:
 * `again` is called when more has come, and asks this again where that is not enough; after a
 * second it is handed on. False: this node follows none (or it is a message of a WebSocket), and
 * there is nothing to wait for. */
bool cluster_ahead(struct request *request, void (*again)(struct request *request));
