#include "common/base/check.h"
#include "common/store/stream_name.h"
#include "worker-sse/views/events_parts.h"

#include <stdio.h>
#include <stdlib.h>

void events_wish_finish(struct events_wish *wish)
{
	for (size_t i = 0; i < wish->paths_count; i++)
		free(wish->paths[i]);
	for (size_t i = 0; i < wish->patterns_count; i++)
		free(wish->patterns[i]);
	free(wish->member);
	free(wish->known);
}

bool events_wish_refuse(struct events_wish *wish, unsigned status, const char *fault)
{
	wish->status = status;
	wish->fault = fault;
	return false;
}

/* A parameter's value. NULL: malformed or with a NUL. */
static char *decode(struct span raw)
{
	uint8_t *out = xmalloc(raw.len + 1);
	size_t len = query_decode(raw, out);
	if (len == SIZE_MAX || memchr(out, '\0', len) != NULL) {
		free(out);
		return NULL;
	}
	out[len] = '\0';
	return (char *)out;
}

/* The name in its canonical form; of a single stream whole. What was stored under this very
 * spelling keeps it: before there was a canonical form that was another stream. */
char *events_path_of(struct state *view, const char *text, bool single)
{
	size_t len = strlen(text);
	char *out = xmalloc(EVENTS_ROOT_LEN + 3 * len + 1);
	size_t root = single ? EVENTS_ROOT_LEN : 0;
	memcpy(out, SUBSCRIPTION_ROOT, root);
	memcpy(out + root, text, len + 1);
	if (!single || state_find_exact(view, span_of(out, root + len)) == NULL)
		out[root + stream_name_canonical(span_of(text, len), (uint8_t *)out + root)] = '\0';
	return out;
}

static bool has_wildcard(const char *path)
{
	for (const char *segment = path;; segment++) {
		size_t len = strcspn(segment, "/");
		if ((len == 1 && *segment == '*') || (len == 2 && memcmp(segment, "**", 2) == 0))
			return true;
		segment += len;
		if (*segment == '\0')
			return false;
	}
}

bool events_wish_stream(struct events_wish *wish, const char *text)
{
	if (wish->paths_count + wish->patterns_count >= EVENTS_PATTERNS_MAX)
		return events_wish_refuse(wish, 400, "more than 64 stream parameters");
	bool whole = strncmp(text, SUBSCRIPTION_ROOT, EVENTS_ROOT_LEN) == 0;
	const char *below = whole ? text + EVENTS_ROOT_LEN : text;
	bool wild = has_wildcard(below);
	char *path = events_path_of(store_view(worker_of(wish->request)->store), below, !wild);
	bool empty = *below == '\0', rooted = !whole && *below == '/';
	size_t len = strlen(path) + (wild ? EVENTS_ROOT_LEN : 0);
	if (empty || rooted || len > worker_of(wish->request)->settings->limits_path_bytes) {
		free(path);
		return empty ? events_wish_refuse(wish, 400, "stream is empty")
		       : rooted
		               ? events_wish_refuse(wish, 400, "stream is a path below /v1/stream/")
		               : events_wish_refuse(wish, 414,
		                                    "stream is longer than limits.path_bytes");
	}
	if (wild)
		wish->patterns[wish->patterns_count++] = path;
	else
		wish->paths[wish->paths_count++] = path;
	return true;
}

static bool take_stream(struct events_wish *wish, struct span raw)
{
	char *text = decode(raw);
	if (text == NULL)
		return events_wish_refuse(wish, 400, "malformed percent-encoding in stream");
	bool taken = events_wish_stream(wish, text);
	free(text);
	return taken;
}

static bool take_naming(struct events_wish *wish, struct span raw)
{
	char *text = decode(raw);
	bool fits = text != NULL;
	if (wish->naming != EVENTS_NAMING_NONE)
		fits = false;
	else if (fits && strcmp(text, "stream") == 0)
		wish->naming = EVENTS_NAMING_STREAM;
	else if (fits && strncmp(text, "member:", 7) == 0 && text[7] != '\0' &&
	         strlen(text) < 135) {
		wish->naming = EVENTS_NAMING_MEMBER;
		wish->member = xmemdup_text(text + 7, strlen(text + 7));
	} else
		fits = false;
	free(text);
	return fits || events_wish_refuse(wish, 400, "event is given once: stream, or member:NAME");
}

/* An id that is not ours is no fault of the request: an error status would end EventSource for
 * good. */
void events_wish_id(struct events_wish *wish, struct span text)
{
	size_t max = worker_of(wish->request)->settings->limits_events_streams;
	if (text.len == 0)
		return; /* what EventSource has before the first id */
	wish->known = xmalloc(max * sizeof *wish->known);
	wish->resumes = event_id_parse(text, &wish->newest, wish->known, max, &wish->known_count);
	wish->unknown_id = !wish->resumes;
	if (wish->unknown_id)
		wish->known_count = 0;
}

static bool take_parameter(struct events_wish *wish, struct span name, struct span value,
                           struct span *id)
{
	if (span_equal(name, SPAN("stream")))
		return take_stream(wish, value);
	if (span_equal(name, SPAN("event")))
		return take_naming(wish, value);
	if (span_equal(name, SPAN("lastEventId"))) {
		*id = value;
		return true;
	}
	if (span_equal(name, SPAN("from"))) {
		wish->from_start = span_equal(value, SPAN("start"));
		return wish->from_start || span_equal(value, SPAN("now")) ||
		       events_wish_refuse(wish, 400, "from is now or start");
	}
	snprintf(wish->text, sizeof wish->text, "unknown parameter %.*s",
	         name.len < 64 ? (int)name.len : 64, (const char *)name.at);
	return events_wish_refuse(wish, 400, wish->text);
}

bool events_wish_take(struct events_wish *wish)
{
	struct span query = wish->request->query, name, value, id = {0};
	while (query_next(&query, &name, &value))
		if (name.len + value.len != 0 && !take_parameter(wish, name, value, &id))
			return false;
	if (wish->paths_count + wish->patterns_count == 0)
		return events_wish_refuse(wish, 400, "no stream is named: ?stream=PATH");
	struct span header = wish->request->headers[HEADER_LAST_EVENT_ID];
	events_wish_id(wish, header.at != NULL ? header : id);
	return true;
}
