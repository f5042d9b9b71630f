#include "supervisor/fleet.h"
#include "common/check.h"
#include "common/clock.h"
#include "proto/roles.h"
#include "supervisor/inbox.h"
#include "supervisor/introduce.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	LOOK_MS = 500,       /* time is looked at no seldomer */
	CUT_GRACE_MS = 1000, /* from a drain's deadline, which the worker knows, to SIGKILL */
	RATES_MS = 2000,
};

static_assert((int)FLEET_CHILDREN_MAX <= (int)COUNTERS_SLOTS, "a counters slot per worker");
static_assert((int)FLEET_SSE_MAX <= (int)LISTENER_SLOTS_MAX, "a socket per SSE worker");

static struct child *child_at(struct fleet *fleet, unsigned role, unsigned slot)
{
	return &fleet->children[role == ROLE_SSE      ? slot
	                        : role == ROLE_BRIDGE ? FLEET_SSE_MAX
	                                              : FLEET_SSE_MAX + 1];
}

static void init_child(struct fleet *fleet, unsigned role, unsigned slot)
{
	struct child *child = child_at(fleet, role, slot);
	child->fleet = fleet;
	child->role = role;
	child->slot = slot;
	child->kill_due_ms = UINT64_MAX;
	snprintf(child->name, sizeof child->name, "%s-%u", role_name(role), slot);
	child->counters = &fleet->counters->slots[child - fleet->children];
	child->counters->role = role;
	child->counters->slot = slot;
}

static void on_timer(uv_timer_t *timer)
{
	fleet_step(timer->data);
}

bool fleet_init(struct fleet *fleet, char *reason, size_t room)
{
	const char *why;
	if (!listener_init(&fleet->listener, fleet->settings->listen, &why)) {
		snprintf(reason, room, "listen: %s: %s", fleet->settings->listen, why);
		return false;
	}
	int error = listener_probe(&fleet->listener);
	if (error != 0) {
		snprintf(reason, room, "cannot listen on %s: %s", fleet->settings->listen,
		         strerror(error));
		return false;
	}
	fleet->counters_fd = counters_create();
	if (fleet->counters_fd < 0) {
		snprintf(reason, room, "no memory for counters: %s", strerror(errno));
		return false;
	}
	fleet->counters = counters_map(fleet->counters_fd);
	atomic_store(&fleet->counters->started_ms, clock_wall_ms());
	for (unsigned slot = 0; slot < FLEET_SSE_MAX; slot++)
		init_child(fleet, ROLE_SSE, slot);
	init_child(fleet, ROLE_BRIDGE, 0);
	init_child(fleet, ROLE_CAPTURE, 0);
	fleet->stepped_ms = clock_monotonic_ms();
	uv_timer_init(fleet->loop, &fleet->timer);
	fleet->timer.data = fleet;
	return true;
}

/* ---- what others see ---- */

#define ZERO_counter(name)
#define ZERO_gauge(name)         counter_set(slot, name, 0);
#define ZERO(name, kind, help) ZERO_##kind(name)
/* What a dead process holds is nothing; what it has done stays done. */
static void zero_gauges(struct counters_slot *slot)
{
	COUNTERS(ZERO)
}

static enum worker_state state_shown(const struct child *child)
{
	switch (child->state) {
	case CHILD_ABSENT:
		return WORKER_ABSENT;
	case CHILD_STOPPED:
	case CHILD_STARTING:
		return WORKER_STARTING;
	case CHILD_READY:
		return WORKER_READY;
	case CHILD_DRAINING:
		return WORKER_DRAINING;
	case CHILD_FAILED:
		return WORKER_FAILED;
	}
	return WORKER_ABSENT;
}

static void set_state(struct child *child, enum child_state state)
{
	child->state = state;
	atomic_store(&child->counters->state, (uint32_t)state_shown(child));
}

