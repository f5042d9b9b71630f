/* Reads the frames of one feed, from where it stopped, with a durable cursor: a row that goes into
 * the transaction in which the frames take effect.
 *
 *     market/cursor/FEED  {"position": bytes, "active": [...], "stopped": [...]}
 *
 * The two lists are the caller's. A cursor that cannot be read is never begun anew: nothing of its
 * feed is read until it can be. */
#pragma once

#include "common/store/rows.h"
#include "common/store/store.h"
#include "worker-bridge/said.h"

#include <jansson.h>

enum { FRAME_FOLLOWER_KEY_ROOM = 128 };

struct frame_follower {
	char name[65], path[FRAME_FOLLOWER_KEY_ROOM], key[FRAME_FOLLOWER_KEY_ROOM];
	uint64_t seen, kept; /* positions behind the last frame read; as the store has it */
	bool lost;           /* its cursor cannot be read */
};

void frame_follower_init(struct frame_follower *follower, const char *feed);

/* Where it stopped, by the row. *row is a new reference for the lists, NULL: there is none, or
 * the follower is lost (the row is marked). */
void frame_follower_load(struct frame_follower *follower, struct rows *rows, json_t **row);

/* The row as it is now. Takes both lists; `stopped` NULL: there is none. */
void frame_follower_put(struct frame_follower *follower, struct rows *rows, json_t *active,
                        json_t *stopped);
/* It would not say anything new. */
bool frame_follower_resting(const struct frame_follower *follower, struct rows *rows);
/* So much has been read that it should be kept, though nothing came of it. */
bool frame_follower_far(const struct frame_follower *follower);
/* What was read is durable. */
void frame_follower_kept(struct frame_follower *follower);

/* Each frame from follower->seen on, which is behind it by then. `from` is its own position; false:
 * no more now. A frame that is no JSON is logged and left out. True: there is more at once. */
struct frame_visit {
	bool (*frame)(void *arg, const json_t *frame, uint64_t from);
	void *arg;
	struct said *said;
};
bool frame_follower_read(struct frame_follower *follower, struct store *store,
                         const struct frame_visit *visit);
/* All frames between `from` and follower->seen once more, for what had missed them. */
void frame_follower_again(const struct frame_follower *follower, struct store *store,
                          const char *duel_id, uint64_t from, const struct frame_visit *visit);

/* Bytes of frames that have not been read. */
uint64_t frame_follower_lag(const struct frame_follower *follower, struct store *store);
