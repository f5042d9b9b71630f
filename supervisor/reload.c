#include "supervisor/reload.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/cpus.h"
#include "supervisor/tell.h"

struct change {
	struct settings *next;        /* what will be in effect */
	const struct settings *fresh; /* what the configuration says now */
	json_t *changed, *needs_restart;
	bool workers;
};

static void take_row(void *arg, const struct setting_row *row)
{
	struct change *change = arg;
	switch (row->when) {
	case SETTING_START:
		return;
	case SETTING_WORKERS:
		change->workers = true;
		break;
	case SETTING_LIVE:
		break;
	}
	settings_copy_row(change->next, change->fresh, row);
	json_array_append_new(change->changed, json_string(row->key));
}

/* START keys that are not what they were at the start: named at every reload until that comes. */
static void note_start_row(void *arg, const struct setting_row *row)
{
	struct change *change = arg;
	if (row->when == SETTING_START)
		json_array_append_new(change->needs_restart, json_string(row->key));
}

static void use(struct supervisor *s, struct settings *fresh, struct settings *next,
                const struct change *change)
{
	enum log_level level;
	settings_renew(&s->loaded, fresh);
	settings_renew(&s->settings.newest, next);
	if (log_level_parse(s->settings.newest->log_level, &level))
		log_set_level(level);
	log_set_json(strcmp(s->settings.newest->log_format, "json") == 0);
	log_set_buffer(fleet_ceilings(&s->fleet).log_bytes);
	s->fleet.cpus = cpus_usable("", cpus_affinity());
	tell_settings(&s->fleet);
	/* What failed may work with other settings. */
	if (change->workers)
		fleet_restart(&s->fleet, NULL);
	else
		fleet_step(&s->fleet);
}

static bool refuse(struct supervisor *s, const char *reason)
{
	events_emit(&s->events, LOG_LEVEL_ERROR, "reload-refused",
	            json_pack("{s:s}", "reason", reason));
	notify_send(&s->notify, "READY=1\nSTATUS=reload refused: %s", reason);
	return false;
}

bool reload_configuration(struct supervisor *s, json_t **report, char reason[SETTINGS_REASON_MAX])
{
	struct settings fresh, next;
	notify_send(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%llu",
	            (unsigned long long)(clock_monotonic_ns() / 1000));
	if (!options_load(&s->options, &fresh, reason))
		return refuse(s, reason);
	settings_copy(&next, s->settings.newest);
	struct change change = {.next = &next,
	                        .fresh = &fresh,
	                        .changed = json_array(),
	                        .needs_restart = json_array()};
	settings_diff(s->loaded, &fresh, take_row, &change);
	settings_diff(s->settings.newest, &fresh, note_start_row, &change);
	/* Valid with the START keys that stay as they are, too. */
	if (!settings_validate(&next, reason)) {
		settings_finish(&fresh);
		settings_finish(&next);
		json_decref(change.changed);
		json_decref(change.needs_restart);
		return refuse(s, reason);
	}
	s->reloading = true;
	*report = json_pack("{s:o, s:b, s:o}", "changed", change.changed, "restarting",
	                    change.workers, "needs_restart", change.needs_restart);
	check(*report != NULL);
	events_emit(&s->events, LOG_LEVEL_INFO, "reloaded", json_deep_copy(*report));
	use(s, &fresh, &next, &change);
	return true;
}
