/* A contestant of a duel. One table says what is known of one; the struct, what a game may post of
 * it and the schema of that (fact.c), the stored record (duel_record.c) and the frame
 * (feed_frame.c) come from it. A row more is a member more in all of them.
 *
 *     A(kind, member, "name", needed, min, max, "help")      in the order that frames have
 *
 *   kind      ID, TEXT:    posted with the cycle, the same until the duel is over
 *             NUMBER:      posted with the cycle and whenever it changes
 *             TALLY:       a number that is counted here; no post has it
 *             COUNT, RANK: whole numbers, posted as NUMBER is; a rank may be unknown
 *   needed    who posts a cycle must say it, and a record must have it; else it may be missing, and
 *             is "", 0 or DUEL_NO_RANK
 *   min, max  of a text its bytes, of a number its value
 *   help      for the schema */
#pragma once

#include "worker-bridge/duel_count.h"

#include <stddef.h>

enum {
	DUEL_ID_MAX = 128, /* bytes */
	DUEL_NAME_MAX = 128,
	DUEL_LABEL_MAX = 64, /* provider, model */
};
#define DUEL_NUMBER_MAX 1e15
#define DUEL_NO_RANK    INT64_MIN

#define DUEL_AGENT(A)                                                                              \
	A(ID, id, "id", true, 1, DUEL_ID_MAX, "Who it is, the same in every duel.")                \
	A(TEXT, name, "name", true, 1, DUEL_NAME_MAX, "What people call it.")                      \
	A(TEXT, provider, "provider", false, 0, DUEL_LABEL_MAX, "Who made the player.")            \
	A(TEXT, model, "model", false, 0, DUEL_LABEL_MAX, "Which player of theirs.")               \
	A(NUMBER, hp, "hp", true, 0, DUEL_NUMBER_MAX, "Health, at most maxHp.")                    \
	A(NUMBER, hp_max, "maxHp", true, 0, DUEL_NUMBER_MAX, "Full health, above 0.")              \
	A(COUNT, combat_level, "combatLevel", false, 0, 1e9, "0 when not given.")                  \
	A(COUNT, wins, "wins", false, 0, 1e9, "0 when not given.")                                 \
	A(COUNT, losses, "losses", false, 0, 1e9, "0 when not given.")                             \
	A(TALLY, damage, "damageDealtThisFight", true, 0, DUEL_NUMBER_MAX, "")                     \
	A(RANK, rank, "rank", false, 1, 1e9, "null when not given.")                               \
	A(COUNT, rival_wins, "headToHeadWins", false, 0, 1e9, "Against this opponent.")            \
	A(COUNT, rival_losses, "headToHeadLosses", false, 0, 1e9, "Against this opponent.")

#define DUEL_AGENT_TYPE_ID(member, max)     char member[(max) + 1];
#define DUEL_AGENT_TYPE_TEXT(member, max)   char member[(max) + 1];
#define DUEL_AGENT_TYPE_NUMBER(member, max) double member;
#define DUEL_AGENT_TYPE_TALLY(member, max)  double member;
#define DUEL_AGENT_TYPE_COUNT(member, max)  int64_t member;
#define DUEL_AGENT_TYPE_RANK(member, max)   int64_t member;
#define DUEL_AGENT_FIELD(kind, member, name, needed, min, max, help)                               \
	DUEL_AGENT_TYPE_##kind(member, max)
struct duel_agent {
	DUEL_AGENT(DUEL_AGENT_FIELD)
	uint32_t said; /* bits of DUEL_SAID_*: what of it its game has said */
};
#undef DUEL_AGENT_FIELD

/* What may be counted here, too (duel_count.h). The store has these bits. */
enum {
	DUEL_SAID_WINS = 1,
	DUEL_SAID_LOSSES = 2,
	DUEL_SAID_RANK = 4,
	DUEL_SAID_RIVAL_WINS = 8,
	DUEL_SAID_RIVAL_LOSSES = 16,
};

/* In the order in which records have their members. */
enum duel_agent_kind {
	DUEL_AGENT_ID,
	DUEL_AGENT_TEXT,
	DUEL_AGENT_NUMBER,
	DUEL_AGENT_TALLY,
	DUEL_AGENT_COUNT,
	DUEL_AGENT_RANK,
};
enum { DUEL_AGENT_KINDS = DUEL_AGENT_RANK + 1 };

struct duel_agent_row {
	const char *name;
	enum duel_agent_kind kind;
	bool needed;
	size_t offset, bytes; /* in struct duel_agent */
};
#define DUEL_AGENT_ONE(kind, member, name, needed, min, max, help) +1
enum { DUEL_AGENT_ROWS = 0 DUEL_AGENT(DUEL_AGENT_ONE) };
#undef DUEL_AGENT_ONE
extern const struct duel_agent_row duel_agent_rows[DUEL_AGENT_ROWS];

/* A member: char[bytes], double or int64_t, as its kind says. */
const void *duel_agent_value(const struct duel_agent *agent, const struct duel_agent_row *row);
void *duel_agent_member(struct duel_agent *agent, const struct duel_agent_row *row);

/* May it change while the duel goes on, by a post? */
bool duel_agent_changes(const struct duel_agent_row *row);
/* Takes over the members of `update` whose bit is set, 1 << the row's index. */
void duel_agent_update(struct duel_agent *agent, const struct duel_agent *update, unsigned members);

/* The bit of this member; 0: it is none that is counted. */
uint32_t duel_agent_said(const struct duel_agent_row *row);
/* What is counted stands for what the game has not said. Nothing happens when nothing is known. */
void duel_agent_fill(struct duel_agent *agent, const struct duel_count *count);
