/* Who watches a session, and how they are told. They may come and go, and end the session, while
 * they are called. */
#include "common/base/check.h"
#include "worker-capture/session_parts.h"

#include <stdlib.h>

#define IDLE_FPS_LEAST 0.1

/* ---- telling them ---- */

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

void session_tell_event(struct session *session, const struct session_event *event)
{
	EACH(session, on_event, session, event);
}

void session_tell_picture(struct session *session, struct picture *picture)
{
	EACH(session, on_picture, session, picture);
}

void session_tell_message(struct session *session, enum session_world world, const char *kind,
                          const json_t *value, unsigned losses)
{
	EACH(session, on_message, session, world, kind, value, losses);
}

void session_tell_closed(struct session *session)
{
	EACH(session, on_closed, session);
	for (size_t i = 0; i < session->watchers_count; i++)
		free(session->watchers[i]);
	session->watchers_count = 0;
}

/* ---- coming and going ---- */

double session_wanted_fps(const struct session *session)
{
	double fps = (double)session->sessions->settings->newest->capture_idle_fps;
	for (size_t i = 0; i < session->watchers_count; i++)
		if (!session->watchers[i]->gone && session->watchers[i]->watch.fps > fps)
			fps = session->watchers[i]->watch.fps;
	return fps > IDLE_FPS_LEAST ? fps : IDLE_FPS_LEAST;
}

struct session_watcher *session_watch(struct session *session, const struct session_watch *watch)
{
	struct session_watcher *watcher = xcalloc(1, sizeof *watcher);
	check(session->watchers_count < SESSION_WATCHERS_MAX);
	*watcher = (struct session_watcher){.session = session, .watch = *watch};
	session->watchers[session->watchers_count++] = watcher;
	session_update_fps(session);
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
	session_update_fps(session);
	drop_gone(session);
}

void session_watcher_fps(struct session_watcher *watcher, double fps)
{
	watcher->watch.fps = fps;
	session_update_fps(watcher->session);
}
