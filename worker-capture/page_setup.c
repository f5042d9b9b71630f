/* From a browser to a page in it: targets, fences, scripts. What is not fenced in does not run. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/injected.h"
#include "worker-capture/page_parts.h"

enum { START_MS = 20000 }; /* from the start of the browser to its first answer */

static void on_setup_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                           const char *reason)
{
	struct page *page = arg;
	(void)result;
	if (outcome == DEVTOOLS_OK || outcome == DEVTOOLS_GONE || page_life_is_ending(page->state))
		return;
	/* A page that is not fenced in is not shown. */
	page->signals.load_failed = true;
	page_set_note(page, "the page could not be set up", reason);
	page_changed(page);
}

static void set_up(struct page *page, enum devtools_method method, json_t *params)
{
	devtools_command(page_devtools(page), method, page->session, params, PAGE_CALL_MS,
	                 on_setup_reply, page);
}

/* ---- the page ---- */

static json_t *script_params(const char *source, const char *world)
{
	json_t *params = json_pack("{s:s, s:b}", "source", source, "runImmediately", 0);
	if (world != NULL)
		json_object_set_new(params, "worldName", json_string(world));
	return params;
}

static void add_script(struct page *page, const char *session, const uint8_t *script)
{
	devtools_command(page_devtools(page), DEVTOOLS_PAGE_ADD_SCRIPT, session,
	                 script_params((const char *)script, NULL), PAGE_CALL_MS, on_setup_reply,
	                 page);
}

/* Every frame gets the first scripts, an inner one of another process too. */
static void add_scripts(struct page *page, const char *session)
{
	devtools_command(page_devtools(page), DEVTOOLS_PAGE_ENABLE, session, NULL, PAGE_CALL_MS,
	                 on_setup_reply, page);
	if (page->options.browser.webrtc)
		add_script(page, session, injected_close_media_js);
	add_script(page, session, injected_heartbeat_js);
}

static void fence_documents(struct page *page, const char *session)
{
	devtools_command(page_devtools(page), DEVTOOLS_FETCH_ENABLE, session,
	                 json_pack("{s:[{s:s, s:s}]}", "patterns", "urlPattern", "*",
	                           "resourceType", "Document"),
	                 PAGE_CALL_MS, on_setup_reply, page);
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
	if (outcome != DEVTOOLS_OK || !page_life_has_page(page->state))
		return;
	cast_start(&page->cast, page_devtools(page), page->session);
	page_go_home(page);
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
	devtools_command(page_devtools(page), DEVTOOLS_RUNTIME_RUN, page->session, NULL,
	                 PAGE_CALL_MS, on_runs, page);
}

/* ---- its size ---- */

/* What is captured of the whole tab is as large as the window leaves it, whatever size the page was
 * told. */
static void on_window(void *arg, enum devtools_outcome outcome, const json_t *result,
                      const char *reason)
{
	struct page *page = arg;
	const struct browser_options *b = &page->options.browser;
	const json_t *window = json_object_get(result, "windowId");
	(void)reason;
	if (outcome == DEVTOOLS_OK && !page_life_is_ending(page->state) && json_is_integer(window))
		devtools_command(page_devtools(page), DEVTOOLS_BROWSER_SET_CONTENTS_SIZE, "",
		                 json_pack("{s:I, s:i, s:i}", "windowId",
		                           json_integer_value(window), "width", (int)b->width,
		                           "height", (int)b->height),
		                 PAGE_CALL_MS, NULL, NULL);
}

static void size_window(struct page *page)
{
	if (page->options.browser.tab_capture)
		devtools_command(page_devtools(page), DEVTOOLS_BROWSER_GET_WINDOW, "",
		                 json_pack("{s:s}", "targetId", page->target), PAGE_CALL_MS,
		                 on_window, page);
}

void page_send_size(struct page *page)
{
	devtools_command(page_devtools(page), DEVTOOLS_EMULATION_SET_METRICS, page->session,
	                 metrics_params(&page->options.browser), PAGE_CALL_MS, NULL, NULL);
	size_window(page);
}

/* ---- its target ---- */

static void on_created(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct page *page = arg;
	const char *target = json_string_value(json_object_get(result, "targetId"));
	bool here = page->state == PAGE_CREATING || page_life_has_page(page->state);
	if (outcome == DEVTOOLS_OK && target != NULL) {
		if (!here)
			return;
		snprintf(page->target, sizeof page->target, "%s", target);
		size_window(page);
		return;
	}
	if (page->state == PAGE_CREATING)
		page_live_on(page, PAGE_LIFE_REFUSED);
	on_setup_reply(page, outcome == DEVTOOLS_OK ? DEVTOOLS_REFUSED : outcome, NULL, reason);
}

