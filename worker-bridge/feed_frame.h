/* Frames of the feed: one state of a duel as one line of JSON, schema version 2.
 *
 * The order of members, the spelling of numbers and of escapes are those of JSON.stringify and
 * never change within a version: consumers compare bytes, and versions 1 and 3 are cut out of this
 * text by worker-sse. */
#pragma once

#include "worker-bridge/duel.h"

#include <stddef.h>

enum { FEED_FRAME_TEXT_MAX = 65536 };

/* What is known of the picture. Texts are borrowed. */
struct feed_frame_health {
	bool ready;
	const char *reason; /* NULL when ready */
	const char *source; /* "guardrail", "capture", "status_file", "none" */
	uint64_t updated_ms;
	const char *page_duel_id; /* what the page says it shows; NULL: nothing */
	const char *page_phase;   /* may be NULL */
	uint64_t page_ms;
};

struct feed_frame_place {
	const char *feed;
	uint64_t epoch, seq;
	uint64_t now_ms;
};

struct feed_frame {
	size_t len;
	size_t core_at,
	        core_len; /* what is compared with the frame before: all but place and health */
	char text[FEED_FRAME_TEXT_MAX];
};

/* `terminal`: this frame tells of the duel's outcome for the first and only time. */
void feed_frame_build(struct feed_frame *frame, const struct duel *duel, bool terminal,
                      const struct feed_frame_health *health, const struct feed_frame_place *place);
