#include "supervisor/upgrade.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "supervisor/held_bus.h"
#include "supervisor/spawn.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { QUIET_MS = 5000, LOOK_MS = 10, FIRST_LOOK_MS = 50 /* the answer leaves */, CHECK_MS = 5000 };

const char *upgrade_state_name(enum upgrade_state state)
{
	switch (state) {
	case UPGRADE_NONE:
		return "none";
	case UPGRADE_LEAVING:
		return "leaving";
	case UPGRADE_RISING:
		return "rising";
	case UPGRADE_DONE:
		return "done";
	case UPGRADE_BACK:
		return "back";
	}
	return "unknown";
}

/* ---- taking over ---- */

/* Our own program; after going back the path that was ours before. */
static void find_own_program(struct upgrade *u)
{
	if (u->state == UPGRADE_BACK) {
		memcpy(u->program, u->former->program, sizeof u->program);
	} else {
		ssize_t len = readlink("/proc/self/exe", u->program, sizeof u->program - 1);
		if (len <= 0)
			fatal("cannot read /proc/self/exe: %s", strerror(errno));
		u->program[len] = '\0';
	}
	u->program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
}

void upgrade_begin(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	char reason[HANDOVER_REASON_MAX + 1];
	uv_timer_init(s->loop, &u->timer);
	u->timer.data = s;
	u->former = handover_take(reason);
	if (*reason != '\0')
		log_warn("nothing taken over", "reason=\"%s\"", reason);
	if (u->former != NULL) {
		u->state = u->former->back ? UPGRADE_BACK : UPGRADE_RISING;
		snprintf(u->from, sizeof u->from, "%s", u->former->version);
		snprintf(u->to, sizeof u->to, "%s", ringside_version);
		snprintf(u->reason, sizeof u->reason, "%s", u->former->reason);
	}
	find_own_program(u);
}

void upgrade_take_sockets(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	if (u->former != NULL) {
		s->fleet.sockets = u->former->sockets;
		s->fleet.sockets_count = u->former->sockets_count;
	} else {
		s->fleet.sockets_count = handover_listen_fds(&u->listen_fds);
		s->fleet.sockets = u->listen_fds;
	}
}

void upgrade_drop_sockets(struct supervisor *s)
{
	fleet_drop_sockets(&s->fleet);
	free(s->upgrade.listen_fds);
	s->upgrade.listen_fds = NULL;
}

/* False: there is none that is to be used. */
static bool former_settings(const struct upgrade *u, struct settings *settings)
{
	char reason[SETTINGS_REASON_MAX];
	settings_init(settings);
	if (u->former != NULL &&
	    settings_from_text(settings, span_str(u->former->settings), reason))
		return true;
	settings_finish(settings);
	return false;
}

bool upgrade_settings(const struct supervisor *s, struct settings *settings)
{
	return s->upgrade.state == UPGRADE_BACK && former_settings(&s->upgrade, settings);
}

void upgrade_keep_token(struct supervisor *s)
{
	struct settings former;
	char reason[SETTINGS_REASON_MAX];
	if (!s->settings.newest->dev || *s->settings.newest->bet_sync_token != '\0' ||
	    !former_settings(&s->upgrade, &former))
		return;
	check(settings_renew_key(&s->settings.newest, SPAN("bet_sync.token"),
	                         span_str(former.bet_sync_token), reason));
	settings_finish(&former);
}

static pid_t pid_of(const json_t *program)
{
	return (pid_t)json_integer_value(json_object_get(program, "pid"));
}

static bool took_program(const struct handover *former, pid_t pid)
{
	size_t i;
	const json_t *program;
	json_array_foreach (former->started, i, program)
		if (pid_of(program) == pid)
			return true;
	return false;
}

