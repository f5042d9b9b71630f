#include "worker-bridge/feed_names.h"
#include "common/base/log.h"
#include "proto/bytes.h"

#include <string.h>

static bool is_valid(struct span name)
{
	if (name.len == 0 || name.len > FEED_NAME_MAX || *name.at == '-' ||
	    span_equal(name, SPAN("schemas")))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (memchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.at[i], 37) == NULL)
			return false;
	return true;
}

static bool is_named(const struct feed_name *names, int count, struct span name)
{
	for (int i = 0; i < count; i++)
		if (span_equal(name, span_str(names[i].name)))
			return true;
	return false;
}

static int add(struct feed_name *names, int count, struct span name, bool scheduled)
{
	if (!is_valid(name) || is_named(names, count, name) || count == FEEDS_MAX) {
		log_error("bad feed name",
		          "name=%.*s why=\"must match [a-z0-9][a-z0-9-]{0,63}, be named "
		          "once, and be one of at most 64\"",
		          (int)name.len, (const char *)name.at);
		return -1;
	}
	names[count] = (struct feed_name){.scheduled = scheduled};
	memcpy(names[count].name, name.at, name.len);
	return count + 1;
}

static int add_list(struct feed_name *names, int count, const char *list, bool scheduled)
{
	while (*list != '\0' && count >= 0) {
		size_t len = strcspn(list, ",");
		const char *at = list;
		size_t left = len;
		for (; left > 0 && *at == ' '; at++)
			left--;
		for (; left > 0 && at[left - 1] == ' '; left--) {
		}
		if (left > 0)
			count = add(names, count, span_of(at, left), scheduled);
		list += len + (list[len] == ',');
	}
	return count;
}

int feed_names(const struct settings *settings, struct feed_name names[FEEDS_MAX])
{
	int count = add_list(names, 0, settings->feeds_scheduled, true);
	return count < 0 ? count : add_list(names, count, settings->feeds_source_driven, false);
}
