/* The session that shows the default feed (capture.url): opened at start, there for ever. */
#pragma once

#include "worker-capture/session.h"

/* NULL: capture.url is empty, or may not be reached, which the log says. Its id is "feed-" and the
 * feed's name. */
struct session *feed_session_open(struct sessions *sessions, const struct settings *settings);

struct capture;
/* Tells the bridge how the pictures of feeds are: what has changed, and every second all. Call at
 * least twice a second. */
void feed_session_report(struct capture *capture, uint64_t now_ms);
