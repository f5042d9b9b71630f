#include "worker-bridge/duel_record.h"
#include "common/base/check.h"
#include "common/store/record.h"

#include <stdio.h>

/* What says who fights, until when, and how it ended is needed. */
#define PHASE_NAME(NAME)      #NAME,
#define TEXT_NAME(NAME, text) text,
static const char *const phases[] = {DUEL_PHASES(PHASE_NAME)};
static const char *const outcomes[] = {DUEL_OUTCOMES(TEXT_NAME)};
static const char *const win_reasons[] = {DUEL_WIN_REASONS(TEXT_NAME)};
#undef PHASE_NAME
#undef TEXT_NAME

#define FIELD(name, member) RECORD_MEMBER(name, struct duel, member)
static const struct record_field duel_fields[] = {
        {RECORD_ENUM("phase", struct duel, phase, phases), RECORD_NEEDED},
        {FIELD("phaseVersion", phase_version), RECORD_NEEDED},
        {RECORD_ENUM("outcome", struct duel, outcome, outcomes), RECORD_NEEDED},
        {FIELD("winner", winner), RECORD_NEEDED, .min = -1, .max = 1},
        {RECORD_ENUM("winReason", struct duel, win_reason, win_reasons), RECORD_NEEDED},
        {FIELD("cycleId", cycle_id), RECORD_NEEDED},
        {FIELD("duelKey", key), RECORD_NEEDED},
        {FIELD("detail", detail)},
        {FIELD("cancellationReason", cancellation)},
        {FIELD("seed", seed)},
        {FIELD("replayHash", replay_hash)},
        {FIELD("sceneText", scene)},
        {FIELD("snapshotText", snapshot), .sparse = true},
        {FIELD("cycleStartTime", cycle_start_ms), RECORD_NEEDED},
        {FIELD("phaseStartTime", phase_start_ms), RECORD_NEEDED},
        {FIELD("betOpenTime", bet_open_ms), RECORD_NEEDED},
        {FIELD("betCloseTime", bet_close_ms), RECORD_NEEDED},
        {FIELD("plannedFightStartTime", fight_planned_ms), RECORD_NEEDED},
        {FIELD("fightStartTime", fight_start_ms), RECORD_NEEDED},
        {FIELD("duelEndTime", end_ms), RECORD_NEEDED},
        {.name = "agent1", .kind = RECORD_OBJECT, RECORD_NEEDED},
        {.name = "agent2", .kind = RECORD_OBJECT, RECORD_NEEDED},
        {.name = "positions", .kind = RECORD_ARRAY},
        {.name = "counts", .kind = RECORD_ARRAY},
};
#undef FIELD
static const struct record one = {RECORD_FIELDS(duel_fields)};

#define COUNT(name, member) RECORD_MEMBER(name, struct duel_count, member)
static const struct record_field count_fields[] = {
        {COUNT("known", known)},
        {COUNT("wins", wins)},
        {COUNT("losses", losses)},
        {COUNT("draws", draws)},
        {COUNT("streak", streak)},
        {COUNT("rank", rank)},
        {COUNT("rivalWins", rival_wins)},
        {COUNT("rivalLosses", rival_losses)},
        {COUNT("rivalDraws", rival_draws)},
};
#undef COUNT
static const struct record count_record = {RECORD_FIELDS(count_fields)};

static const struct record_field pair_fields[] = {
        {RECORD_MEMBER("cycleId", struct duel_pair, cycle_id)},
        {RECORD_MEMBER("announcementMs", struct duel_pair, announcement_ms)},
        {.name = "agent1", .kind = RECORD_OBJECT, RECORD_NEEDED},
        {.name = "agent2", .kind = RECORD_OBJECT, RECORD_NEEDED},
};
static const struct record pair = {RECORD_FIELDS(pair_fields)};

static const struct record_field cycle_fields[] = {
        {RECORD_MEMBER("idleSince", struct duel_cycle, idle_since_ms)},
        {RECORD_MEMBER("heardAt", struct duel_cycle, heard_ms), .sparse = true},
        {RECORD_MEMBER("nextSnapshotText", struct duel_cycle, next_snapshot), .sparse = true},
};
static const struct record whole = {RECORD_FIELDS(cycle_fields)};

_Static_assert(DUEL_NO_RANK == RECORD_NULL, "an unknown rank is null");

