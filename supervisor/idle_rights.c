#include "supervisor/idle_rights.h"
#include "common/base/check.h"
#include "common/domain/glob.h"
#include "proto/forwarded.h"

#include <stdio.h>
#include <string.h>

/* The paths that rights are asked about, without the first '/'. One that ends with '/' has more
 * behind it, and any other may have. */
#define FORWARDED_PATH(path, ...) path,
static const char *const reached[] = {
        "/v1/stream/",
        "/v1/feeds/",
        "/v1/hls/",
        "/v1/events",
        "/stream",
        "/streams/",
        "/metrics",
        "/sessions",
        "/v1/source",
        "/v1/sessions/",
        "/v1/oracle",
        FORWARDED_TO_BRIDGE(FORWARDED_PATH, ) FORWARDED_TO_CAPTURE(FORWARDED_PATH, )};
#undef FORWARDED_PATH

static struct span take_segment(const char **path)
{
	struct span segment = span_of(*path, strcspn(*path, "/"));
	*path += segment.len;
	*path += **path == '/';
	return segment;
}

/* Can the pattern match the path, or what stands below it? Both whole. */
static bool reaches(const char *pattern, const char *path)
{
	bool below = path[strlen(path) - 1] == '/';
	pattern++;
	path++;
	while (*path != '\0') {
		struct span of_path = take_segment(&path), of_pattern = take_segment(&pattern);
		if (span_equal(of_pattern, SPAN("**")))
			return true;
		if (!glob_segment_matches(of_pattern, of_path))
			return false;
	}
	return !below || *pattern != '\0';
}

static bool reaches_any(const char *pattern)
{
	for (size_t i = 0; i < sizeof reached / sizeof *reached; i++)
		if (reaches(pattern, reached[i]))
			return true;
	return false;
}

/* `pattern` as in a right. */
static bool is_idle(const char *verb, const char *pattern)
{
	char whole[2 * RIGHTS_PATTERN_MAX];
	enum verb known;
	check(verb_find(span_str(verb), &known));
	snprintf(whole, sizeof whole, "%s%s", *pattern == '/' ? "" : verb_root(known), pattern);
	return !reaches_any(whole);
}

json_t *idle_rights(const struct rights *rights)
{
	json_t *said = json_array(), *all = rights_json(rights), *patterns, *pattern;
	const char *verb;
	size_t i;
	check(said != NULL && all != NULL);
	json_object_foreach (all, verb, patterns)
		json_array_foreach (patterns, i, pattern) {
			const char *text = json_string_value(pattern);
			if (is_idle(verb, text))
				json_array_append_new(
				        said, json_sprintf("%s=%.300s: no request has such a path",
				                           verb, text));
		}
	if (json_object_size(all) == 0)
		json_array_append_new(said, json_string("it has no right: add VERB=PATTERN"));
	json_decref(all);
	return said;
}
