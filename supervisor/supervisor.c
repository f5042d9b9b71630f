#include "supervisor/supervisor.h"
#include "supervisor/survey.h"
#include "common/base/clock.h"
#include "proto/roles.h"
#include "supervisor/cpus.h"
#include "supervisor/reload.h"
#include "supervisor/tell.h"
#include "supervisor/tokens.h"

#include <unistd.h>

/* ---- what the outside is told ---- */

static void tell_status(struct supervisor *s)
{
	struct fleet_tally tally = fleet_tally(&s->fleet);
	char status[sizeof s->status];
	snprintf(status, sizeof status, "%u of %u workers ready%s", tally.ready, tally.wanted,
	         s->stopping         ? ", stopping"
	         : tally.failed != 0 ? ", some failed"
	                             : "");
	if (strcmp(status, s->status) == 0)
		return;
	memcpy(s->status, status, sizeof status);
	notify_send(&s->notify, "STATUS=%s", status);
}

/* What prevents the first start is said where it was started, too. */
static void tell_console(const struct supervisor *s, const char *reason)
{
	if (s->console_fd >= 0)
		dprintf(s->console_fd, "ringside: cannot start: %s\n", reason);
}

static void close_console(struct supervisor *s)
{
	if (s->console_fd >= 0)
		close(s->console_fd);
	s->console_fd = -1;
}

static void announce(struct supervisor *s, const struct fleet_tally *tally)
{
	s->announced = true;
	close_console(s);
	events_emit(&s->events, LOG_LEVEL_INFO, "ready",
	            json_pack("{s:s, s:i, s:i}", "url", listeners_url(&s->fleet.life.listeners),
	                      "workers", (int)tally->ready, "pid", (int)getpid()));
	notify_send(&s->notify, "READY=1\nMAINPID=%d", (int)getpid());
}

/* What no restart of a worker can mend, and what none has mended for too long. */
static void act_on_hopeless(struct supervisor *s)
{
	const struct child *refused = s->fleet.refused;
	if (refused != NULL) {
		s->exit_code = EXIT_USAGE;
		events_emit(&s->events, LOG_LEVEL_ERROR, "cannot-start",
		            json_pack("{s:s, s:s}", "worker", refused->name, "reason",
		                      refused->refusal));
		tell_console(s, refused->refusal);
		notify_send(&s->notify, "STATUS=cannot start: %s", refused->refusal);
		supervisor_stop(s, "a worker cannot start");
	} else if (s->fleet.gave_up) {
		s->exit_code = EXIT_FAILED;
		events_emit(&s->events, LOG_LEVEL_ERROR, "gave-up",
		            json_pack("{s:I}", "after_ms",
		                      (json_int_t)s->settings.newest->worker_give_up_ms));
		supervisor_stop(s, "nothing has served for worker.give_up");
	}
}

void supervisor_look(void *arg)
{
	struct supervisor *s = arg;
	struct fleet_tally tally = fleet_tally(&s->fleet);
	tell_status(s);
	if (s->admin != NULL)
		admin_refuse_lost(s->admin);
	if (!s->stopping)
		upgrade_look(s);
	if (s->stopping) {
		if (tally.processes == 0)
			uv_stop(s->loop);
		return;
	}
	if (!upgrade_goes_back(s))
		act_on_hopeless(s);
	if (s->stopping)
		return;
	if (!tally.settled)
		return;
	if (tally.failed == 0)
		atomic_store(&s->fleet.counters->booted, 1);
	if (!s->announced && tally.listening_ready > 0)
		announce(s, &tally);
	if (s->reloading) {
		s->reloading = false;
		notify_send(&s->notify, "READY=1");
	}
	if (s->admin != NULL)
		admin_settled(s->admin);
}

/* ---- what it is asked to do ---- */

void supervisor_kill(struct supervisor *s, const char *why)
{
	if (!s->stopping)
		supervisor_stop(s, why);
	events_emit(&s->events, LOG_LEVEL_WARN, "cut", json_pack("{s:s}", "why", why));
	fleet_kill(&s->fleet);
}

void supervisor_stop(struct supervisor *s, const char *why)
{
	if (s->stopping) {
		supervisor_kill(s, why);
		return;
	}
	s->stopping = true;
	events_emit(&s->events, LOG_LEVEL_INFO, "stopping",
	            json_pack("{s:s, s:I}", "why", why, "within_ms",
	                      (json_int_t)s->settings.newest->worker_drain_ms));
	notify_send(&s->notify, "STOPPING=1");
	fleet_stop(&s->fleet, clock_monotonic_ms() + s->settings.newest->worker_drain_ms);
}

void supervisor_reopen_log(struct supervisor *s)
{
	if (*s->settings.newest->log_file == '\0')
		return;
	log_reopen(s->settings.newest->log_file);
	tell_log_reopen(&s->fleet);
	events_emit(&s->events, LOG_LEVEL_INFO, "log-reopened", NULL);
}

static void use(struct supervisor *s, struct reload *reload)
{
	enum log_level level;
	settings_renew(&s->loaded, &reload->fresh);
	settings_renew(&s->settings.newest, &reload->next);
	if (log_level_parse(s->settings.newest->log_level, &level))
		log_set_level(level);
	log_set_json(strcmp(s->settings.newest->log_format, "json") == 0);
	log_set_buffer(fleet_ceilings(&s->fleet).log_bytes);
	s->fleet.cpus = cpus_usable("", cpus_affinity());
	tell_settings(&s->fleet);
	if (tls_files_reload(s->tls))
		json_array_append_new(json_object_get(reload->report, "changed"),
		                      json_string("certificates"));
	/* What failed may work with other settings. */
	if (reload->workers)
		fleet_restart(&s->fleet, NULL);
	else
		fleet_step(&s->fleet);
}

static void note_doubt(void *arg, const char *doubt)
{
	json_array_append_new(arg, json_string(doubt));
	log_warn("doubtful setting", "what=\"%s\"", doubt);
}

static void note_token(void *arg, bool certain, const char *text)
{
	(void)certain;
	note_doubt(arg, text);
}

bool supervisor_reload(struct supervisor *s, json_t **report, char reason[SETTINGS_REASON_MAX])
{
	struct reload reload;
	notify_send(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%llu",
	            (unsigned long long)(clock_monotonic_ns() / 1000));
	bool good = reload_read(&reload, &s->options, s->loaded, s->settings.newest, reason);
	if (good && !tls_files_fit(&reload.next, 0, reason)) {
		settings_finish(&reload.fresh);
		settings_finish(&reload.next);
		json_decref(reload.report);
		good = false;
	}
	if (!good) {
		events_emit(&s->events, LOG_LEVEL_ERROR, "reload-refused",
		            json_pack("{s:s}", "reason", reason));
		notify_send(&s->notify, "READY=1\nSTATUS=reload refused: %s", reason);
		return false;
	}
	s->reloading = true;
	*report = reload.report;
	events_emit(&s->events, LOG_LEVEL_INFO, "reloaded", json_deep_copy(reload.report));
	json_t *doubts = json_array();
	options_doubts(&s->options, &reload.fresh, note_doubt, doubts);
	survey_access(&reload.fresh, s->options.config, note_token, doubts);
	tokens_judge(&reload.fresh, note_token, doubts);
	json_object_set_new(reload.report, "doubts", doubts);
	use(s, &reload);
	return true;
}
