#include "supervisor/run.h"
#include "common/base/cgroup.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "common/store/store.h"
#include "common/store/tables.h"
#include "proto/roles.h"
#include "supervisor/admin_commands.h"
#include "supervisor/cpus.h"
#include "supervisor/dev_tokens.h"
#include "supervisor/inbox.h"
#include "supervisor/limits.h"
#include "supervisor/medium.h"
#include "supervisor/reap.h"
#include "supervisor/sandbox.h"
#include "supervisor/supervisor.h"
#include "supervisor/survey.h"
#include "supervisor/tell.h"
#include "supervisor/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UPKEEP_MS = 60000 };

/* ---- stale reader slots ---- */

/* Off the loop: the lock it takes may be held by a process that hangs, which only the loop can
 * kill. */
static void reap_readers(uv_work_t *work)
{
	struct supervisor *s = work->data;
	store_reap_readers(s->reaping_in->data_dir);
}

static void on_readers_reaped(uv_work_t *work, int status)
{
	struct supervisor *s = work->data;
	(void)status;
	settings_drop(&s->reaping_in);
}

static void free_readers(struct supervisor *s)
{
	if (s->reaping_in != NULL || s->stopping)
		return;
	s->reaping.data = s;
	s->reaping_in = settings_keep(s->settings.newest);
	if (uv_queue_work(s->loop, &s->reaping, reap_readers, on_readers_reaped) != 0)
		settings_drop(&s->reaping_in);
}

/* ---- children ---- */

static void on_child_exit(void *arg, pid_t pid, int status)
{
	struct supervisor *s = arg;
	if (!fleet_exited(&s->fleet, pid, status) && !programs_exited(&s->programs, pid, status))
		log_debug("orphan reaped", "pid=%d", (int)pid);
}

static void note_foreign(void *arg, pid_t pid)
{
	struct supervisor *s = arg;
	if (s->foreign_count < SUPERVISOR_FOREIGN_MAX && !upgrade_took(s, pid))
		s->foreign[s->foreign_count++] = pid;
}

static bool is_foreign(const struct supervisor *s, pid_t pid)
{
	for (unsigned i = 0; i < s->foreign_count; i++)
		if (s->foreign[i] == pid)
			return true;
	return false;
}

/* What escaped from a worker's process group was handed to us, its subreaper. As PID 1 we are also
 * given what people start in the container, which is not ours to kill. */
static void kill_orphan(void *arg, pid_t pid)
{
	struct supervisor *s = arg;
	if (fleet_owns(&s->fleet, pid) || programs_own(&s->programs, pid) || is_foreign(s, pid))
		return;
	log_warn("orphan killed", "pid=%d", (int)pid);
	kill(pid, SIGKILL);
}

static void look_after_children(struct supervisor *s)
{
	reap_exited(on_child_exit, s);
	if (getpid() != 1)
		reap_each_child(kill_orphan, s);
	fleet_step(&s->fleet);
}

/* ---- signals and timers ---- */

static void on_event_line(void *arg, const char *line)
{
	struct supervisor *s = arg;
	if (s->admin != NULL)
		admin_event(s->admin, line);
}

/* Once for all that have come: a flood of them must not keep the loop from all else. */
static void on_rereading(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	char reason[SETTINGS_REASON_MAX];
	json_t *report;
	if (!s->stopping && supervisor_reload(s, &report, reason))
		json_decref(report);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct supervisor *s = handle->data;
	switch (number) {
	case SIGCHLD:
		look_after_children(s);
		free_readers(s);
		break;
	case SIGTERM:
		supervisor_stop(s, "SIGTERM");
		break;
	case SIGINT:
		supervisor_stop(s, "SIGINT");
		break;
	case SIGHUP:
		uv_timer_start(&s->rereading, on_rereading, 0, 0);
		break;
	case SIGUSR1:
		supervisor_reopen_log(s);
		break;
	}
}

static void on_upkeep(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	look_after_children(s);
	free_readers(s);
}

static void on_watchdog(uv_timer_t *timer)
{
	struct supervisor *s = timer->data;
	notify_send(&s->notify, "WATCHDOG=1");
}

