/* The public state of a feed in the original's words: STREAMING_STATE_UPDATE, made of a spectator's
 * frame (worker-bridge/spectator_frame.h). Pure but for memory.
 *
 * What only a game knows it says in its scene, as it likes: `cameraTarget` (a text), and
 * `agents.ID.inventory`, `agents.ID.equipment`, `agents.ID.monologues`. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* How long the last phases may take, for phaseEndTime. */
struct streaming_times {
	uint64_t fight_ms, end_warning_ms, resolution_ms;
};

/* `standings`: a list of standings (worker-bridge/feed_standings.h), or NULL; of them the first
 * `max`. New reference. */
json_t *streaming_leaderboard(const json_t *standings, size_t max);

/* New reference; takes `leaderboard`. */
json_t *streaming_state(const json_t *frame, json_t *leaderboard,
                        const struct streaming_times *times);

/* What the scene says of one of a frame's agents: an array, empty when it says nothing; borrowed
 * from the frame, or NULL. */
json_t *streaming_of_agent(const json_t *frame, const char *id, const char *what);

/* A past duel, of its terminal frame. New reference. */
json_t *streaming_past_duel(const json_t *frame);
