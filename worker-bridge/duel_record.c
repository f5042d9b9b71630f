#include "worker-bridge/duel_record.h"
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Member name, struct member, and whether a row may lack it: OPTIONAL ones are then "" or 0. What
 * says who fights, until when, and how it ended is NEEDED. */
#define DUEL_TEXTS(F)                                                                              \
	F("cycleId", cycle_id, NEEDED)                                                             \
	F("duelKey", key, NEEDED)                                                                  \
	F("detail", detail, OPTIONAL)                                                              \
	F("cancellationReason", cancellation, OPTIONAL)                                            \
	F("seed", seed, OPTIONAL)                                                                  \
	F("replayHash", replay_hash, OPTIONAL)                                                     \
	F("sceneText", scene, OPTIONAL)
#define DUEL_STAMPS(F)                                                                             \
	F("cycleStartTime", cycle_start_ms, NEEDED)                                                \
	F("phaseStartTime", phase_start_ms, NEEDED)                                                \
	F("betOpenTime", bet_open_ms, NEEDED)                                                      \
	F("betCloseTime", bet_close_ms, NEEDED)                                                    \
	F("plannedFightStartTime", fight_planned_ms, NEEDED)                                       \
	F("fightStartTime", fight_start_ms, NEEDED)                                                \
	F("duelEndTime", end_ms, NEEDED)
enum presence { OPTIONAL, NEEDED };

/* ---- writing ---- */

static json_t *agent_member(const struct duel_agent *a, const struct duel_agent_row *row)
{
	const void *value = duel_agent_value(a, row);
	switch (row->kind) {
	case DUEL_AGENT_ID:
	case DUEL_AGENT_TEXT:
		return json_string(value);
	case DUEL_AGENT_NUMBER:
	case DUEL_AGENT_TALLY:
		return json_real(*(const double *)value);
	case DUEL_AGENT_COUNT:
		return json_integer(*(const int64_t *)value);
	case DUEL_AGENT_RANK:
		return *(const int64_t *)value == DUEL_NO_RANK
		               ? json_null()
		               : json_integer(*(const int64_t *)value);
	}
	check(false);
}

static json_t *agent_record(const struct duel_agent *a)
{
	json_t *o = json_object();
	for (unsigned kind = 0; kind < DUEL_AGENT_KINDS; kind++)
		for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
			const struct duel_agent_row *row = &duel_agent_rows[i];
			if (row->kind == kind)
				json_object_set_new(o, row->name, agent_member(a, row));
		}
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
	json_t *o =
	        json_pack("{s:s,s:s,s:I,s:s,s:i,s:s}", "duelId", id, "phase",
	                  duel_phase_name(d->phase), "phaseVersion", (json_int_t)d->phase_version,
	                  "outcome", duel_outcome_name(d->outcome), "winner", d->winner,
	                  "winReason", duel_win_reason_name(d->win_reason));
#define PUT(name, member, presence) json_object_set_new(o, name, json_string(d->member));
	DUEL_TEXTS(PUT)
#undef PUT
#define PUT(name, member, presence)                                                                \
	json_object_set_new(o, name, json_integer((json_int_t)d->member));
	DUEL_STAMPS(PUT)
#undef PUT
	json_object_set_new(o, "agent1", agent_record(&d->agents[0]));
	json_object_set_new(o, "agent2", agent_record(&d->agents[1]));
	if (d->positions_present)
		json_object_set_new(o, "positions",
		                    json_pack("[o,o]", point_record(d->positions[0]),
		                              point_record(d->positions[1])));
	return o;
}

static json_t *pair_record(const struct duel_pair *pair)
{
	return json_pack("{s:s,s:I,s:o,s:o}", "cycleId", pair->cycle_id, "announcementMs",
	                 (json_int_t)pair->announcement_ms, "agent1",
	                 agent_record(&pair->agents[0]), "agent2", agent_record(&pair->agents[1]));
}

json_t *duel_record(const struct duel_cycle *cycle)
{
	return json_pack("{s:I,s:o,s:o}", "idleSince", (json_int_t)cycle->idle_since_ms, "next",
	                 cycle->next.present ? pair_record(&cycle->next) : json_null(), "duel",
	                 cycle->duel.present ? one_record(&cycle->duel) : json_null());
}

/* ---- reading ---- */

static bool text(const json_t *o, const char *name, char *into, size_t room, enum presence presence)
{
	const json_t *value = json_object_get(o, name);
	if (value == NULL) {
		*into = '\0';
		return presence == OPTIONAL;
	}
	const char *given = json_string_value(value);
	return given != NULL && (size_t)snprintf(into, room, "%s", given) < room;
}

