/* Inside cluster_*.c. */
#pragma once

#include "worker-sse/views/cluster.h"

struct http_posts;

struct cluster {
	struct sse_worker *worker;
	struct cluster_feed *feeds; /* who follows this node here */
	struct cluster_wait *waits; /* readers ahead of it */
	struct http_posts *posts;   /* NULL: this node follows none */
	struct handed *handed;      /* what is handed on */
	bool copying;               /* a snapshot is made, or on its way */
	bool making;                /* a thread of the pool reads the store for one */
};

void cluster_log_begin(struct request *request);
void cluster_log_turn(struct cluster *cluster);
void cluster_log_drain(struct cluster *cluster);
/* Live answers that came from elsewhere are cut: who reads them resumes. */
void cluster_proxy_drain(struct cluster *cluster);
void cluster_waits_turn(struct cluster *cluster);
/* What a former life of this worker left half made goes. */
void cluster_snapshot_forget(struct cluster *cluster);
void cluster_snapshot_begin(struct request *request);
