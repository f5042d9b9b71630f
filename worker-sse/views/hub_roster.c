/* Who is there, as this worker knows it: what the rows say, read anew where they have changed, and
 * the texts that dashboards get, made once for all who come. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker-sse/views/cluster.h"
#include "worker-sse/views/hub_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { SWEEP_MS_MAX = 5000, SWEEP_MS_MIN = 100 };

/* ---- whose socket is still there ---- */

uint64_t hub_process_ms(const struct hub *hub)
{
	return counter_get(hub->worker->worker->mine, started_ms);
}

bool hub_alive(const struct hub *hub, uint32_t slot, uint64_t process_ms)
{
	const struct role *role = role_of(ROLE_SSE);
	const struct worker *worker = hub->worker->worker;
	if (slot >= role->slots)
		return false;
	const struct counters_slot *s = &worker->counters->slots[role->first + slot];
	uint32_t state = counter_get(s, state);
	return counter_get(s, started_ms) == process_ms &&
	       (slot == worker->slot || state == WORKER_READY || state == WORKER_DRAINING ||
	        state == WORKER_STARTING);
}

/* ---- entries ---- */

static struct span id_of(const struct hub_entry *e)
{
	return span_of(e->id, e->id_len);
}

struct hub_entry *hub_entry_find(struct hub *hub, struct span id)
{
	struct hub_entry *e;
	HASH_FIND(hh, hub->entries, id.at, id.len, e);
	return e;
}

struct hub_entry *hub_entry_of(struct hub *hub, struct span id)
{
	struct hub_entry *e = hub_entry_find(hub, id);
	if (e != NULL)
		return e;
	e = xcalloc(1, sizeof *e + id.len + 1);
	memcpy(e->id, id.at, id.len);
	e->id_len = (uint32_t)id.len;
	HASH_ADD_KEYPTR(hh, hub->entries, e->id, e->id_len, e);
	return e;
}

void hub_entry_let_go(struct hub *hub, struct hub_entry *e)
{
	if (e->there || e->evicted || e->dirty || e->conn != NULL || e->proxies > 0)
		return;
	HASH_DEL(hub->entries, e);
	free(e->node);
	free(e);
}

static void put_node(struct hub *hub, struct hub_entry *e, const struct agent *agent)
{
	json_t *node = agent_node(agent);
	free(e->node);
	e->node = json_dumps(node, JSON_COMPACT);
	check(e->node != NULL);
	e->node_len = strlen(e->node);
	json_decref(node);
	if (e->there)
		hub_blocks_touch(hub, e);
}

/* What the row says now. */
static void read_entry(struct hub *hub, struct hub_entry *e)
{
	char key[AGENT_KEY_ROOM];
	struct agent *agent = xcalloc(1, sizeof *agent);
	struct span value;
	struct state *view = store_view(hub->worker->store);
	bool present = state_kv_get(view, agent_key(id_of(e), key), &value);
	bool unknown = !present && view->unreadable;
	if (present && agent_read(agent, value) != ROW_PRESENT) {
		row_alert(hub->worker->counters, key);
		unknown = true;
	}
	if (!unknown) {
		bool there = present && !agent->evicted;
		if (there && !e->there)
			hub_blocks_insert(hub, e);
		if (!there && e->there)
			hub_blocks_take_out(hub, e);
		e->there = there;
		e->evicted = present && agent->evicted;
		e->generation = agent->generation;
		e->status = agent->status;
		e->offline_since_s = agent->offline_since_s;
		e->slot = agent->slot;
		e->process_ms = agent->process_ms;
		if (there)
			put_node(hub, e, agent);
		if (there && e->status == AGENT_ACTIVE && !hub_alive(hub, e->slot, e->process_ms))
			hub->alive = 0;
		if (e->conn != NULL && !hub_conn_judge(e->conn, e))
			e->conn = NULL;
		hub_entry_let_go(hub, e);
	}
	free(agent);
}

/* ---- keeping up ---- */

static bool note_one(void *arg, struct span key, struct span value)
{
	struct hub *hub = arg;
	struct span id;
	(void)value;
	if (!agent_key_id(key, &id))
		return true;
	struct hub_entry *e = hub_entry_of(hub, id);
	if (!e->dirty) {
		e->dirty = true;
		e->dirty_next = hub->dirty;
		hub->dirty = e;
	}
	return true;
}

/* Within a change of the view: nothing is read. */
static void on_row(void *context, struct span key, bool there)
{
	struct hub *hub = ((struct sse_worker *)context)->hub;
	struct span id;
	(void)there;
	hub_sessions_row(hub, key);
	if (key.at == NULL)
		hub->all_dirty = true;
	else if (agent_key_id(key, &id))
		note_one(hub, key, (struct span){0});
	else
		return;
	wheel_set(&hub->worker->wheel, &hub->refresh, hub->worker->wheel.now_ms);
}

static void note_all(struct hub *hub)
{
	struct hub_entry *e, *next;
	HASH_ITER (hh, hub->entries, e, next)
		if (!e->dirty) {
			e->dirty = true;
			e->dirty_next = hub->dirty;
			hub->dirty = e;
		}
	state_kv_each(store_view(hub->worker->store), SPAN(AGENT_KEY), note_one, hub);
	hub->all_dirty = false;
}

void hub_roster_refresh(struct hub *hub)
{
	if (hub->all_dirty)
		note_all(hub);
	while (hub->dirty != NULL) {
		struct hub_entry *e = hub->dirty;
		hub->dirty = e->dirty_next;
		e->dirty = false;
		read_entry(hub, e);
	}
	counter_set(hub->worker->counters, hub_agents, hub->count);
}

