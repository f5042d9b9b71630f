#include "supervisor/fleet.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum {
	LOOK_MS = 500,   /* time is looked at no seldomer */
	PAUSE_MS = 1500, /* so late is worth a line */
	RATES_MS = 2000,
	CUT_GRACE_MS = 1000, /* from a drain's deadline, which the worker knows, to SIGKILL */
};

static_assert((int)FLEET_CHILDREN_MAX <= (int)COUNTERS_SLOTS, "a counters slot per worker");
static_assert((int)PLAN_LISTENING_MAX < (int)LISTENER_SLOTS_MAX, "a socket per slot that listens");

/* ---- what becomes of one ---- */

static bool replacing_goes_on(const struct fleet *fleet)
{
	bool any = fleet->replacing != NULL;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		any = any || fleet->children[i].recycle;
	return any;
}

/* A restart one by one stops where it fails: the others keep what they have, and serve. */
static void halt_replacing(struct fleet *fleet)
{
	bool more = false;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		more = more || fleet->children[i].recycle;
		fleet->children[i].recycle = false;
	}
	fleet->replacing = NULL;
	fleet->halted = true;
	if (more)
		events_emit(fleet->life.events, LOG_LEVEL_ERROR, "restart-halted", NULL);
}

/* That is the end of all of it, but in a restart one by one the others have started before, with
 * what they still have. */
static void take_refusal(struct fleet *fleet, struct child *child)
{
	if (replacing_goes_on(fleet)) {
		life_emit(child, LOG_LEVEL_ERROR, "worker-failed",
		          json_pack("{s:s}", "why", child->refusal));
		halt_replacing(fleet);
	} else if (fleet->refused == NULL) {
		fleet->refused = child;
	}
}

static void on_news(void *arg, struct child *child, enum life_news news)
{
	struct fleet *fleet = arg;
	switch (news) {
	case LIFE_KNOWN:
		links_introduce(fleet->links, child);
		break;
	case LIFE_READY:
		if (fleet->replacing == child)
			fleet->replacing = NULL;
		fleet_step(fleet);
		break;
	case LIFE_ENDED:
		links_forget(fleet->links, child);
		break;
	case LIFE_FAILING:
		if (replacing_goes_on(fleet))
			halt_replacing(fleet);
		break;
	case LIFE_REFUSED:
		take_refusal(fleet, child);
		break;
	}
}

void fleet_link_state(struct fleet *fleet, const struct child *child,
                      const struct proto_link_state *report)
{
	if (links_report(fleet->links, child, report))
		fleet_step(fleet);
}

void fleet_joined(struct fleet *fleet, bool joined)
{
	fleet->joined = joined;
	fleet_step(fleet);
}

/* ---- beginning ---- */

static void init_child(struct fleet *fleet, const struct role *role, unsigned slot)
{
	struct child *child = &fleet->children[role->first + slot];
	child->life = &fleet->life;
	child->role = role;
	child->slot = slot;
	child->kill_due_ms = UINT64_MAX;
	snprintf(child->name, sizeof child->name, "%s-%u", role->name, slot);
	child->counters = &fleet->counters->slots[child - fleet->children];
	child->counters->role = role->bit;
	child->counters->slot = slot;
}

static void on_timer(uv_timer_t *timer)
{
	fleet_step(timer->data);
}

struct ceilings fleet_ceilings(const struct fleet *fleet)
{
	struct ceilings ceilings;
	const struct ceilings_among among = {
	        .memory_bytes = fleet->memory_bytes,
	        .listeners = counters_workers(fleet->counters, ROLE_LISTENERS),
	        .others = counters_workers(fleet->counters, ROLE_WORKERS & ~ROLE_LISTENERS)};
	ceilings_find(&ceilings, fleet->life.settings->newest, &among);
	return ceilings;
}

/* listen and hub.listen as one list. */
static void print_listen(const struct settings *s, char *out, size_t room)
{
	bool more = *s->hub_listen != '\0';
	int len = snprintf(out, room, "%s%s%s", s->listen, more ? "," : "", s->hub_listen);
	check(len > 0 && (size_t)len < room);
}

