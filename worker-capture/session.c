#include "worker-capture/session.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/session_parts.h"
#include "worker-capture/sound.h"

#include <ctype.h>
#include <stdlib.h>

enum {
	TICK_MS = 250,
	RATE_MS = 2000,
	RECENT_MS = 60000,   /* LADDER_RECENT_MAX steps within: the browser's fault */
	TERMINATE_MS = 1500, /* what a stopped script gets to show that it lives */
	DIALOG_MS = 2000,
	ROTATE_AGAIN_MS = 60000, /* after a rotation whose new browser did not get well */
};
#define IDLE_FPS_LEAST 0.1

const char *session_state_name(enum session_state state)
{
	static const char *const names[] = {"starting", "live", "recovering", "failed", "closing"};
	return names[state];
}

/* ---- telling the watchers ---- */

static void release(struct session *session);

static void drop_gone(struct session *session)
{
	size_t kept = 0;
	if (session->calling > 0)
		return;
	for (size_t i = 0; i < session->watchers_count; i++) {
		struct session_watcher *watcher = session->watchers[i];
		if (watcher->gone)
			free(watcher);
		else
			session->watchers[kept++] = watcher;
	}
	session->watchers_count = kept;
}

/* EACH calls a member of every watcher that has it; they may come and go meanwhile. */
#define EACH(session, member, ...)                                                                 \
	do {                                                                                       \
		(session)->calling++;                                                              \
		for (size_t i_ = 0; i_ < (session)->watchers_count; i_++) {                        \
			struct session_watcher *w_ = (session)->watchers[i_];                      \
			if (!w_->gone && w_->watch.member != NULL)                                 \
				w_->watch.member(w_->watch.arg, __VA_ARGS__);                      \
		}                                                                                  \
		(session)->calling--;                                                              \
		drop_gone(session);                                                                \
	} while (0)

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
	EACH(session, on_event, session, &event);
}

static void set_state(struct session *session, enum session_state state)
{
	if (session->state == state)
		return;
	session->state = state;
	emit(session, "state", session->health.reason, "", session->health.detail);
}

double session_wanted_fps(const struct session *session)
{
	double fps = (double)session->sessions->settings->newest->capture_idle_fps;
	for (size_t i = 0; i < session->watchers_count; i++)
		if (!session->watchers[i]->gone && session->watchers[i]->watch.fps > fps)
			fps = session->watchers[i]->watch.fps;
	return fps > IDLE_FPS_LEAST ? fps : IDLE_FPS_LEAST;
}