/* It waits for us before it does anything. */
void page_create_target(struct page *page)
{
	const struct browser_options *b = &page->options.browser;
	page_live_on(page, PAGE_LIFE_CREATE);
	devtools_command(page_devtools(page), DEVTOOLS_TARGET_CREATE, "",
	                 json_pack("{s:s, s:i, s:i, s:b}", "url", "about:blank", "width",
	                           (int)b->width, "height", (int)b->height, "newWindow", 1),
	                 PAGE_CALL_MS, on_created, page);
}

void page_on_attached(struct page *page, const json_t *params)
{
	const json_t *info = json_object_get(params, "targetInfo");
	const char *session = json_string_value(json_object_get(params, "sessionId"));
	const char *target = json_string_value(json_object_get(info, "targetId"));
	const char *type = json_string_value(json_object_get(info, "type"));
	struct devtools *d = page_devtools(page);
	if (session == NULL || target == NULL || type == NULL ||
	    strlen(session) > DEVTOOLS_SESSION_MAX || strlen(target) > DEVTOOLS_SESSION_MAX)
		return;
	bool is_page = strcmp(type, "page") == 0;
	if (is_page && page->state == PAGE_CREATING && json_object_get(info, "openerId") == NULL) {
		page_live_on(page, PAGE_LIFE_ATTACHED);
		memcpy(page->session, session, strlen(session) + 1);
		memcpy(page->target, target, strlen(target) + 1);
		set_up_page(page);
		return;
	}
	if (is_page) {
		devtools_command(d, DEVTOOLS_TARGET_CLOSE, "",
		                 json_pack("{s:s}", "targetId", target), PAGE_CALL_MS, NULL, NULL);
		page_note(page, "popup_blocked", "");
		return;
	}
	if (strcmp(type, "iframe") == 0) {
		fence_documents(page, session);
		devtools_command(d, DEVTOOLS_TARGET_AUTO_ATTACH, session, auto_attach_params(),
		                 PAGE_CALL_MS, NULL, NULL);
		add_scripts(page, session);
	}
	devtools_command(d, DEVTOOLS_RUNTIME_RUN, session, NULL, PAGE_CALL_MS, NULL, NULL);
}

/* ---- the browser ---- */

static void set_up_browser(struct page *page)
{
	struct devtools *d = page_devtools(page);
	devtools_command(d, DEVTOOLS_TARGET_DISCOVER, "", json_pack("{s:b}", "discover", 1),
	                 PAGE_CALL_MS, on_setup_reply, page);
	devtools_command(d, DEVTOOLS_TARGET_AUTO_ATTACH, "", auto_attach_params(), PAGE_CALL_MS,
	                 on_setup_reply, page);
	devtools_command(d, DEVTOOLS_BROWSER_SET_DOWNLOADS, "",
	                 json_pack("{s:s}", "behavior", "deny"), PAGE_CALL_MS, on_setup_reply,
	                 page);
	/* Without it a viewer gets only names that nobody else can resolve (mDNS). */
	if (page->options.browser.webrtc)
		devtools_command(
		        d, DEVTOOLS_BROWSER_GRANT_PERMISSIONS, "",
		        json_pack("{s:[s, s]}", "permissions", "audioCapture", "videoCapture"),
		        PAGE_CALL_MS, on_setup_reply, page);
}

static void on_version(void *arg, enum devtools_outcome outcome, const json_t *result,
                       const char *reason)
{
	struct page *page = arg;
	const char *product = json_string_value(json_object_get(result, "product"));
	if (page->state != PAGE_STARTING || outcome == DEVTOOLS_GONE)
		return; /* its exit says it */
	if (outcome != DEVTOOLS_OK) {
		page->signals.browser_failed = true;
		page_set_note(page, "the browser does not answer", reason);
		page_changed(page);
		return;
	}
	page_live_on(page, PAGE_LIFE_ANSWERED);
	page->signals.heard_ms = clock_monotonic_ms();
	log_info("browser started", "product=\"%s\" keeper=%d uid=%u sandbox=%d",
	         product != NULL ? product : "", (int)browser_keeper_pid(page->browser),
	         (unsigned)page->options.browser.uid, !page->options.browser.no_sandbox);
	set_up_browser(page);
	page_create_target(page);
}

void page_ask_version(struct page *page)
{
	devtools_command(page_devtools(page), DEVTOOLS_BROWSER_GET_VERSION, "", NULL, START_MS,
	                 on_version, page);
}
