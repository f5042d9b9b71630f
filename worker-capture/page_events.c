/* What a page does, by itself or because its server or its script wants so. */
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "worker-capture/page_parts.h"

static bool is_ours(const struct page *page, const json_t *params, const char *member)
{
	const char *target = json_string_value(json_object_get(params, member));
	return target != NULL && *page->target != '\0' && strcmp(target, page->target) == 0;
}

/* ---- its end ---- */

static void on_crashed(struct page *page, const json_t *params)
{
	const char *status = json_string_value(json_object_get(params, "status"));
	if (!is_ours(page, params, "targetId"))
		return;
	page->signals.crashed = true;
	page->own_context = 0;
	page_set_note(page, "", status != NULL ? status : "");
	devtools_forget(page_devtools(page), page->session);
	page_changed(page);
}

static void on_destroyed(struct page *page, const json_t *params)
{
	if (!is_ours(page, params, "targetId"))
		return;
	page_live_on(page, PAGE_LIFE_LOST);
	page->signals.crashed = true;
	page->own_context = 0;
	page_set_note(page, "the page closed itself", "");
	cast_forget(&page->cast);
	devtools_forget(page_devtools(page), page->session);
	page->session[0] = page->target[0] = '\0';
	page_changed(page);
}

/* ---- where it goes ---- */

/* Only what is not secret: scheme and host. */
static void set_blocked(struct page *page, const char *url)
{
	size_t len = strcspn(url, ":");
	struct address_host to;
	page->signals.blocked = true;
	if (address_parse_url(span_str(url), &to))
		snprintf(page->signals.note, sizeof page->signals.note, "%.*s://%.120s:%u",
		         (int)len, url, to.name, (unsigned)to.port);
	else
		snprintf(page->signals.note, sizeof page->signals.note,
		         "%.*s:", (int)(len < 32 ? len : 32), url);
	page_note(page, "navigation_blocked", page->signals.note);
	page_changed(page);
}

static void on_navigated(struct page *page, const json_t *params)
{
	const json_t *frame = json_object_get(params, "frame");
	const char *url = json_string_value(json_object_get(frame, "url"));
	if (url == NULL || json_object_get(frame, "parentId") != NULL)
		return;
	if (strncmp(url, "chrome-error:", 13) == 0 || strcmp(url, "about:blank") == 0)
		return; /* whoever led there has said why; our own beginning */
	page_begin_document(page);
	snprintf(page->shown_url, sizeof page->shown_url, "%s", url);
	if (page->state == PAGE_GOING_HOME)
		memcpy(page->home_url, page->shown_url, sizeof page->home_url);
	page_live_on(page, PAGE_LIFE_ARRIVED);
	if (!egress_allows(&page->egress, span_str(url)))
		set_blocked(page, url);
	page_changed(page);
}

static void on_paused(struct page *page, const char *session, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "requestId"));
	const char *url =
	        json_string_value(json_object_get(json_object_get(params, "request"), "url"));
	if (id == NULL || url == NULL)
		return;
	if (egress_allows(&page->egress, span_str(url))) {
		devtools_command(page_devtools(page), DEVTOOLS_FETCH_CONTINUE, session,
		                 json_pack("{s:s}", "requestId", id), PAGE_CALL_MS, NULL, NULL);
		return;
	}
	devtools_command(page_devtools(page), DEVTOOLS_FETCH_FAIL, session,
	                 json_pack("{s:s, s:s}", "requestId", id, "errorReason", "BlockedByClient"),
	                 PAGE_CALL_MS, NULL, NULL);
	if (is_ours(page, params, "frameId"))
		set_blocked(page, url);
	else
		page_note(page, "frame_blocked", "");
}

/* Whatever it asks, it must not stand in the way. */
static void on_dialog(struct page *page, const char *session, const json_t *params)
{
	const char *type = json_string_value(json_object_get(params, "type"));
	devtools_command(page_devtools(page), DEVTOOLS_PAGE_HANDLE_DIALOG, session,
	                 json_pack("{s:b}", "accept", 1), PAGE_CALL_MS, NULL, NULL);
	page->signals.dialog_ms = clock_monotonic_ms();
	page_note(page, "dialog", type != NULL ? type : "");
	page_changed(page);
}