static void take_programs(struct supervisor *s)
{
	size_t i;
	const json_t *program;
	json_array_foreach (s->upgrade.former->started, i, program) {
		const char *name = json_string_value(json_object_get(program, "name")),
		           *subject = json_string_value(json_object_get(program, "subject"));
		if (pid_of(program) > 0 && name != NULL && subject != NULL)
			programs_adopt(&s->programs, pid_of(program), name, subject);
	}
}

bool upgrade_took(const struct supervisor *s, pid_t pid)
{
	const struct handover *former = s->upgrade.former;
	for (unsigned i = 0; former != NULL && i < former->workers_count; i++)
		if (former->workers[i].pid == pid)
			return true;
	return former != NULL && took_program(former, pid);
}

/* This release has no place for such a worker. */
static void let_go(const struct handover_worker *worker)
{
	log_warn("worker of another release is not wanted", "worker=%s-%u pid=%d", worker->role,
	         worker->slot, (int)worker->pid);
	kill(-worker->pid, SIGKILL);
	if (worker->bus_fd >= 0)
		close(worker->bus_fd);
}

void upgrade_take_workers(struct supervisor *s)
{
	const struct handover *former = s->upgrade.former;
	size_t i;
	const json_t *line;
	if (former == NULL)
		return;
	json_array_foreach (former->events, i, line)
		if (json_is_string(line))
			events_keep(&s->events, json_string_value(line));
	s->fleet.life.generation = former->generation;
	s->upgrade.took_workers = true;
	take_programs(s);
	for (i = 0; i < former->workers_count; i++) {
		const struct handover_worker *w = &former->workers[i];
		if (w->pid > 0 && (w->bus_fd < 0 ||
		                   !fleet_adopt(&s->fleet, w->role, w->slot, w->pid, w->generation,
		                                w->bus_fd, w->confined, w->serves)))
			let_go(w);
	}
	if (s->upgrade.state == UPGRADE_BACK)
		events_emit(&s->events, LOG_LEVEL_ERROR, "rolled-back",
		            json_pack("{s:s, s:s, s:s}", "from", s->upgrade.from, "to",
		                      s->upgrade.to, "reason", s->upgrade.reason));
	else
		events_emit(&s->events, LOG_LEVEL_INFO, "taken-over",
		            json_pack("{s:s, s:s, s:i}", "from", s->upgrade.from, "to",
		                      s->upgrade.to, "workers", (int)former->workers_count));
}

/* ---- what is left ---- */

static void keep_line(void *arg, const char *line)
{
	json_array_append_new(arg, json_string(line));
}

static void gather_sockets(const struct fleet *fleet, struct handover *h)
{
	const struct listeners *listeners = &fleet->life.listeners;
	for (unsigned i = 0; i < fleet->sockets_count; i++)
		if (!fleet->sockets[i].taken)
			handover_add_socket(h, fleet->sockets[i].fd, fleet->sockets[i].slot);
	for (unsigned i = 0; i < listeners->count; i++) {
		const struct listener *listener = &listeners->each[i];
		if (listener->shared >= 0) {
			handover_add_socket(h, listener->shared, LISTENER_SHARED);
			continue;
		}
		for (unsigned j = 0; j < listener->count; j++)
			handover_add_socket(h, listener->fds[listener->order[j]],
			                    listener->order[j]);
	}
}

static void gather_workers(const struct fleet *fleet, struct handover *h)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet->children[i];
		int bus_fd = child->peer != NULL   ? peer_fd(child->peer)
		             : child->held != NULL ? held_bus_fd(child->held)
		                                   : -1;
		if (child->pid == 0 || bus_fd < 0)
			continue;
		struct handover_worker *w = &h->workers[h->workers_count++];
		*w = (struct handover_worker){.slot = child->slot,
		                              .generation = child->generation,
		                              .pid = child->pid,
		                              .bus_fd = bus_fd,
		                              .confined = child->confined,
		                              .serves = child->state == CHILD_READY};
		snprintf(w->role, sizeof w->role, "%s", child->role->name);
	}
}