static void on_refresh(struct wheel_node *node)
{
	hub_roster_refresh((struct hub *)((char *)node - offsetof(struct hub, refresh)));
}

enum row_found hub_agent_load(struct hub *hub, struct span id, struct agent *agent)
{
	char key[AGENT_KEY_ROOM];
	struct span value;
	struct state *view = store_view(hub->worker->store);
	if (!agent_id_good(id))
		return ROW_ABSENT;
	if (!state_kv_get(view, agent_key(id, key), &value))
		return view->unreadable ? ROW_UNREADABLE : ROW_ABSENT;
	enum row_found found = agent_read(agent, value);
	if (found == ROW_UNREADABLE)
		row_alert(hub->worker->counters, key);
	else if (agent->evicted)
		found = ROW_ABSENT;
	else if (agent->status == AGENT_ACTIVE && !hub_alive(hub, agent->slot, agent->process_ms))
		agent_end(agent, clock_wall_ms());
	return found;
}

/* ---- what dashboards get ---- */

/* Which processes are there: as long as it is the same, nobody has lost his. */
static uint64_t digest_alive(const struct hub *hub)
{
	const struct role *role = role_of(ROLE_SSE);
	uint64_t digest = 1;
	for (uint32_t slot = 0; slot < role->slots; slot++) {
		uint64_t began = counter_get(
		        &hub->worker->worker->counters->slots[role->first + slot], started_ms);
		if (began != 0 && hub_alive(hub, slot, began))
			digest = (digest ^ began ^ (uint64_t)slot << 48) * 0x100000001b3u;
	}
	return digest != 0 ? digest : 1;
}

static void judge_one(struct hub *hub, struct hub_entry *e)
{
	if (e->status != AGENT_ACTIVE || hub_alive(hub, e->slot, e->process_ms))
		return;
	struct agent *agent = xcalloc(1, sizeof *agent);
	if (hub_agent_load(hub, id_of(e), agent) == ROW_PRESENT)
		put_node(hub, e, agent);
	e->status = AGENT_OFFLINE;
	e->offline_since_s = agent->offline_since_s;
	free(agent);
	/* Its row follows at the next sweep. */
}

/* Those whose worker is gone are offline, whatever their rows still say. */
static void judge_dead(struct hub *hub)
{
	uint64_t alive = digest_alive(hub);
	if (alive == hub->alive)
		return;
	hub->alive = alive;
	for (size_t b = 0; b < hub->blocks_count; b++)
		for (size_t i = 0; i < hub->blocks[b]->count; i++)
			judge_one(hub, hub->blocks[b]->entries[i]);
}

struct hub_list *hub_roster_list(struct hub *hub)
{
	hub_roster_refresh(hub);
	judge_dead(hub);
	return hub_list_create(hub);
}

/* ---- time ---- */

static bool is_due(const struct hub *hub, const struct hub_entry *e, uint64_t now_ms)
{
	const struct agent agent = {
	        .status = e->status, .offline_since_s = e->offline_since_s, .evicted = e->evicted};
	bool lost = e->process_ms != 0 && !hub_alive(hub, e->slot, e->process_ms);
	return (e->there || e->evicted) &&
	       (lost || agent_is_ahead(&agent, now_ms) ||
	        agent_is_due(&agent, now_ms, hub->worker->settings->hub_node_ttl_ms));
}

static void set_sweep(struct hub *hub, uint64_t ms)
{
	struct wheel *wheel = &hub->worker->wheel;
	wheel_set(wheel, &hub->sweep, wheel->now_ms + ms);
}

static uint64_t sweep_ms(const struct hub *hub)
{
	uint64_t half = hub->worker->settings->hub_node_ttl_ms / 2;
	return half > SWEEP_MS_MAX ? SWEEP_MS_MAX : half < SWEEP_MS_MIN ? SWEEP_MS_MIN : half;
}

static void on_swept(struct hub_change *change, enum actor_end end)
{
	struct hub *hub = change->hub;
	bool more = change->ids_count == AGENT_SWEEP_MAX && end == ACTOR_DURABLE;
	hub->sweeping = false;
	hub_change_free(change);
	set_sweep(hub, more ? 0 : sweep_ms(hub));
}

static void on_sweep(struct wheel_node *node)
{
	struct hub *hub = (struct hub *)((char *)node - offsetof(struct hub, sweep));
	struct hub_change *change = NULL;
	struct hub_entry *e, *next;
	uint64_t now_ms = clock_wall_ms();
	size_t len = 0;
	set_sweep(hub, sweep_ms(hub));
	if (hub->sweeping || hub->worker->edge.draining || cluster_follows(hub->worker))
		return;
	sse_worker_catch_up(hub->worker);
	hub_roster_refresh(hub);
	HASH_ITER (hh, hub->entries, e, next) {
		if (!is_due(hub, e, now_ms))
			continue;
		if (change == NULL)
			change = hub_change_create(hub, HUB_SWEEP);
		if (change->ids_count == AGENT_SWEEP_MAX)
			break;
		change->ids = xrealloc(change->ids, len + e->id_len + 1);
		memcpy(change->ids + len, e->id, e->id_len + 1);
		len += e->id_len + 1;
		change->ids_count++;
	}
	if (change == NULL)
		return;
	hub->sweeping = true;
	change->done = on_swept;
	hub_change_run(change);
}

void hub_roster_start(struct hub *hub)
{
	hub->refresh.due = on_refresh;
	hub->sweep.due = on_sweep;
	hub->observer.row = on_row;
	hub->all_dirty = true;
	hub_sessions_start(hub);
	hub_roster_refresh(hub);
	fanout_observe(hub->worker->fanout, &hub->observer);
	set_sweep(hub, 0);
}
