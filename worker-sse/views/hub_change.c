/* What becomes of agents' rows: one transaction for each change, with what dashboards hear. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/hub_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRIES_MAX = 64 };

static struct hub_change *change_of(struct actor *actor)
{
	return (struct hub_change *)((char *)actor - offsetof(struct hub_change, actor));
}

/* ---- rows ---- */

/* Into `agent`; ROW_UNREADABLE has been marked. */
static enum row_found load(struct rows *rows, const char *id, struct agent *agent)
{
	char key[AGENT_KEY_ROOM];
	struct span value;
	agent_key(span_str(id), key);
	enum row_found found = rows_find(rows, key, &value);
	if (found != ROW_PRESENT)
		return found;
	if (agent_read(agent, value) == ROW_PRESENT)
		return ROW_PRESENT;
	rows_mark(rows, key);
	return ROW_UNREADABLE;
}

static void put(struct rows *rows, const struct agent *agent)
{
	char key[AGENT_KEY_ROOM];
	char *text = agent_text(agent);
	agent_key(span_str(agent->id), key);
	rows_put(rows, key, span_str(text));
	free(text);
}

/* Machine and port are nobody's, if they were its. */
static void give_up_place(struct rows *rows, const struct agent *agent)
{
	char key[AGENT_KEY_ROOM];
	agent_place_key(agent, key);
	if (span_equal(rows_get(rows, key), span_str(agent->id)))
		rows_put(rows, key, (struct span){0});
}

static void forget(struct rows *rows, const struct agent *agent)
{
	char key[AGENT_KEY_ROOM];
	give_up_place(rows, agent);
	agent_key(span_str(agent->id), key);
	rows_put(rows, key, (struct span){0});
}

static void tell(struct actor_change *to, json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	check(text != NULL);
	txn_publish(to->txn, AGENT_ROSTER, span_str(text));
	free(text);
	json_decref(event);
}

static void tell_of(struct actor_change *to, const char *event, const char *id)
{
	tell(to, agent_event(event, id));
}

/* ---- registering ---- */

/* Who has its machine and port, but itself. ROW_ABSENT: nobody. */
static enum row_found load_place(struct rows *rows, const struct agent *wanted, struct agent *other)
{
	char key[AGENT_KEY_ROOM], id[AGENT_ID_ROOM];
	agent_place_key(wanted, key);
	struct span value = rows_get(rows, key);
	if (value.at == NULL || !agent_id_good(value) || span_equal(value, span_str(wanted->id)))
		return ROW_ABSENT;
	memcpy(id, value.at, value.len);
	id[value.len] = '\0';
	return load(rows, id, other);
}

/* What the same socket was before is gone with this. */
static void end_former(struct hub_change *c, struct actor_change *to)
{
	struct agent *former = xcalloc(1, sizeof *former);
	if (*c->former != '\0' && strcmp(c->former, c->agent.id) != 0 &&
	    load(to->rows, c->former, former) == ROW_PRESENT &&
	    former->generation == c->former_generation && former->status == AGENT_ACTIVE) {
		agent_end(former, clock_wall_ms());
		put(to->rows, former);
		tell_of(to, "node_offline", former->id);
	}
	free(former);
}

static const char *refusal_of(enum agent_verdict verdict)
{
	switch (verdict) {
	case AGENT_TAKEN:
		break;
	case AGENT_OTHERS_ID:
		return "Unauthorized: this node belongs to somebody else";
	case AGENT_OTHERS_PLACE:
		return "Unauthorized: this machine and port are somebody else's node";
	}
	return NULL;
}

static bool is_room(const struct hub_change *c)
{
	return c->hub->count < c->hub->worker->settings->hub_agents_max;
}

static enum actor_decision enrol(struct hub_change *c, struct actor_change *to,
                                 const struct agent *there, const struct agent *other)
{
	char key[AGENT_KEY_ROOM];
	c->fault = refusal_of(agent_judge(there, other, span_str(c->owner), span_str(c->formers)));
	if (c->fault == NULL && there == NULL && !is_room(c))
		c->fault = "too many nodes (hub.agents_max)";
	if (c->fault != NULL)
		return ACTOR_REST;
	if (other != NULL) {
		forget(to->rows, other);
		if (!other->evicted)
			tell_of(to, "node_removed", other->id);
	}
	if (other == NULL || strcmp(other->id, c->former) != 0)
		end_former(c, to);
	if (there != NULL)
		give_up_place(to->rows, there);
	agent_begin(&c->agent, there, clock_wall_ms());
	agent_place_key(&c->agent, key);
	rows_get(to->rows, key);
	rows_put(to->rows, key, span_str(c->agent.id));
	put(to->rows, &c->agent);
	tell(to, agent_joined(&c->agent));
	return ACTOR_WRITE;
}

