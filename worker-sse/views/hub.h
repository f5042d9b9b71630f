/* The agent hub: programs register themselves at /ws and are seen there by dashboards; /ws/agent/ID
 * leads a dashboard to one of them. docs/hub.md has the wire, common/domain/agent.h the rules.
 *
 * Rows and the stream hub/roster are all there is: any worker serves any dashboard. What belongs to
 * a live socket is its worker's, which the agent's row names. */
#pragma once

#include "worker-sse/edge/request.h"

struct proto_spawned;
struct sse_worker;

/* Before anything is served. */
void hub_start(struct sse_worker *w);
/* Another worker has gone, and with it the sockets that it held. */
void hub_peer_gone(struct sse_worker *w, const struct party *gone);

/* What became of a program that was to be started. */
void hub_spawned(struct sse_worker *w, const struct proto_spawned *m);

/* GET /ws */
void hub_roster_handle(struct request *request);
/* GET /ws/agent/ID */
void hub_agent_handle(struct request *request);
