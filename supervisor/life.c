#include "supervisor/life.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "proto/roles.h"
#include "supervisor/inbox.h"
#include "supervisor/introduce.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CUT_GRACE_MS = 1000 }; /* from a drain's deadline, which the worker knows, to SIGKILL */

/* ---- what others see ---- */

#define ZERO_counter(name)
#define ZERO_counter_ns(name)
#define ZERO_gauge(name)       counter_set(slot, name, 0);
#define ZERO_gauge_ms(name)    ZERO_gauge(name)
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
		return child->restart.failing ? WORKER_FAILED : WORKER_STARTING;
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

void life_emit(struct child *child, enum log_level level, const char *event, json_t *more)
{
	json_t *fields = json_pack("{s:s, s:i, s:I}", "worker", child->name, "pid", (int)child->pid,
	                           "generation", (json_int_t)child->generation);
	check(fields != NULL);
	if (more != NULL)
		json_object_update(fields, more);
	json_decref(more);
	events_emit(child->fleet->events, level, event, fields);
}

/* ---- trying again ---- */

static struct restart_limits restart_limits_of(const struct settings *s)
{
	return (struct restart_limits){.delay_ms_min = s->worker_restart_delay_min_ms,
	                               .delay_ms_max = s->worker_restart_delay_max_ms,
	                               .stable_ms = s->worker_restart_stable_ms,
	                               .exits_max = (uint32_t)s->worker_restart_limit,
	                               .window_ms = s->worker_restart_window_ms};
}

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
		events_emit(fleet->events, LOG_LEVEL_ERROR, "restart-halted", NULL);
}

/* Whoever waits in its queue is better off trying again than waiting so long. */
static void close_queue(struct child *child)
{
	if (child_listens(child))
		listeners_close(&child->fleet->listeners, child->slot);
}

/* It will not serve for a while. */
static void leave_service(struct child *child, const char *why)
{
	life_emit(child, LOG_LEVEL_ERROR, "worker-failed", json_pack("{s:s}", "why", why));
	if (replacing_goes_on(child->fleet))
		halt_replacing(child->fleet);
}

/* No attempt can succeed. That is the end of all of it, but in a restart one by one the others have
 * started before, with what they still have. */
static void refuse(struct child *child)
{
	struct fleet *fleet = child->fleet;
	set_state(child, CHILD_FAILED);
	close_queue(child);
	if (replacing_goes_on(fleet))
		leave_service(child, child->refusal);
	else if (fleet->refused == NULL)
		fleet->refused = child;
}

static void start_later(struct child *child)
{
	struct restart_limits limits = restart_limits_of(child->fleet->settings->newest);
	bool failing = child->restart.failing;
	uint64_t now_ms = clock_monotonic_ms();
	child->start_due_ms = restart_exited(&child->restart, &limits, now_ms,
	                                     (uint32_t)clock_random_below(RESTART_JITTER_MAX + 1));
	set_state(child, CHILD_STOPPED);
	if (!child->restart.failing)
		return;
	close_queue(child);
	if (!failing)
		leave_service(child, "it failed too often in too short a time; it is tried again "
		                     "every worker.restart_delay_max");
}

/* ---- the bus ---- */

void life_signal(const struct child *child, int signal)
{
	if (child->pid > 0)
		kill(-child->pid, signal);
}

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	if (fd >= 0)
		close(fd);
	return inbox_dispatch(arg, peer_party(peer), type, body);
}

/* Nobody can tell a worker without a bus anything: it must go. */
static void on_bus_closed(void *arg, struct peer *peer)
{
	struct child *child = arg;
	(void)peer;
	child->peer = NULL;
	if (child->state != CHILD_DRAINING)
		life_signal(child, SIGKILL);
}

void life_send_settings(struct child *child)
{
	char *lines = settings_text(child->settings);
	peer_put(child->peer, settings, SETTINGS, {.lines = span_str(lines)});
	free(lines);
}