static void emit(struct child *child, enum log_level level, const char *event, json_t *more)
{
	json_t *fields = json_pack("{s:s, s:i, s:I}", "worker", child->name, "pid", (int)child->pid,
	                           "generation", (json_int_t)child->generation);
	check(fields != NULL);
	if (more != NULL)
		json_object_update(fields, more);
	json_decref(more);
	events_emit(child->fleet->events, level, event, fields);
}

/* ---- the bus ---- */

static void kill_group(const struct child *child, int signal)
{
	if (child->pid > 0)
		kill(-child->pid, signal);
}

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	struct sender sender = {.child = arg};
	if (fd >= 0)
		close(fd);
	return inbox_dispatch(&sender, peer_role(peer), type, body);
}

/* Nobody can tell a worker without a bus anything: it must go. */
static void on_bus_closed(void *arg, struct peer *peer)
{
	struct child *child = arg;
	(void)peer;
	child->peer = NULL;
	if (child->state != CHILD_DRAINING)
		kill_group(child, SIGKILL);
}

static void send_settings(struct child *child)
{
	char *lines = settings_text(&child->settings);
	peer_put(child->peer, settings, SETTINGS, {.lines = span_str(lines)});
	free(lines);
}

static void give_up(struct child *child, const char *why);

void on_hello(struct sender *sender, const struct proto_hello *m)
{
	struct child *child = sender->child;
	if (m->schema_hash != proto_schema_hash()) {
		give_up(child, "its program is of another build than the supervisor's");
		kill_group(child, SIGKILL);
		return;
	}
	if (child->said_hello)
		return;
	child->said_hello = true;
	send_settings(child);
	introduce(child->fleet, child);
}

void on_ready(struct sender *sender, const struct proto_ready *m)
{
	struct child *child = sender->child;
	uint64_t now_ms = clock_monotonic_ms();
	if (m->generation != child->generation || child->state != CHILD_STARTING)
		return;
	set_state(child, CHILD_READY);
	watch_begin(&child->watch, now_ms);
	restart_ready(&child->restart, now_ms);
	if (child->fleet->replacing == child)
		child->fleet->replacing = NULL;
	emit(child, LOG_LEVEL_INFO, "worker-ready",
	     json_pack("{s:I}", "after_ms", (json_int_t)(now_ms - child->started_ms)));
	fleet_step(child->fleet);
}

void on_heartbeat(struct sender *sender, const struct proto_heartbeat *m)
{
	struct child *child = sender->child;
	(void)m;
	/* While it starts, being ready in time is what counts. */
	if (child->state == CHILD_READY)
		watch_heard(&child->watch, clock_monotonic_ms());
}

/* ---- starting ---- */

static struct restart_limits restart_limits_of(const struct settings *s)
{
	return (struct restart_limits){.delay_ms_min = s->worker_restart_delay_min_ms,
	                               .delay_ms_max = s->worker_restart_delay_max_ms,
	                               .stable_ms = s->worker_restart_stable_ms,
	                               .exits_max = (uint32_t)s->worker_restart_limit,
	                               .window_ms = s->worker_restart_window_ms};
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
		events_emit(fleet->events, LOG_LEVEL_ERROR, "restart-halted", NULL);
}

static void give_up(struct child *child, const char *why)
{
	set_state(child, CHILD_FAILED);
	emit(child, LOG_LEVEL_ERROR, "worker-failed", json_pack("{s:s}", "why", why));
	/* Whoever waits in its queue is better off trying again than waiting for ever. */
	if (child->role == ROLE_SSE)
		listener_close(&child->fleet->listener, child->slot);
	if (child->fleet->replacing == child)
		halt_replacing(child->fleet);
}

static void start_later(struct child *child)
{
	struct restart_limits limits = restart_limits_of(child->fleet->settings);
	child->start_due_ms =
	        restart_exited(&child->restart, &limits, clock_monotonic_ms(),
	                       (uint32_t)clock_random_below(RESTART_JITTER_MAX + 1));
	if (child->start_due_ms == RESTART_NEVER)
		give_up(child, "it failed too often in too short a time");
	else
		set_state(child, CHILD_STOPPED);
}

