#include "worker-capture/page.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/json_take.h"
#include "common/base/log.h"
#include "worker-capture/beat.h"
#include "worker-capture/cast.h"
#include "worker-capture/injected.h"
#include "worker-capture/luma.h"

#include <stddef.h>
#include <stdlib.h>

enum {
	START_MS = 20000, /* from the start of the browser to its first answer */
	CALL_MS = 10000,
	NAVIGATE_MS = 60000, /* until the server answered; the load's own limit is the ladder's */
	LUMA_EVERY_MS = 1000,
	URL_KEPT = 256, /* without the fragment, maybe cut: only to be compared */
};
#define FLAT_DEVIATION 0.75 /* of 255: less is one colour, JPEG noise included */

struct page {
	struct browser *browser;
	struct page_options options;
	struct page_events events;
	struct egress egress;
	char *url, *page_script;
	uv_timer_t probe;
	struct cast cast;
	struct luma_meter *meter;
	char session[DEVTOOLS_SESSION_MAX + 1], target[DEVTOOLS_SESSION_MAX + 1];
	char home_url[URL_KEPT], shown_url[URL_KEPT]; /* what its url became; what it shows */
	int64_t own_context;
	struct health_signals signals;
	struct beat_counts counts;
	struct frame *last; /* newest picture, while it was not measured */
	uint64_t measured_ms, luma_hash;
	int64_t gpu; /* process id of the GPU process, 0: not known */
	uint64_t messages_second;
	unsigned messages_count;
	unsigned handles;
	bool answered, creating, asking, going_home, target_lost, closing, exited;
};

static struct devtools *devtools_of(struct page *page)
{
	return browser_devtools(page->browser);
}

static void changed(struct page *page)
{
	if (!page->closing)
		page->events.on_change(page->events.arg);
}

static void note(struct page *page, const char *kind, const char *detail)
{
	if (!page->closing)
		page->events.on_note(page->events.arg, kind, detail);
}

static void set_note(struct page *page, const char *what, const char *detail)
{
	snprintf(page->signals.note, sizeof page->signals.note, "%s%s%.120s", what,
	         *what != '\0' && *detail != '\0' ? ": " : "", detail);
}

/* ---- setting it up ---- */

static void on_setup_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                           const char *reason)
{
	struct page *page = arg;
	(void)result;
	if (outcome == DEVTOOLS_OK || outcome == DEVTOOLS_GONE || page->closing)
		return;
	/* A page that is not fenced in is not shown. */
	page->signals.load_failed = true;
	set_note(page, "the page could not be set up", reason);
	changed(page);
}

static void set_up(struct page *page, enum devtools_method method, json_t *params)
{
	devtools_call(devtools_of(page), method, page->session, params, CALL_MS, on_setup_reply,
	              page);
}

static void on_navigate_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                              const char *reason)
{
	struct page *page = arg;
	const char *error = json_string_value(json_object_get(result, "errorText"));
	if (outcome == DEVTOOLS_GONE || page->closing || page->signals.blocked)
		return;
	if (outcome == DEVTOOLS_OK && error == NULL)
		return;
	page->signals.load_failed = true;
	set_note(page, "", error != NULL ? error : reason);
	changed(page);
}

/* What belongs to a document ends with it. */
static void begin_document(struct page *page)
{
	struct health_signals *s = &page->signals;
	*s = (struct health_signals){.asked_ms = s->asked_ms,
	                             .heard_ms = s->heard_ms,
	                             .encoder = s->encoder,
	                             .dialog_ms = s->dialog_ms,
	                             .document_ms = clock_monotonic_ms()};
	page->counts = (struct beat_counts){0};
	frame_unref(&page->last);
	page->luma_hash = 0;
}

static void navigate(struct page *page)
{
	begin_document(page);
	page->going_home = true;
	devtools_call(devtools_of(page), DEVTOOLS_PAGE_NAVIGATE, page->session,
	              json_pack("{s:s}", "url", page->url), NAVIGATE_MS, on_navigate_reply, page);
}

static json_t *script_params(const char *source, const char *world)
{
	json_t *params = json_pack("{s:s, s:b}", "source", source, "runImmediately", 0);
	if (world != NULL)
		json_object_set_new(params, "worldName", json_string(world));
	return params;
}

static void add_script(struct page *page, const char *session, const uint8_t *script)
{
	devtools_call(devtools_of(page), DEVTOOLS_PAGE_ADD_SCRIPT, session,
	              script_params((const char *)script, NULL), CALL_MS, on_setup_reply, page);
}

