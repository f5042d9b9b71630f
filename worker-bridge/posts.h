/* What games and the house have posted to a feed, and waits for its turn or for the disk. */
#pragma once

#include "common/worker/call.h"
#include "worker-bridge/fact.h"
#include "worker-bridge/feed_state.h"

struct post {
	struct post *next;
	struct call *call;
	struct fact_post facts;
	char digest[FEED_DIGEST_ROOM];
	bool queued;
	bool recount;    /* no facts: the standings are to be counted anew */
	unsigned status; /* of its answer */
	json_t *answer;  /* NULL: `reason` is refused with */
	char reason[160];
};

struct posts {
	struct post *first, **last;
	size_t count;
};

void posts_init(struct posts *posts);
void posts_add(struct posts *posts, struct post *post);
struct post *posts_take(struct posts *posts); /* NULL: none */
/* They are to be judged again, before those that wait in `queue`. */
void posts_requeue(struct posts *queue, struct posts *posts);

/* What it is to be answered with: `reason` is copied. */
void post_refuse(struct post *post, unsigned status, const char *reason);
/* Frees it. */
void post_answer(struct post *post, struct counters_slot *counters);
void posts_answer(struct posts *posts, struct counters_slot *counters);
/* All with 503. */
void posts_refuse(struct posts *posts, const char *reason, struct counters_slot *counters);
