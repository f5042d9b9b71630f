#include "supervisor/life.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/handed.h"
#include "proto/roles.h"
#include "supervisor/held_bus.h"
#include "supervisor/reap.h"
#include "supervisor/sandbox.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
	events_emit(child->life->events, level, event, fields);
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

/* Whoever waits in its queue is better off trying again than waiting so long. */
static void close_queue(struct child *child)
{
	if (child_listens(child))
		listeners_close(&child->life->listeners, child->slot);
}

static void tell(struct child *child, enum life_news news)
{
	child->life->on_news(child->life->news_arg, child, news);
}

/* No attempt can succeed. */
static void refuse(struct child *child)
{
	set_state(child, CHILD_FAILED);
	close_queue(child);
	tell(child, LIFE_REFUSED);
}

static void start_later(struct child *child)
{
	struct restart_limits limits = restart_limits_of(child->life->settings->newest);
	bool failing = child->restart.failing;
	uint64_t now_ms = clock_monotonic_ms();
	child->start_due_ms = restart_exited(&child->restart, &limits, now_ms,
	                                     (uint32_t)clock_random_below(RESTART_JITTER_MAX + 1));
	set_state(child, CHILD_STOPPED);
	if (!child->restart.failing)
		return;
	close_queue(child);
	if (failing)
		return;
	life_emit(child, LOG_LEVEL_ERROR, "worker-failed",
	          json_pack("{s:s}", "why",
	                    "it failed too often in too short a time; it is tried again every "
	                    "worker.restart_delay_max"));
	tell(child, LIFE_FAILING);
}

/* ---- the bus ---- */

void life_signal(const struct child *child, int signal)
{
	if (child->pid > 0)
		kill(-child->pid, signal);
}

void life_abort(const struct child *child)
{
	if (child->pid > 0)
		kill(child->pid, SIGABRT);
}

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	if (fd >= 0)
		close(fd);
	struct child *child = arg;
	const struct life *life = child->life;
	return life->on_message(life->message_arg, child, peer_party(peer), type, body);
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

/* One that cannot be told goes: by settings that are no more it would let in who is to stay out. */
void life_send_settings(struct child *child)
{
	uint8_t body[PROTO_MAX_SETTINGS];
	struct writer w = {body, body + sizeof body, true};
	char *lines = settings_text(child->settings);
	const struct proto_settings message = {.len = strlen(lines)};
	int fd = handed_make(span_str(lines));
	free(lines);
	check(proto_put_settings(&w, &message));
	if (fd < 0 || !peer_send(child->peer, PROTO_TYPE_SETTINGS,
	                         span_of(body, (size_t)(w.at - body)), fd)) {
		log_error("worker cannot be told the settings", "worker=%s error=\"%s\"",
		          child->name, strerror(errno));
		life_signal(child, SIGKILL);
	}
	if (fd >= 0)
		close(fd);
}

void life_send_listen(struct child *child)
{
	tls_files_tell(child->life->tls, child->peer, listeners_tls(&child->life->listeners));
}

void life_hello(struct child *child, uint64_t schema_hash)
{
	/* Programs that were replaced beneath us: ours are started until we are replaced, too
	 * (ringsidectl upgrade). */
	if (schema_hash != proto_schema_hash()) {
		log_error("program is of another build than the supervisor",
		          "worker=%s consequence=\"the former one is started until 'ringsidectl "
		          "upgrade'\"",
		          child->name);
		child->life->pinned = true;
		life_signal(child, SIGKILL);
		return;
	}
	if (child->said_hello)
		return;
	child->said_hello = true;
	life_send_settings(child);
	if (child_listens(child))
		life_send_listen(child);
	tell(child, LIFE_KNOWN);
}

void life_ready(struct child *child, uint64_t generation)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (generation != child->generation || child->state != CHILD_STARTING)
		return;
	set_state(child, CHILD_READY);
	watch_begin(&child->watch, now_ms);
	restart_ready(&child->restart, now_ms);
	life_emit(child, LOG_LEVEL_INFO, "worker-ready",
	          json_pack("{s:I}", "after_ms", (json_int_t)(now_ms - child->started_ms)));
	tell(child, LIFE_READY);
}

void life_refuses(struct child *child, struct span reason)
{
	if (child->state == CHILD_STARTING)
		snprintf(child->refusal, sizeof child->refusal, "%.*s", (int)reason.len,
		         (const char *)reason.at);
}

void life_heard(struct child *child)
{
	/* While it starts, being ready in time is what counts. */
	if (child->state == CHILD_READY)
		watch_heard(&child->watch, clock_monotonic_ms());
}

/* ---- starting ---- */

static bool open_listener(struct child *child)
{
	struct listeners *listeners = &child->life->listeners;
	if (!child_listens(child) || listeners_are_open(listeners, child->slot))
		return true;
	int error = listeners_open(listeners, child->slot);
	if (error != 0)
		log_error("cannot listen", "worker=%s address=%s error=\"%s\"", child->name,
		          child->life->settings->newest->listen, strerror(error));
	return error == 0;
}

void life_find_program(const struct life *life, const struct role *role, char *path, size_t room)
{
	const char *dir = life->program_dir, *name = role->name;
	int len = snprintf(path, room, "%s/ringside-%s", dir, name);
	check(len > 0 && (size_t)len < room);
	if (access(path, X_OK) != 0) {
		char tree[4400];
		snprintf(tree, sizeof tree, "%s/../worker-%s/ringside-%s", dir, name, name);
		if (access(tree, X_OK) == 0)
			snprintf(path, room, "%s", tree);
	}
}

void life_open_programs(struct life *life)
{
	char path[4400];
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		life_find_program(life, &roles[i], path, sizeof path);
		life->programs[i] = open(path, O_PATH | O_CLOEXEC);
	}
}