static bool open_listener(struct child *child)
{
	struct listener *listener = &child->fleet->listener;
	if (child->role != ROLE_SSE || listener->fds[child->slot] >= 0)
		return true;
	int error = listener_open(listener, child->slot);
	if (error != 0)
		log_error("cannot listen", "worker=%s address=%s error=\"%s\"", child->name,
		          child->fleet->settings->listen, strerror(error));
	return error == 0;
}

/* Beside our own program; or, in a build tree, in the directory of its source. */
static void find_program(const struct child *child, char *path, size_t room)
{
	const char *dir = child->fleet->program_dir, *role = role_name(child->role);
	int len = snprintf(path, room, "%s/ringside-%s", dir, role);
	check(len > 0 && (size_t)len < room);
	if (access(path, X_OK) != 0) {
		char tree[4400];
		snprintf(tree, sizeof tree, "%s/../worker-%s/ringside-%s", dir, role, role);
		if (access(tree, X_OK) == 0)
			snprintf(path, room, "%s", tree);
	}
}

static pid_t spawn_child(struct child *child, int bus_fd)
{
	struct fleet *fleet = child->fleet;
	char path[4400], name[32];
	find_program(child, path, sizeof path);
	snprintf(name, sizeof name, "ringside-%s", role_name(child->role));
	const struct spawn spawn = {
	        .path = path,
	        .name = name,
	        .slot = child->slot,
	        .generation = child->generation,
	        .bus_fd = bus_fd,
	        .counters_fd = fleet->counters_fd,
	        .listen_fd = child->role == ROLE_SSE ? fleet->listener.fds[child->slot] : -1};
	return spawn_start(&spawn);
}

/* A process that has just been started. */
static void begin(struct child *child, pid_t pid, int bus_fd)
{
	struct fleet *fleet = child->fleet;
	const struct peer_events events = {on_frame, on_bus_closed, child};
	struct counters_slot *c = child->counters;
	child->pid = pid;
	child->peer = peer_create(fleet->loop, bus_fd, child->role, child->slot, child->generation,
	                          &events);
	child->started_ms = clock_monotonic_ms();
	child->said_hello = child->hung = child->late = child->recycle = false;
	child->kill_due_ms = UINT64_MAX;
	if (child->settings_given)
		settings_finish(&child->settings);
	settings_copy(&child->settings, fleet->settings);
	child->settings_given = true;
	watch_begin(&child->watch, child->started_ms);
	atomic_store(&c->pid, (uint32_t)pid);
	atomic_store(&c->started_ms, clock_wall_ms());
	atomic_store(&c->restarts, atomic_load(&c->restarts) + (atomic_load(&c->generation) != 0));
	atomic_store(&c->generation, child->generation);
	emit(child, LOG_LEVEL_INFO, "worker-started", NULL);
}

static void start(struct child *child)
{
	int ends[2];
	child->generation = ++child->fleet->generation;
	/* The worker looks for its counters by role, slot and a state that is not absent. */
	set_state(child, CHILD_STARTING);
	if (!open_listener(child)) {
		start_later(child);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		log_error("cannot start a worker", "worker=%s error=\"%s\"", child->name,
		          strerror(errno));
		start_later(child);
		return;
	}
	pid_t pid = spawn_child(child, ends[1]);
	int error = errno;
	close(ends[1]);
	if (pid > 0) {
		begin(child, pid, ends[0]);
		return;
	}
	close(ends[0]);
	log_error("cannot start a worker", "worker=%s error=\"%s\"", child->name, strerror(error));
	start_later(child);
}

/* ---- ending ---- */

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

