/* Frames of the feed as consumers of the bet-sync wire see them. Pure.
 *
 * The bridge writes frames of version 2 (worker-bridge/feed_frame.h); the others are cut out of
 * their bytes, so that numbers and escapes stay as they are. Version 1 is what the first producer
 * of this feed sent, 3 what the strict consumers of today take (docs/bet-sync.md). */
#pragma once

#include "proto/bytes.h"

/* Every member of a version 2 frame, in its order. Frames of releases before lack the last, or the
 * last three. */
#define BET_SYNC_MEMBERS(M)                                                                        \
	M(schemaVersion)                                                                           \
	M(feed)                                                                                    \
	M(sourceEpoch)                                                                             \
	M(seq)                                                                                     \
	M(previousSeq)                                                                             \
	M(emittedAt)                                                                               \
	M(cycleId)                                                                                 \
	M(duelId)                                                                                  \
	M(duelKey)                                                                                 \
	M(phase)                                                                                   \
	M(phaseVersion)                                                                            \
	M(betOpenTime)                                                                             \
	M(betCloseTime)                                                                            \
	M(plannedFightStartTime)                                                                   \
	M(fightStartTime)                                                                          \
	M(duelEndTime)                                                                             \
	M(terminal)                                                                                \
	M(outcome)                                                                                 \
	M(cancellationReason)                                                                      \
	M(winnerId)                                                                                \
	M(winnerName)                                                                              \
	M(loserId)                                                                                 \
	M(loserName)                                                                               \
	M(winReason)                                                                               \
	M(detail)                                                                                  \
	M(seed)                                                                                    \
	M(replayHash)                                                                              \
	M(agent1)                                                                                  \
	M(agent2)                                                                                  \
	M(arenaPositions)                                                                          \
	M(scene)                                                                                   \
	M(rendererHealth)                                                                          \
	M(competitiveSnapshotDigest)                                                               \
	M(competitiveSnapshot)                                                                     \
	M(standings)
#define BET_SYNC_ENUM(name) BET_SYNC_##name,
enum bet_sync_member { BET_SYNC_MEMBERS(BET_SYNC_ENUM) BET_SYNC_MEMBER_COUNT };
#undef BET_SYNC_ENUM

struct bet_sync_frame {
	/* Their values as they stand, borrowed; at NULL: this frame lacks it. */
	struct span members[BET_SYNC_MEMBER_COUNT];
	uint64_t epoch, seq;
};

/* False: these bytes are not a version 2 frame. */
bool bet_sync_frame_read(struct bet_sync_frame *frame, struct span text);

/* A frame of another version is at most this much longer than its version 2. */
enum { BET_SYNC_MORE = 640 };

/* The version 1 frame without its last '}', so that members may follow; its length. `out` has room
 * for the version 2 text and BET_SYNC_MORE. */
size_t bet_sync_frame_v1(const struct bet_sync_frame *frame, char *out);
/* The same of version 3. What is not known of a contestant has a value there all the same, and
 * points are whole: hp and maxHp rounded up, damage rounded down. */
size_t bet_sync_frame_v3(const struct bet_sync_frame *frame, char *out);

/* ---- cursors ---- */

enum bet_sync_cursor_result {
	BET_SYNC_CURSOR_NONE, /* empty: from the newest frame on */
	BET_SYNC_CURSOR_SEQ,
	BET_SYNC_CURSOR_PLACE, /* EPOCH-SEQ */
	BET_SYNC_CURSOR_BAD,   /* 400 */
};
struct bet_sync_cursor {
	uint64_t epoch, seq;
};
/* "12" or "1795241265347-12": decimal, at most 2^53, nothing else. */
enum bet_sync_cursor_result bet_sync_cursor_read(struct bet_sync_cursor *cursor, struct span text);