static void keep_program(void *arg, pid_t pid, const char *name, const char *subject)
{
	json_array_append_new(arg, json_pack("{s:i, s:s, s:s}", "pid", (int)pid, "name", name,
	                                     "subject", subject));
}

static struct handover *gather(struct supervisor *s)
{
	struct handover *h = handover_create();
	const struct settings *settings = s->settings.newest;
	snprintf(h->version, sizeof h->version, "%s", ringside_version);
	h->settings = settings_text(settings);
	snprintf(h->program, sizeof h->program, "%s", s->upgrade.program);
	h->program_fd = s->upgrade.program_fd;
	memcpy(h->programs, s->fleet.life.programs, sizeof h->programs);
	h->run_lock_fd = s->instance.run_lock_fd;
	h->data_lock_fd = s->instance.data_lock_fd;
	h->admin_fd = admin_fd(s->admin);
	h->generation = s->fleet.life.generation;
	gather_sockets(&s->fleet, h);
	gather_workers(&s->fleet, h);
	events_each(&s->events, keep_line, h->events);
	programs_each(&s->programs, keep_program, h->started);
	return h;
}

/* Returns when it has failed, with errno. */
static void become(struct supervisor *s, const char *program, int program_fd, struct handover *h)
{
	const struct options *options = &s->options;
	char **argv = xcalloc((size_t)options->argc + 3, sizeof *argv), run[] = "run";
	argv[0] = xmemdup_text(program, strlen(program));
	argv[1] = run;
	for (int i = 0; i < options->argc; i++)
		argv[2 + i] = options->argv[i];
	if (handover_leave(h)) {
		if (program_fd >= 0)
			execveat(program_fd, "", argv, environ, AT_EMPTY_PATH);
		else
			execve(program, argv, environ);
		handover_keep(h);
	}
	int error = errno;
	free(argv[0]);
	free(argv);
	errno = error;
}

/* ---- leaving ---- */

static bool all_sent(const struct fleet *fleet)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].peer != NULL && !peer_all_sent(fleet->children[i].peer))
			return false;
	return true;
}

static void stay(struct supervisor *s, const char *reason)
{
	s->upgrade.state = UPGRADE_NONE;
	s->upgrade.holding = false;
	process_release_signals();
	snprintf(s->upgrade.reason, sizeof s->upgrade.reason, "%s", reason);
	events_emit(&s->events, LOG_LEVEL_ERROR, "upgrade-refused",
	            json_pack("{s:s, s:s}", "program", s->upgrade.next, "reason", reason));
}

static void on_leaving(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	struct upgrade *u = &s->upgrade;
	bool quiet = fleet_tally(&s->fleet).settled && all_sent(&s->fleet) &&
	             s->reaping_in == NULL && !programs_starting(&s->programs);
	if (s->stopping) {
		stay(s, "it ends");
	} else if (quiet && !u->holding) {
		/* What was sent before is heard in a turn of the loop; what comes now waits for the
		 * next program. */
		u->holding = true;
		process_hold_signals();
		uv_timer_start(timer, on_leaving, LOOK_MS, 0);
	} else if (quiet) {
		struct handover *h = gather(s);
		events_emit(&s->events, LOG_LEVEL_INFO, "upgrading",
		            json_pack("{s:s, s:s}", "program", u->next, "from", ringside_version));
		become(s, u->next, -1, h);
		stay(s, strerror(errno));
		handover_free(&h);
	} else if (clock_monotonic_ms() >= u->due_ms) {
		stay(s, "workers have been starting, or have not read their bus, for five seconds");
	} else {
		uv_timer_start(timer, on_leaving, LOOK_MS, 0);
	}
}

static void start_timer(struct supervisor *s, uv_timer_cb on_timer, uint64_t in_ms)
{
	s->upgrade.due_ms = clock_monotonic_ms() + QUIET_MS;
	uv_timer_start(&s->upgrade.timer, on_timer, in_ms, 0);
}