/* What is to become of a worker whose process has ended. */
static void after_exit(struct child *child, int status)
{
	enum child_state was = child->state;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (was == CHILD_FAILED)
		return;
	if (was == CHILD_DRAINING && !child->hung) {
		child->start_due_ms = 0;
		set_state(child, CHILD_STOPPED);
	} else if (code == EXIT_USAGE) {
		give_up(child, "it refused its arguments or settings; see its last log lines");
	} else if (code == SPAWN_EXEC_FAILED) {
		log_error("program cannot be executed", "worker=%s dir=%s", child->name,
		          child->fleet->program_dir);
		start_later(child);
	} else {
		start_later(child);
	}
}

bool fleet_exited(struct fleet *fleet, pid_t pid, int status)
{
	struct child *child = child_by_pid(fleet, pid);
	if (child == NULL)
		return false;
	/* Its own children must not outlive it. */
	kill_group(child, SIGKILL);
	reap_describe(status, child->last_exit);
	bool asked = child->state == CHILD_DRAINING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	emit(child, asked ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "worker-exited",
	     json_pack("{s:s, s:b, s:I}", "how", child->last_exit, "asked", asked, "up_ms",
	               (json_int_t)(clock_monotonic_ms() - child->started_ms)));
	peer_destroy(&child->peer);
	child->pid = 0;
	child->said_hello = false;
	atomic_store(&child->counters->pid, 0);
	zero_gauges(child->counters);
	after_exit(child, status);
	return true;
}

static bool others_run(const struct fleet *fleet)
{
	for (size_t i = FLEET_SSE_MAX; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].pid != 0)
			return true;
	return false;
}

static void drain(struct child *child, uint64_t now_ms)
{
	struct fleet *fleet = child->fleet;
	uint64_t due_ms = now_ms + fleet->settings->worker_drain_ms;
	if (fleet->stopping) {
		due_ms = fleet->stop_due_ms;
		/* The others come after the SSE workers and need some of the time. */
		if (child->role == ROLE_SSE && due_ms > now_ms && others_run(fleet))
			due_ms -= (due_ms - now_ms) / 5;
	} else if (child->wanted) {
		fleet->replacing = child;
	}
	child->recycle = false;
	child->kill_due_ms = due_ms + (fleet->stopping ? 0 : CUT_GRACE_MS);
	set_state(child, CHILD_DRAINING);
	emit(child, LOG_LEVEL_INFO, "worker-draining",
	     json_pack("{s:I}", "within_ms", (json_int_t)(due_ms - now_ms)));
	if (child->peer != NULL)
		peer_put(child->peer, drain, DRAIN, {.due_ms = due_ms});
}

static void cut(struct child *child)
{
	child->kill_due_ms = UINT64_MAX;
	emit(child, LOG_LEVEL_WARN, "worker-cut", NULL);
	kill_group(child, SIGKILL);
}

static void release(struct child *child)
{
	if (child->role == ROLE_SSE)
		listener_close(&child->fleet->listener, child->slot);
	if (child->fleet->replacing == child)
		child->fleet->replacing = NULL;
	restart_forget(&child->restart);
	child->recycle = false;
	set_state(child, CHILD_ABSENT);
	if (!child->fleet->stopping)
		emit(child, LOG_LEVEL_INFO, "worker-removed", NULL);
}

/* ---- watching ---- */

/* Returns when to look again. */
static uint64_t watch_child(struct child *child, uint64_t now_ms)
{
	const struct settings *s = child->fleet->settings;
	if (child->state != CHILD_STARTING && child->state != CHILD_READY)
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
		emit(child, LOG_LEVEL_ERROR, "worker-hung",
		     json_pack("{s:I}", "silent_ms",
		               (json_int_t)(now_ms - child->watch.heard_ms)));
		kill(child->pid, SIGABRT);
		break;
	case WATCH_KILL:
		emit(child, LOG_LEVEL_ERROR, "worker-killed", NULL);
		kill_group(child, SIGKILL);
		break;
	}
	return watch_due(&child->watch, &limits, now_ms);
}

