/* Standings of one feed: who has won, lost and drawn how often, in which row, and against whom.
 * Counted from duels that ended; cancelled ones do not count. Pure but for memory: rows and frames
 * are others' (feed_standings.h).
 *
 * Rank: by the share of wins among decided duels (wins / (wins + losses); without one it is 0),
 * then more wins, then fewer losses, then more draws, then the id by its bytes; so no two have the
 * same.
 *
 * Both tables have a maximum. Whoever comes beyond it takes the place of the contestant (the pair)
 * whose last duel is longest ago, who is forgotten: when he comes back he begins at 0. */
#pragma once

#include "worker-bridge/duel_agent.h"
#include "worker-bridge/duel_count.h"

struct standing {
	char id[DUEL_ID_MAX + 1];
	char name[DUEL_NAME_MAX + 1], provider[DUEL_LABEL_MAX + 1], model[DUEL_LABEL_MAX + 1];
	int64_t combat_level; /* this and the texts: as in the last duel */
	uint64_t wins, losses, draws;
	int64_t streak;       /* as in struct duel_count */
	uint64_t last_end_ms; /* of the last duel that counted; Unix ms */
};

/* Two contestants: "LENGTH/FIRST/SECOND", the first by its bytes first, LENGTH that of its id. */
enum { STANDING_PAIR_ROOM = 2 * DUEL_ID_MAX + 24 };
struct standing_pair {
	char key[STANDING_PAIR_ROOM];
	uint64_t first_wins, second_wins, draws;
	uint64_t last_end_ms;
};

struct standings;

/* At most so many contestants (2 at least) and pairs (1 at least). */
struct standings *standings_create(size_t contestants_max, size_t pairs_max);
/* NULL is fine. */
void standings_destroy(struct standings **standings);

/* As it was kept: counts as it is. One that is there already is replaced. */
void standings_take(struct standings *standings, const struct standing *standing);
void standings_take_pair(struct standings *standings, const struct standing_pair *pair);

size_t standings_contestants(const struct standings *standings);
size_t standings_pairs(const struct standings *standings);

/* What is different since a duel ended. Borrowed until the next change. */
struct standings_change {
	const struct standing *contestants[2]; /* as they are now; NULL: nothing was counted */
	const struct standing_pair *pair;
	char gone[2][DUEL_ID_MAX + 1]; /* contestants that were forgotten; "": none */
	char gone_pair[STANDING_PAIR_ROOM];
};
/* A duel between these two ended at this time: `winner` is 0 or 1, -1 a draw. Of one against
 * himself nothing is counted. */
void standings_end(struct standings *standings, const struct duel_agent agents[2], int winner,
                   uint64_t end_ms, struct standings_change *change);

/* Of contestant `id` against `rival`, as it stands now. */
void standings_of(const struct standings *standings, const char *id, const char *rival,
                  struct duel_count *count);

/* The best, by rank, `max` at most; how many. Borrowed until the next change. */
size_t standings_best(const struct standings *standings, const struct standing **best, size_t max);
