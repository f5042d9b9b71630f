#include "worker-capture/session.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/session_parts.h"
#include "worker-capture/sound.h"

#include <stdlib.h>

enum {
	RATE_MS = 2000,
	RECENT_MS = 60000,   /* LADDER_RECENT_MAX steps within: the browser's fault */
	TERMINATE_MS = 1500, /* what a stopped script gets to show that it lives */
	DIALOG_MS = 2000,
	ROTATE_AGAIN_MS = 60000, /* after a rotation whose new browser did not get well */
};

/* ---- its life ---- */

static void emit(struct session *session, const char *kind, enum health_reason reason,
                 const char *step, const char *detail)
{
	const struct session_event event = {.kind = kind,
	                                    .reason = health_reason_name(reason),
	                                    .step = step,
	                                    .detail = detail,
	                                    .at_ms = clock_wall_ms()};
	log_info("capture", "session=%s kind=%s reason=%s step=%s state=%s detail=\"%s\"",
	         session->id, kind, event.reason, step, session_state_name(session->state), detail);
	session_tell_event(session, &event);
}

/* The one place where the state changes. */
static void live_on(struct session *session, enum session_life_event event)
{
	enum session_state was = session->state;
	session->state = (enum session_state)machine_step(&session_life, was, event);
	session->been_live = session->been_live || session->state == SESSION_LIVE;
	if (session->state != was && session->state != SESSION_RELEASED)
		emit(session, "state", session->health.reason, "", session->health.detail);
}

void session_update_fps(struct session *session)
{
	if (session->on != NULL && !session_life_is_ending(session->state))
		page_set_fps(session->on->page, session_wanted_fps(session));
}

/* ---- pages come and go ---- */

static void retire(struct stage **stage)
{
	if (*stage != NULL)
		page_close((*stage)->page);
	*stage = NULL;
}

/* The picture of who is on. */
static void show(struct session *session, struct picture *picture)
{
	picture->seq = ++session->seq;
	picture_unref(&session->last);
	session->last = picture;
	counter_add(session->sessions->counters, capture_frames_total, 1);
	counter_add(session->sessions->counters, capture_frame_bytes_total, picture->len);
	picture_ref(picture);
	session_tell_picture(session, picture);
	picture_unref(&picture);
}

static void judge(struct session *session);

static void on_page_picture(void *arg, struct picture *picture)
{
	struct stage *stage = arg;
	if (stage == stage->session->on) {
		show(stage->session, picture);
		return;
	}
	picture_unref(&stage->newest);
	stage->newest = picture;
}

static void on_page_change(void *arg)
{
	struct stage *stage = arg;
	judge(stage->session);
}

static void on_page_message(void *arg, enum page_world world, const char *kind, const json_t *value,
                            unsigned losses)
{
	struct stage *stage = arg;
	struct session *session = stage->session;
	if (stage == session->on)
		session_tell_message(
		        session, world == PAGE_WORLD_OWN ? SESSION_WORLD_OWN : SESSION_WORLD_PAGE,
		        kind, value, losses);
}

static void on_page_note(void *arg, const char *kind, const char *detail)
{
	struct stage *stage = arg;
	struct session *session = stage->session;
	bool blocked = strstr(kind, "_blocked") != NULL;
	session->blocked += blocked;
	if (blocked)
		counter_add(session->sessions->counters, capture_blocked_total, 1);
	emit(session, kind, HEALTH_NONE, "", detail);
}

static void on_page_closed(void *arg)
{
	struct stage *stage = arg;
	struct session *session = stage->session;
	struct stage **at = &session->stages;
	while (*at != stage)
		at = &(*at)->following;
	*at = stage->following;
	picture_unref(&stage->newest);
	free(stage);
	counter_add(session->sessions->counters, capture_browsers, -1);
	session_release(session);
}

const struct page_events session_page_events = {.on_picture = on_page_picture,
                                                .on_change = on_page_change,
                                                .on_message = on_page_message,
                                                .on_note = on_page_note,
                                                .on_closed = on_page_closed};

static void put_on(struct session *session, struct stage *stage)
{
	uint64_t now_ms = clock_monotonic_ms();
	session->on = stage;
	session->on_ms = now_ms;
	uint64_t rotate_ms = session->sessions->settings->newest->capture_rotate_ms;
	session->rotate_due_ms = rotate_ms > 0 ? now_ms + rotate_ms : UINT64_MAX;
	session->bare = (struct health_signals){0};
	session_update_fps(session);
	if (stage->newest == NULL)
		return;
	struct picture *newest = stage->newest;
	stage->newest = NULL;
	show(session, newest);
}