/* ---- what it says ---- */

static void on_context(struct page *page, const json_t *params)
{
	const json_t *context = json_object_get(params, "context");
	const char *name = json_string_value(json_object_get(context, "name"));
	if (name != NULL && strcmp(name, BEAT_WORLD) == 0 &&
	    is_ours(page, json_object_get(context, "auxData"), "frameId"))
		page->own_context = json_integer_value(json_object_get(context, "id"));
}

static bool too_many_messages(struct page *page, uint64_t now_ms)
{
	if (page->messages_second != now_ms / 1000)
		page->messages_count = 0;
	page->messages_second = now_ms / 1000;
	return ++page->messages_count > PAGE_MESSAGES_PER_S;
}

#define STATE_BEGINS "{\"kind\":\"state\"" /* as injected/heartbeat.js writes it */

static void on_binding(struct page *page, const json_t *params)
{
	uint64_t now_ms = clock_monotonic_ms();
	const json_t *text = json_object_get(params, "payload");
	size_t len = json_string_length(text);
	if (len == 0 || len > PAGE_MESSAGE_BYTES_MAX)
		return;
	unsigned losses;
	const struct span said = span_of(json_string_value(text), len);
	json_t *payload = json_take(said, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &losses, NULL);
	if (payload == NULL) {
		if (!page->complained)
			log_warn("a page's message cannot be read", "bytes=%zu begins=\"%.20s\"",
			         len, json_string_value(text));
		page->complained = true;
		if (len > sizeof STATE_BEGINS &&
		    memcmp(said.at, STATE_BEGINS, sizeof STATE_BEGINS - 1) == 0)
			payload = json_pack("{s:s}", "kind", "unreadable");
	}
	const json_t *beat = json_object_get(payload, "beat");
	const char *kind = json_string_value(json_object_get(payload, "kind"));
	bool own = json_is_true(json_object_get(payload, "own"));
	if (beat != NULL && beat_take(beat, &page->counts, &page->signals, now_ms, clock_wall_ms()))
		page_changed(page);
	else if (kind != NULL && !page_life_is_ending(page->state) &&
	         !too_many_messages(page, now_ms))
		page->events.on_message(page->events.arg, own ? PAGE_WORLD_OWN : PAGE_WORLD_PAGE,
		                        kind, json_object_get(payload, "value"), losses);
	json_decref(payload);
}

/* ---- all of it ---- */

void page_on_event(void *arg, enum devtools_event event, const char *session, const json_t *params)
{
	struct page *page = arg;
	bool own = page_life_has_page(page->state) && strcmp(session, page->session) == 0;
	if (!page_life_has_browser(page->state))
		return;
	switch (event) {
	case DEVTOOLS_EVENT_TARGET_ATTACHED:
		page_on_attached(page, params);
		return;
	case DEVTOOLS_EVENT_TARGET_CRASHED:
		on_crashed(page, params);
		return;
	case DEVTOOLS_EVENT_TARGET_DESTROYED:
		on_destroyed(page, params);
		return;
	case DEVTOOLS_EVENT_FETCH_PAUSED:
		on_paused(page, session, params);
		return;
	case DEVTOOLS_EVENT_PAGE_DIALOG_OPENING:
		on_dialog(page, session, params);
		return;
	case DEVTOOLS_EVENT_PAGE_FRAME_NAVIGATED:
		if (own)
			on_navigated(page, params);
		return;
	case DEVTOOLS_EVENT_RUNTIME_BINDING_CALLED:
		if (own)
			on_binding(page, params);
		return;
	case DEVTOOLS_EVENT_RUNTIME_CONTEXT_CREATED:
		if (own)
			on_context(page, params);
		return;
	case DEVTOOLS_EVENT_TARGET_DETACHED:
	case DEVTOOLS_EVENT_PAGE_LOADED:
	case DEVTOOLS_EVENT_COUNT:
		return;
	}
}