static void take_sockets(struct fleet *fleet)
{
	for (unsigned i = 0; i < fleet->sockets_count; i++) {
		struct fleet_socket *socket = &fleet->sockets[i];
		socket->taken = listeners_adopt(&fleet->life.listeners, socket->fd, socket->slot);
		if (!socket->taken)
			log_warn("socket that was handed over is at no address of listen",
			         "fd=%d slot=%u", socket->fd, socket->slot);
	}
}

/* Whoever waits there may try elsewhere. */
void fleet_drop_sockets(struct fleet *fleet)
{
	for (unsigned i = 0; i < fleet->sockets_count; i++)
		if (!fleet->sockets[i].taken)
			close(fleet->sockets[i].fd);
	fleet->sockets = NULL;
	fleet->sockets_count = 0;
}

bool fleet_adopt(struct fleet *fleet, const char *role, unsigned slot, pid_t pid,
                 uint64_t generation, int bus_fd, bool confined, bool serves)
{
	size_t i = 0;
	while (i < ROLE_COUNT && strcmp(roles[i].name, role) != 0)
		i++;
	if (i == ROLE_COUNT || slot >= roles[i].slots)
		return false;
	struct child *child = &fleet->children[roles[i].first + slot];
	life_adopt(child, pid, generation, bus_fd, confined);
	/* Whoever served has what is to be served. */
	fleet->joined = fleet->joined || child_listens(child);
	if (!serves) {
		uint64_t due_ms =
		        clock_monotonic_ms() + fleet->life.settings->newest->worker_drain_ms;
		life_drain(child, due_ms, due_ms + CUT_GRACE_MS);
	}
	return true;
}

bool fleet_holds(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].held != NULL)
			return true;
	return false;
}

bool fleet_init(struct fleet *fleet, char *reason, size_t room)
{
	enum { LISTEN_ROOM = 2048 };
	const struct settings *settings = fleet->life.settings->newest;
	char listen[LISTEN_ROOM];
	const char *why;
	unsigned left_out;
	print_listen(settings, listen, sizeof listen);
	if (!listeners_init(&fleet->life.listeners, listen, settings->dev, &why)) {
		snprintf(reason, room, "listen: %s: %s", listen, why);
		errno = EADDRNOTAVAIL; /* a name that nobody knows yet */
		return false;
	}
	take_sockets(fleet);
	int error = listeners_await(&fleet->life.listeners, listen, settings->listen_wait_ms,
	                            &left_out);
	if (error != 0) {
		snprintf(reason, room, "cannot listen on %s: %s (set --listen)", listen,
		         strerror(error));
		errno = error;
		return false;
	}
	if (left_out > 0)
		log_warn("listen has addresses that this machine has not", "listen=%s left_out=%u",
		         listen, left_out);
	fleet->life.counters_fd = counters_create();
	if (fleet->life.counters_fd < 0) {
		snprintf(reason, room, "no memory for counters: %s", strerror(errno));
		return false;
	}
	fleet->counters = counters_map(fleet->life.counters_fd);
	fleet->links = links_create(fleet->children, fleet->counters, fleet->life.events);
	fleet->life.on_news = on_news;
	fleet->life.news_arg = fleet;
	atomic_store(&fleet->counters->started_ms, clock_wall_ms());
	for (size_t i = 0; i < ROLE_COUNT; i++)
		for (unsigned slot = 0; slot < roles[i].slots; slot++)
			init_child(fleet, &roles[i], slot);
	fleet->look_ms = clock_monotonic_ms();
	uv_timer_init(fleet->life.loop, &fleet->timer);
	fleet->timer.data = fleet;
	return true;
}

bool fleet_owns(const struct fleet *fleet, pid_t pid)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].pid == pid)
			return true;
	return false;
}