/* False, with errno: it must be closed in, and cannot. */
static bool confine(const struct life *life, const char *program, int *ruleset)
{
	const struct settings *settings = life->settings->newest;
	*ruleset = sandbox_make(settings, program);
	return *ruleset != SANDBOX_NONE || strcmp(settings->sandbox, "required") != 0;
}

static pid_t spawn_child(struct child *child, int bus_fd)
{
	struct life *life = child->life;
	char path[4400], name[32];
	int program = life->pinned ? life->programs[child->role - roles] : -1;
	if (program >= 0)
		snprintf(path, sizeof path, "/proc/self/fd/%d", program);
	else
		life_find_program(life, child->role, path, sizeof path);
	snprintf(name, sizeof name, "ringside-%s", child->role->name);
	struct spawn spawn = {.path = path,
	                      .program_fd = program,
	                      .name = name,
	                      .slot = child->slot,
	                      .generation = child->generation,
	                      .bus_fd = bus_fd,
	                      .counters_fd = life->counters_fd,
	                      .listen_count = child_listens(child) ? life->listeners.count : 0,
	                      .sandbox = SANDBOX_NONE};
	if ((child->role->traits & ROLE_CONFINED) != 0 && !confine(life, path, &spawn.sandbox))
		return -1;
	if (spawn.listen_count > 0)
		listeners_fds(&life->listeners, child->slot, spawn.listen_fds);
	pid_t pid = spawn_start(&spawn);
	int error = errno;
	child->confined = spawn.sandbox != SANDBOX_NONE;
	if (child->confined)
		close(spawn.sandbox);
	errno = error;
	return pid;
}

/* A process that has just been started. */
static void begin(struct child *child, pid_t pid, int bus_fd, size_t bus_bytes_max)
{
	struct life *life = child->life;
	const struct peer_events events = {.on_frame = on_frame,
	                                   .on_close = on_bus_closed,
	                                   .arg = child,
	                                   .queue_bytes_max = bus_bytes_max};
	struct counters_slot *c = child->counters;
	child->pid = pid;
	child->peer = peer_create(life->loop, bus_fd,
	                          (struct party){child->role->bit, child->slot, child->generation},
	                          &events);
	child->started_ms = clock_monotonic_ms();
	child->said_hello = child->hung = child->late = child->recycle = false;
	child->kill_due_ms = UINT64_MAX;
	*child->refusal = '\0';
	settings_drop(&child->settings);
	child->settings = settings_keep(life->settings->newest);
	watch_begin(&child->watch, child->started_ms);
	atomic_store(&c->pid, (uint32_t)pid);
	atomic_store(&c->started_ms, clock_wall_ms());
	atomic_store(&c->restarts, atomic_load(&c->restarts) + (atomic_load(&c->generation) != 0));
	atomic_store(&c->generation, child->generation);
	life_emit(child, LOG_LEVEL_INFO, "worker-started", NULL);
}

void life_adopt(struct child *child, pid_t pid, uint64_t generation, int bus_fd, bool confined)
{
	struct counters_slot *c = child->counters;
	child->pid = pid;
	child->generation = generation;
	child->confined = confined;
	child->held = held_bus_create(child->life->loop, bus_fd);
	child->started_ms = clock_monotonic_ms();
	child->recycle = true;
	child->kill_due_ms = UINT64_MAX;
	settings_drop(&child->settings);
	child->settings = settings_keep(child->life->settings->newest);
	atomic_store(&c->pid, (uint32_t)pid);
	atomic_store(&c->started_ms, clock_wall_ms());
	atomic_store(&c->generation, generation);
	set_state(child, CHILD_READY);
	life_emit(child, LOG_LEVEL_INFO, "worker-taken-over", NULL);
}

void life_start(struct child *child, size_t bus_bytes_max)
{
	int ends[2];
	child->generation = ++child->life->generation;
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
		begin(child, pid, ends[0], bus_bytes_max);
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
		log_error("program cannot be executed", "worker=%s dir=%s sandbox=%s", child->name,
		          child->life->program_dir, child->life->settings->newest->sandbox);
		start_later(child);
	} else if (code == SPAWN_SANDBOX_FAILED) {
		log_error("worker cannot be closed in", "worker=%s sandbox=%s", child->name,
		          child->life->settings->newest->sandbox);
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
	held_bus_destroy(&child->held);
	child->pid = 0;
	child->said_hello = false;
	atomic_store(&child->counters->pid, 0);
	zero_gauges(child->counters);
	tell(child, LIFE_ENDED);
	after_exit(child, status);
}

void life_drain(struct child *child, uint64_t due_ms, uint64_t kill_due_ms)
{
	child->recycle = false;
	child->kill_due_ms = kill_due_ms;
	set_state(child, CHILD_DRAINING);
	life_emit(child, LOG_LEVEL_INFO, "worker-draining",
	          json_pack("{s:I}", "within_ms", (json_int_t)(due_ms - clock_monotonic_ms())));
	if (child->peer != NULL)
		peer_put(child->peer, drain, DRAIN, {.due_ms = due_ms});
	else if (child->held != NULL && !held_bus_drain(child->held, due_ms))
		child->kill_due_ms = 0; /* it reads nothing */
}

void life_cut(struct child *child)
{
	child->kill_due_ms = UINT64_MAX;
	life_emit(child, LOG_LEVEL_WARN, "worker-cut", NULL);
	life_signal(child, SIGKILL);
}

void life_release(struct child *child)
{
	close_queue(child);
	restart_forget(&child->restart);
	child->recycle = false;
	set_state(child, CHILD_ABSENT);
}