/* When we ourselves did not run (a debugger, a stopped virtual machine), no silence counts. */
static void forgive_own_pause(struct fleet *fleet, uint64_t now_ms)
{
	uint64_t gap_ms = now_ms - fleet->stepped_ms;
	fleet->stepped_ms = now_ms;
	if (gap_ms < 4 * LOOK_MS)
		return;
	log_warn("the supervisor was paused", "for_ms=%llu", (unsigned long long)gap_ms);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		watch_forgive(&fleet->children[i].watch, gap_ms);
}

/* ---- the step ---- */

static void apply_plan(struct fleet *fleet, uint64_t now_ms)
{
	bool replacing = fleet->replacing != NULL && fleet->replacing->role == ROLE_SSE;
	for (size_t i = 0; i < FLEET_SSE_MAX; i++)
		replacing = replacing || (fleet->children[i].recycle &&
		                          fleet->children[i].state != CHILD_FAILED);
	struct plan plan = plan_make(fleet->settings, fleet->cpus, replacing);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		unsigned count = child->role == ROLE_SSE      ? plan.sse
		                 : child->role == ROLE_BRIDGE ? plan.bridge
		                                              : plan.capture;
		bool wanted = child->slot < count;
		if (child->wanted && !wanted)
			child->settle_due_ms = now_ms + (child->role == ROLE_SSE
			                                         ? LISTENER_SETTLE_MS
			                                         : 0);
		child->wanted = wanted;
		child->recycle = child->recycle && wanted;
	}
}

/* Tells the kernel who gets new connections: those that serve; else those that soon will. */
static void steer(struct fleet *fleet)
{
	bool serving[LISTENER_SLOTS_MAX] = {false}, coming[LISTENER_SLOTS_MAX] = {false};
	bool any = false;
	for (unsigned slot = 0; slot < FLEET_SSE_MAX; slot++) {
		const struct child *child = &fleet->children[slot];
		serving[slot] = child->wanted && child->state == CHILD_READY && !child->late;
		coming[slot] = child->wanted && child->state != CHILD_FAILED;
		any = any || serving[slot];
	}
	int error = listener_steer(&fleet->listener, any ? serving : coming);
	if (error != 0)
		log_warn("connections cannot be steered",
		         "error=\"%s\" consequence=\"scaling down may reset connections\"",
		         strerror(error));
}

static bool others_serve(const struct fleet *fleet, const struct child *child)
{
	bool hope = false;
	for (size_t i = 0; i < FLEET_SSE_MAX; i++) {
		const struct child *other = &fleet->children[i];
		if (other == child || !other->wanted)
			continue;
		if (other->state == CHILD_READY && !other->late)
			return true;
		hope = hope || other->state != CHILD_FAILED;
	}
	return !hope; /* with nobody to wait for, the socket's queue bridges the gap */
}

static bool sse_left(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_SSE_MAX; i++)
		if (fleet->children[i].pid != 0)
			return true;
	return false;
}

static struct child_facts facts_of(const struct child *child)
{
	const struct fleet *fleet = child->fleet;
	bool sse = child->role == ROLE_SSE;
	bool turn = fleet->replacing == NULL || fleet->replacing == child;
	return (struct child_facts){
	        .state = child->state,
	        .wanted = child->wanted,
	        .recycle = child->recycle,
	        .may_recycle = child->recycle && turn && (!sse || others_serve(fleet, child)),
	        .queue_waits = sse && child->state == CHILD_STOPPED && !child->wanted &&
	                       listener_queue_waits(&fleet->listener, child->slot),
	        .stopping = fleet->stopping,
	        .leave = fleet->stopping && (sse || !sse_left(fleet)),
	        .start_due_ms = child->start_due_ms,
	        .settle_due_ms = child->settle_due_ms,
	        .kill_due_ms = child->kill_due_ms};
}

