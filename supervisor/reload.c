#include "supervisor/reload.h"
#include "common/base/check.h"
#include "supervisor/tokens.h"

#include <stdlib.h>

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

static bool names(const json_t *keys, const char *key)
{
	size_t i;
	const json_t *name;
	json_array_foreach (keys, i, name)
		if (strcmp(json_string_value(name), key) == 0)
			return true;
	return false;
}

/* What stands in the file of auth.tokens may have changed while its name has not. */
static void use_rows(struct reload *reload, const struct settings *in_effect, char *rows,
                     json_t *changed)
{
	char reason[SETTINGS_REASON_MAX];
	check(settings_set(&reload->next, SPAN("auth.token_rows"), span_str(rows), reason));
	if (strcmp(rows, in_effect->auth_token_rows) != 0 && !names(changed, "auth.token_rows") &&
	    !names(changed, "auth.tokens"))
		json_array_append_new(changed, json_string("auth.tokens"));
	free(rows);
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
	char *rows = tokens_in_effect(options, &reload->fresh, reason);
	if (rows != NULL)
		use_rows(reload, in_effect, rows, change.changed);
	/* Valid with the START keys that stay as they are, too. */
	if (rows != NULL && settings_validate(&reload->next, reason))
		return true;
	settings_finish(&reload->fresh);
	settings_finish(&reload->next);
	json_decref(reload->report);
	return false;
}