static enum actor_decision decide_register(struct hub_change *c, struct actor_change *to)
{
	struct agent *both = xcalloc(2, sizeof *both);
	enum row_found there = load(to->rows, c->agent.id, &both[0]),
	               other = load_place(to->rows, &c->agent, &both[1]);
	enum actor_decision decision = ACTOR_STOP;
	if (there != ROW_UNREADABLE && other != ROW_UNREADABLE)
		decision = enrol(c, to, there == ROW_PRESENT ? &both[0] : NULL,
		                 other == ROW_PRESENT ? &both[1] : NULL);
	free(both);
	return decision;
}

/* ---- leaving ---- */

static enum actor_decision decide_deregister(struct hub_change *c, struct actor_change *to)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	enum row_found found = load(to->rows, c->id, agent);
	enum actor_decision decision = found == ROW_UNREADABLE ? ACTOR_STOP : ACTOR_REST;
	c->found = found == ROW_PRESENT && !agent->evicted;
	if (c->found && !c->any && !agent_owned(agent, span_str(c->owner), span_str(c->formers))) {
		c->fault = "Unauthorized: cannot deregister another node";
	} else if (c->found) {
		forget(to->rows, agent);
		tell_of(to, "node_removed", agent->id);
		decision = ACTOR_WRITE;
	}
	free(agent);
	return decision;
}

static enum actor_decision decide_offline(struct hub_change *c, struct actor_change *to)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	enum row_found found = load(to->rows, c->id, agent);
	enum actor_decision decision = found == ROW_UNREADABLE ? ACTOR_STOP : ACTOR_REST;
	/* Only of this life of it: who comes late changes nothing. */
	if (found == ROW_PRESENT && agent->generation == c->generation &&
	    agent->status == AGENT_ACTIVE) {
		agent_end(agent, clock_wall_ms());
		agent->last_seen_s = c->agent.last_seen_s;
		put(to->rows, agent);
		if (!agent->evicted)
			tell_of(to, "node_offline", agent->id);
		decision = ACTOR_WRITE;
	}
	free(agent);
	return decision;
}

static bool sweep_one(struct hub_change *c, struct actor_change *to, struct agent *agent)
{
	uint64_t now_ms = clock_wall_ms();
	if (agent_is_due(agent, now_ms, c->hub->worker->settings->hub_node_ttl_ms)) {
		forget(to->rows, agent);
		if (!agent->evicted)
			tell_of(to, "node_removed", agent->id);
		return true;
	}
	if (agent_is_ahead(agent, now_ms)) {
		agent_end(agent, now_ms);
		put(to->rows, agent);
		return true;
	}
	if (agent->process_ms == 0 || hub_alive(c->hub, agent->slot, agent->process_ms))
		return false;
	agent_end(agent, now_ms);
	put(to->rows, agent);
	tell_of(to, "node_offline", agent->id);
	return true;
}

static enum actor_decision decide_sweep(struct hub_change *c, struct actor_change *to)
{
	struct agent *agent = xcalloc(1, sizeof *agent);
	const char *id = c->ids;
	bool any = false;
	for (size_t i = 0; i < c->ids_count; i++, id += strlen(id) + 1)
		any |= load(to->rows, id, agent) == ROW_PRESENT && sweep_one(c, to, agent);
	free(agent);
	return any ? ACTOR_WRITE : ACTOR_REST;
}

/* ---- life ---- */

static enum actor_decision decide(struct actor *actor, struct actor_change *to)
{
	struct hub_change *c = change_of(actor);
	c->fault = NULL;
	switch (c->kind) {
	case HUB_REGISTER:
		return decide_register(c, to);
	case HUB_DEREGISTER:
		return decide_deregister(c, to);
	case HUB_OFFLINE:
		return decide_offline(c, to);
	case HUB_SWEEP:
		return decide_sweep(c, to);
	}
	return ACTOR_REST;
}

static void end(struct actor *actor, enum actor_end end)
{
	struct hub_change *c = change_of(actor);
	c->done(c, end);
}

struct hub_change *hub_change_create(struct hub *hub, enum hub_change_kind kind)
{
	static const struct actor_type type = {
	        .decide = decide, .end = end, .tries_max = TRIES_MAX};
	struct hub_change *c = xcalloc(1, sizeof *c);
	c->hub = hub;
	c->kind = kind;
	c->formers = xmemdup_text("", 0);
	actor_init(&c->actor, &type, hub->worker->store, hub->worker->counters);
	return c;
}

void hub_change_run(struct hub_change *c)
{
	sse_worker_catch_up(c->hub->worker);
	check(actor_turn(&c->actor));
}

void hub_change_free(struct hub_change *c)
{
	json_decref(c->reply_id);
	free(c->formers);
	free(c->ids);
	free(c);
}
