#include "worker-capture/page.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/page_parts.h"

#include <stddef.h>
#include <stdlib.h>

enum { LUMA_EVERY_MS = 1000 };
#define FLAT_DEVIATION 0.75 /* of 255: less is one colour, JPEG noise included */

/* ---- what its files need ---- */

void page_live_on(struct page *page, enum page_life_event event)
{
	page->state = (enum page_state)machine_step(&page_life, page->state, event);
}

struct devtools *page_devtools(struct page *page)
{
	return browser_devtools(page->browser);
}

void page_changed(struct page *page)
{
	if (!page_life_is_ending(page->state))
		page->events.on_change(page->events.arg);
}

void page_note(struct page *page, const char *kind, const char *detail)
{
	if (!page_life_is_ending(page->state))
		page->events.on_note(page->events.arg, kind, detail);
}

void page_set_note(struct page *page, const char *what, const char *detail)
{
	snprintf(page->signals.note, sizeof page->signals.note, "%s%s%.120s", what,
	         *what != '\0' && *detail != '\0' ? ": " : "", detail);
}

/* ---- documents ---- */

void page_begin_document(struct page *page)
{
	struct health_signals *s = &page->signals;
	*s = (struct health_signals){.asked_ms = s->asked_ms,
	                             .heard_ms = s->heard_ms,
	                             .encoder = s->encoder,
	                             .dialog_ms = s->dialog_ms,
	                             .document_ms = clock_monotonic_ms()};
	page->counts = (struct beat_counts){0};
	picture_unref(&page->last);
	page->luma_hash = 0;
}

static void on_navigate_reply(void *arg, enum devtools_outcome outcome, const json_t *result,
                              const char *reason)
{
	struct page *page = arg;
	const char *error = json_string_value(json_object_get(result, "errorText"));
	if (outcome == DEVTOOLS_GONE || page_life_is_ending(page->state) || page->signals.blocked)
		return;
	if (outcome == DEVTOOLS_OK && error == NULL)
		return;
	page->signals.load_failed = true;
	page_set_note(page, "", error != NULL ? error : reason);
	page_changed(page);
}

void page_go_home(struct page *page)
{
	page_begin_document(page);
	page_live_on(page, PAGE_LIFE_NAVIGATE);
	devtools_command(page_devtools(page), DEVTOOLS_PAGE_NAVIGATE, page->session,
	                 json_pack("{s:s}", "url", page->url), PAGE_NAVIGATE_MS, on_navigate_reply,
	                 page);
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
	picture_unref(&page->last);
}

static void on_picture(void *arg, const char *session, struct picture *picture, int64_t ack)
{
	struct page *page = arg;
	uint64_t now_ms = clock_monotonic_ms();
	if (!page_life_has_page(page->state) || strcmp(session, page->session) != 0 ||
	    !cast_take(&page->cast, picture, ack)) {
		picture_unref(&picture);
		return;
	}
	picture->at_ms = now_ms;
	page->signals.frame_ms = now_ms;
	bool first = page->signals.first_frame_ms == 0;
	if (first)
		page->signals.first_frame_ms = now_ms;
	picture_unref(&page->last);
	page->last = picture_ref(picture);
	if (now_ms - page->measured_ms >= LUMA_EVERY_MS || first)
		measure(page, now_ms);
	page->events.on_picture(page->events.arg, picture);
	if (first)
		page_changed(page);
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
			page_set_note(page, "", "");
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
	if (outcome == DEVTOOLS_GONE || outcome == DEVTOOLS_TIMEOUT ||
	    page_life_is_ending(page->state))
		return;
	page->signals.heard_ms = clock_monotonic_ms();
	page->signals.asked_ms = 0;
	if (outcome == DEVTOOLS_OK)
		take_processes(page, result);
	page_changed(page);
}

/* One question at a time: a browser that is slow gets no second one. */
static void on_probe(uv_timer_t *timer)
{
	struct page *page = timer->data;
	if (page->asking || !page_life_has_browser(page->state))
		return;
	page->asking = true;
	if (page->signals.asked_ms == 0)
		page->signals.asked_ms = clock_monotonic_ms();
	devtools_command(page_devtools(page), DEVTOOLS_SYSTEM_GET_PROCESSES, "", NULL, PAGE_CALL_MS,
	                 on_processes, page);
}

