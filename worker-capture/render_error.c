/* Render sessions: what went wrong is told to a server of whoever runs the suite
 * (sessions.error_url), as far as that listens: tried again for a while, then given up with a line
 * in the log. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/http_post.h"
#include "common/base/log.h"
#include "common/base/signing.h"
#include "common/domain/subscription.h"
#include "worker-capture/render_parts.h"

#include <stdlib.h>

enum {
	TELLINGS_MAX = 64, /* under way or waiting */
	TRIES_MAX = 5,
	PAUSE_MS = 1000, /* before the second try; then twice as long each time */
	TIMEOUT_MS = 5000,
};

struct render_telling {
	struct render_sessions *all;
	struct render_telling *next, **link;
	uv_timer_t timer;
	unsigned tries;
	char *body;
};

static void on_closed(uv_handle_t *handle)
{
	struct render_telling *t = handle->data;
	free(t->body);
	free(t);
}

static void finish(struct render_telling *t)
{
	*t->link = t->next;
	if (t->next != NULL)
		t->next->link = t->link;
	t->all->tellings_count--;
	uv_close((uv_handle_t *)&t->timer, on_closed);
}

static void on_time(uv_timer_t *timer);

static void again(struct render_telling *t, const char *why, unsigned status)
{
	if (t->tries < TRIES_MAX) {
		uv_timer_start(&t->timer, on_time, (uint64_t)PAUSE_MS << (t->tries - 1), 0);
		return;
	}
	log_warn("an error of a session was not told", "status=%u error=\"%s\" tries=%u", status,
	         why, t->tries);
	finish(t);
}

static void on_answer(void *arg, const struct http_post_answer *answer)
{
	struct render_telling *t = arg;
	if (answer->status >= 200 && answer->status < 300)
		finish(t);
	else
		again(t, answer->error, answer->status);
}

/* The store's key may be a moment away, in the first of a new one. */
static void on_time(uv_timer_t *timer)
{
	struct render_telling *t = timer->data;
	const struct settings *settings = t->all->settings->newest;
	struct span seed = {0};
	char signature[256] = "";
	t->tries++;
	while (store_advance(t->all->capture->store, 0)) {
	}
	if (*settings->sessions_error_url == '\0') {
		finish(t);
	} else if (!state_kv_get(store_view(t->all->capture->store), SPAN(SUBSCRIPTION_SIGNING_KEY),
	                         &seed) ||
	           !signing_header(seed, clock_wall_ms() / 1000, span_str(t->body), signature)) {
		again(t, "the signing key is being made", 0);
	} else {
		http_posts_send(t->all->posts,
		                &(struct http_post){
		                        .url = settings->sessions_error_url,
		                        .reach = address_reach_of_own(settings->sessions_error_url),
		                        .body = span_str(t->body),
		                        .signature = signature,
		                        .timeout_ms = TIMEOUT_MS,
		                        .status_only = true},
		                on_answer, t);
	}
}

void render_error_tell(struct render_sessions *all, const struct render_session *paper, bool exists,
                       const char *error)
{
	if (*all->settings->newest->sessions_error_url == '\0' || all->draining)
		return;
	if (all->tellings_count == TELLINGS_MAX) {
		log_warn("an error of a session was not told", "session=%s error=\"%s\" waiting=%d",
		         paper->id, error, TELLINGS_MAX);
		return;
	}
	struct render_telling *t = xcalloc(1, sizeof *t);
	json_t *body =
	        json_pack("{s:s, s:s?, s:s, s:s, s:O?, s:I}", "type", "session.error", "streamId",
	                  exists ? paper->id : NULL, "targetUrl", paper->order.target_url, "error",
	                  error, "callerContext", paper->caller, "at", (json_int_t)clock_wall_ms());
	t->body = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	check(t->body != NULL);
	t->all = all;
	t->link = &all->tellings;
	t->next = all->tellings;
	if (t->next != NULL)
		t->next->link = &t->next;
	all->tellings = t;
	all->tellings_count++;
	uv_timer_init(all->capture->worker->loop, &t->timer);
	t->timer.data = t;
	uv_timer_start(&t->timer, on_time, 0, 0);
}
