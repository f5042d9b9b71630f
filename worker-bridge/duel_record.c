#include "worker-bridge/duel_record.h"
#include "common/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Member name, struct member. */
#define DUEL_TEXTS(F)                                                                              \
	F("cycleId", cycle_id)                                                                     \
	F("duelKey", key)                                                                          \
	F("detail", detail)                                                                        \
	F("cancellationReason", cancellation)                                                      \
	F("seed", seed)                                                                            \
	F("replayHash", replay_hash)                                                               \
	F("sceneText", scene)
#define DUEL_STAMPS(F)                                                                             \
	F("cycleStartTime", cycle_start_ms)                                                        \
	F("phaseStartTime", phase_start_ms)                                                        \
	F("betOpenTime", bet_open_ms)                                                              \
	F("betCloseTime", bet_close_ms)                                                            \
	F("plannedFightStartTime", fight_planned_ms)                                               \
	F("fightStartTime", fight_start_ms)                                                        \
	F("duelEndTime", end_ms)
#define AGENT_TEXTS(F) F("id", id) F("name", name) F("provider", provider) F("model", model)
#define AGENT_NUMBERS(F) F("hp", hp) F("maxHp", hp_max) F("damageDealtThisFight", damage)
#define AGENT_COUNTS(F)                                                                            \
	F("combatLevel", combat_level)                                                             \
	F("wins", wins)                                                                            \
	F("losses", losses)                                                                        \
	F("headToHeadWins", rival_wins)                                                            \
	F("headToHeadLosses", rival_losses)

/* ---- writing ---- */

static json_t *agent_record(const struct duel_agent *a)
{
	json_t *o = json_object();
#define PUT(name, member) json_object_set_new(o, name, json_string(a->member));
	AGENT_TEXTS(PUT)
#undef PUT
#define PUT(name, member) json_object_set_new(o, name, json_real(a->member));
	AGENT_NUMBERS(PUT)
#undef PUT
#define PUT(name, member) json_object_set_new(o, name, json_integer(a->member));
	AGENT_COUNTS(PUT)
#undef PUT
	json_object_set_new(o, "rank", a->rank == DUEL_NO_RANK ? json_null() : json_integer(a->rank));
	return o;
}

static json_t *point_record(const double at[3])
{
	return json_pack("[f,f,f]", at[0], at[1], at[2]);
}

static json_t *one_record(const struct duel *d)
{
	char id[64];
	duel_id(d, id);
	json_t *o = json_pack("{s:s,s:s,s:I,s:s,s:i,s:s}", "duelId", id, "phase", duel_phase_name(d->phase),
	                      "phaseVersion", (json_int_t)d->phase_version, "outcome",
	                      duel_outcome_name(d->outcome), "winner", d->winner, "winReason",
	                      duel_win_reason_name(d->win_reason));
#define PUT(name, member) json_object_set_new(o, name, json_string(d->member));
	DUEL_TEXTS(PUT)
#undef PUT
#define PUT(name, member) json_object_set_new(o, name, json_integer((json_int_t)d->member));
	DUEL_STAMPS(PUT)
#undef PUT
	json_object_set_new(o, "agent1", agent_record(&d->agents[0]));
	json_object_set_new(o, "agent2", agent_record(&d->agents[1]));
	if (d->positions_present)
		json_object_set_new(o, "positions", json_pack("[o,o]", point_record(d->positions[0]),
		                                              point_record(d->positions[1])));
	return o;
}

static json_t *pair_record(const struct duel_pair *pair)
{
	return json_pack("{s:s,s:I,s:o,s:o}", "cycleId", pair->cycle_id, "announcementMs",
	                 (json_int_t)pair->announcement_ms, "agent1", agent_record(&pair->agents[0]),
	                 "agent2", agent_record(&pair->agents[1]));
}

json_t *duel_record(const struct duel_cycle *cycle)
{
	return json_pack("{s:I,s:o,s:o}", "idleSince", (json_int_t)cycle->idle_since_ms, "next",
	                 cycle->next.present ? pair_record(&cycle->next) : json_null(), "duel",
	                 cycle->duel.present ? one_record(&cycle->duel) : json_null());
}

/* ---- reading ---- */

static bool text(const json_t *o, const char *name, char *into, size_t room)
{
	const char *value = json_string_value(json_object_get(o, name));
	return value != NULL && (size_t)snprintf(into, room, "%s", value) < room;
}

static bool number(const json_t *o, const char *name, double *into)
{
	const json_t *value = json_object_get(o, name);
	*into = json_number_value(value);
	return json_is_number(value);
}

