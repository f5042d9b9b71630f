/* The feeds that are configured: feeds.scheduled and feeds.source_driven. */
#pragma once

#include "common/base/settings.h"

enum { FEEDS_MAX = 64, FEED_NAME_MAX = 64 };

struct feed_name {
	char name[FEED_NAME_MAX + 1];
	bool scheduled;
};

/* How many; -1: one cannot be, which is logged: each is [a-z0-9][a-z0-9-]{0,63}, not "schemas", and
 * named once. */
int feed_names(const struct settings *settings, struct feed_name names[FEEDS_MAX]);