/* True when something was done; else *due_ms may be lowered. */
static bool step_child(struct child *child, uint64_t now_ms, uint64_t *due_ms)
{
	bool was_late = child->late;
	uint64_t due = UINT64_MAX, watch_at = watch_child(child, now_ms);
	const struct child_facts facts = facts_of(child);
	enum child_action action = child_decide(&facts, now_ms, &due);
	/* One that was given up while its process still runs is being killed: its exit comes first. */
	if ((action == CHILD_START || action == CHILD_RELEASE) && child->pid != 0)
		return false;
	switch (action) {
	case CHILD_WAIT:
		*due_ms = due < *due_ms ? due : *due_ms;
		*due_ms = watch_at < *due_ms ? watch_at : *due_ms;
		return child->late != was_late; /* steer by it */
	case CHILD_START:
		if (child->state == CHILD_FAILED || child->state == CHILD_ABSENT)
			restart_forget(&child->restart);
		start(child);
		return true;
	case CHILD_DRAIN:
		drain(child, now_ms);
		return true;
	case CHILD_KILL:
		cut(child);
		return true;
	case CHILD_RELEASE:
		release(child);
		return true;
	}
	return false;
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
			acted = step_child(&fleet->children[i], now_ms, &due_ms) || acted;
	}
	update_rates(fleet, now_ms);
	uv_timer_start(&fleet->timer, on_timer, due_ms > now_ms ? due_ms - now_ms : 1, 0);
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

struct tell {
	struct child *child;
	const struct settings *from;
	bool changed;
};

static void take_live(void *arg, const struct setting_row *row)
{
	struct tell *tell = arg;
	if (row->when != SETTING_LIVE)
		return;
	settings_copy_row(&tell->child->settings, tell->from, row);
	tell->changed = true;
}

void fleet_tell_settings(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		struct tell tell = {.child = child, .from = fleet->settings};
		if (child->pid == 0 || child->peer == NULL)
			continue;
		settings_diff(&child->settings, fleet->settings, take_live, &tell);
		if (tell.changed && child->said_hello)
			send_settings(child);
	}
}

void fleet_tell_log_level(struct fleet *fleet, const char *level)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		struct child *child = &fleet->children[i];
		char reason[SETTINGS_REASON_MAX];
		if (child->pid == 0 || child->peer == NULL)
			continue;
		check(settings_set(&child->settings, span_str("log.level"), span_str(level), reason));
		if (child->said_hello)
			peer_put(child->peer, log_level, LOG_LEVEL, {.level = span_str(level)});
	}
}

void fleet_tell_log_reopen(struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].said_hello && fleet->children[i].peer != NULL)
			peer_put(fleet->children[i].peer, log_reopen, LOG_REOPEN, {.unused = 0});
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
		kill_group(&fleet->children[i], SIGKILL);
}

struct fleet_tally fleet_tally(const struct fleet *fleet)
{
	struct fleet_tally tally = {.settled = fleet->replacing == NULL};
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		bool sse = child->role == ROLE_SSE, ready = child->state == CHILD_READY;
		tally.wanted += child->wanted;
		tally.ready += child->wanted && ready;
		tally.failed += child->state == CHILD_FAILED;
		tally.processes += child->pid != 0;
		tally.sse_wanted += sse && child->wanted;
		tally.sse_ready += sse && child->wanted && ready;
		bool rests = child->wanted ? (ready && !child->late) || child->state == CHILD_FAILED
		                           : child->state == CHILD_ABSENT;
		tally.settled = tally.settled && rests && !child->recycle;
	}
	return tally;
}

void fleet_finish(struct fleet *fleet)
{
	uv_close((uv_handle_t *)&fleet->timer, NULL);
	listener_finish(&fleet->listener);
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		peer_destroy(&fleet->children[i].peer);
		if (fleet->children[i].settings_given)
			settings_finish(&fleet->children[i].settings);
	}
	close(fleet->counters_fd);
}
