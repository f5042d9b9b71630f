/* One transaction of a feed in the making: what time makes due and what was posted are applied to
 * its state, and each change becomes a frame. Counts and logs nothing: that is said (said.h). */
#pragma once

#include "common/base/settings.h"
#include "common/store/txn.h"
#include "worker-bridge/feed_frame.h"
#include "worker-bridge/feed_names.h"
#include "worker-bridge/feed_standings.h"
#include "worker-bridge/feed_state.h"
#include "worker-bridge/posts.h"
#include "worker-bridge/renderer_health.h"
#include "worker-bridge/said.h"
#include "worker-bridge/status_file.h"

struct feed_place {
	char name[FEED_NAME_MAX + 1], key[FEED_NAME_MAX + 16]; /* of its row */
	char lease[FEED_NAME_MAX + 16];
	char frames[FEED_NAME_MAX + 48], results[FEED_NAME_MAX + 48];
};

/* What is known of its picture. */
struct feed_picture {
	struct renderer_report report; /* the newest of the capture worker */
	struct status_file *status;    /* NULL: none is watched */
};

/* What tells one frame from the one before. */
struct feed_core {
	uint64_t high, low;
};

struct feed_work {
	const struct feed_place *place;
	const struct feed_picture *picture;
	const struct settings *settings;
	struct feed_frame *scratch;
	struct txn *txn; /* borrowed while it is in the making, and so is what is counted by */
	struct feed_standings *standings;
	struct feed_standings_change counting;
	struct feed_state state;
	struct feed_core core;
	struct posts posts; /* that have been judged */
	struct said said;
	char *row;
	int64_t moved_ms; /* what the clock was set by, and is in `state` */
	bool changed;
	bool last; /* the frame that is made now is the transaction's last */
};

/* Everything that time makes due. */
void feed_work_time(struct feed_work *work);
/* Judges a post, takes its facts, and keeps it with its answer. */
void feed_work_post(struct feed_work *work, struct post *post);
/* Publishes the state if it tells anything new. Of a transaction whose frames are many and large
 * (FEED_WORK_FRAMES_BYTES), only the ends of duels and the last: a frame says all, and the smallest
 * ring has to take them. */
enum { FEED_WORK_FRAMES_BYTES = 1 << 18 };
void feed_work_frame(struct feed_work *work);

/* Of the last frame of this state. */
struct feed_core feed_work_core(struct feed_frame *scratch, const struct feed_state *state);
