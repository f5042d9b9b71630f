/* What a feed must not lose: the duel cycle, where the feed stands, and what the game has said. One
 * row "feed/NAME" of the store, written together with the frames that tell of it. */
#pragma once

#include "proto/bytes.h"
#include "worker-bridge/duel.h"

#include <jansson.h>

enum { FEED_REASON_MAX = 200, FEED_DIGEST_ROOM = 33 };

struct feed_state {
	struct duel_cycle cycle;
	uint64_t epoch;   /* Unix ms when this feed began, for ever */
	uint64_t seq;     /* of the last frame; 0: none yet */
	uint64_t last_ms; /* its emittedAt, which never goes back (but see feeds.c) */
	uint64_t now_ms;  /* when all this was judged; goes back only with the clock */
	uint64_t source_epoch, source_seq;    /* of the last post that was accepted; 0: none */
	char source_digest[FEED_DIGEST_ROOM]; /* of that post; "": of none */
	bool ready;                           /* renderer health of the last frame */
	char reason[FEED_REASON_MAX];
};

/* The row, malloc'd. */
char *feed_state_row(const struct feed_state *state);
/* `state->cycle` keeps its configuration. False: `row` is none that this release can read, and
 * `state` is as it was. */
bool feed_state_read(struct feed_state *state, struct span row);