/* Every frame gets the first scripts, an inner one of another process too. */
static void add_scripts(struct page *page, const char *session)
{
	devtools_call(devtools_of(page), DEVTOOLS_PAGE_ENABLE, session, NULL, CALL_MS,
	              on_setup_reply, page);
	if (page->options.browser.webrtc)
		add_script(page, session, injected_close_media_js);
	add_script(page, session, injected_heartbeat_js);
}

static void fence_documents(struct page *page, const char *session)
{
	devtools_call(devtools_of(page), DEVTOOLS_FETCH_ENABLE, session,
	              json_pack("{s:[{s:s, s:s}]}", "patterns", "urlPattern", "*", "resourceType",
	                        "Document"),
	              CALL_MS, on_setup_reply, page);
}

static json_t *auto_attach_params(void)
{
	return json_pack("{s:b, s:b, s:b}", "autoAttach", 1, "waitForDebuggerOnStart", 1, "flatten",
	                 1);
}

/* Only now has its renderer taken all of it in: a navigation, which the browser process begins,
 * would have overtaken the scripts and the binding. */
static void on_runs(void *arg, enum devtools_outcome outcome, const json_t *result,
                    const char *reason)
{
	struct page *page = arg;
	on_setup_reply(page, outcome, result, reason);
	if (outcome != DEVTOOLS_OK || page->closing)
		return;
	cast_start(&page->cast, devtools_of(page), page->session);
	navigate(page);
}

static json_t *metrics_params(const struct browser_options *b)
{
	return json_pack("{s:i, s:i, s:i, s:b}", "width", (int)b->width, "height", (int)b->height,
	                 "deviceScaleFactor", 1, "mobile", 0);
}

static void set_up_page(struct page *page)
{
	const struct page_options *o = &page->options;
	const struct browser_options *b = &o->browser;
	fence_documents(page, page->session);
	set_up(page, DEVTOOLS_TARGET_AUTO_ATTACH, auto_attach_params());
	set_up(page, DEVTOOLS_RUNTIME_ENABLE, NULL);
	set_up(page, DEVTOOLS_RUNTIME_ADD_BINDING, json_pack("{s:s}", "name", BEAT_BINDING));
	add_scripts(page, page->session);
	set_up(page, DEVTOOLS_PAGE_ADD_SCRIPT,
	       script_params((const char *)injected_own_world_js, BEAT_WORLD));
	for (size_t i = 0; o->scripts != NULL && o->scripts[i] != NULL; i++)
		set_up(page, DEVTOOLS_PAGE_ADD_SCRIPT, script_params(o->scripts[i], BEAT_WORLD));
	if (page->page_script != NULL)
		set_up(page, DEVTOOLS_PAGE_ADD_SCRIPT, script_params(page->page_script, NULL));
	set_up(page, DEVTOOLS_EMULATION_SET_METRICS, metrics_params(b));
	devtools_call(devtools_of(page), DEVTOOLS_RUNTIME_RUN, page->session, NULL, CALL_MS,
	              on_runs, page);
}

/* What is captured of the whole tab is as large as the window leaves it, whatever size the page was
 * told. */
static void on_window(void *arg, enum devtools_outcome outcome, const json_t *result,
                      const char *reason)
{
	struct page *page = arg;
	const struct browser_options *b = &page->options.browser;
	const json_t *window = json_object_get(result, "windowId");
	(void)reason;
	if (outcome == DEVTOOLS_OK && !page->closing && json_is_integer(window))
		devtools_call(devtools_of(page), DEVTOOLS_BROWSER_SET_CONTENTS_SIZE, "",
		              json_pack("{s:I, s:i, s:i}", "windowId", json_integer_value(window),
		                        "width", (int)b->width, "height", (int)b->height),
		              CALL_MS, NULL, NULL);
}

static void size_window(struct page *page)
{
	if (page->options.browser.tab_capture)
		devtools_call(devtools_of(page), DEVTOOLS_BROWSER_GET_WINDOW, "",
		              json_pack("{s:s}", "targetId", page->target), CALL_MS, on_window,
		              page);
}

static void on_created(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct page *page = arg;
	const char *target = json_string_value(json_object_get(result, "targetId"));
	if (outcome == DEVTOOLS_OK && target != NULL) {
		snprintf(page->target, sizeof page->target, "%s", target);
		size_window(page);
		return;
	}
	page->creating = false;
	on_setup_reply(page, outcome == DEVTOOLS_OK ? DEVTOOLS_REFUSED : outcome, NULL, reason);
}

