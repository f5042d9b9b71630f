#include "common/base/busy_poll.h"
#include "common/base/clock.h"

#include <sched.h>

/* An idle handle that runs is what makes the loop ask for events without waiting. */
static void on_idle(uv_idle_t *idle)
{
	struct busy_poll *poll = idle->data;
	if (clock_monotonic_ns() >= poll->due_ns)
		uv_idle_stop(idle);
	else
		sched_yield();
}

void busy_poll_init(struct busy_poll *poll, uv_loop_t *loop)
{
	uv_idle_init(loop, &poll->idle);
	uv_unref((uv_handle_t *)&poll->idle);
	poll->idle.data = poll;
	poll->due_ns = 0;
}

void busy_poll_for(struct busy_poll *poll, uint64_t ns)
{
	uint64_t due_ns = clock_monotonic_ns() + ns;
	if (ns == 0 || due_ns <= poll->due_ns)
		return;
	poll->due_ns = due_ns;
	uv_idle_start(&poll->idle, on_idle);
}
