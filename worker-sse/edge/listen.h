/* Accepting: from the sockets that the supervisor owns, within limits. */
#pragma once

#include "worker-sse/edge/edge.h"

/* 0, or an exit code after logging why. */
int listen_start(struct edge *edge);
/* Serves what the kernel has accepted already, and closes the sockets. */
void listen_drain(struct edge *edge);