static void on_gone(void *arg, const char *reason)
{
	struct page *page = arg;
	bool answered = page_life_has_browser(page->state);
	if (!answered && page->state != PAGE_STARTING)
		return; /* it is known already */
	cast_forget(&page->cast);
	page->own_context = 0;
	if (answered)
		page->signals.browser_ended = true;
	page_set_note(page, "", reason);
	/* Whatever of it is still there must not stay. */
	browser_kill(page->browser);
	if (answered)
		page_changed(page);
}

/* ---- its end ---- */

static void on_part_closed(struct page *page)
{
	if (--page->handles > 0)
		return;
	const struct page_events events = page->events;
	picture_unref(&page->last);
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
	bool answered = page_life_has_browser(page->state);
	log_info("browser ended", "keeper=%d code=%d last=\"%s\"",
	         (int)browser_keeper_pid(page->browser), code, line);
	page_live_on(page, PAGE_LIFE_EXITED);
	if (page->state == PAGE_FINISHED) {
		finish(page);
		return;
	}
	page->signals.browser_ended = answered;
	page->signals.browser_failed = !answered;
	snprintf(page->signals.note, sizeof page->signals.note, "exit %d%s%.120s", code,
	         *line != '\0' ? ": " : "", line);
	page_changed(page);
}

void page_close(struct page *page)
{
	if (page_life_is_ending(page->state))
		return;
	page_live_on(page, PAGE_LIFE_CLOSE);
	uv_timer_stop(&page->probe);
	cast_forget(&page->cast);
	if (page->state == PAGE_FINISHED)
		finish(page);
	else
		browser_kill(page->browser);
}

/* ---- ways back ---- */

void page_terminate(struct page *page)
{
	devtools_command(page_devtools(page), DEVTOOLS_RUNTIME_TERMINATE, page->session, NULL,
	                 PAGE_CALL_MS, NULL, NULL);
}

void page_retarget(struct page *page)
{
	if (!page_life_has_browser(page->state))
		return; /* there is one as soon as it answers; or never again */
	if (*page->target != '\0')
		devtools_command(page_devtools(page), DEVTOOLS_TARGET_CLOSE, "",
		                 json_pack("{s:s}", "targetId", page->target), PAGE_CALL_MS, NULL,
		                 NULL);
	if (*page->session != '\0')
		devtools_forget(page_devtools(page), page->session);
	cast_forget(&page->cast);
	page_begin_document(page);
	page->session[0] = page->target[0] = '\0';
	page->own_context = 0;
	page_create_target(page);
}

void page_reload(struct page *page)
{
	const struct health_signals *s = &page->signals;
	bool away = strcmp(page->home_url, page->shown_url) != 0;
	if (!page_life_has_page(page->state)) {
		page_retarget(page);
	} else if (away || s->crashed || s->blocked || s->load_failed || *page->home_url == '\0') {
		page_go_home(page);
	} else {
		page_begin_document(page);
		devtools_command(page_devtools(page), DEVTOOLS_PAGE_RELOAD, page->session,
		                 json_pack("{s:b}", "ignoreCache", 1), PAGE_NAVIGATE_MS,
		                 on_navigate_reply, page);
	}
}

/* ---- its beginning ---- */

struct page *page_create(uv_loop_t *loop, const struct page_options *options,
                         const struct page_events *events, char reason[256])
{
	struct page *page = xcalloc(1, sizeof *page);
	page->options = *options;
	page->egress = *options->browser.egress;
	page->options.browser.egress = &page->egress;
	page->events = *events;
	const struct browser_events of_browser = {.devtools = {.on_event = page_on_event,
	                                                       .on_picture = on_picture,
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
	page_ask_version(page);
	return page;
}

/* ---- what it is told and asked ---- */

const struct health_signals *page_signals(const struct page *page)
{
	return &page->signals;
}

void page_resize(struct page *page, uint32_t width, uint32_t height)
{
	page->options.browser.width = width;
	page->options.browser.height = height;
	cast_set_size(&page->cast, width, height);
	if (page_life_has_page(page->state))
		page_send_size(page);
	/* else it is set up with this size */
}

void page_set_fps(struct page *page, double fps)
{
	page->options.fps = fps;
	cast_set_fps(&page->cast, fps);
}

void page_command(struct page *page, enum devtools_method method, json_t *params,
                  uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	devtools_command(page_devtools(page), method, page->session, params, timeout_ms, on_reply,
	                 arg);
}

int64_t page_context(const struct page *page, enum page_world world)
{
	if (!page_life_has_page(page->state))
		return 0;
	return world == PAGE_WORLD_OWN ? page->own_context : -1;
}

pid_t page_keeper_pid(const struct page *page)
{
	return browser_keeper_pid(page->browser);
}