static bool number(const json_t *o, const char *name, double *into, enum presence presence)
{
	const json_t *value = json_object_get(o, name);
	*into = json_number_value(value);
	return value == NULL ? presence == OPTIONAL : json_is_number(value);
}

static bool count(const json_t *o, const char *name, int64_t *into, enum presence presence)
{
	const json_t *value = json_object_get(o, name);
	*into = json_integer_value(value);
	return value == NULL ? presence == OPTIONAL : json_is_integer(value);
}

static bool stamp(const json_t *o, const char *name, uint64_t *into, enum presence presence)
{
	int64_t value;
	bool good = count(o, name, &value, presence) && value >= 0;
	*into = (uint64_t)value;
	return good;
}

static bool rank(const json_t *o, const char *name, int64_t *into)
{
	const json_t *value = json_object_get(o, name);
	*into = DUEL_NO_RANK;
	return value == NULL || json_is_null(value) || count(o, name, into, NEEDED);
}

static bool read_agent_member(struct duel_agent *a, const struct duel_agent_row *row,
                              const json_t *o)
{
	enum presence presence = row->needed ? NEEDED : OPTIONAL;
	void *into = duel_agent_member(a, row);
	switch (row->kind) {
	case DUEL_AGENT_ID:
	case DUEL_AGENT_TEXT:
		return text(o, row->name, into, row->bytes, presence);
	case DUEL_AGENT_NUMBER:
	case DUEL_AGENT_TALLY:
		return number(o, row->name, into, presence);
	case DUEL_AGENT_COUNT:
		return count(o, row->name, into, presence);
	case DUEL_AGENT_RANK:
		return rank(o, row->name, into);
	}
	check(false);
}

static bool read_agent(struct duel_agent *a, const json_t *o)
{
	bool good = true;
	for (size_t i = 0; good && i < DUEL_AGENT_ROWS; i++)
		good = read_agent_member(a, &duel_agent_rows[i], o);
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
	unsigned phase = DUEL_PHASE_COUNT, outcome = DUEL_OUTCOME_COUNT,
	         reason = DUEL_WIN_REASON_COUNT;
	for (unsigned i = 0; i < DUEL_PHASE_COUNT; i++)
		read_name(o, "phase", duel_phase_name(i), i, &phase);
	for (unsigned i = 0; i < DUEL_OUTCOME_COUNT; i++)
		read_name(o, "outcome", duel_outcome_name(i), i, &outcome);
	for (unsigned i = 0; i < DUEL_WIN_REASON_COUNT; i++)
		read_name(o, "winReason", duel_win_reason_name(i), i, &reason);
	d->phase = phase;
	d->outcome = outcome;
	d->win_reason = reason;
	return phase < DUEL_PHASE_COUNT && outcome < DUEL_OUTCOME_COUNT &&
	       reason < DUEL_WIN_REASON_COUNT;
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
	bool good = read_names(d, o) && count(o, "phaseVersion", &version, NEEDED) &&
	            count(o, "winner", &winner, NEEDED);
	d->present = true;
	d->phase_version = (uint32_t)version;
	d->winner = (int)winner;
	good = good && winner >= -1 && winner <= 1;
#define GET(name, member, presence)                                                                \
	good = good && text(o, name, d->member, sizeof d->member, presence);
	DUEL_TEXTS(GET)
#undef GET
#define GET(name, member, presence) good = good && stamp(o, name, &d->member, presence);
	DUEL_STAMPS(GET)
#undef GET
	return good && read_agent(&d->agents[0], json_object_get(o, "agent1")) &&
	       read_agent(&d->agents[1], json_object_get(o, "agent2")) &&
	       read_positions(d, json_object_get(o, "positions"));
}

static bool read_pair(struct duel_pair *pair, const json_t *o)
{
	pair->present = true;
	return text(o, "cycleId", pair->cycle_id, sizeof pair->cycle_id, OPTIONAL) &&
	       stamp(o, "announcementMs", &pair->announcement_ms, OPTIONAL) &&
	       read_agent(&pair->agents[0], json_object_get(o, "agent1")) &&
	       read_agent(&pair->agents[1], json_object_get(o, "agent2"));
}

bool duel_record_read(struct duel_cycle *cycle, const json_t *record)
{
	const json_t *next = json_object_get(record, "next"),
	             *duel = json_object_get(record, "duel");
	cycle->duel = (struct duel){.winner = -1};
	cycle->next = (struct duel_pair){0};
	cycle->ended = false;
	return json_is_object(record) && duel != NULL &&
	       stamp(record, "idleSince", &cycle->idle_since_ms, OPTIONAL) &&
	       (next == NULL || json_is_null(next) || read_pair(&cycle->next, next)) &&
	       (json_is_null(duel) || read_one(&cycle->duel, duel));
}