void upgrade_leave(struct supervisor *s, const char *program)
{
	handover_free(&s->upgrade.former);
	s->upgrade.state = UPGRADE_LEAVING;
	*s->upgrade.reason = '\0';
	snprintf(s->upgrade.next, sizeof s->upgrade.next, "%s", program);
	start_timer(s, on_leaving, FIRST_LOOK_MS);
}

/* ---- going back ---- */

static void close_former(struct upgrade *u)
{
	if (u->former->program_fd >= 0)
		close(u->former->program_fd);
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (u->former->programs[i] >= 0)
			close(u->former->programs[i]);
	handover_free(&u->former);
}

/* There is no way back: goes on with what there is. */
static void stay_here(struct supervisor *s)
{
	s->upgrade.state = UPGRADE_DONE;
	upgrade_drop_sockets(s);
	close_former(&s->upgrade);
	fleet_restart(&s->fleet, NULL);
}

bool upgrade_goes_back(const struct supervisor *s)
{
	return s->upgrade.state == UPGRADE_RISING && *s->upgrade.reason != '\0';
}

/* A text that was cut within a character is no JSON, and must not prevent the way back. */
static void say_plainly(char out[HANDOVER_REASON_MAX + 1], const char *reason)
{
	size_t len = strnlen(reason, HANDOVER_REASON_MAX);
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)reason[i] < 128 ? reason[i] : '?';
	out[len] = '\0';
}

void upgrade_give_back(struct supervisor *s, const char *reason)
{
	struct upgrade *u = &s->upgrade;
	if (u->state != UPGRADE_RISING || u->former->program_fd < 0)
		return;
	log_error("upgrade given back", "from=%s to=%s reason=\"%s\"", u->to, u->from, reason);
	/* Before the fleet has its workers, all is still as it was left. */
	struct handover *h = u->took_workers ? gather(s) : u->former;
	struct handover *former = u->former;
	h->back = true;
	h->format = former->format;
	say_plainly(h->reason, reason);
	snprintf(h->version, sizeof h->version, "%s", ringside_version);
	if (h != former) {
		memcpy(h->program, former->program, sizeof h->program);
		memcpy(h->programs, former->programs, sizeof h->programs);
		h->program_fd = former->program_fd;
		free(h->settings);
		h->settings = xmemdup_text(former->settings, strlen(former->settings));
	}
	process_hold_signals();
	become(s, h->program, h->program_fd, h);
	log_error("cannot give back", "error=\"%s\"", strerror(errno));
	memcpy(u->reason, h->reason, sizeof u->reason);
	if (h == former)
		return; /* nothing serves, and whoever asked for this ends */
	handover_free(&h);
	stay_here(s);
	process_release_signals();
}

static void on_giving_back(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	if (s->stopping)
		return;
	if (all_sent(&s->fleet) || clock_monotonic_ms() >= s->upgrade.due_ms)
		upgrade_give_back(s, s->upgrade.reason);
	else
		uv_timer_start(timer, on_giving_back, LOOK_MS, 0);
}

void upgrade_look(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	if (u->state != UPGRADE_RISING || *u->reason != '\0')
		return;
	const struct child *failed = s->fleet.start_failed;
	struct fleet_tally tally = fleet_tally(&s->fleet);
	if (failed != NULL || s->fleet.halted || tally.failed != 0) {
		if (failed != NULL)
			snprintf(u->reason, sizeof u->reason, "%s: %.440s", failed->name,
			         *failed->refusal != '\0' ? failed->refusal : failed->last_exit);
		else
			snprintf(u->reason, sizeof u->reason, "a worker fails too often");
		start_timer(s, on_giving_back, 0);
	} else if (tally.settled && !fleet_holds(&s->fleet)) {
		u->state = UPGRADE_DONE;
		upgrade_drop_sockets(s);
		close_former(u);
		events_emit(&s->events, LOG_LEVEL_INFO, "upgraded",
		            json_pack("{s:s, s:s, s:i}", "from", u->from, "to", u->to, "workers",
		                      (int)tally.ready));
	}
}

