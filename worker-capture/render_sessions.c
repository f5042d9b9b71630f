/* Render sessions: their beginning, and what time does to them. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/log.h"
#include "worker-capture/render_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	KEEP_MS = 100,              /* how often ends are looked for */
	CONSUMER_SILENT_MS = 10000, /* an SSE worker that says nothing any more has none */
	LOOK_MS = 3000,             /* who asked for a picture may ask for another within this */
};

/* ---- consumers ---- */

static uint64_t consumer_count(const struct render_live *live)
{
	uint64_t now_ms = clock_monotonic_ms(), count = 0;
	for (size_t i = 0; i < COUNTERS_SLOTS; i++)
		if (live->consumers[i].count > 0 &&
		    now_ms < live->consumers[i].said_ms + CONSUMER_SILENT_MS)
			count += live->consumers[i].count;
	return count;
}

/* Their coming and going is a change of state and the beginning of the time they have to come back.
 */
static void look_at_consumers(struct render_live *live)
{
	bool connected = consumer_count(live) > 0;
	bool was = json_is_true(json_object_get(live->paper->state, "clientConnected"));
	if (connected == was || live->paper->status == RENDER_TERMINATED)
		return;
	render_session_set(live->paper, "clientConnected", json_boolean(connected));
	render_touch(live);
}

void render_sessions_consumers(struct render_sessions *all, unsigned slot, struct span id,
                               uint64_t count)
{
	struct render_live *live = render_find(all, id);
	if (live == NULL || slot >= COUNTERS_SLOTS)
		return;
	live->consumers[slot].count = count;
	live->consumers[slot].said_ms = clock_monotonic_ms();
	look_at_consumers(live);
}

void render_sessions_slot_gone(struct render_sessions *all, unsigned slot)
{
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next) {
		if (slot < COUNTERS_SLOTS)
			live->consumers[slot].count = 0;
		look_at_consumers(live);
	}
}

/* ---- time ---- */

static void look_at_pictures(struct render_live *live)
{
	if (live->looked_ms == 0 || clock_monotonic_ms() < live->looked_ms + LOOK_MS)
		return;
	live->looked_ms = 0;
	if (live->watcher != NULL)
		session_watcher_fps(live->watcher, 0);
}

static void keep(struct render_live *live, uint64_t now_ms)
{
	const struct settings *settings = live->all->settings->newest;
	const struct render_times times = {.idle_ms = settings->sessions_idle_timeout_ms,
	                                   .lifetime_ms = settings->sessions_lifetime_ms};
	if (live->state == RENDER_OVER &&
	    now_ms >= live->paper->ended_ms + settings->sessions_remember_ms)
		render_forget(live);
	if (!render_life_writes(live->state))
		return;
	look_at_consumers(live);
	look_at_pictures(live);
	/* Followers and viewers; who only looked at pictures was counted then. */
	bool consumed = consumer_count(live) > 0 || live->viewers_count > 0;
	const char *reason = render_session_overdue(live->paper, &times, consumed, now_ms);
	if (reason != NULL)
		render_end(live, reason);
}

static void on_keep(uv_timer_t *timer)
{
	struct render_sessions *all = timer->data;
	struct render_live *live, *next;
	uint64_t now_ms = clock_wall_ms();
	int64_t step_ms = clock_watch_step(&all->clock, now_ms, clock_monotonic_ms());
	if (step_ms != 0)
		log_warn("the clock was set", "by_ms=%lld", (long long)step_ms);
	HASH_ITER (hh, all->lives, live, next) {
		if (step_ms != 0)
			render_session_clock_moved(live->paper, step_ms);
		keep(live, now_ms);
	}
}

/* ---- the worker's beginning and end ---- */

static bool take_document(void *arg, struct span key, struct span value)
{
	struct render_sessions *all = arg;
	uint64_t now_ms = clock_wall_ms();
	struct render_session *paper = render_session_load(value, now_ms);
	if (paper == NULL) {
		char row[RENDER_PATH_ROOM];
		snprintf(row, sizeof row, "%.*s", (int)key.len, (const char *)key.at);
		row_alert(all->capture->worker->mine, row);
		return true;
	}
	struct render_live *live = xcalloc(1, sizeof *live);
	live->paper = paper;
	if (paper->created_ms > now_ms) /* the clock was set back while nobody looked */
		render_session_clock_moved(paper, -(int64_t)(paper->created_ms - now_ms));
	live->state = render_life_found(paper->ended_ms != 0);
	live->document = xmemdup_text(value.at, value.len);
	render_add(all, live);
	render_publish_start(live);
	return true;
}

static void resume(struct render_live *live)
{
	char reason[256];
	unsigned status;
	if (live->state == RENDER_OVER)
		return;
	render_session_set(live->paper, "clientConnected", json_false());
	if (render_open_browser(live, &status, reason)) {
		render_session_status(live->paper, RENDER_RECONNECTING, "");
	} else {
		render_session_status(live->paper, RENDER_ERROR, reason);
		render_error_tell(live->all, live->paper, true, reason);
	}
	render_changed(live);
}

struct render_sessions *render_sessions_create(struct capture *capture)
{
	struct render_sessions *all = xcalloc(1, sizeof *all);
	struct render_live *live, *next;
	all->capture = capture;
	all->settings = &capture->worker->settings;
	all->posts = http_posts_create(capture->worker->loop, all->settings->newest->tls_ca_file);
	char reason[160];
	if (!ice_servers_read(&all->ice, all->settings->newest->sessions_ice_servers, reason))
		log_error("sessions.ice_servers not used", "reason=\"%s\"", reason);
	uv_timer_init(capture->worker->loop, &all->publish);
	uv_timer_init(capture->worker->loop, &all->keep);
	all->publish.data = all->keep.data = all;
	while (store_advance(capture->store, 0)) {
	}
	state_kv_each(store_view(capture->store), SPAN(RENDER_SESSION_KEY_PREFIX), take_document,
	              all);
	HASH_ITER (hh, all->lives, live, next)
		resume(live);
	render_count(all);
	uv_timer_start(&all->keep, on_keep, KEEP_MS, KEEP_MS);
	return all;
}

void render_sessions_drain(struct render_sessions *all)
{
	all->draining = true;
	uv_timer_stop(&all->publish);
	uv_timer_stop(&all->keep);
	for (struct render_live *live = all->lives; live != NULL; live = live->hh.next) {
		session_unwatch(&live->watcher);
		live->browser = NULL;
	}
}