static void start_handles(struct supervisor *s)
{
	static const int numbers[SUPERVISOR_SIGNALS] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	uv_timer_init(s->loop, &s->rereading);
	s->rereading.data = s;
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++) {
		check(uv_signal_init(s->loop, &s->signals[i]) == 0);
		s->signals[i].data = s;
		check(uv_signal_start(&s->signals[i], on_signal, numbers[i]) == 0);
	}
	uv_timer_init(s->loop, &s->upkeep);
	s->upkeep.data = s;
	uv_timer_start(&s->upkeep, on_upkeep, UPKEEP_MS, UPKEEP_MS);
	uv_timer_init(s->loop, &s->watchdog);
	s->watchdog.data = s;
	if (s->notify.watchdog_ms != 0)
		uv_timer_start(&s->watchdog, on_watchdog, 0, s->notify.watchdog_ms);
	process_release_signals();
}

/* ---- starting and ending ---- */

/* Before log.file is in use: said where it was started. Whoever has taken over gives back. */
static noreturn void refuse_start(struct supervisor *s, int code, const char *reason)
{
	upgrade_give_back(s, reason);
	log_error("cannot-start", "reason=\"%s\"", reason);
	exit(code);
}

static void compare_limits(struct supervisor *s, unsigned cpus)
{
	const struct settings *settings = s->settings.newest;
	char reason[SETTINGS_REASON_MAX];
	struct limits limits;
	const struct plan plan = plan_make(settings, cpus, false, true);
	limits_read(&limits);
	if (!limits_suffice(&limits, settings, plan_total(&plan), reason, sizeof reason))
		refuse_start(s, EXIT_USAGE, reason);
	/* A connection is a descriptor. */
	if (limits.files < settings->limits_connections + 1024)
		log_info("fewer descriptors than connections allowed",
		         "nofile=%llu limits.connections=%llu", (unsigned long long)limits.files,
		         (unsigned long long)settings->limits_connections);
	if (limits.file_bytes < tables_map_room(settings->store_map_bytes))
		log_warn("data.mdb cannot become as large as allowed",
		         "fsize=%llu store.map_bytes=%llu map_bytes_used=%llu",
		         (unsigned long long)limits.file_bytes,
		         (unsigned long long)settings->store_map_bytes,
		         (unsigned long long)tables_map_within(limits.file_bytes));
}

static void look_at_medium(const struct settings *settings)
{
	struct medium medium;
	if (medium_of_path_is_doubtful(settings->data_dir, &medium))
		log_warn("data_dir is no place for what must last",
		         "data_dir=%s filesystem=%s why=\"%s\"", settings->data_dir, medium.name,
		         medium.warning);
}

/* It would be served, take no write, and count as this node's own. */
static void look_at_copy(struct supervisor *s)
{
	const struct settings *settings = s->settings.newest;
	char reason[SETTINGS_REASON_MAX];
	if (settings_follows(settings) || !store_is_replica(settings->data_dir))
		return;
	snprintf(reason, sizeof reason,
	         "data_dir: %.300s is a copy of another node's store: set cluster.follow, or "
	         "ringsidectl cluster leave",
	         settings->data_dir);
	refuse_start(s, EXIT_USAGE, reason);
}

/* Workers close themselves in at each start; whether they can is said once. */
static void look_at_sandbox(struct supervisor *s)
{
	const struct settings *settings = s->settings.newest;
	char missing[256], reason[SETTINGS_REASON_MAX];
	if (strcmp(settings->sandbox, "off") == 0 || sandbox_usable(missing))
		return;
	if (strcmp(settings->sandbox, "required") == 0) {
		snprintf(reason, sizeof reason, "sandbox: required, but this kernel has %s",
		         missing);
		refuse_start(s, EXIT_USAGE, reason);
	}
	log_warn("workers see all files", "sandbox=auto why=\"%s\"", missing);
}

/* Beside our own, wherever it was executed. After another build has given back to us it stands in
 * their places: those that were kept open are ours. */
static void find_programs(struct supervisor *s)
{
	struct life *life = &s->fleet.life;
	const struct upgrade *u = &s->upgrade;
	char path[HANDOVER_PATH_MAX];
	memcpy(path, u->program, sizeof path);
	snprintf(life->program_dir, sizeof life->program_dir, "%s", dirname(path));
	life->pinned = u->state == UPGRADE_BACK;
	if (life->pinned)
		memcpy(life->programs, u->former->programs, sizeof life->programs);
	else
		life_open_programs(life);
}