static void update_fps(struct session *session)
{
	if (session->on != NULL && !session->closing)
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
static void show(struct session *session, struct frame *frame)
{
	frame->seq = ++session->seq;
	frame_unref(&session->last);
	session->last = frame;
	counter_add(session->sessions->counters, capture_frames_total, 1);
	counter_add(session->sessions->counters, capture_frame_bytes_total, frame->len);
	frame_ref(frame);
	EACH(session, on_frame, session, frame);
	frame_unref(&frame);
}

static void judge(struct session *session);

static void on_page_frame(void *arg, struct frame *frame)
{
	struct stage *stage = arg;
	if (stage == stage->session->on) {
		show(stage->session, frame);
		return;
	}
	frame_unref(&stage->newest);
	stage->newest = frame;
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
		EACH(session, on_message, session,
		     world == PAGE_WORLD_OWN ? SESSION_WORLD_OWN : SESSION_WORLD_PAGE, kind, value,
		     losses);
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
	frame_unref(&stage->newest);
	free(stage);
	counter_add(session->sessions->counters, capture_browsers, -1);
	release(session);
}

const struct page_events session_page_events = {.on_frame = on_page_frame,
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
	update_fps(session);
	if (stage->newest == NULL)
		return;
	struct frame *newest = stage->newest;
	stage->newest = NULL;
	show(session, newest);
}

void session_launched(struct session *session, struct stage *stage, enum health_reason why,
                      const char *words)
{
	if (stage != NULL) {
		session->browsers++;
		counter_add(session->sessions->counters, capture_browsers, 1);
		counter_add(session->sessions->counters, capture_browsers_started_total, 1);
	}
	if (session->launch_replaces) {
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

static void start_browser(struct session *session)
{
	retire(&session->on);
	retire(&session->coming);
	session_launch_cancel(session);
	session->bare = (struct health_signals){.document_ms = clock_monotonic_ms()};
	session->launch_replaces = false;
	session_launch(session);
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
		start_browser(session);
		break;
	case LADDER_GIVE_UP:
		session->gave_up = true;
		retire(&session->on);
		retire(&session->coming);
		break;
	}
}

static void update_state(struct session *session)
{
	if (session->gave_up)
		set_state(session, SESSION_FAILED);
	else if (session->ladder.step != LADDER_NONE || session->ladder.browser_due_ms != 0)
		set_state(session, SESSION_RECOVERING);
	else if (session->health.reason == HEALTH_STARTING)
		set_state(session, session->been_live ? SESSION_RECOVERING : SESSION_STARTING);
	else
		set_state(session, SESSION_LIVE);
	session->been_live = session->been_live || session->state == SESSION_LIVE;
}

static void count_health(struct session *session, bool healthy)
{
	if (session->counted_healthy != healthy)
		counter_add(session->sessions->counters, capture_healthy, healthy ? 1 : -1);
	session->counted_healthy = healthy;
}

static void judge(struct session *session)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct health_signals signals =
	        session->on != NULL ? *page_signals(session->on->page) : session->bare;
	struct health_limits limits = limits_of(session->sessions->settings->newest);
	struct ladder_limits ladder_limits = ladder_limits_of(session);
	if (session->closing || session->gave_up)
		return;
	signals.encoder = session->encoder;
	if (health_judge(&session->health, &signals, &limits, now_ms, clock_wall_ms()))
		emit(session, "health", session->health.reason, "", session->health.detail);
	if (session->closing)
		return;
	enum ladder_step step =
	        ladder_next(&session->ladder, &ladder_limits, session->health.reason, now_ms);
	if (step != LADDER_NONE)
		take_step(session, step);
	if (session->closing)
		return;
	count_health(session, session->health.reason == HEALTH_NONE);
	update_state(session);
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

/* A browser does not get better with age. Its successor is shown once it is at least as well. */
static void rotate(struct session *session, uint64_t now_ms)
{
	const struct settings *s = session->sessions->settings->newest;
	if (session->coming != NULL) {
		enum health_reason reason = reason_of(session, session->coming);
		if ((reason == HEALTH_NONE || reason == session->health.reason) &&
		    session->coming->newest != NULL) {
			swap(session);
		} else if (now_ms - session->coming_ms >= s->capture_load_ms) {
			log_warn("rotation put off", "session=%s reason=%s", session->id,
			         health_reason_name(reason));
			retire(&session->coming);
			session->rotate_due_ms = now_ms + ROTATE_AGAIN_MS;
		}
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
	session->launch_replaces = true;
	session_launch(session);
}

static void measure_rate(struct session *session, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - session->rate_ms;
	if (passed_ms < RATE_MS)
		return;
	session->rate = (double)(session->seq - session->rate_seq) * 1000 / (double)passed_ms;
	session->rate_seq = session->seq;
	session->rate_ms = now_ms;
}

static void tick(struct session *session, uint64_t now_ms)
{
	if (session->closing)
		return;
	measure_rate(session, now_ms);
	if (session->on != NULL)
		page_tick(session->on->page, now_ms);
	if (session->coming != NULL)
		page_tick(session->coming->page, now_ms);
	judge(session);
	if (!session->closing)
		rotate(session, now_ms);
}

static void on_tick(uv_timer_t *timer)
{
	struct sessions *sessions = timer->data;
	uint64_t now_ms = clock_monotonic_ms();
	struct session *next;
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		tick(s, now_ms);
	}
}

/* ---- opening ---- */

static bool is_id(const char *id)
{
	size_t len = strlen(id);
	if (len == 0 || len > SESSION_ID_MAX || *id == '-')
		return false;
	for (; *id != '\0'; id++)
		if (!islower((unsigned char)*id) && !isdigit((unsigned char)*id) && *id != '-')
			return false;
	return true;
}

static bool is_size(uint32_t n, uint32_t max)
{
	return n >= 16 && n <= max && n % 2 == 0;
}

static bool refuse(char reason[256], const char *why)
{
	snprintf(reason, 256, "%s", why);
	return false;
}

static bool options_fit(const struct session_options *o, char reason[256])
{
	if (!is_id(o->id))
		return refuse(reason,
		              "the id must be 1 to 64 of a-z, 0-9 and -, and not begin with -");
	if (strlen(o->feed) > SESSION_ID_MAX)
		return refuse(reason, "the feed's name is too long");
	if (strlen(o->url) > SESSION_URL_MAX)
		return refuse(reason, "the url is longer than 2048 characters");
	if (!is_size(o->width, 3840) || !is_size(o->height, 2160))
		return refuse(reason, "width and height must be even, 16 to 3840 and 16 to 2160");
	return true;
}

static char *copy(const char *text)
{
	return text != NULL ? xmemdup_text(text, strlen(text)) : NULL;
}

static struct session *session_create(struct sessions *sessions, const struct session_options *o)
{
	struct session *s = xcalloc(1, sizeof *s);
	s->sessions = sessions;
	s->url = copy(o->url);
	s->allow = copy(o->allow);
	s->owner = copy(o->owner != NULL ? o->owner : "");
	s->page_script = copy(o->page_script);
	snprintf(s->id, sizeof s->id, "%s", o->id);
	snprintf(s->feed, sizeof s->feed, "%s", o->feed);
	for (size_t i = 0, n = 0; i < SESSION_SCRIPTS_MAX; i++)
		if (o->scripts[i] != NULL)
			s->scripts[n++] = o->scripts[i];
	s->width = o->width;
	s->height = o->height;
	s->tab_capture = o->tab_capture;
	s->webrtc = o->webrtc;
	s->sound = o->sound ? sound_create(sessions->loop, sessions->settings->newest) : NULL;
	s->opened_ms = s->rate_ms = clock_monotonic_ms();
	s->health.reason = HEALTH_STARTING;
	s->following = sessions->first;
	sessions->first = s;
	sessions->count++;
	counter_set(sessions->counters, capture_sessions, sessions->count);
	return s;
}

enum session_open_result session_open(struct sessions *sessions,
                                      const struct session_options *options,
                                      struct session **session, char reason[256])
{
	const struct settings *settings = sessions->settings->newest;
	struct egress egress;
	if (!options_fit(options, reason))
		return SESSION_INVALID;
	if (session_find(sessions, options->id) != NULL)
		return SESSION_EXISTS;
	if (sessions->closing || sessions->count >= settings->capture_sessions)
		return SESSION_FULL;
	if (!egress_init(&egress, options->url, options->allow, settings->capture_allow_hosts,
	                 settings->capture_allow_private, reason) ||
	    (options->peers != NULL && !egress_add_peers(&egress, options->peers, reason)))
		return SESSION_FORBIDDEN;
	struct session *s = session_create(sessions, options);
	s->egress = egress;
	*session = s;
	start_browser(s);
	return SESSION_OPENED;
}

struct session *session_find(struct sessions *sessions, const char *id)
{
	for (struct session *s = sessions->first; s != NULL; s = s->following)
		if (strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

void sessions_each(struct sessions *sessions, void (*visit)(void *arg, struct session *session),
                   void *arg)
{
	struct session *next;
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		visit(arg, s);
	}
}

/* ---- closing ---- */

static void finish_sessions(struct sessions *sessions);
static void on_owing(uv_timer_t *timer);

static void on_sound_closed(void *arg)
{
	struct session *session = arg;
	struct sessions *sessions = session->sessions;
	struct session **at = &sessions->first;
	EACH(session, on_closed, session);
	while (*at != session)
		at = &(*at)->following;
	*at = session->following;
	sessions->count--;
	counter_set(sessions->counters, capture_sessions, sessions->count);
	for (size_t i = 0; i < session->watchers_count; i++)
		free(session->watchers[i]);
	frame_unref(&session->last);
	free(session->url);
	free(session->allow);
	free(session->owner);
	free(session->page_script);
	free(session);
	finish_sessions(sessions);
}

/* Once nothing of it is left but what its browsers played into. */
static void release(struct session *session)
{
	if (!session->closing || session->stages != NULL || session->calling > 0 ||
	    session->released)
		return;
	session->released = true;
	sound_close(session->sound, on_sound_closed, session);
}

void session_close(struct session *session)
{
	if (session->closing)
		return;
	set_state(session, SESSION_CLOSING);
	session->closing = true;
	count_health(session, false);
	session_launch_cancel(session);
	retire(&session->on);
	retire(&session->coming);
	/* Whoever calls may still hold it: a session without browsers goes at the next turn too. */
	if (session->stages == NULL)
		uv_timer_start(&session->sessions->owing, on_owing, 0, 0);
}

static void pay_all(struct sessions *sessions)
{
	struct owed *owed;
	while ((owed = sessions->owed) != NULL) {
		sessions->owed = owed->following;
		owed->on_reply(owed->arg, DEVTOOLS_GONE, NULL, owed->reason);
		free(owed);
	}
}

static void on_sessions_handle_closed(uv_handle_t *handle)
{
	struct sessions *sessions = handle->data;
	if (--sessions->handles > 0)
		return;
	void (*on_closed)(void *arg) = sessions->on_closed;
	void *arg = sessions->on_closed_arg;
	pay_all(sessions);
	free(sessions);
	on_closed(arg);
}

static void finish_sessions(struct sessions *sessions)
{
	if (!sessions->closing || sessions->count > 0 ||
	    uv_is_closing((uv_handle_t *)&sessions->tick))
		return;
	uv_close((uv_handle_t *)&sessions->tick, on_sessions_handle_closed);
	uv_close((uv_handle_t *)&sessions->owing, on_sessions_handle_closed);
}

void sessions_close(struct sessions *sessions, void (*on_closed)(void *arg), void *arg)
{
	struct session *next;
	sessions->closing = true;
	sessions->on_closed = on_closed;
	sessions->on_closed_arg = arg;
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		session_close(s);
	}
	finish_sessions(sessions);
}

/* ---- what is owed ---- */

static void on_owing(uv_timer_t *timer)
{
	struct sessions *sessions = timer->data;
	struct session *next;
	pay_all(sessions);
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		release(s);
	}
}

static void owe(struct sessions *sessions, devtools_on_reply *on_reply, void *arg,
                const char *reason)
{
	if (on_reply == NULL)
		return;
	struct owed *owed = xmalloc(sizeof *owed);
	*owed = (struct owed){on_reply, arg, reason, sessions->owed};
	sessions->owed = owed;
	uv_timer_start(&sessions->owing, on_owing, 0, 0);
}

struct sessions *sessions_create(uv_loop_t *loop, const struct settings_source *settings,
                                 struct counters_slot *counters)
{
	struct sessions *sessions = xcalloc(1, sizeof *sessions);
	*sessions = (struct sessions){
	        .loop = loop, .settings = settings, .counters = counters, .handles = 2};
	uv_timer_init(loop, &sessions->tick);
	uv_timer_init(loop, &sessions->owing);
	sessions->tick.data = sessions->owing.data = sessions;
	uv_timer_start(&sessions->tick, on_tick, TICK_MS, TICK_MS);
	browser_sweep(settings->newest->capture_profile_dir, settings->newest->data_dir);
	counter_set(counters, capture_unsafe, settings->newest->capture_no_sandbox);
	if (settings->newest->capture_no_sandbox)
		log_warn("browsers run without their sandbox",
		         "key=capture.no_sandbox consequence=\"a page that breaks out of its "
		         "renderer "
		         "has the browser's rights\"");
	return sessions;
}

void sessions_reload(struct sessions *sessions)
{
	for (struct session *s = sessions->first; s != NULL; s = s->following)
		update_fps(s);
}

/* ---- one of them ---- */

void session_restart(struct session *session, const char *why)
{
	if (session->closing)
		return;
	session->gave_up = false;
	session->ladder = (struct ladder){0};
	session->recoveries++;
	counter_add(session->sessions->counters, capture_recoveries_total, 1);
	emit(session, "recovery", session->health.reason, "browser", why);
	start_browser(session);
	judge(session);
}

enum session_open_result session_navigate(struct session *session, const char *url,
                                          char reason[256])
{
	if (strlen(url) > SESSION_URL_MAX) {
		refuse(reason, "the url is longer than 2048 characters");
		return SESSION_INVALID;
	}
	if (session->closing || !egress_allows(&session->egress, span_str(url))) {
		refuse(reason, "the url is not on the session's allow-list");
		return SESSION_FORBIDDEN;
	}
	free(session->url);
	session->url = copy(url);
	if (session->on != NULL)
		page_navigate(session->on->page, url);
	retire(&session->coming);
	return SESSION_OPENED;
}

const char *session_id(const struct session *session)
{
	return session->id;
}

const char *session_feed(const struct session *session)
{
	return session->feed;
}

const char *session_url(const struct session *session)
{
	return session->url;
}

const char *session_owner(const struct session *session)
{
	return session->owner;
}

enum session_state session_state(const struct session *session)
{
	return session->state;
}

const struct health *session_health(const struct session *session)
{
	return &session->health;
}

const struct sound *session_sound(const struct session *session)
{
	return session->sound;
}

struct frame *session_last_frame(const struct session *session)
{
	return session->last;
}

void session_resize(struct session *session, uint32_t width, uint32_t height)
{
	session->width = width;
	session->height = height;
	for (struct stage *stage = session->stages; stage != NULL; stage = stage->following)
		if (stage->page != NULL)
			page_resize(stage->page, width, height);
}

void session_size(const struct session *session, uint32_t *width, uint32_t *height)
{
	*width = session->width;
	*height = session->height;
}

struct session_watcher *session_watch(struct session *session, const struct session_watch *watch)
{
	struct session_watcher *watcher = xcalloc(1, sizeof *watcher);
	check(session->watchers_count < SESSION_WATCHERS_MAX);
	*watcher = (struct session_watcher){.session = session, .watch = *watch};
	session->watchers[session->watchers_count++] = watcher;
	update_fps(session);
	return watcher;
}

void session_unwatch(struct session_watcher **out)
{
	struct session_watcher *watcher = *out;
	*out = NULL;
	if (watcher == NULL)
		return;
	struct session *session = watcher->session;
	watcher->gone = true;
	update_fps(session);
	drop_gone(session);
}

void session_watcher_fps(struct session_watcher *watcher, double fps)
{
	watcher->watch.fps = fps;
	update_fps(watcher->session);
}

void session_report_encoder(struct session *session, const char *reason)
{
	session->encoder = reason;
	judge(session);
}

/* The token is in the fragment or, against all advice, in the query. */
static json_t *public_url(const char *url)
{
	return json_stringn(url, strcspn(url, "?#"));
}

json_t *session_describe(const struct session *s)
{
	uint64_t now_ms = clock_monotonic_ms();
	json_t *json = json_pack(
	        "{s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:b}", "id",
	        s->id, "feed", s->feed, "state", session_state_name(s->state), "url",
	        public_url(s->url), "health", health_json(&s->health), "width", (int)s->width,
	        "height", (int)s->height, "fps", s->rate, "wantedFps", session_wanted_fps(s),
	        "frames", (json_int_t)s->seq, "recoveries", (json_int_t)s->recoveries, "browsers",
	        (json_int_t)s->browsers, "blocked", (json_int_t)s->blocked, "upMs",
	        (json_int_t)(now_ms - s->opened_ms), "sandbox",
	        !s->sessions->settings->newest->capture_no_sandbox);
	check(json != NULL);
	json_object_set_new(json, "frameAgeMs",
	                    s->last != NULL ? json_integer((json_int_t)(now_ms - s->last->at_ms))
	                                    : json_null());
	json_object_set_new(json, "keeper",
	                    s->on != NULL ? json_integer(page_keeper_pid(s->on->page))
	                                  : json_null());
	json_object_set_new(json, "webrtc", json_boolean(s->webrtc));
	json_t *hosts = json_array();
	for (size_t i = 0; i < s->egress.count; i++)
		json_array_append_new(hosts, json_string(s->egress.hosts[i].at.name));
	json_object_set_new(json, "hosts", hosts);
	return json;
}

void session_command(struct session *session, enum devtools_method method, json_t *params,
                     uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	if (session->on != NULL && page_context(session->on->page, PAGE_WORLD_PAGE) != 0) {
		page_command(session->on->page, method, params, timeout_ms, on_reply, arg);
		return;
	}
	json_decref(params);
	owe(session->sessions, on_reply, arg, "there is no page now");
}

/* ---- evaluating ---- */

struct evaluation {
	devtools_on_reply *on_reply;
	void *arg;
};

static void on_evaluated(void *arg, enum devtools_outcome outcome, const json_t *result,
                         const char *reason)
{
	struct evaluation *evaluation = arg, e = *evaluation;
	const json_t *thrown = json_object_get(result, "exceptionDetails");
	const json_t *value = json_object_get(json_object_get(result, "result"), "value");
	free(evaluation);
	if (e.on_reply == NULL)
		return;
	if (outcome != DEVTOOLS_OK) {
		e.on_reply(e.arg, outcome, NULL, reason);
	} else if (thrown != NULL) {
		const char *text = json_string_value(
		        json_object_get(json_object_get(thrown, "exception"), "description"));
		if (text == NULL)
			text = json_string_value(json_object_get(thrown, "text"));
		e.on_reply(e.arg, DEVTOOLS_REFUSED, NULL, text != NULL ? text : "an exception");
	} else {
		e.on_reply(e.arg, DEVTOOLS_OK, value != NULL ? value : json_null(), "");
	}
}

void session_evaluate(struct session *session, enum session_world world, const char *expression,
                      bool gesture, uint64_t timeout_ms, devtools_on_reply *on_reply, void *arg)
{
	int64_t context = session->on == NULL
	                          ? 0
	                          : page_context(session->on->page, world == SESSION_WORLD_OWN
	                                                                    ? PAGE_WORLD_OWN
	                                                                    : PAGE_WORLD_PAGE);
	if (context == 0) {
		owe(session->sessions, on_reply, arg, "there is no page now");
		return;
	}
	json_t *params = json_pack("{s:s, s:b, s:b, s:b}", "expression", expression, "awaitPromise",
	                           1, "returnByValue", 1, "userGesture", (int)gesture);
	check(params != NULL);
	if (context > 0)
		json_object_set_new(params, "contextId", json_integer(context));
	struct evaluation *evaluation = xmalloc(sizeof *evaluation);
	*evaluation = (struct evaluation){on_reply, arg};
	page_command(session->on->page, DEVTOOLS_RUNTIME_EVALUATE, params, timeout_ms, on_evaluated,
	             evaluation);
}
