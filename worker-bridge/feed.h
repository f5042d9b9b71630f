/* One feed: an actor over the row "feed/NAME". It judges by the clock and by what is posted, and
 * writes its state, the frames that tell of it, the number of the post that caused it, and what
 * bettors must know (feed_bets.h) in one transaction. Its lease (lease.h, "feeds/lease/NAME") goes
 * into each: of two bridges only the one that holds it acts; the other refuses posts with 503, and
 * looks whether it has become free. */
#pragma once

#include "common/base/clock.h"
#include "common/store/actor.h"
#include "worker-bridge/lease.h"
#include "worker-bridge/feed_work.h"

#include <uv.h>

/* What the feeds of a worker share. */
struct feed_house {
	struct worker *worker;
	struct store *store;
	const struct settings_source *settings;
	struct counters_slot *counters;
	struct feed_frame *scratch;
	bool draining;
};

struct feed {
	struct actor actor; /* first; the row is its */
	struct feed_house *house;
	struct feed_place place;
	struct feed_picture picture;
	struct feed_state state; /* durable */
	struct feed_core core;   /* of the last frame */
	char *row;               /* as the store has it; NULL: none yet */
	struct feed_standings standings;
	struct posts queue;
	struct feed_work *work; /* NULL: nothing is decided */
	struct clock_watch clock;
	struct lease lease;
	bool elsewhere;                  /* another bridge holds it */
	uint64_t turned_ms;              /* monotonic: when it was last looked at */
	int64_t moved_ms;                /* what the clock was set by, and is not durable yet */
	uint64_t heard_ms, listening_ms; /* of its game, as in struct duel_cycle */
	uv_timer_t timer;
	bool loaded;
	bool unreadable; /* its row is: it stands still */
};

/* `house` is kept. */
struct feed *feed_create(struct feed_house *house, const struct feed_name *name);

/* The store may have moved on, or time has passed. */
void feed_look(struct feed *feed);
/* There is news of its picture. */
void feed_see_picture(struct feed *feed);

/* Its game has said something, whatever came of it. */
void feed_hear(struct feed *feed);

/* Answers it in time, and frees it. */
void feed_take(struct feed *feed, struct post *post);

/* Its clock stands; posts get 503. True: nothing is under way any more. */
bool feed_stop(struct feed *feed);

/* 503: why an unreadable one stands still. */
extern const char feed_unreadable[];
