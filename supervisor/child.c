#include "supervisor/child.h"

bool child_failed(const struct child *child)
{
	return child->state == CHILD_FAILED ||
	       (child->state == CHILD_STOPPED && child->restart.failing);
}

bool child_listens(const struct child *child)
{
	return (child->role->traits & ROLE_LISTENS) != 0;
}

const char *child_state_name(const struct child *child)
{
	if (child_failed(child))
		return "failed";
	switch (child->state) {
	case CHILD_ABSENT:
		return "absent";
	case CHILD_STOPPED:
		return "waiting";
	case CHILD_STARTING:
		return "starting";
	case CHILD_READY:
		return "ready";
	case CHILD_DRAINING:
		return "draining";
	case CHILD_FAILED:
		return "failed";
	}
	return "unknown";
}

static enum child_action decide_stopped(const struct child_facts *f, uint64_t now_ms,
                                        uint64_t *due_ms)
{
	/* A socket that leaves with connections in its queue would reset them. */
	bool needed = !f->stopping && (f->wanted || f->queue_waits);
	if (!needed)
		return CHILD_RELEASE;
	if (now_ms >= f->start_due_ms)
		return CHILD_START;
	*due_ms = f->start_due_ms;
	return CHILD_WAIT;
}

static enum child_action decide_ready(const struct child_facts *f, uint64_t now_ms,
                                      uint64_t *due_ms)
{
	if (f->leave || (f->wanted && f->recycle && f->may_recycle))
		return CHILD_DRAIN;
	if (f->wanted)
		return CHILD_WAIT;
	if (now_ms >= f->settle_due_ms)
		return CHILD_DRAIN;
	*due_ms = f->settle_due_ms;
	return CHILD_WAIT;
}

static enum child_action kill_when_due(const struct child_facts *f, uint64_t now_ms,
                                       uint64_t *due_ms)
{
	if (now_ms >= f->kill_due_ms)
		return CHILD_KILL;
	*due_ms = f->kill_due_ms;
	return CHILD_WAIT;
}

enum child_action child_decide(const struct child_facts *f, uint64_t now_ms, uint64_t *due_ms)
{
	*due_ms = UINT64_MAX;
	switch (f->state) {
	case CHILD_ABSENT:
		return f->wanted && !f->stopping ? CHILD_START : CHILD_WAIT;
	case CHILD_STOPPED:
		return decide_stopped(f, now_ms, due_ms);
	case CHILD_STARTING:
		return f->leave ? CHILD_DRAIN : kill_when_due(f, now_ms, due_ms);
	case CHILD_READY:
		return decide_ready(f, now_ms, due_ms);
	case CHILD_DRAINING:
		return kill_when_due(f, now_ms, due_ms);
	case CHILD_FAILED:
		if (!f->wanted || f->stopping)
			return CHILD_RELEASE;
		return f->recycle ? CHILD_START : CHILD_WAIT;
	}
	return CHILD_WAIT;
}

static double rate(uint64_t *last, uint64_t now, uint64_t elapsed_ms)
{
	uint64_t grown = now > *last ? now - *last : 0;
	*last = now;
	return elapsed_ms != 0 ? (double)grown * 1000 / (double)elapsed_ms : 0;
}

void child_rates_update(struct child *child, uint64_t now_ms)
{
	struct child_rates *r = &child->rates;
	const struct counters_slot *c = child->counters;
	uint64_t elapsed_ms = r->at_ms != 0 ? now_ms - r->at_ms : 0;
	r->connections_s = rate(&r->connections, counter_get(c, connections_total), elapsed_ms);
	r->requests_s = rate(&r->requests, counter_get(c, requests_total), elapsed_ms);
	r->appends_s = rate(&r->appends, counter_get(c, appends_total), elapsed_ms);
	r->deliveries_s = rate(&r->deliveries, counter_get(c, deliveries_total), elapsed_ms);
	r->at_ms = now_ms;
}
