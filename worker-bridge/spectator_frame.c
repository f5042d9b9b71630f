#include "worker-bridge/spectator_frame.h"
#include "common/base/js_text.h"

#include <string.h>

/* Not: duelKey, seed and replayHash, the proof between game, betting services and oracle. */
static const char *const members[] = {"schemaVersion",
                                      "feed",
                                      "sourceEpoch",
                                      "seq",
                                      "previousSeq",
                                      "emittedAt",
                                      "cycleId",
                                      "duelId",
                                      "phase",
                                      "phaseVersion",
                                      "betOpenTime",
                                      "betCloseTime",
                                      "plannedFightStartTime",
                                      "fightStartTime",
                                      "duelEndTime",
                                      "terminal",
                                      "outcome",
                                      "cancellationReason",
                                      "winnerId",
                                      "winnerName",
                                      "loserId",
                                      "loserName",
                                      "winReason",
                                      "detail",
                                      "agent1",
                                      "agent2",
                                      "arenaPositions",
                                      "scene"};
static const char *const agent_members[] = {"id",
                                            "name",
                                            "provider",
                                            "model",
                                            "hp",
                                            "maxHp",
                                            "combatLevel",
                                            "wins",
                                            "losses",
                                            "damageDealtThisFight",
                                            "rank",
                                            "headToHeadWins",
                                            "headToHeadLosses"};
/* Not where it was learnt from, and what the captured page shows. */
static const char *const health_members[] = {"ready", "degradedReason", "updatedAt"};

/* Those of `from` that are named; null stays null. */
static json_t *some_of(json_t *from, const char *const *names, size_t count)
{
	if (!json_is_object(from))
		return json_null();
	json_t *some = json_object();
	for (size_t i = 0; i < count; i++)
		if (json_object_get(from, names[i]) != NULL)
			json_object_set(some, names[i], json_object_get(from, names[i]));
	return some;
}

char *spectator_frame_text(const json_t *frame)
{
	json_t *whole = json_object();
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		json_t *value = json_object_get(frame, members[i]);
		if (value != NULL && strncmp(members[i], "agent", 5) == 0)
			json_object_set_new(whole, members[i],
			                    some_of(value, agent_members,
			                            sizeof agent_members / sizeof *agent_members));
		else if (value != NULL)
			json_object_set(whole, members[i], value);
	}
	json_object_set_new(whole, "rendererHealth",
	                    some_of(json_object_get(frame, "rendererHealth"), health_members,
	                            sizeof health_members / sizeof *health_members));
	char *text = js_text(whole);
	json_decref(whole);
	return text;
}