void on_hello(struct child *child, const struct party *from, const struct proto_hello *m)
{
	(void)from;
	/* Programs that were replaced beneath us: it is tried again, until they fit or we are
	 * replaced. */
	if (m->schema_hash != proto_schema_hash()) {
		log_error("program is of another build than the supervisor", "worker=%s",
		          child->name);
		life_signal(child, SIGKILL);
		return;
	}
	if (child->said_hello)
		return;
	child->said_hello = true;
	life_send_settings(child);
	introduce(child->fleet, child);
}

void on_ready(struct child *child, const struct party *from, const struct proto_ready *m)
{
	(void)from;
	uint64_t now_ms = clock_monotonic_ms();
	if (m->generation != child->generation || child->state != CHILD_STARTING)
		return;
	set_state(child, CHILD_READY);
	watch_begin(&child->watch, now_ms);
	restart_ready(&child->restart, now_ms);
	if (child->fleet->replacing == child)
		child->fleet->replacing = NULL;
	life_emit(child, LOG_LEVEL_INFO, "worker-ready",
	          json_pack("{s:I}", "after_ms", (json_int_t)(now_ms - child->started_ms)));
	fleet_step(child->fleet);
}

void on_cannot_start(struct child *child, const struct party *from,
                     const struct proto_cannot_start *m)
{
	(void)from;
	if (child->state == CHILD_STARTING)
		snprintf(child->refusal, sizeof child->refusal, "%.*s", (int)m->reason.len,
		         (const char *)m->reason.at);
}

void on_heartbeat(struct child *child, const struct party *from, const struct proto_heartbeat *m)
{
	(void)from;
	(void)m;
	/* While it starts, being ready in time is what counts. */
	if (child->state == CHILD_READY)
		watch_heard(&child->watch, clock_monotonic_ms());
}

/* ---- starting ---- */

static bool open_listener(struct child *child)
{
	struct listeners *listeners = &child->fleet->listeners;
	if (!child_listens(child) || listeners_are_open(listeners, child->slot))
		return true;
	int error = listeners_open(listeners, child->slot);
	if (error != 0)
		log_error("cannot listen", "worker=%s address=%s error=\"%s\"", child->name,
		          child->fleet->settings->newest->listen, strerror(error));
	return error == 0;
}

void life_find_program(const struct fleet *fleet, const struct role *role, char *path, size_t room)
{
	const char *dir = fleet->program_dir, *name = role->name;
	int len = snprintf(path, room, "%s/ringside-%s", dir, name);
	check(len > 0 && (size_t)len < room);
	if (access(path, X_OK) != 0) {
		char tree[4400];
		snprintf(tree, sizeof tree, "%s/../worker-%s/ringside-%s", dir, name, name);
		if (access(tree, X_OK) == 0)
			snprintf(path, room, "%s", tree);
	}
}

static pid_t spawn_child(struct child *child, int bus_fd)
{
	struct fleet *fleet = child->fleet;
	char path[4400], name[32];
	life_find_program(fleet, child->role, path, sizeof path);
	snprintf(name, sizeof name, "ringside-%s", child->role->name);
	struct spawn spawn = {.path = path,
	                      .name = name,
	                      .slot = child->slot,
	                      .generation = child->generation,
	                      .bus_fd = bus_fd,
	                      .counters_fd = fleet->counters_fd,
	                      .listen_count = child_listens(child) ? fleet->listeners.count : 0};
	if (spawn.listen_count > 0)
		listeners_fds(&fleet->listeners, child->slot, spawn.listen_fds);
	return spawn_start(&spawn);
}