/* Its session comes as Target.attachedToTarget, and it waits for us before it does anything. */
static void create_target(struct page *page)
{
	const struct browser_options *b = &page->options.browser;
	page->creating = true;
	page->target_lost = false;
	devtools_call(devtools_of(page), DEVTOOLS_TARGET_CREATE, "",
	              json_pack("{s:s, s:i, s:i, s:b}", "url", "about:blank", "width",
	                        (int)b->width, "height", (int)b->height, "newWindow", 1),
	              CALL_MS, on_created, page);
}

static void on_version(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct page *page = arg;
	const char *product = json_string_value(json_object_get(result, "product"));
	if (page->closing || outcome == DEVTOOLS_GONE)
		return; /* its exit says it */
	if (outcome != DEVTOOLS_OK) {
		page->signals.browser_failed = true;
		set_note(page, "the browser does not answer", reason);
		changed(page);
		return;
	}
	page->answered = true;
	page->signals.heard_ms = clock_monotonic_ms();
	log_info("browser started", "product=\"%s\" keeper=%d uid=%u sandbox=%d",
	         product != NULL ? product : "", (int)browser_keeper_pid(page->browser),
	         (unsigned)page->options.browser.uid, !page->options.browser.no_sandbox);
	struct devtools *d = devtools_of(page);
	devtools_call(d, DEVTOOLS_TARGET_DISCOVER, "", json_pack("{s:b}", "discover", 1), CALL_MS,
	              on_setup_reply, page);
	devtools_call(d, DEVTOOLS_TARGET_AUTO_ATTACH, "", auto_attach_params(), CALL_MS,
	              on_setup_reply, page);
	devtools_call(d, DEVTOOLS_BROWSER_SET_DOWNLOADS, "", json_pack("{s:s}", "behavior", "deny"),
	              CALL_MS, on_setup_reply, page);
	/* Without it a viewer gets only names that nobody else can resolve (mDNS). */
	if (page->options.browser.webrtc)
		devtools_call(
		        d, DEVTOOLS_BROWSER_GRANT_PERMISSIONS, "",
		        json_pack("{s:[s, s]}", "permissions", "audioCapture", "videoCapture"),
		        CALL_MS, on_setup_reply, page);
	create_target(page);
}

/* ---- what it does ---- */

static void on_attached(struct page *page, const json_t *params)
{
	const json_t *info = json_object_get(params, "targetInfo");
	const char *session = json_string_value(json_object_get(params, "sessionId"));
	const char *target = json_string_value(json_object_get(info, "targetId"));
	const char *type = json_string_value(json_object_get(info, "type"));
	struct devtools *d = devtools_of(page);
	if (session == NULL || target == NULL || type == NULL ||
	    strlen(session) > DEVTOOLS_SESSION_MAX || strlen(target) > DEVTOOLS_SESSION_MAX)
		return;
	bool is_page = strcmp(type, "page") == 0;
	if (is_page && page->creating && json_object_get(info, "openerId") == NULL) {
		page->creating = false;
		memcpy(page->session, session, strlen(session) + 1);
		memcpy(page->target, target, strlen(target) + 1);
		set_up_page(page);
		return;
	}
	if (is_page) {
		devtools_call(d, DEVTOOLS_TARGET_CLOSE, "", json_pack("{s:s}", "targetId", target),
		              CALL_MS, NULL, NULL);
		note(page, "popup_blocked", "");
		return;
	}
	if (strcmp(type, "iframe") == 0) {
		fence_documents(page, session);
		devtools_call(d, DEVTOOLS_TARGET_AUTO_ATTACH, session, auto_attach_params(),
		              CALL_MS, NULL, NULL);
		add_scripts(page, session);
	}
	devtools_call(d, DEVTOOLS_RUNTIME_RUN, session, NULL, CALL_MS, NULL, NULL);
}

static bool is_ours(const struct page *page, const json_t *params, const char *member)
{
	const char *target = json_string_value(json_object_get(params, member));
	return target != NULL && *page->target != '\0' && strcmp(target, page->target) == 0;
}

static void on_crashed(struct page *page, const json_t *params)
{
	const char *status = json_string_value(json_object_get(params, "status"));
	if (!is_ours(page, params, "targetId"))
		return;
	page->signals.crashed = true;
	page->own_context = 0;
	set_note(page, "", status != NULL ? status : "");
	devtools_forget(devtools_of(page), page->session);
	changed(page);
}