/* Later a program may be missing for the moment in which it is replaced; not at a start. */
static void look_for_programs(struct supervisor *s)
{
	const struct fleet *fleet = &s->fleet;
	const struct plan plan = plan_make(fleet->life.settings->newest, fleet->cpus, false, true);
	char path[4400], reason[SETTINGS_REASON_MAX];
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		life_find_program(&fleet->life, &roles[i], path, sizeof path);
		if (plan.counts[i] == 0 || fleet->life.pinned || access(path, X_OK) == 0)
			continue;
		snprintf(reason, sizeof reason, "cannot execute %.300s: %s", path, strerror(errno));
		refuse_start(s, EXIT_USAGE, reason);
	}
}

static void use_log_settings(const struct settings *settings)
{
	enum log_level level;
	check(log_level_parse(settings->log_level, &level));
	log_set_level(level);
	log_set_json(strcmp(settings->log_format, "json") == 0);
	log_set_buffer(settings->log_buffer_bytes);
}

static void warn_of(void *arg, const char *doubt)
{
	(void)arg;
	log_warn("doubtful setting", "what=\"%s\"", doubt);
}

static void warn_of_token(void *arg, bool certain, const char *text)
{
	(void)arg;
	log_warn(certain ? "token that can be guessed" : "doubtful setting", "what=\"%s\"", text);
}

static void on_certificates(void *arg)
{
	tell_listen(&((struct supervisor *)arg)->fleet);
}

static bool read_certificates(struct supervisor *s, char reason[TLS_FILES_REASON_MAX])
{
	s->tls = tls_files_create(s->loop, &s->settings, &s->events, on_certificates, s, reason);
	s->fleet.life.tls = s->tls;
	errno = s->tls == NULL ? EINVAL : 0;
	return s->tls != NULL;
}

/* Those of the one whose place we take are locked already (check-upgrade: they are the same). */
static bool claim_directories(struct supervisor *s, char *reason, size_t room)
{
	const struct settings *settings = s->settings.newest;
	const struct handover *former = s->upgrade.former;
	if (former == NULL)
		return instance_claim(&s->instance, settings->run_dir, settings->data_dir, reason,
		                      room);
	instance_take_over(&s->instance, settings->run_dir, former->run_lock_fd,
	                   former->data_lock_fd);
	return true;
}

static void prepare(struct supervisor *s)
{
	char reason[SETTINGS_REASON_MAX];
	unsigned cpus = cpus_usable("", cpus_affinity());
	use_log_settings(s->settings.newest);
	reap_each_child(note_foreign, s);
	log_info("starting", "version=%s pid=%d data_dir=%s run_dir=%s", ringside_version,
	         (int)getpid(), s->settings.newest->data_dir, s->settings.newest->run_dir);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	process_raise_limits();
	compare_limits(s, cpus);
	look_at_medium(s->settings.newest);
	look_at_copy(s);
	look_at_sandbox(s);
	options_doubts(&s->options, s->loaded, warn_of, NULL);
	survey_access(s->loaded, s->options.config, warn_of_token, NULL);
	tokens_judge(s->loaded, warn_of_token, NULL);
	s->fleet = (struct fleet){.life = {.loop = s->loop,
	                                   .settings = &s->settings,
	                                   .events = &s->events,
	                                   .on_message = inbox_dispatch,
	                                   .message_arg = s},
	                          .on_change = supervisor_look,
	                          .arg = s,
	                          .cpus = cpus,
	                          .memory_bytes = cgroup_memory_bytes("")};
	s->programs =
	        (struct programs){.loop = s->loop, .settings = &s->settings, .events = &s->events};
	find_programs(s);
	look_for_programs(s);
	if (!claim_directories(s, reason, sizeof reason))
		refuse_start(s, process_exit_code(errno), reason);
	upgrade_take_sockets(s);
	s->admin = admin_create(&s->fleet, s->settings.newest->run_dir,
	                        s->upgrade.former != NULL ? s->upgrade.former->admin_fd : -1,
	                        admin_command, s, reason, sizeof reason);
	bool ok = s->admin != NULL && dev_tokens_make(&s->settings, reason, sizeof reason) &&
	          read_certificates(s, reason) && fleet_init(&s->fleet, reason, sizeof reason);
	/* Only now: what prevents a start is said where it was started, and a second instance does
	 * not write into the first one's file. */
	if (ok && *s->settings.newest->log_file != '\0')
		s->console_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	if (ok && !log_open(s->settings.newest->log_file)) {
		int error = errno;
		snprintf(reason, sizeof reason, "cannot open log.file %.300s: %s",
		         s->settings.newest->log_file, strerror(error));
		errno = error;
		ok = false;
	}
	if (!ok) {
		int code = process_exit_code(errno);
		upgrade_give_back(s, reason);
		tls_files_destroy(&s->tls);
		admin_destroy(&s->admin);
		instance_release(&s->instance);
		refuse_start(s, code, reason);
	}
	s->events.on_line = on_event_line;
	s->events.arg = s;
	upgrade_take_workers(s);
	/* What has served once was never down in between. */
	if (s->upgrade.former != NULL)
		atomic_store(&s->fleet.counters->booted, 1);
}