/* A process that has just been started. */
static void begin(struct child *child, pid_t pid, int bus_fd)
{
	struct fleet *fleet = child->fleet;
	const struct peer_events events = {.on_frame = on_frame,
	                                   .on_close = on_bus_closed,
	                                   .arg = child,
	                                   .queue_bytes_max = fleet_ceilings(fleet).bus_bytes};
	struct counters_slot *c = child->counters;
	child->pid = pid;
	child->peer = peer_create(fleet->loop, bus_fd,
	                          (struct party){child->role->bit, child->slot, child->generation},
	                          &events);
	child->started_ms = clock_monotonic_ms();
	child->said_hello = child->hung = child->late = child->recycle = false;
	child->kill_due_ms = UINT64_MAX;
	*child->refusal = '\0';
	settings_drop(&child->settings);
	child->settings = settings_keep(fleet->settings->newest);
	watch_begin(&child->watch, child->started_ms);
	atomic_store(&c->pid, (uint32_t)pid);
	atomic_store(&c->started_ms, clock_wall_ms());
	atomic_store(&c->restarts, atomic_load(&c->restarts) + (atomic_load(&c->generation) != 0));
	atomic_store(&c->generation, child->generation);
	life_emit(child, LOG_LEVEL_INFO, "worker-started", NULL);
}

void life_start(struct child *child)
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

/* What is to become of a worker whose process has ended. */
static void after_exit(struct child *child, int status)
{
	enum child_state was = child->state;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (was == CHILD_DRAINING && !child->hung) {
		child->start_due_ms = 0;
		set_state(child, CHILD_STOPPED);
	} else if (code == EXIT_USAGE && *child->refusal != '\0') {
		refuse(child);
	} else if (code == SPAWN_EXEC_FAILED) {
		log_error("program cannot be executed", "worker=%s dir=%s", child->name,
		          child->fleet->program_dir);
		start_later(child);
	} else {
		start_later(child);
	}
}

void life_exited(struct child *child, int status)
{
	/* Its own children must not outlive it. */
	life_signal(child, SIGKILL);
	/* Its last words. */
	if (child->peer != NULL)
		peer_drain(child->peer);
	reap_describe(status, child->last_exit);
	bool asked =
	        child->state == CHILD_DRAINING && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	life_emit(child, asked ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "worker-exited",
	          json_pack("{s:s, s:b, s:I}", "how", child->last_exit, "asked", asked, "up_ms",
	                    (json_int_t)(clock_monotonic_ms() - child->started_ms)));
	peer_destroy(&child->peer);
	introduce_forget(child->fleet, child);
	child->pid = 0;
	child->said_hello = false;
	atomic_store(&child->counters->pid, 0);
	zero_gauges(child->counters);
	after_exit(child, status);
}

static bool others_run(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (!child_listens(&fleet->children[i]) && fleet->children[i].pid != 0)
			return true;
	return false;
}

void life_drain(struct child *child, uint64_t now_ms)
{
	struct fleet *fleet = child->fleet;
	uint64_t due_ms = now_ms + fleet->settings->newest->worker_drain_ms;
	if (fleet->stopping) {
		due_ms = fleet->stop_due_ms;
		/* The others come after those that listen and need some of the time. */
		if (child_listens(child) && due_ms > now_ms && others_run(fleet))
			due_ms -= (due_ms - now_ms) / 5;
	} else if (child->wanted) {
		fleet->replacing = child;
	}
	child->recycle = false;
	child->kill_due_ms = due_ms + (fleet->stopping ? 0 : CUT_GRACE_MS);
	set_state(child, CHILD_DRAINING);
	life_emit(child, LOG_LEVEL_INFO, "worker-draining",
	          json_pack("{s:I}", "within_ms", (json_int_t)(due_ms - now_ms)));
	if (child->peer != NULL)
		peer_put(child->peer, drain, DRAIN, {.due_ms = due_ms});
}

void life_cut(struct child *child)
{
	child->kill_due_ms = UINT64_MAX;
	life_emit(child, LOG_LEVEL_WARN, "worker-cut", NULL);
	life_signal(child, SIGKILL);
}

void life_release(struct child *child)
{
	if (child_listens(child))
		listeners_close(&child->fleet->listeners, child->slot);
	if (child->fleet->replacing == child)
		child->fleet->replacing = NULL;
	restart_forget(&child->restart);
	child->recycle = false;
	set_state(child, CHILD_ABSENT);
	if (!child->fleet->stopping)
		life_emit(child, LOG_LEVEL_INFO, "worker-removed", NULL);
}