static void on_destroyed(struct page *page, const json_t *params)
{
	if (!is_ours(page, params, "targetId"))
		return;
	page->target_lost = true;
	page->signals.crashed = true;
	page->own_context = 0;
	set_note(page, "the page closed itself", "");
	cast_forget(&page->cast);
	devtools_forget(devtools_of(page), page->session);
	changed(page);
}

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
	note(page, "navigation_blocked", page->signals.note);
	changed(page);
}

static void on_navigated(struct page *page, const json_t *params)
{
	const json_t *frame = json_object_get(params, "frame");
	const char *url = json_string_value(json_object_get(frame, "url"));
	if (url == NULL || json_object_get(frame, "parentId") != NULL)
		return;
	if (strncmp(url, "chrome-error:", 13) == 0 || strcmp(url, "about:blank") == 0)
		return; /* whoever led there has said why; our own beginning */
	begin_document(page);
	snprintf(page->shown_url, sizeof page->shown_url, "%s", url);
	if (page->going_home)
		memcpy(page->home_url, page->shown_url, sizeof page->home_url);
	page->going_home = false;
	if (!egress_allows(&page->egress, span_str(url)))
		set_blocked(page, url);
	changed(page);
}

static void on_paused(struct page *page, const char *session, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "requestId"));
	const char *url =
	        json_string_value(json_object_get(json_object_get(params, "request"), "url"));
	if (id == NULL || url == NULL)
		return;
	if (egress_allows(&page->egress, span_str(url))) {
		devtools_call(devtools_of(page), DEVTOOLS_FETCH_CONTINUE, session,
		              json_pack("{s:s}", "requestId", id), CALL_MS, NULL, NULL);
		return;
	}
	devtools_call(devtools_of(page), DEVTOOLS_FETCH_FAIL, session,
	              json_pack("{s:s, s:s}", "requestId", id, "errorReason", "BlockedByClient"),
	              CALL_MS, NULL, NULL);
	if (is_ours(page, params, "frameId"))
		set_blocked(page, url);
	else
		note(page, "frame_blocked", "");
}

/* Whatever it asks, it must not stand in the way. */
static void on_dialog(struct page *page, const char *session, const json_t *params)
{
	const char *type = json_string_value(json_object_get(params, "type"));
	devtools_call(devtools_of(page), DEVTOOLS_PAGE_HANDLE_DIALOG, session,
	              json_pack("{s:b}", "accept", 1), CALL_MS, NULL, NULL);
	page->signals.dialog_ms = clock_monotonic_ms();
	note(page, "dialog", type != NULL ? type : "");
	changed(page);
}

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
		log_warn("a page's message cannot be read", "bytes=%zu begins=\"%.20s\"", len,
		         json_string_value(text));
		if (len > sizeof STATE_BEGINS &&
		    memcmp(said.at, STATE_BEGINS, sizeof STATE_BEGINS - 1) == 0)
			payload = json_pack("{s:s}", "kind", "unreadable");
	}
	const json_t *beat = json_object_get(payload, "beat");
	const char *kind = json_string_value(json_object_get(payload, "kind"));
	bool own = json_is_true(json_object_get(payload, "own"));
	if (beat != NULL && beat_take(beat, &page->counts, &page->signals, now_ms, clock_wall_ms()))
		changed(page);
	else if (kind != NULL && !page->closing && !too_many_messages(page, now_ms))
		page->events.on_message(page->events.arg, own ? PAGE_WORLD_OWN : PAGE_WORLD_PAGE,
		                        kind, json_object_get(payload, "value"), losses);
	json_decref(payload);
}