static struct child *child_by_pid(struct fleet *fleet, pid_t pid)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (pid > 0 && fleet->children[i].pid == pid)
			return &fleet->children[i];
	return NULL;
}

bool fleet_exited(struct fleet *fleet, pid_t pid, int status)
{
	struct child *child = child_by_pid(fleet, pid);
	if (child == NULL)
		return false;
	if (child->state == CHILD_STARTING)
		fleet->start_failed = child;
	life_exited(child, status);
	return true;
}

/* ---- watching ---- */

/* Returns when to look again. */
static uint64_t watch_child(struct child *child, uint64_t now_ms)
{
	const struct settings *s = child->life->settings->newest;
	if ((child->state != CHILD_STARTING && child->state != CHILD_READY) || child->held != NULL)
		return UINT64_MAX;
	const struct watch_limits limits = {
	        .hang_ms = child->state == CHILD_READY ? s->worker_hang_ms : s->worker_start_ms,
	        .grace_ms = s->worker_abort_grace_ms};
	enum watch_verdict verdict = watch_step(&child->watch, &limits, now_ms);
	child->late = verdict != WATCH_FINE && child->state == CHILD_READY;
	switch (verdict) {
	case WATCH_FINE:
	case WATCH_LATE:
	case WATCH_DYING:
		break;
	case WATCH_ABORT:
		child->hung = true;
		life_emit(child, LOG_LEVEL_ERROR, "worker-hung",
		          json_pack("{s:I}", "silent_ms",
		                    (json_int_t)(now_ms - child->watch.heard_ms)));
		life_abort(child);
		break;
	case WATCH_KILL:
		life_emit(child, LOG_LEVEL_ERROR, "worker-killed", NULL);
		life_signal(child, SIGKILL);
		break;
	}
	return watch_due(&child->watch, &limits, now_ms);
}

/* When we ourselves did not run (a debugger, a stopped virtual machine, a machine with too much to
 * do), no silence counts that is longer than what we meant to sleep: what was said meanwhile waits
 * to be read. */
static void forgive_own_pause(struct fleet *fleet, uint64_t now_ms)
{
	uint64_t late_ms = now_ms > fleet->look_ms ? now_ms - fleet->look_ms : 0;
	if (late_ms == 0)
		return;
	if (late_ms >= PAUSE_MS)
		log_warn("the supervisor was paused", "for_ms=%llu", (unsigned long long)late_ms);
	outage_forgive(&fleet->outage, late_ms);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		watch_forgive(&fleet->children[i].watch, late_ms);
}

/* ---- the step ---- */

static void apply_plan(struct fleet *fleet, uint64_t now_ms)
{
	bool replacing = fleet->replacing != NULL && child_listens(fleet->replacing);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		replacing = replacing ||
		            (child_listens(child) && child->recycle && !child_failed(child));
	}
	struct plan plan =
	        plan_make(fleet->life.settings->newest, fleet->cpus, replacing, fleet->joined);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		bool wanted = child->slot < plan.counts[child->role - roles];
		if (child->wanted && !wanted)
			child->settle_due_ms =
			        now_ms + (child_listens(child) ? LISTENER_SETTLE_MS : 0);
		child->wanted = wanted;
		child->recycle = child->recycle && wanted;
	}
}

/* Tells the kernel who gets new connections: those that serve; else those that soon will. */
static void steer(struct fleet *fleet)
{
	bool serving[LISTENER_SLOTS_MAX] = {false}, coming[LISTENER_SLOTS_MAX] = {false};
	bool any = false;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		if (!child_listens(child))
			continue;
		serving[child->slot] = child->wanted && child->state == CHILD_READY && !child->late;
		coming[child->slot] = child->wanted && !child_failed(child);
		any = any || serving[child->slot];
	}
	int error = listeners_steer(&fleet->life.listeners, any ? serving : coming);
	if (error != 0)
		log_warn("connections cannot be steered",
		         "error=\"%s\" consequence=\"scaling down may reset connections\"",
		         strerror(error));
}

