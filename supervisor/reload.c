#include "supervisor/reload.h"
#include "common/base/check.h"

struct change {
	struct reload *reload;
	json_t *changed, *needs_restart;
};

static void take_row(void *arg, const struct setting_row *row)
{
	struct change *change = arg;
	switch (row->when) {
	case SETTING_START:
		return;
	case SETTING_WORKERS:
		change->reload->workers = true;
		break;
	case SETTING_LIVE:
		break;
	}
	settings_copy_row(&change->reload->next, &change->reload->fresh, row);
	json_array_append_new(change->changed, json_string(row->key));
}

/* Named at every reload until that comes. */
static void note_start_row(void *arg, const struct setting_row *row)
{
	struct change *change = arg;
	if (row->when == SETTING_START)
		json_array_append_new(change->needs_restart, json_string(row->key));
}

bool reload_read(struct reload *reload, const struct options *options,
                 const struct settings *loaded, const struct settings *in_effect,
                 char reason[SETTINGS_REASON_MAX])
{
	reload->workers = false;
	if (!options_load(options, &reload->fresh, reason))
		return false;
	struct change change = {
	        .reload = reload, .changed = json_array(), .needs_restart = json_array()};
	settings_copy(&reload->next, in_effect);
	settings_diff(loaded, &reload->fresh, take_row, &change);
	settings_copy_places(&reload->next, &reload->fresh);
	settings_diff(in_effect, &reload->fresh, note_start_row, &change);
	reload->report = json_pack("{s:o, s:b, s:o}", "changed", change.changed, "restarting",
	                           reload->workers, "needs_restart", change.needs_restart);
	check(reload->report != NULL);
	/* Valid with the START keys that stay as they are, too. */
	if (settings_validate(&reload->next, reason))
		return true;
	settings_finish(&reload->fresh);
	settings_finish(&reload->next);
	json_decref(reload->report);
	return false;
}