/* ---- asking the other ---- */

struct asking {
	char **argv; /* argv[0]: the program's path */
	int out;
};

static void run_check(void *arg)
{
	const struct asking *asking = arg;
	dup2(asking->out, STDOUT_FILENO);
	dup2(asking->out, STDERR_FILENO);
	spawn_let_go(STDERR_FILENO + 1);
	execve(asking->argv[0], asking->argv, environ);
	_exit(SPAWN_EXEC_FAILED);
}

/* All that is printed until the other end is closed; false: it took too long. */
static bool read_answer(int fd, uint64_t end_ms, char *text, size_t room)
{
	uint64_t now_ms;
	size_t len = 0;
	ssize_t n = 1;
	while (n > 0 && (now_ms = clock_monotonic_ms()) < end_ms) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		char more[4096];
		if (poll(&poller, 1, (int)(end_ms - now_ms)) <= 0)
			continue;
		n = read(fd, more, sizeof more);
		for (ssize_t i = 0; i < n && len < room - 1; i++)
			text[len++] = more[i];
	}
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	text[len] = '\0';
	return n == 0;
}

/* False: it did not end by itself. Nothing of it is left. */
static bool await_end(pid_t pid, uint64_t end_ms, int *status)
{
	pid_t ended;
	while ((ended = waitpid(pid, status, WNOHANG)) == 0 && clock_monotonic_ms() < end_ms)
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	kill(-pid, SIGKILL); /* it leads a group of its own */
	while (ended == 0 && waitpid(pid, status, 0) < 0 && errno == EINTR) {
	}
	return ended == pid;
}

static pid_t start_check(const struct supervisor *s, const char *program, int out)
{
	char format[16], check_upgrade[] = "check-upgrade";
	const struct options *options = &s->options;
	const struct settings *settings = s->settings.newest;
	char **argv = xcalloc((size_t)options->argc + 6, sizeof *argv);
	snprintf(format, sizeof format, "%d", HANDOVER_FORMAT);
	argv[0] = xmemdup_text(program, strlen(program));
	argv[1] = check_upgrade;
	argv[2] = format;
	argv[3] = xmemdup_text(settings->run_dir, strlen(settings->run_dir));
	argv[4] = xmemdup_text(settings->data_dir, strlen(settings->data_dir));
	for (int i = 0; i < options->argc; i++)
		argv[5 + i] = options->argv[i];
	struct asking asking = {argv, out};
	pid_t pid = spawn_fork(run_check, &asking);
	free(argv[0]);
	free(argv[3]);
	free(argv[4]);
	free(argv);
	return pid;
}

bool upgrade_check(const struct supervisor *s, const char *program, char version[64],
                   char reason[HANDOVER_REASON_MAX + 1])
{
	int ends[2], status = 0;
	*reason = '\0';
	if (pipe2(ends, O_CLOEXEC) != 0) {
		snprintf(reason, HANDOVER_REASON_MAX + 1, "%s", strerror(errno));
		return false;
	}
	uint64_t end_ms = clock_monotonic_ms() + CHECK_MS;
	pid_t pid = start_check(s, program, ends[1]);
	close(ends[1]);
	bool answered = pid > 0 && read_answer(ends[0], end_ms, reason, HANDOVER_REASON_MAX + 1);
	close(ends[0]);
	answered = pid > 0 && await_end(pid, end_ms, &status) && answered;
	if (!answered)
		snprintf(reason, HANDOVER_REASON_MAX + 1, "%.300s did not answer within 5 s",
		         program);
	else if (!WIFEXITED(status))
		snprintf(reason, HANDOVER_REASON_MAX + 1, "%.300s was killed", program);
	else if (WEXITSTATUS(status) == SPAWN_EXEC_FAILED)
		snprintf(reason, HANDOVER_REASON_MAX + 1, "cannot execute %.300s", program);
	if (!answered || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return false;
	snprintf(version, 64, "%.63s", reason);
	return true;
}