static bool others_serve(const struct fleet *fleet, const struct child *child)
{
	bool hope = false;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *other = &fleet->children[i];
		if (other == child || !other->wanted || !child_listens(other))
			continue;
		if (other->state == CHILD_READY && !other->late)
			return true;
		hope = hope || !child_failed(other);
	}
	return !hope; /* with nobody to wait for, the socket's queue bridges the gap */
}

static bool listening_left(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (child_listens(&fleet->children[i]) && fleet->children[i].pid != 0)
			return true;
	return false;
}

static struct child_facts facts_of(const struct fleet *fleet, const struct child *child)
{
	bool listens = child_listens(child);
	bool turn = fleet->replacing == NULL || fleet->replacing == child;
	return (struct child_facts){
	        .state = child->state,
	        .wanted = child->wanted,
	        .recycle = child->recycle,
	        .may_recycle = child->recycle && turn && (!listens || others_serve(fleet, child)),
	        .queue_waits = listens && child->state == CHILD_STOPPED && !child->wanted &&
	                       listeners_queue_waits(&fleet->life.listeners, child->slot),
	        .stopping = fleet->stopping,
	        .leave = fleet->stopping && (listens || !listening_left(fleet)),
	        .start_due_ms = child->start_due_ms,
	        .settle_due_ms = child->settle_due_ms,
	        .kill_due_ms = child->kill_due_ms};
}

static bool others_run(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (!child_listens(&fleet->children[i]) && fleet->children[i].pid != 0)
			return true;
	return false;
}

static void drain(struct fleet *fleet, struct child *child, uint64_t now_ms)
{
	uint64_t due_ms = now_ms + fleet->life.settings->newest->worker_drain_ms;
	if (fleet->stopping) {
		due_ms = fleet->stop_due_ms;
		/* The others come after those that listen and need some of the time. */
		if (child_listens(child) && due_ms > now_ms && others_run(fleet))
			due_ms -= (due_ms - now_ms) / 5;
	} else if (child->wanted) {
		fleet->replacing = child;
	}
	life_drain(child, due_ms, due_ms + (fleet->stopping ? 0 : CUT_GRACE_MS));
}

static void release(struct fleet *fleet, struct child *child)
{
	if (fleet->replacing == child)
		fleet->replacing = NULL;
	life_release(child);
	if (!fleet->stopping)
		life_emit(child, LOG_LEVEL_INFO, "worker-removed", NULL);
}

/* True when something was done; else *due_ms may be lowered. */
static bool step_child(struct fleet *fleet, struct child *child, uint64_t now_ms, uint64_t *due_ms)
{
	bool was_late = child->late;
	uint64_t due = UINT64_MAX, watch_at = watch_child(child, now_ms);
	const struct child_facts facts = facts_of(fleet, child);
	enum child_action action = child_decide(&facts, now_ms, &due);
	switch (action) {
	case CHILD_WAIT:
		*due_ms = due < *due_ms ? due : *due_ms;
		*due_ms = watch_at < *due_ms ? watch_at : *due_ms;
		return child->late != was_late; /* steer by it */
	case CHILD_START:
		if (child->state == CHILD_FAILED || child->state == CHILD_ABSENT)
			restart_forget(&child->restart);
		life_start(child, fleet_ceilings(fleet).bus_bytes);
		return true;
	case CHILD_DRAIN:
		drain(fleet, child, now_ms);
		return true;
	case CHILD_KILL:
		life_cut(child);
		return true;
	case CHILD_RELEASE:
		release(fleet, child);
		return true;
	}
	return false;
}

static void look_for_outage(struct fleet *fleet, uint64_t now_ms)
{
	struct outage_facts facts = {0};
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		if (!child_listens(child))
			continue;
		facts.serves = facts.serves || (child->wanted && child->state == CHILD_READY);
		facts.failed = facts.failed || (child->wanted && (child->state == CHILD_FAILED ||
		                                                  child->restart.failures > 0));
	}
	fleet->gave_up = outage_step(&fleet->outage, &facts,
	                             fleet->life.settings->newest->worker_give_up_ms, now_ms);
}