static bool count(const json_t *o, const char *name, int64_t *into)
{
	const json_t *value = json_object_get(o, name);
	*into = json_integer_value(value);
	return json_is_integer(value);
}

static bool stamp(const json_t *o, const char *name, uint64_t *into)
{
	int64_t value;
	bool good = count(o, name, &value) && value >= 0;
	*into = (uint64_t)value;
	return good;
}

static bool read_agent(struct duel_agent *a, const json_t *o)
{
	bool good = true;
#define GET(name, member) good = good && text(o, name, a->member, sizeof a->member);
	AGENT_TEXTS(GET)
#undef GET
#define GET(name, member) good = good && number(o, name, &a->member);
	AGENT_NUMBERS(GET)
#undef GET
#define GET(name, member) good = good && count(o, name, &a->member);
	AGENT_COUNTS(GET)
#undef GET
	if (json_is_null(json_object_get(o, "rank")))
		a->rank = DUEL_NO_RANK;
	else
		good = good && count(o, "rank", &a->rank);
	return good;
}

static bool read_name(const json_t *o, const char *member, const char *name, unsigned value,
                      unsigned *into)
{
	const char *found = json_string_value(json_object_get(o, member));
	if (found == NULL || strcmp(found, name) != 0)
		return false;
	*into = value;
	return true;
}

static bool read_names(struct duel *d, const json_t *o)
{
	unsigned phase = DUEL_PHASE_COUNT, outcome = DUEL_OUTCOME_COUNT, reason = DUEL_WIN_REASON_COUNT;
	for (unsigned i = 0; i < DUEL_PHASE_COUNT; i++)
		read_name(o, "phase", duel_phase_name(i), i, &phase);
	for (unsigned i = 0; i < DUEL_OUTCOME_COUNT; i++)
		read_name(o, "outcome", duel_outcome_name(i), i, &outcome);
	for (unsigned i = 0; i < DUEL_WIN_REASON_COUNT; i++)
		read_name(o, "winReason", duel_win_reason_name(i), i, &reason);
	d->phase = phase;
	d->outcome = outcome;
	d->win_reason = reason;
	return phase < DUEL_PHASE_COUNT && outcome < DUEL_OUTCOME_COUNT && reason < DUEL_WIN_REASON_COUNT;
}

static bool read_positions(struct duel *d, const json_t *positions)
{
	d->positions_present = positions != NULL;
	for (size_t i = 0; i < 6 && positions != NULL; i++) {
		const json_t *value = json_array_get(json_array_get(positions, i / 3), i % 3);
		if (!json_is_number(value))
			return false;
		d->positions[i / 3][i % 3] = json_number_value(value);
	}
	return true;
}

static bool read_one(struct duel *d, const json_t *o)
{
	int64_t version = 0, winner = 0;
	bool good = read_names(d, o) && count(o, "phaseVersion", &version) && count(o, "winner", &winner);
	d->present = true;
	d->phase_version = (uint32_t)version;
	d->winner = (int)winner;
	good = good && winner >= -1 && winner <= 1;
#define GET(name, member) good = good && text(o, name, d->member, sizeof d->member);
	DUEL_TEXTS(GET)
#undef GET
#define GET(name, member) good = good && stamp(o, name, &d->member);
	DUEL_STAMPS(GET)
#undef GET
	return good && read_agent(&d->agents[0], json_object_get(o, "agent1")) &&
	       read_agent(&d->agents[1], json_object_get(o, "agent2")) &&
	       read_positions(d, json_object_get(o, "positions"));
}

static bool read_pair(struct duel_pair *pair, const json_t *o)
{
	pair->present = true;
	return text(o, "cycleId", pair->cycle_id, sizeof pair->cycle_id) &&
	       stamp(o, "announcementMs", &pair->announcement_ms) &&
	       read_agent(&pair->agents[0], json_object_get(o, "agent1")) &&
	       read_agent(&pair->agents[1], json_object_get(o, "agent2"));
}

bool duel_record_read(struct duel_cycle *cycle, const json_t *record)
{
	const json_t *next = json_object_get(record, "next"), *duel = json_object_get(record, "duel");
	cycle->duel = (struct duel){.winner = -1};
	cycle->next = (struct duel_pair){0};
	cycle->ended = false;
	return stamp(record, "idleSince", &cycle->idle_since_ms) &&
	       (json_is_null(next) || read_pair(&cycle->next, next)) &&
	       (json_is_null(duel) || read_one(&cycle->duel, duel));
}
