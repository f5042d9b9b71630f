#include "common/base/check.h"
#include "common/base/settings.h"

#include <stdlib.h>

const struct settings *settings_freeze(struct settings *value)
{
	check(value->holders == 0);
	struct settings *snapshot = xmalloc(sizeof *snapshot);
	*snapshot = *value;
	*value = (struct settings){0};
	snapshot->holders = 1;
	snapshot->file = NULL; /* borrowed, for settings_validate() */
	return snapshot;
}

/* The count is what may change in one. */
static struct settings *counted(const struct settings *snapshot)
{
	check(snapshot->holders > 0);
	return (struct settings *)(uintptr_t)snapshot;
}

const struct settings *settings_keep(const struct settings *snapshot)
{
	counted(snapshot)->holders++;
	return snapshot;
}

void settings_drop(const struct settings **snapshot)
{
	if (*snapshot == NULL)
		return;
	struct settings *settings = counted(*snapshot);
	*snapshot = NULL;
	if (--settings->holders > 0)
		return;
	settings_finish(settings);
	free(settings);
}

void settings_renew(const struct settings **kept, struct settings *value)
{
	const struct settings *former = *kept;
	*kept = settings_freeze(value);
	settings_drop(&former);
}

bool settings_renew_key(const struct settings **kept, struct span key, struct span value,
                        char reason[SETTINGS_REASON_MAX])
{
	struct settings next;
	settings_copy(&next, *kept);
	bool ok = settings_set(&next, key, value, reason);
	if (ok)
		settings_renew(kept, &next);
	else
		settings_finish(&next);
	return ok;
}

struct live {
	struct settings *next;
	const struct settings *newest;
	bool changed;
};

static void take_live(void *arg, const struct setting_row *row)
{
	struct live *live = arg;
	if (row->when != SETTING_LIVE)
		return;
	settings_copy_row(live->next, live->newest, row);
	live->changed = true;
}

bool settings_renew_live(const struct settings **kept, const struct settings *newest)
{
	struct settings next;
	struct live live = {.next = &next, .newest = newest};
	settings_copy(&next, *kept);
	settings_diff(*kept, newest, take_live, &live);
	if (live.changed)
		settings_renew(kept, &next);
	else
		settings_finish(&next);
	return live.changed;
}