static void update_rates(struct fleet *fleet, uint64_t now_ms)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		if (child->state != CHILD_ABSENT && now_ms - child->rates.at_ms >= RATES_MS)
			child_rates_update(child, now_ms);
	}
}

void fleet_step(struct fleet *fleet)
{
	uint64_t now_ms = clock_monotonic_ms(), due_ms;
	bool acted = true;
	forgive_own_pause(fleet, now_ms);
	/* Each action brings its worker nearer to rest; the bound is a net under that argument. */
	for (unsigned rounds = 0; acted && rounds < 16; rounds++) {
		acted = false;
		due_ms = now_ms + LOOK_MS;
		apply_plan(fleet, now_ms);
		steer(fleet);
		for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
			acted = step_child(fleet, &fleet->children[i], now_ms, &due_ms) || acted;
	}
	uint64_t links_ms = links_repair(fleet->links, now_ms);
	due_ms = links_ms < due_ms ? links_ms : due_ms;
	update_rates(fleet, now_ms);
	look_for_outage(fleet, now_ms);
	fleet->look_ms = due_ms > now_ms ? due_ms : now_ms + 1;
	uv_timer_start(&fleet->timer, on_timer, fleet->look_ms - now_ms, 0);
	if (fleet->on_change != NULL)
		fleet->on_change(fleet->arg);
}

/* ---- requests ---- */

struct child *fleet_find(struct fleet *fleet, const char *name)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].state != CHILD_ABSENT &&
		    strcmp(fleet->children[i].name, name) == 0)
			return &fleet->children[i];
	return NULL;
}

static void restart_child(struct child *child)
{
	switch (child->state) {
	case CHILD_ABSENT:
	case CHILD_DRAINING:
		break;
	case CHILD_STOPPED:
		restart_forget(&child->restart);
		child->start_due_ms = 0;
		break;
	case CHILD_STARTING:
	case CHILD_READY:
	case CHILD_FAILED:
		child->recycle = child->wanted;
		break;
	}
}

void fleet_restart(struct fleet *fleet, struct child *child)
{
	fleet->halted = false;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (child == NULL || child == &fleet->children[i])
			restart_child(&fleet->children[i]);
	fleet_step(fleet);
}

void fleet_stop(struct fleet *fleet, uint64_t due_ms)
{
	fleet->stopping = true;
	fleet->stop_due_ms = due_ms;
	fleet_step(fleet);
}

void fleet_kill(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		life_signal(&fleet->children[i], SIGKILL);
}

struct fleet_tally fleet_tally(const struct fleet *fleet)
{
	const struct settings *settings = fleet->life.settings->newest;
	bool joined = fleet->joined || !settings_follows(settings);
	/* Who serves is wanted when there is something to serve. */
	struct fleet_tally tally = {.settled = joined && fleet->replacing == NULL,
	                            .wanted = !joined,
	                            .listening_wanted = !joined};
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		bool listens = child_listens(child), ready = child->state == CHILD_READY;
		tally.wanted += child->wanted;
		tally.ready += child->wanted && ready;
		tally.failed += child_failed(child);
		tally.processes += child->pid != 0;
		tally.listening_wanted += listens && child->wanted;
		tally.listening_ready += listens && child->wanted && ready;
		bool rests = child->wanted ? (ready && !child->late) || child_failed(child)
		                           : child->state == CHILD_ABSENT;
		tally.settled = tally.settled && rests && !child->recycle;
	}
	return tally;
}

void fleet_finish(struct fleet *fleet)
{
	uv_close((uv_handle_t *)&fleet->timer, NULL);
	listeners_finish(&fleet->life.listeners);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		peer_destroy(&fleet->children[i].peer);
		settings_drop(&fleet->children[i].settings);
	}
	links_destroy(&fleet->links);
	close(fleet->life.counters_fd);
}