static void reap_rest(void *arg, pid_t pid)
{
	const struct supervisor *s = arg;
	/* What the hub started goes on: our end must not disturb an agent. */
	if (is_foreign(s, pid) || programs_own(&s->programs, pid))
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Nothing of ours may be left when we are gone. */
static void finish(struct supervisor *s)
{
	fleet_kill(&s->fleet);
	if (getpid() != 1)
		reap_each_child(reap_rest, s);
	events_emit(&s->events, LOG_LEVEL_INFO, "stopped", NULL);
	s->events.on_line = NULL;
	admin_destroy(&s->admin);
	programs_finish(&s->programs);
	fleet_finish(&s->fleet);
	tls_files_destroy(&s->tls);
	uv_walk(s->loop, close_handle, NULL);
	uv_run(s->loop, UV_RUN_DEFAULT);
	if (s->console_fd >= 0)
		close(s->console_fd);
	instance_release(&s->instance);
	notify_finish(&s->notify);
	events_finish(&s->events);
	settings_drop(&s->loaded);
	settings_drop(&s->settings.newest);
}

int run_supervisor(const struct options *options)
{
	static struct supervisor supervisor;
	struct supervisor *s = &supervisor;
	char reason[SETTINGS_REASON_MAX];
	log_init("ringside");
	prctl(PR_SET_NAME, "ringside"); /* executed by a descriptor it would be that one's number */
	s->options = *options;
	s->console_fd = -1;
	s->loop = uv_default_loop();
	upgrade_begin(s);
	struct settings loaded;
	bool given_back = upgrade_settings(s, &loaded);
	if (!given_back && !options_load(options, &loaded, reason)) {
		upgrade_give_back(s, reason);
		fprintf(stderr, "ringside: %s\n", reason);
		return EXIT_USAGE;
	}
	char *rows = given_back
	                     ? xmemdup_text(loaded.auth_token_rows, strlen(loaded.auth_token_rows))
	                     : tokens_in_effect(options, &loaded, reason);
	if (rows == NULL) {
		upgrade_give_back(s, reason);
		fprintf(stderr, "ringside: %s\n", reason);
		settings_finish(&loaded);
		return EXIT_USAGE;
	}
	s->loaded = settings_freeze(&loaded);
	s->settings.newest = settings_keep(s->loaded);
	check(settings_renew_key(&s->settings.newest, SPAN("auth.token_rows"), span_str(rows),
	                         reason));
	free(rows);
	upgrade_keep_token(s);
	s->started_ms = clock_monotonic_ms();
	notify_init(&s->notify);
	prepare(s);
	start_handles(s);
	/* Who has ended meanwhile said so to nobody. */
	if (s->upgrade.state != UPGRADE_RISING)
		upgrade_drop_sockets(s);
	if (s->upgrade.former != NULL)
		look_after_children(s);
	else
		fleet_step(&s->fleet);
	uv_run(s->loop, UV_RUN_DEFAULT);
	finish(s);
	return s->exit_code;
}