void session_launched(struct session *session, struct stage *stage, enum launch_purpose purpose,
                      enum health_reason why, const char *words)
{
	if (stage != NULL) {
		session->browsers++;
		counter_add(session->sessions->counters, capture_browsers, 1);
		counter_add(session->sessions->counters, capture_browsers_started_total, 1);
	}
	if (purpose == LAUNCH_TO_REPLACE) {
		session->coming = stage;
		session->coming_ms = clock_monotonic_ms();
		return;
	}
	if (stage != NULL) {
		put_on(session, stage);
	} else {
		session->bare =
		        (struct health_signals){.browser_missing = why == HEALTH_BROWSER_MISSING,
		                                .browser_failed = why == HEALTH_BROWSER_FAILED,
		                                .blocked = why == HEALTH_NAVIGATION_BLOCKED,
		                                .load_failed = why == HEALTH_NAVIGATION_FAILED};
		snprintf(session->bare.note, sizeof session->bare.note, "%.*s", HEALTH_DETAIL_MAX,
		         words);
	}
	judge(session);
}

void session_start_browser(struct session *session)
{
	retire(&session->on);
	retire(&session->coming);
	session_launch_cancel(session);
	session->bare = (struct health_signals){.document_ms = clock_monotonic_ms()};
	session_launch(session, LAUNCH_TO_SHOW);
}

/* ---- judging and recovering ---- */

static struct health_limits limits_of(const struct settings *s)
{
	return (struct health_limits){.silent_ms = s->capture_silent_ms,
	                              .hang_ms = s->capture_hang_ms,
	                              .freeze_ms = s->capture_freeze_ms,
	                              .frozen_ms = s->capture_frozen_ms,
	                              .first_frame_ms = s->capture_first_frame_ms,
	                              .dialog_ms = DIALOG_MS};
}

static struct ladder_limits ladder_limits_of(const struct session *session)
{
	const struct settings *s = session->sessions->settings->newest;
	return (struct ladder_limits){.terminate_ms = TERMINATE_MS,
	                              .load_ms = s->capture_load_ms,
	                              .not_ready_ms = s->capture_not_ready_ms,
	                              .recent_ms = RECENT_MS,
	                              .delay_min_ms = s->capture_restart_delay_min_ms,
	                              .delay_max_ms = s->capture_restart_delay_max_ms,
	                              .stable_ms = s->capture_restart_stable_ms,
	                              /* The feed's picture is never given up. */
	                              .browsers_max =
	                                      *session->feed != '\0' ? 0 : s->capture_restart_limit,
	                              .gpu_losses_max = s->capture_gpu_losses};
}

static void take_step(struct session *session, enum ladder_step step)
{
	bool bare = session->on == NULL;
	if (bare && (step == LADDER_TERMINATE || step == LADDER_RELOAD || step == LADDER_TARGET))
		step = LADDER_BROWSER;
	session->recoveries++;
	counter_add(session->sessions->counters, capture_recoveries_total, 1);
	emit(session, "recovery", session->health.reason, ladder_step_name(step),
	     session->health.detail);
	switch (step) {
	case LADDER_NONE:
		break;
	case LADDER_TERMINATE:
		page_terminate(session->on->page);
		break;
	case LADDER_RELOAD:
		page_reload(session->on->page);
		break;
	case LADDER_TARGET:
		page_retarget(session->on->page);
		break;
	case LADDER_BROWSER:
		session_start_browser(session);
		break;
	case LADDER_GIVE_UP:
		retire(&session->on);
		retire(&session->coming);
		break;
	}
}

static void count_healthy(struct session *session, bool was, bool is)
{
	if (was != is)
		counter_add(session->sessions->counters, capture_healthy, is ? 1 : -1);
}

/* False: nobody looks after it any more; it may have come to that in here. */
static bool hear(struct session *session)
{
	struct health_signals signals =
	        session->on != NULL ? *page_signals(session->on->page) : session->bare;
	struct health_limits limits = limits_of(session->sessions->settings->newest);
	bool was_healthy = session->health.reason == HEALTH_NONE;
	signals.encoder = session->encoder;
	bool changed = health_judge(&session->health, &signals, &limits, clock_monotonic_ms(),
	                            clock_wall_ms());
	count_healthy(session, was_healthy, session->health.reason == HEALTH_NONE);
	if (changed)
		emit(session, "health", session->health.reason, "", session->health.detail);
	return session_life_is_kept(session->state);
}

static void judge(struct session *session)
{
	struct ladder_limits limits = ladder_limits_of(session);
	if (!session_life_is_kept(session->state) || !hear(session))
		return;
	enum ladder_step step = ladder_next(&session->ladder, &limits, session->health.reason,
	                                    clock_monotonic_ms());
	if (step != LADDER_NONE)
		take_step(session, step);
	if (session_life_is_kept(session->state))
		live_on(session, session_life_judged(&session->ladder, session->health.reason,
		                                     session->been_live));
}

void session_restart(struct session *session, const char *why)
{
	if (session_life_is_ending(session->state))
		return;
	session->ladder = (struct ladder){0};
	session->recoveries++;
	counter_add(session->sessions->counters, capture_recoveries_total, 1);
	emit(session, "recovery", session->health.reason, "browser", why);
	if (session_life_is_ending(session->state))
		return;
	session_start_browser(session);
	if (session->state == SESSION_FAILED) {
		hear(session);
		if (session->state == SESSION_FAILED)
			live_on(session, session_life_judged(&session->ladder, HEALTH_STARTING,
			                                     session->been_live));
	}
	judge(session);
}

