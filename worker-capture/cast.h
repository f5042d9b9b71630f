/* The screencast of one page: started, paced, restarted. The browser sends a picture only while few
 * are unacknowledged, so the rate is set by when they are acknowledged: what nobody wants is never
 * drawn, encoded or sent. */
#pragma once

#include "worker-capture/devtools.h"

enum { CAST_UNACKED_MAX = 8 };

struct cast {
	struct devtools *devtools;
	char session[DEVTOOLS_SESSION_MAX + 1];
	uint32_t width, height, quality;
	double fps;
	uv_timer_t timer;
	int64_t unacked[CAST_UNACKED_MAX]; /* oldest first */
	unsigned unacked_count;
	uint64_t due_ns;   /* the next acknowledgement is not to leave earlier */
	uint64_t asked_ms; /* when it was started; 0: it is not */
	double newest_s;   /* drawn_at_s of the newest picture */
};

/* `cast` is zeroed by it and stays where it is until cast_close(). */
void cast_init(struct cast *cast, uv_loop_t *loop, uint32_t width, uint32_t height,
               uint32_t quality, double fps);
/* Starts it in a page, from nothing; a former page's is forgotten. Before the page navigates, or
 * after it has: a start in between is lost without a word (so cast_watch()). */
void cast_start(struct cast *cast, struct devtools *devtools, const char *session);
/* The page or its browser is gone. */
void cast_forget(struct cast *cast);
/* A picture arrived. False: it is older than one that came before and is to be dropped. */
bool cast_take(struct cast *cast, const struct picture *picture, int64_t ack);
/* Largest size of the pictures from now on. */
void cast_set_size(struct cast *cast, uint32_t width, uint32_t height);
/* Frames a second, 0.1 to 60. */
void cast_set_fps(struct cast *cast, double fps);
/* No picture has come although the page draws: stops and starts it again, at most every two
 * seconds. */
void cast_nudge(struct cast *cast, uint64_t now_ms);
void cast_close(struct cast *cast, uv_close_cb on_closed);
