/* The duel cycle: who fights, in which phase, until when, and how it ended. Pure: time and facts
 * come as parameters, nothing is written or sent.
 *
 *     IDLE -> ANNOUNCEMENT -> COUNTDOWN -> FIGHTING -> RESOLUTION -> IDLE
 *     ANNOUNCEMENT, COUNTDOWN, FIGHTING -> IDLE (cancelled);  COUNTDOWN -> RESOLUTION (forfeit)
 *
 * Two modes. Scheduled: the clock here begins duels and changes phases; the game says who is next,
 * who is hurt and who died. Source-driven: the game changes phases; the clock here is its watchdog.
 *
 * Every duel ends exactly once, with an outcome: at the step into RESOLUTION (win, draw) or at the
 * one that cancels it. After it nothing about that duel changes any more; the next step forgets it.
 * A game that says nothing in a fight for times.silence_ms ends it: cancelled, source_silent. And
 * points decide only on the word of a game that lives: it was silent at the fight's end for a sixth
 * of that at the most, or is heard after it.
 * The identity of a moment is (duelId, phaseVersion). Times are Unix ms, 0: not (yet) known; they
 * are in their order: open < close <= fight <= end, so that the last three may be a millisecond
 * ahead of the clock in a duel that is over as soon as it has begun. */
#pragma once

#include "worker-bridge/duel_agent.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	DUEL_TOKEN_MAX = 128, /* reasons and details: [a-z0-9][a-z0-9_.:-]* */
	DUEL_SCENE_MAX = 16384,
	DUEL_SNAPSHOT_MAX = 16384,
	DUEL_UUID_LEN = 36,
};

#define DUEL_PHASES(P)        P(IDLE) P(ANNOUNCEMENT) P(COUNTDOWN) P(FIGHTING) P(RESOLUTION)
#define DUEL_PHASE_ENUM(NAME) DUEL_##NAME,
enum duel_phase { DUEL_PHASES(DUEL_PHASE_ENUM) DUEL_PHASE_COUNT };
#undef DUEL_PHASE_ENUM
const char *duel_phase_name(enum duel_phase phase);

#define DUEL_OUTCOMES(O) O(NONE, "") O(WIN, "win") O(DRAW, "draw") O(CANCELLED, "cancelled")

#define DUEL_OUTCOME_ENUM(NAME, text) DUEL_OUTCOME_##NAME,
enum duel_outcome { DUEL_OUTCOMES(DUEL_OUTCOME_ENUM) DUEL_OUTCOME_COUNT };
#undef DUEL_OUTCOME_ENUM
const char *duel_outcome_name(enum duel_outcome outcome);

#define DUEL_WIN_REASONS(R)                                                                        \
	R(NONE, "")                                                                                \
	R(KILL, "kill")                                                                            \
	R(FORFEIT, "forfeit")                                                                      \
	R(HP_ADVANTAGE, "hp_advantage")                                                            \
	R(DAMAGE_ADVANTAGE, "damage_advantage")                                                    \
	R(DRAW, "draw")
#define DUEL_WIN_REASON_ENUM(NAME, text) DUEL_BY_##NAME,
enum duel_win_reason { DUEL_WIN_REASONS(DUEL_WIN_REASON_ENUM) DUEL_WIN_REASON_COUNT };
#undef DUEL_WIN_REASON_ENUM
const char *duel_win_reason_name(enum duel_win_reason reason);

struct duel_pair {
	bool present;
	char cycle_id[DUEL_UUID_LEN + 1]; /* "": one is to be made */
	uint64_t announcement_ms;         /* 0: as configured */
	struct duel_agent agents[2];
};

struct duel {
	bool present; /* false: idle, and the rest means nothing */
	char cycle_id[DUEL_UUID_LEN + 1];
	char key[65]; /* hexadecimal SHA-256 of "hyperscape-streaming-duel:<cycle_id>" */
	enum duel_phase phase;
	uint32_t phase_version; /* 1 at ANNOUNCEMENT, then +1 with each phase */
	uint64_t cycle_start_ms, phase_start_ms;
	uint64_t bet_open_ms, bet_close_ms;
	uint64_t fight_planned_ms, fight_start_ms, end_ms;
	struct duel_agent agents[2];
	struct duel_count counts[2]; /* of each against the other, when the duel began */
	bool positions_present;
	double positions[2][3];
	enum duel_outcome outcome;
	int winner; /* 0, 1, or -1 */
	enum duel_win_reason win_reason;
	char detail[DUEL_TOKEN_MAX + 1];       /* the game's word for the end: "checkmate" */
	char cancellation[DUEL_TOKEN_MAX + 1]; /* why it was cancelled, or "draw" */
	char seed[21];                         /* decimal of 64 bits */
	char replay_hash[65];                  /* hexadecimal SHA-256 */
	char scene[DUEL_SCENE_MAX + 1];        /* JSON of the game's own, or "" */
	/* What they fight with, as the game said it with the pair: canonical JSON, the same
	 * through the duel, or "" */
	char snapshot[DUEL_SNAPSHOT_MAX + 1];
};