void session_report_encoder(struct session *session, const char *reason)
{
	session->encoder = reason;
	judge(session);
}

/* ---- rotation ---- */

static enum health_reason reason_of(const struct session *session, const struct stage *stage)
{
	struct health health = {0};
	struct health_limits limits = limits_of(session->sessions->settings->newest);
	health_judge(&health, page_signals(stage->page), &limits, clock_monotonic_ms(), 0);
	return health.reason;
}

static void swap(struct session *session)
{
	struct stage *old = session->on, *fresh = session->coming;
	session->on = session->coming = NULL;
	put_on(session, fresh);
	if (old != NULL)
		page_close(old->page);
	emit(session, "rotation", HEALTH_NONE, "browser", "");
}

/* Its sound server is another one than its browser began with, and will not be found by that. */
static bool is_deaf(const struct session *session)
{
	return session->on->sound_start != sound_starts(session->sound) &&
	       sound_listens(session->sound);
}

/* At least as well as the one that is on, and with a picture: it is shown. */
static void watch_successor(struct session *session, uint64_t now_ms)
{
	enum health_reason reason = reason_of(session, session->coming);
	if ((reason == HEALTH_NONE || reason == session->health.reason) &&
	    session->coming->newest != NULL) {
		swap(session);
	} else if (now_ms - session->coming_ms >=
	           session->sessions->settings->newest->capture_load_ms) {
		log_warn("rotation put off", "session=%s reason=%s", session->id,
		         health_reason_name(reason));
		retire(&session->coming);
		session->rotate_due_ms = now_ms + ROTATE_AGAIN_MS;
	}
}

/* A browser does not get better with age. */
static void rotate(struct session *session, uint64_t now_ms)
{
	if (session->coming != NULL) {
		watch_successor(session, now_ms);
		return;
	}
	if (session->on != NULL && now_ms >= session->deaf_due_ms && is_deaf(session)) {
		session->on->sound_start = sound_starts(session->sound);
		session->deaf_due_ms =
		        now_ms + ROTATE_AGAIN_MS; /* the server may not last either */
		session->rotate_due_ms = now_ms;
	}
	if (session->state != SESSION_LIVE || session->launch != NULL ||
	    now_ms < session->rotate_due_ms)
		return;
	session->rotate_due_ms = now_ms + ROTATE_AGAIN_MS;
	session_launch(session, LAUNCH_TO_REPLACE);
}

void session_resize(struct session *session, uint32_t width, uint32_t height)
{
	session->width = width;
	session->height = height;
	for (struct stage *stage = session->stages; stage != NULL; stage = stage->following)
		if (stage->page != NULL)
			page_resize(stage->page, width, height);
}

/* ---- time ---- */

static void measure_rate(struct session *session, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - session->rate_ms;
	if (passed_ms < RATE_MS)
		return;
	session->rate = (double)(session->seq - session->rate_seq) * 1000 / (double)passed_ms;
	session->rate_seq = session->seq;
	session->rate_ms = now_ms;
}

void session_tick(struct session *session, uint64_t now_ms)
{
	if (session_life_is_ending(session->state))
		return;
	measure_rate(session, now_ms);
	if (session->on != NULL)
		page_tick(session->on->page, now_ms);
	if (session->coming != NULL)
		page_tick(session->coming->page, now_ms);
	judge(session);
	if (!session_life_is_ending(session->state))
		rotate(session, now_ms);
}

/* ---- its end ---- */

static void on_sound_closed(void *arg)
{
	struct session *session = arg;
	struct sessions *sessions = session->sessions;
	struct session **at = &sessions->first;
	session_tell_closed(session);
	picture_unref(&session->last);
	free(session->url);
	free(session->allow);
	free(session->owner);
	free(session->page_script);
	while (*at != session)
		at = &(*at)->following;
	*at = session->following;
	free(session);
	sessions->count--;
	counter_set(sessions->counters, capture_sessions, sessions->count);
	uv_async_send(&sessions->turn); /* it may have been the last that was waited for */
}

void session_release(struct session *session)
{
	if (session->state != SESSION_CLOSING || session->stages != NULL || session->calling > 0)
		return;
	live_on(session, SESSION_LIFE_EMPTY);
	sound_close(session->sound, on_sound_closed, session);
}

void session_close(struct session *session)
{
	if (session_life_is_ending(session->state))
		return;
	live_on(session, SESSION_LIFE_CLOSE);
	count_healthy(session, session->health.reason == HEALTH_NONE, false);
	session_launch_cancel(session);
	retire(&session->on);
	retire(&session->coming);
	/* Whoever calls may still hold it: a session without browsers goes at the next turn too. */
	if (session->stages == NULL)
		uv_async_send(&session->sessions->turn);
}
