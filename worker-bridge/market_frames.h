/* What the frames of a feed make of its markets: each duel gets one, which learns how it ends; the
 * oracle attests that. Also which markets a feed has after a start, and which stand still. */
#pragma once

#include "worker-bridge/frame_follower.h"
#include "worker-bridge/markets.h"

/* Everything that has become known since, as far as one change goes. */
void market_frames_follow(struct market_change *change, struct frame_follower *follower,
                          struct store *store);

/* Cursor and markets as the store has them. */
void market_frames_load(struct market_change *change, struct frame_follower *follower,
                        struct store *store);
/* The feed's cursor, with its lists. */
void market_frames_put(struct market_change *change, struct frame_follower *follower);