/* Of duel_agent.h's table, kind by kind, as records always had them. Made once. */
static const struct record *agent(void)
{
	static const enum record_kind kinds[] = {
	        [DUEL_AGENT_ID] = RECORD_TEXT,      [DUEL_AGENT_TEXT] = RECORD_TEXT,
	        [DUEL_AGENT_NUMBER] = RECORD_REAL,  [DUEL_AGENT_TALLY] = RECORD_REAL,
	        [DUEL_AGENT_COUNT] = RECORD_SIGNED, [DUEL_AGENT_RANK] = RECORD_MAYBE};
	static struct record_field fields[DUEL_AGENT_ROWS + 1];
	static const struct record record = {RECORD_FIELDS(fields)};
	size_t made = fields[0].name != NULL ? DUEL_AGENT_ROWS : 0;
	for (unsigned kind = 0; made < DUEL_AGENT_ROWS; kind++)
		for (size_t i = 0; i < DUEL_AGENT_ROWS; i++) {
			const struct duel_agent_row *row = &duel_agent_rows[i];
			if (row->kind != kind)
				continue;
			fields[made++] = (struct record_field){
			        .name = row->name,
			        .kind = kinds[kind],
			        .since = row->needed,
			        .offset = row->offset,
			        .size = row->bytes,
			        .standard = row->kind == DUEL_AGENT_RANK ? DUEL_NO_RANK : 0};
		}
	fields[DUEL_AGENT_ROWS] = (struct record_field){
	        RECORD_MEMBER("said", struct duel_agent, said), .sparse = true};
	return &record;
}

/* ---- writing ---- */

static json_t *agent_record(const struct duel_agent *a)
{
	json_t *o = json_object();
	record_write(agent(), a, o);
	return o;
}

static json_t *point_record(const double at[3])
{
	return json_pack("[f,f,f]", at[0], at[1], at[2]);
}

static void put_agents(json_t *o, const struct duel_agent agents[2])
{
	json_object_set_new(o, "agent1", agent_record(&agents[0]));
	json_object_set_new(o, "agent2", agent_record(&agents[1]));
}

/* Of each of the two; only where something is known. */
static json_t *count_records(const struct duel_count counts[2])
{
	json_t *both = json_array();
	for (size_t i = 0; i < 2; i++) {
		json_t *o = json_object();
		record_write(&count_record, &counts[i], o);
		json_array_append_new(both, o);
	}
	return both;
}

static json_t *one_record(const struct duel *d)
{
	char id[64];
	duel_id(d, id);
	json_t *o = json_pack("{s:s}", "duelId", id); /* for people: it follows from cycleId */
	record_write(&one, d, o);
	put_agents(o, d->agents);
	if (d->counts[0].known)
		json_object_set_new(o, "counts", count_records(d->counts));
	if (d->positions_present)
		json_object_set_new(o, "positions",
		                    json_pack("[o,o]", point_record(d->positions[0]),
		                              point_record(d->positions[1])));
	return o;
}

static json_t *pair_record(const struct duel_pair *p)
{
	json_t *o = json_object();
	record_write(&pair, p, o);
	put_agents(o, p->agents);
	return o;
}

json_t *duel_record(const struct duel_cycle *cycle)
{
	json_t *o = json_object();
	record_write(&whole, cycle, o);
	json_object_set_new(o, "next",
	                    cycle->next.present ? pair_record(&cycle->next) : json_null());
	json_object_set_new(o, "duel",
	                    cycle->duel.present ? one_record(&cycle->duel) : json_null());
	return o;
}

/* ---- reading ---- */

static bool read_agents(struct duel_agent agents[2], const json_t *o)
{
	return record_read(agent(), json_object_get(o, "agent1"), &agents[0]) == ROW_PRESENT &&
	       record_read(agent(), json_object_get(o, "agent2"), &agents[1]) == ROW_PRESENT;
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

static bool read_counts(struct duel *d, const json_t *counts)
{
	for (size_t i = 0; i < 2 && counts != NULL; i++)
		if (record_read(&count_record, json_array_get(counts, i), &d->counts[i]) !=
		    ROW_PRESENT)
			return false;
	return true;
}

static bool read_one(struct duel *d, const json_t *o)
{
	d->present = true;
	return record_read(&one, o, d) == ROW_PRESENT && read_agents(d->agents, o) &&
	       read_positions(d, json_object_get(o, "positions")) &&
	       read_counts(d, json_object_get(o, "counts"));
}

static bool read_pair(struct duel_pair *p, const json_t *o)
{
	p->present = true;
	return record_read(&pair, o, p) == ROW_PRESENT && read_agents(p->agents, o);
}

bool duel_record_read(struct duel_cycle *cycle, const json_t *record)
{
	const json_t *next = json_object_get(record, "next"),
	             *duel = json_object_get(record, "duel");
	cycle->duel = (struct duel){.winner = -1};
	cycle->next = (struct duel_pair){0};
	cycle->ended = false;
	return record_read(&whole, record, cycle) == ROW_PRESENT && duel != NULL &&
	       (next == NULL || json_is_null(next) || read_pair(&cycle->next, next)) &&
	       (json_is_null(duel) || read_one(&cycle->duel, duel));
}
