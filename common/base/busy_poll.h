/* Keeps a loop awake for moments in which something is about to come.
 *
 * A CPU that has nothing to do halts, and wakes late: some microseconds on bare metal, tens of them
 * on a virtual machine, where whoever wakes it pays as well. For what comes within the tenth of a
 * millisecond (the end of a commit, the next connection of a burst) that is dearer than going round
 * without waiting. Each round gives the CPU to whoever else has something to do. Linux knows the
 * same for network devices (net.core.busy_poll) and for guests (halt_poll_ns). */
#pragma once

#include <uv.h>

struct busy_poll {
	uv_idle_t idle;
	uint64_t due_ns; /* monotonic */
};

void busy_poll_init(struct busy_poll *poll, uv_loop_t *loop);

/* The loop does not sleep for the next `ns`, or for longer when that was asked before. */
void busy_poll_for(struct busy_poll *poll, uint64_t ns);