struct duel_times {
	uint64_t announcement_ms, countdown_ms, fight_ms, end_warning_ms, resolution_ms;
	uint64_t pause_ms;   /* between duels */
	uint64_t prep_ms;    /* longest wait for positions after the announcement */
	uint64_t silence_ms; /* of its game, longest, in a fight; 0: it may be silent for ever */
};

struct duel_cycle {
	bool scheduled;
	struct duel_times times;
	uint64_t grace_until_ms; /* no time-out ends a fight before: facts may be on their way. Not
	                            kept */
	uint64_t heard_ms;       /* when its game said something last; 0: nobody knows */
	uint64_t listening_ms;   /* since when we could have heard it without a break. Not kept */
	uint64_t idle_since_ms;
	struct duel_pair next; /* scheduled: who fights next */
	char next_snapshot[DUEL_SNAPSHOT_MAX + 1];
	struct duel duel;
	/* What the last step did: */
	bool ended; /* the duel got its outcome */
};

/* "streaming-<cycle_id>" */
void duel_id(const struct duel *duel, char out[64]);

/* ---- what is wrong with the picture of a duel (guardrails, the spec's three), in their order ----
 * NULL: nothing. "agents_missing", "invalid_agent_hp", "arena_positions_invalid". */
const char *duel_guardrail(const struct duel *duel);
/* "source_silent": the game has said nothing for half as long as a fight may wait. Else NULL. */
const char *duel_silence(const struct duel_cycle *cycle, uint64_t now_ms);

/* ---- facts ---- */

enum duel_fact_kind {
	DUEL_FACT_CYCLE,
	DUEL_FACT_PHASE,
	DUEL_FACT_POSITIONS,
	DUEL_FACT_DAMAGE,
	DUEL_FACT_CONTESTANT,
	DUEL_FACT_DEATH,
	DUEL_FACT_FORFEIT,
	DUEL_FACT_RESULT,
	DUEL_FACT_ABORT,
	DUEL_FACT_SCENE,
	DUEL_FACT_ALIVE,
};

/* Members that do not belong to the kind are ignored. */
struct duel_fact {
	enum duel_fact_kind kind;
	char duel_id[64]; /* not for CYCLE */
	struct duel_pair pair;
	enum duel_phase phase;
	uint64_t fight_planned_ms; /* 0: countdown as configured */
	double positions[2][3];
	char agent_id[2][DUEL_ID_MAX +
	                 1]; /* attacker, contestant, the dead (one or two), who forfeits, winner */
	double amount;
	bool hp_present;
	double hp;                 /* of the target */
	struct duel_agent update;  /* CONTESTANT: those members of which a bit is set */
	unsigned update_members;   /* as duel_agent_update() takes them */
	enum duel_outcome outcome; /* WIN or DRAW */
	enum duel_win_reason win_reason;
	char detail[DUEL_TOKEN_MAX + 1];
	char seed[21], replay_hash[65]; /* "": made here */
	char reason[DUEL_TOKEN_MAX + 1];
	/* JSON text, owned by whoever made the fact: */
	char *scene;
	char *snapshot; /* CYCLE: canonical, or NULL */
};

enum duel_result {
	DUEL_OK,
	DUEL_CONFLICT,   /* not now: phase, duel or mode say no */
	DUEL_UNSUITABLE, /* never: the values contradict each other */
};

/* Applies one fact. On a refusal `cycle` is as before and `reason` says why, for people. `random`
 * are 16 fresh random bytes, for the cycle's id where one is to be made. */
enum duel_result duel_apply(struct duel_cycle *cycle, const struct duel_fact *fact, uint64_t now_ms,
                            const uint8_t random[16], char reason[160]);

/* The wall clock was set by step_ms (above 0: forth): the times of what is under way are the same
 * moments in the new reckoning, so that each phase lasts as long as it would have. But bets never
 * close later than was announced: after a step forth they close early. What has ended stays as it
 * was told; a grace is the caller's to give. */
void duel_clock_moved(struct duel_cycle *cycle, int64_t step_ms);

/* Takes one step that time makes due; false: none is. Call until false. */
bool duel_tick(struct duel_cycle *cycle, uint64_t now_ms, const uint8_t random[16]);
/* When the next is due; UINT64_MAX: never. */
uint64_t duel_due_ms(const struct duel_cycle *cycle);
