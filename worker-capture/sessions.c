/* All sessions of the worker: opened, ticked, closed. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker-capture/session_parts.h"
#include "worker-capture/sound.h"

#include <ctype.h>
#include <stdlib.h>

enum { TICK_MS = 250 };

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
	session_start_browser(s);
	return SESSION_OPENED;
}

/* ---- finding ---- */

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

/* ---- their end ---- */

static void on_sessions_handle_closed(uv_handle_t *handle)
{
	struct sessions *sessions = handle->data;
	if (--sessions->handles > 0)
		return;
	void (*on_closed)(void *arg) = sessions->on_closed;
	void *arg = sessions->on_closed_arg;
	session_pay_owed(sessions);
	free(sessions);
	on_closed(arg);
}

static void finish_sessions(struct sessions *sessions)
{
	if (!sessions->closing || sessions->count > 0 ||
	    uv_is_closing((uv_handle_t *)&sessions->tick))
		return;
	uv_close((uv_handle_t *)&sessions->tick, on_sessions_handle_closed);
	uv_close((uv_handle_t *)&sessions->turn, on_sessions_handle_closed);
}

/* ---- time ---- */

static void on_tick(uv_timer_t *timer)
{
	struct sessions *sessions = timer->data;
	uint64_t now_ms = clock_monotonic_ms();
	struct session *next;
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		session_tick(s, now_ms);
	}
}

/* Before the loop waits again: what is owed, and sessions whose closer might still have held them.
 */
static void on_turn(uv_async_t *turn)
{
	struct sessions *sessions = turn->data;
	struct session *next;
	session_pay_owed(sessions);
	for (struct session *s = sessions->first; s != NULL; s = next) {
		next = s->following;
		session_release(s);
	}
	finish_sessions(sessions);
}

/* ---- their beginning and end ---- */

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

struct sessions *sessions_create(uv_loop_t *loop, const struct settings_source *settings,
                                 struct counters_slot *counters)
{
	struct sessions *sessions = xcalloc(1, sizeof *sessions);
	*sessions = (struct sessions){
	        .loop = loop, .settings = settings, .counters = counters, .handles = 2};
	uv_timer_init(loop, &sessions->tick);
	uv_async_init(loop, &sessions->turn, on_turn);
	sessions->tick.data = sessions->turn.data = sessions;
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
		session_update_fps(s);
}
