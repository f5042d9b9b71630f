#include "worker-sse/views/streaming_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct streaming_times times = {100, 20, 30};

static json_t *frame_in(const char *phase)
{
	json_t *frame = json_loads(
	        "{\"seq\":7,\"sourceEpoch\":1,\"emittedAt\":1450,\"cycleId\":\"c\",\"duelId\":"
	        "\"streaming-c\",\"phaseVersion\":2,\"betOpenTime\":1000,\"betCloseTime\":1400,"
	        "\"plannedFightStartTime\":3500,\"fightStartTime\":null,\"duelEndTime\":null,"
	        "\"agent1\":{\"id\":\"a\",\"hp\":3},\"agent2\":{\"id\":\"b\",\"hp\":4},\"scene\":{"
	        "\"cameraTarget\":\"a\",\"agents\":{\"a\":{\"inventory\":[1],\"monologues\":[2]}}}"
	        "}",
	        0, NULL);
	assert_non_null(frame);
	json_object_set_new(frame, "phase", phase != NULL ? json_string(phase) : json_null());
	return frame;
}

static json_int_t number(const json_t *state, const char *name)
{
	const json_t *value = json_object_get(json_object_get(state, "cycle"), name);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void a_state(void **state)
{
	(void)state;
	json_t *frame = frame_in("COUNTDOWN"), *made = streaming_state(frame, json_array(), &times);
	const json_t *cycle = json_object_get(made, "cycle");
	assert_string_equal(json_string_value(json_object_get(made, "type")),
	                    "STREAMING_STATE_UPDATE");
	assert_string_equal(json_string_value(json_object_get(made, "cameraTarget")), "a");
	assert_int_equal(json_integer_value(json_object_get(made, "seq")), 7);
	assert_int_equal(number(made, "phaseStartTime"), 1400);
	assert_int_equal(number(made, "phaseEndTime"), 3500);
	assert_int_equal(number(made, "timeRemaining"), 2050);
	assert_int_equal(number(made, "countdown"), 3);
	assert_int_equal(number(made, "fightStartTime"), 3500);
	assert_int_equal(
	        json_array_size(json_object_get(json_object_get(cycle, "agent1"), "inventory")), 1);
	assert_int_equal(
	        json_array_size(json_object_get(json_object_get(cycle, "agent2"), "inventory")), 0);
	assert_int_equal(json_array_size(streaming_of_agent(frame, "a", "monologues")), 1);
	assert_null(streaming_of_agent(frame, "x", "monologues"));
	json_decref(made);
	json_decref(frame);
}

static void no_duel(void **state)
{
	(void)state;
	json_t *frame = json_loads("{\"seq\":1,\"emittedAt\":5,\"phase\":null,\"agent1\":null,"
	                           "\"scene\":null}",
	                           0, NULL);
	json_t *made = streaming_state(frame, json_array(), &times);
	const json_t *cycle = json_object_get(made, "cycle");
	assert_string_equal(json_string_value(json_object_get(cycle, "phase")), "IDLE");
	assert_true(json_is_null(json_object_get(cycle, "phaseEndTime")));
	assert_true(json_is_null(json_object_get(cycle, "agent1")));
	assert_true(json_is_null(json_object_get(made, "cameraTarget")));
	json_decref(made);
	json_decref(frame);
}

static void a_leaderboard(void **state)
{
	(void)state;
	json_t *list = json_loads("{\"standings\":[{\"rank\":1,\"id\":\"a\",\"name\":\"A\","
	                          "\"wins\":2,\"winRate\":1.0,\"streak\":2},{\"rank\":2,\"id\":"
	                          "\"b\",\"streak\":-2},{\"rank\":3,\"id\":\"c\"}]}",
	                          0, NULL);
	json_t *made = streaming_leaderboard(list, 2);
	const json_t *first = json_array_get(made, 0), *second = json_array_get(made, 1);
	assert_int_equal(json_array_size(made), 2);
	assert_string_equal(json_string_value(json_object_get(first, "characterId")), "a");
	assert_int_equal(json_integer_value(json_object_get(first, "currentStreak")), 2);
	assert_int_equal(json_integer_value(json_object_get(second, "currentStreak")), 0);
	json_decref(made);
	made = streaming_leaderboard(NULL, 2);
	assert_int_equal(json_array_size(made), 0);
	json_decref(made);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_state), cmocka_unit_test(no_duel),
	                                   cmocka_unit_test(a_leaderboard)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
