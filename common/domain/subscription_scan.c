#include "common/domain/subscription_scan.h"
#include "common/store/stream_name.h"

enum { SLICE_PATHS = 512 }; /* about a millisecond */

static void begin_walk(struct subscription_scan *scan)
{
	char prefix[SUBSCRIPTION_PREFIX_ROOM];
	json_object_clear(scan->found);
	if (*scan->pattern != '\0')
		state_walk_begin(&scan->walk, scan->view,
		                 subscription_prefix(scan->pattern, prefix));
}

void subscription_scan_begin(struct subscription_scan *scan, json_t *doc, struct state *view,
                             bool at_tail, size_t max)
{
	*scan = (struct subscription_scan){.view = view,
	                                   .doc = json_incref(doc),
	                                   .found = json_object(),
	                                   .max = max,
	                                   .at_tail = at_tail};
	if (!stream_name_text(span_str(subscription_text(doc, "pattern")), scan->pattern,
	                      sizeof scan->pattern))
		scan->pattern[0] = '\0';
	begin_walk(scan);
}

static bool visit(void *arg, struct span path, uint64_t id)
{
	struct subscription_scan *scan = arg;
	char text[SUBSCRIPTION_NAME_ROOM], tail[40] = "-1";
	size_t root = sizeof SUBSCRIPTION_ROOT - 1;
	(void)id;
	if (path.len <= root || path.len - root >= sizeof text ||
	    !stream_name_text(span_of(path.at + root, path.len - root), text, sizeof text) ||
	    !subscription_glob(scan->pattern, text) || subscription_links(scan->doc, text))
		return true;
	if (scan->at_tail && !subscription_tail(scan->view, text, tail) && scan->view->unreadable)
		scan->unreadable = true;
	json_object_set_new(scan->found, text, json_string(tail));
	return json_object_size(scan->found) <= scan->max;
}

bool subscription_scan_step(struct subscription_scan *scan)
{
	if (*scan->pattern == '\0')
		return false;
	switch (state_walk_step(&scan->walk, SLICE_PATHS, visit, scan)) {
	case STATE_WALK_MORE:
		return true;
	case STATE_WALK_DONE:
		return false;
	case STATE_WALK_UNREADABLE:
		scan->unreadable = true;
		return false;
	case STATE_WALK_LOST:
		begin_walk(scan);
		return true;
	}
	return false;
}

void subscription_scan_end(struct subscription_scan *scan)
{
	state_walk_end(&scan->walk);
	json_decref(scan->doc);
	json_decref(scan->found);
	*scan = (struct subscription_scan){0};
}

bool subscription_link_found(json_t *doc, struct state *view, const json_t *found, size_t max,
                             bool *full)
{
	const char *path;
	json_t *begins;
	bool changed = false;
	*full = false;
	json_object_foreach ((json_t *)(uintptr_t)found, path, begins) {
		char tail[40];
		const char *acked = json_string_value(begins);
		if (!subscription_tail(view, path, tail) && !view->unreadable)
			continue; /* gone meanwhile */
		enum subscription_result result = subscription_link(doc, path, false, acked, max);
		if (result == SUBSCRIPTION_FULL && !*full &&
		    subscription_forget_gone(doc, view) == SUBSCRIPTION_OK) {
			changed = true;
			result = subscription_link(doc, path, false, acked, max);
		}
		changed |= result == SUBSCRIPTION_OK;
		*full |= result == SUBSCRIPTION_FULL;
	}
	return changed;
}