static void on_event(void *arg, enum devtools_event event, const char *session,
                     const json_t *params)
{
	struct page *page = arg;
	bool own = *page->session != '\0' && strcmp(session, page->session) == 0;
	if (page->closing)
		return;
	switch (event) {
	case DEVTOOLS_EVENT_TARGET_ATTACHED:
		on_attached(page, params);
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

/* ---- pictures ---- */

static void measure(struct page *page, uint64_t now_ms)
{
	struct luma luma;
	page->measured_ms = now_ms;
	if (luma_measure(page->meter, page->last, &luma)) {
		if (luma.hash != page->luma_hash)
			page->signals.picture_ms = now_ms;
		page->luma_hash = luma.hash;
		page->signals.flat = luma.deviation < FLAT_DEVIATION;
	}
	frame_unref(&page->last);
}

static void on_frame(void *arg, const char *session, struct frame *frame, int64_t ack)
{
	struct page *page = arg;
	uint64_t now_ms = clock_monotonic_ms();
	if (page->closing || strcmp(session, page->session) != 0 ||
	    !cast_take(&page->cast, frame, ack)) {
		frame_unref(&frame);
		return;
	}
	frame->at_ms = now_ms;
	page->signals.frame_ms = now_ms;
	bool first = page->signals.first_frame_ms == 0;
	if (first)
		page->signals.first_frame_ms = now_ms;
	frame_unref(&page->last);
	page->last = frame_ref(frame);
	if (now_ms - page->measured_ms >= LUMA_EVERY_MS || first)
		measure(page, now_ms);
	page->events.on_frame(page->events.arg, frame);
	if (first)
		changed(page);
}

void page_tick(struct page *page, uint64_t now_ms)
{
	const struct health_signals *s = &page->signals;
	if (page->last != NULL && now_ms - page->measured_ms >= LUMA_EVERY_MS)
		measure(page, now_ms);
	if (s->first_beat_ms != 0 && s->first_frame_ms == 0)
		cast_nudge(&page->cast, now_ms);
}

/* ---- the browser itself ---- */

static void take_processes(struct page *page, const json_t *result)
{
	const json_t *process, *list = json_object_get(result, "processInfo");
	size_t i;
	json_array_foreach (list, i, process) {
		const char *type = json_string_value(json_object_get(process, "type"));
		int64_t id = json_integer_value(json_object_get(process, "id"));
		if (type == NULL || strcasecmp(type, "gpu") != 0)
			continue;
		if (page->gpu != 0 && page->gpu != id) {
			page->signals.gpu_lost = true;
			set_note(page, "", "");
		}
		page->gpu = id;
	}
}

static void on_processes(void *arg, enum devtools_outcome outcome, const json_t *result,
                         const char *reason)
{
	struct page *page = arg;
	(void)reason;
	page->asking = false;
	if (outcome == DEVTOOLS_GONE || outcome == DEVTOOLS_TIMEOUT || page->closing)
		return;
	page->signals.heard_ms = clock_monotonic_ms();
	page->signals.asked_ms = 0;
	if (outcome == DEVTOOLS_OK)
		take_processes(page, result);
	changed(page);
}

/* One question at a time: a browser that is slow gets no second one. */
static void on_probe(uv_timer_t *timer)
{
	struct page *page = timer->data;
	if (page->asking || !page->answered || page->closing)
		return;
	page->asking = true;
	if (page->signals.asked_ms == 0)
		page->signals.asked_ms = clock_monotonic_ms();
	devtools_call(devtools_of(page), DEVTOOLS_SYSTEM_GET_PROCESSES, "", NULL, CALL_MS,
	              on_processes, page);
}

static void on_gone(void *arg, const char *reason)
{
	struct page *page = arg;
	if (page->closing || page->exited)
		return;
	cast_forget(&page->cast);
	page->own_context = 0;
	if (page->answered)
		page->signals.browser_ended = true;
	set_note(page, "", reason);
	/* Whatever of it is still there must not stay. */
	browser_kill(page->browser);
	if (page->answered)
		changed(page);
}

static void on_part_closed(struct page *page)
{
	if (--page->handles > 0)
		return;
	const struct page_events events = page->events;
	frame_unref(&page->last);
	luma_meter_destroy(&page->meter);
	free(page->url);
	free(page->page_script);
	free(page);
	events.on_closed(events.arg);
}

static void on_probe_closed(uv_handle_t *handle)
{
	on_part_closed(handle->data);
}

static void on_cast_closed(uv_handle_t *handle)
{
	struct cast *cast = handle->data;
	on_part_closed((struct page *)((char *)cast - offsetof(struct page, cast)));
}

static void finish(struct page *page)
{
	browser_destroy(&page->browser);
	uv_close((uv_handle_t *)&page->probe, on_probe_closed);
	cast_close(&page->cast, on_cast_closed);
}

static void on_exit_of_browser(void *arg, int code, const char *line)
{
	struct page *page = arg;
	page->exited = true;
	log_info("browser ended", "keeper=%d code=%d last=\"%s\"",
	         (int)browser_keeper_pid(page->browser), code, line);
	if (page->closing) {
		finish(page);
		return;
	}
	page->signals.browser_ended = page->answered;
	page->signals.browser_failed = !page->answered;
	snprintf(page->signals.note, sizeof page->signals.note, "exit %d%s%.120s", code,
	         *line != '\0' ? ": " : "", line);
	changed(page);
}

/* ---- ways back ---- */

void page_terminate(struct page *page)
{
	devtools_call(devtools_of(page), DEVTOOLS_RUNTIME_TERMINATE, page->session, NULL, CALL_MS,
	              NULL, NULL);
}

void page_retarget(struct page *page)
{
	if (*page->target != '\0' && !page->target_lost)
		devtools_call(devtools_of(page), DEVTOOLS_TARGET_CLOSE, "",
		              json_pack("{s:s}", "targetId", page->target), CALL_MS, NULL, NULL);
	if (*page->session != '\0')
		devtools_forget(devtools_of(page), page->session);
	cast_forget(&page->cast);
	begin_document(page);
	page->session[0] = page->target[0] = '\0';
	page->own_context = 0;
	create_target(page);
}

void page_reload(struct page *page)
{
	const struct health_signals *s = &page->signals;
	bool away = strcmp(page->home_url, page->shown_url) != 0;
	if (*page->session == '\0' || page->target_lost) {
		page_retarget(page);
	} else if (away || s->crashed || s->blocked || s->load_failed || *page->home_url == '\0') {
		navigate(page);
	} else {
		begin_document(page);
		devtools_call(devtools_of(page), DEVTOOLS_PAGE_RELOAD, page->session,
		              json_pack("{s:b}", "ignoreCache", 1), NAVIGATE_MS, on_navigate_reply,
		              page);
	}
}

/* ---- life ---- */

struct page *page_create(uv_loop_t *loop, const struct page_options *options,
                         const struct page_events *events, char reason[256])
{
	struct page *page = xcalloc(1, sizeof *page);
	page->options = *options;
	page->egress = *options->browser.egress;
	page->options.browser.egress = &page->egress;
	page->events = *events;
	const struct browser_events of_browser = {.devtools = {.on_event = on_event,
	                                                       .on_frame = on_frame,
	                                                       .on_gone = on_gone,
	                                                       .arg = page},
	                                          .on_exit = on_exit_of_browser,
	                                          .arg = page};
	page->browser = browser_start(loop, &page->options.browser, &of_browser, reason);
	if (page->browser == NULL) {
		free(page);
		return NULL;
	}
	page->url = xmemdup_text(options->url, strlen(options->url));
	if (options->page_script != NULL)
		page->page_script =
		        xmemdup_text(options->page_script, strlen(options->page_script));
	page->meter = luma_meter_create();
	page->handles = 2;
	cast_init(&page->cast, loop, options->browser.width, options->browser.height,
	          options->quality, options->fps);
	uv_timer_init(loop, &page->probe);
	page->probe.data = page;
	uv_timer_start(&page->probe, on_probe, options->probe_ms, options->probe_ms);
	page->signals.document_ms = clock_monotonic_ms();
	devtools_call(devtools_of(page), DEVTOOLS_BROWSER_GET_VERSION, "", NULL, START_MS,
	              on_version, page);
	return page;
}

void page_close(struct page *page)
{
	if (page->closing)
		return;
	page->closing = true;
	uv_timer_stop(&page->probe);
	cast_forget(&page->cast);
	browser_kill(page->browser);
	if (page->exited)
		finish(page);
}

const struct health_signals *page_signals(const struct page *page)
{
	return &page->signals;
}

void page_resize(struct page *page, uint32_t width, uint32_t height)
{
	page->options.browser.width = width;
	page->options.browser.height = height;
	cast_set_size(&page->cast, width, height);
	if (page->closing || *page->session == '\0')
		return; /* it is set up with this size */
	devtools_call(devtools_of(page), DEVTOOLS_EMULATION_SET_METRICS, page->session,
	              metrics_params(&page->options.browser), CALL_MS, NULL, NULL);
	size_window(page);
}

void page_set_fps(struct page *page, double fps)
{
	page->options.fps = fps;
	cast_set_fps(&page->cast, fps);
}

void page_command(struct page *page, enum devtools_method method, json_t *params,
                  uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	devtools_call(devtools_of(page), method, page->session, params, timeout_ms, on_reply, arg);
}

int64_t page_context(const struct page *page, enum page_world world)
{
	if (*page->session == '\0')
		return 0;
	return world == PAGE_WORLD_OWN ? page->own_context : -1;
}

pid_t page_keeper_pid(const struct page *page)
{
	return browser_keeper_pid(page->browser);
}
