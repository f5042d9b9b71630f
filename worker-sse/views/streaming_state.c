#include "worker-sse/views/streaming_state.h"

#include <stdbool.h>
#include <string.h>

static json_t *member(const json_t *o, const char *name)
{
	json_t *value = json_object_get(o, name);
	return value != NULL ? json_incref(value) : json_null();
}

static uint64_t time_of(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

static json_t *time_or_null(uint64_t ms)
{
	return ms != 0 ? json_integer((json_int_t)ms) : json_null();
}

static void take(json_t *into, const json_t *from, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_object_set_new(into, names[i], member(from, names[i]));
}
#define TAKE(into, from, names) take(into, from, names, sizeof(names) / sizeof *(names))

/* ---- leaderboard ---- */

json_t *streaming_leaderboard(const json_t *standings, size_t max)
{
	static const char *const same[] = {"name",   "provider", "model",   "wins",
	                                   "losses", "draws",    "winRate", "combatLevel"};
	json_t *list = json_array();
	size_t i;
	json_t *one;
	json_array_foreach (json_object_get(standings, "standings"), i, one) {
		json_int_t streak = json_integer_value(json_object_get(one, "streak"));
		if (i == max)
			break;
		json_t *entry = json_object();
		json_object_set_new(entry, "rank", member(one, "rank"));
		json_object_set_new(entry, "characterId", member(one, "id"));
		TAKE(entry, one, same);
		json_object_set_new(entry, "currentStreak", json_integer(streak > 0 ? streak : 0));
		json_array_append_new(list, entry);
	}
	return list;
}

/* ---- the cycle ---- */

json_t *streaming_of_agent(const json_t *frame, const char *id, const char *what)
{
	const json_t *agents = json_object_get(json_object_get(frame, "scene"), "agents");
	return json_object_get(json_object_get(agents, id), what);
}

static json_t *agent(const json_t *frame, const char *name)
{
	const json_t *from = json_object_get(frame, name);
	const char *id = json_string_value(json_object_get(from, "id"));
	if (!json_is_object(from))
		return json_null();
	json_t *made = json_copy((json_t *)(uintptr_t)from);
	json_t *inventory = id != NULL ? streaming_of_agent(frame, id, "inventory") : NULL;
	json_t *equipment = id != NULL ? streaming_of_agent(frame, id, "equipment") : NULL;
	json_object_set_new(made, "equipment",
	                    equipment != NULL ? json_incref(equipment) : json_object());
	json_object_set_new(made, "inventory",
	                    inventory != NULL ? json_incref(inventory) : json_array());
	return made;
}

struct phase {
	uint64_t start_ms, end_ms; /* 0: not known */
};

/* Frames do not say when a phase began: each begins with what they do say. */
static struct phase phase_of(const json_t *frame, const char *phase,
                             const struct streaming_times *t)
{
	uint64_t fight_ms = time_of(frame, "fightStartTime"),
	         end_ms = time_of(frame, "duelEndTime");
	if (strcmp(phase, "ANNOUNCEMENT") == 0)
		return (struct phase){time_of(frame, "betOpenTime"),
		                      time_of(frame, "betCloseTime")};
	if (strcmp(phase, "COUNTDOWN") == 0)
		return (struct phase){time_of(frame, "betCloseTime"),
		                      time_of(frame, "plannedFightStartTime")};
	if (strcmp(phase, "FIGHTING") == 0 && fight_ms != 0)
		return (struct phase){fight_ms, fight_ms + t->fight_ms + t->end_warning_ms};
	if (strcmp(phase, "RESOLUTION") == 0 && end_ms != 0)
		return (struct phase){end_ms, end_ms + t->resolution_ms};
	return (struct phase){0, 0};
}

static json_t *cycle(const json_t *frame, const struct streaming_times *times)
{
	static const char *const ids[] = {"cycleId", "duelId"};
	static const char *const ends[] = {"arenaPositions", "winnerId",    "winnerName",
	                                   "loserId",        "loserName",   "outcome",
	                                   "winReason",      "detail",      "cancellationReason",
	                                   "terminal",       "phaseVersion"};
	static const char *const whens[] = {"betOpenTime", "betCloseTime", "duelEndTime"};
	const char *phase = json_string_value(json_object_get(frame, "phase"));
	uint64_t now_ms = time_of(frame, "emittedAt");
	json_t *made = json_object();
	phase = phase != NULL ? phase : "IDLE";
	struct phase p = phase_of(frame, phase, times);
	uint64_t left_ms = p.end_ms > now_ms ? p.end_ms - now_ms : 0;
	bool counts_down = strcmp(phase, "COUNTDOWN") == 0;
	TAKE(made, frame, ids);
	json_object_set_new(made, "phase", json_string(phase));
	json_object_set_new(made, "cycleStartTime", time_or_null(time_of(frame, "betOpenTime")));
	json_object_set_new(made, "phaseStartTime", time_or_null(p.start_ms));
	json_object_set_new(made, "phaseEndTime", time_or_null(p.end_ms));
	json_object_set_new(made, "timeRemaining", json_integer((json_int_t)left_ms));
	json_object_set_new(made, "countdown",
	                    counts_down ? json_integer((json_int_t)((left_ms + 999) / 1000))
	                                : json_null());
	json_object_set_new(made, "agent1", agent(frame, "agent1"));
	json_object_set_new(made, "agent2", agent(frame, "agent2"));
	uint64_t fight_ms = time_of(frame, "fightStartTime");
	json_object_set_new(
	        made, "fightStartTime",
	        time_or_null(fight_ms != 0 ? fight_ms : time_of(frame, "plannedFightStartTime")));
	TAKE(made, frame, whens);
	TAKE(made, frame, ends);
	return made;
}

json_t *streaming_state(const json_t *frame, json_t *leaderboard,
                        const struct streaming_times *times)
{
	static const char *const places[] = {"seq", "sourceEpoch", "emittedAt", "rendererHealth"};
	json_t *camera = json_object_get(json_object_get(frame, "scene"), "cameraTarget");
	json_t *made = json_object();
	json_object_set_new(made, "type", json_string("STREAMING_STATE_UPDATE"));
	json_object_set_new(made, "cycle", cycle(frame, times));
	json_object_set_new(made, "leaderboard", leaderboard);
	json_object_set_new(made, "cameraTarget",
	                    json_is_string(camera) ? json_incref(camera) : json_null());
	TAKE(made, frame, places);
	return made;
}

json_t *streaming_past_duel(const json_t *frame)
{
	static const char *const same[] = {
	        "cycleId", "duelId",    "outcome",   "winnerId",           "winnerName",
	        "loserId", "loserName", "winReason", "cancellationReason", "detail"};
	json_t *made = json_object();
	TAKE(made, frame, same);
	json_object_set_new(made, "startedAt", member(frame, "betOpenTime"));
	json_object_set_new(made, "fightStartedAt", member(frame, "fightStartTime"));
	json_object_set_new(made, "finishedAt", member(frame, "duelEndTime"));
	json_object_set_new(made, "agent1", member(frame, "agent1"));
	json_object_set_new(made, "agent2", member(frame, "agent2"));
	return made;
}
