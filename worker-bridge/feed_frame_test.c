/* What a game posts of its contestants, and what of it is kept, told and described: one table
 * (duel_agent.h), and bytes that consumers compare. */
#include "worker-bridge/duel_record.h"
#include "worker-bridge/fact.h"
#include "worker-bridge/feed_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t dice[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void post(struct duel_cycle *cycle, const char *kind, const char *text)
{
	struct fact_post post;
	char reason[160] = "";
	json_t *body = json_loads(text, 0, NULL);
	assert_non_null(body);
	assert_int_equal(fact_read(&post, span_str(kind), body, reason), FACT_OK);
	assert_int_equal(duel_apply(cycle, post.facts, 5000, dice, reason), DUEL_OK);
	assert_string_equal(reason, "");
	fact_post_finish(&post);
	json_decref(body);
}

#define PLACE "\"sourceEpoch\":1,\"sourceSeq\":1"

/* One contestant with every member, one with those that are needed. */
static struct duel_cycle announced(void)
{
	struct duel_cycle cycle = {.times = {.announcement_ms = 60000, .countdown_ms = 3000},
	                           .duel = {.winner = -1}};
	post(&cycle, "cycle",
	     "{" PLACE ",\"cycleId\":\"31b10fcd-5d3c-4455-8303-21a5b65a785b\",\"agent1\":{"
	     "\"id\":\"a\",\"name\":\"N\\u00e4h \\\"A\\\"\",\"provider\":\"p\",\"model\":\"m-1\","
	     "\"hp\":9.5,\"maxHp\":10,\"combatLevel\":3,\"wins\":4,\"losses\":5,\"rank\":6,"
	     "\"headToHeadWins\":7,\"headToHeadLosses\":8},"
	     "\"agent2\":{\"id\":\"b\",\"name\":\"B\",\"hp\":1,\"maxHp\":2}}");
	return cycle;
}

static void change(struct duel_cycle *cycle)
{
	post(cycle, "contestant",
	     "{" PLACE ",\"duelId\":\"streaming-31b10fcd-5d3c-4455-8303-21a5b65a785b\","
	     "\"id\":\"b\",\"hp\":1.5,\"wins\":11,\"rank\":12,\"headToHeadLosses\":13}");
	post(cycle, "contestant",
	     "{" PLACE ",\"duelId\":\"streaming-31b10fcd-5d3c-4455-8303-21a5b65a785b\","
	     "\"id\":\"a\",\"maxHp\":20,\"combatLevel\":14,\"losses\":15,\"headToHeadWins\":16}");
}

static void assert_agents(const struct duel_cycle *cycle, const char *expected)
{
	static struct feed_frame frame;
	const struct feed_frame_health health = {.ready = true, .source = "none"};
	const struct feed_frame_place place = {.feed = "arena", .epoch = 1, .seq = 1};
	feed_frame_build(&frame, &cycle->duel, false, &health, &place);
	const char *from = strstr(frame.text, "\"agent1\":"),
	           *to = strstr(frame.text, ",\"arenaPositions\"");
	assert_non_null(from);
	assert_non_null(to);
	char *agents = strndup(from, (size_t)(to - from));
	assert_string_equal(agents, expected);
	free(agents);
}

static void frames_have_every_member_in_its_place(void **state)
{
	(void)state;
	struct duel_cycle cycle = announced();
	cycle.duel.agents[1].damage = 0.1;
	assert_agents(&cycle,
	              "\"agent1\":{\"id\":\"a\",\"name\":\"Näh \\\"A\\\"\","
	              "\"provider\":\"p\",\"model\":\"m-1\",\"hp\":9.5,\"maxHp\":10,"
	              "\"combatLevel\":3,\"wins\":4,\"losses\":5,\"damageDealtThisFight\":0,"
	              "\"rank\":6,\"headToHeadWins\":7,\"headToHeadLosses\":8},"
	              "\"agent2\":{\"id\":\"b\",\"name\":\"B\",\"provider\":\"\","
	              "\"model\":\"\",\"hp\":1,\"maxHp\":2,\"combatLevel\":0,\"wins\":0,"
	              "\"losses\":0,\"damageDealtThisFight\":0.1,\"rank\":null,"
	              "\"headToHeadWins\":0,\"headToHeadLosses\":0}");
	change(&cycle);
	assert_agents(&cycle, "\"agent1\":{\"id\":\"a\",\"name\":\"Näh \\\"A\\\"\","
	                      "\"provider\":\"p\",\"model\":\"m-1\",\"hp\":9.5,\"maxHp\":20,"
	                      "\"combatLevel\":14,\"wins\":4,\"losses\":15,"
	                      "\"damageDealtThisFight\":0,\"rank\":6,\"headToHeadWins\":16,"
	                      "\"headToHeadLosses\":8},\"agent2\":{\"id\":\"b\",\"name\":\"B\","
	                      "\"provider\":\"\",\"model\":\"\",\"hp\":1.5,\"maxHp\":2,"
	                      "\"combatLevel\":0,\"wins\":11,\"losses\":0,"
	                      "\"damageDealtThisFight\":0.1,\"rank\":12,\"headToHeadWins\":0,"
	                      "\"headToHeadLosses\":13}");
}

/* What is counted stands for what the game has not said, at the end; the rest stays as it is. */
static void what_is_counted_comes_last(void **state)
{
	static struct feed_frame frame;
	static const struct feed_frame_health health = {.ready = true, .source = "none"};
	static const struct feed_frame_place place = {.feed = "arena", .epoch = 1, .seq = 1};
	static const char nobody[] = ",\"standings\":null}";
	static const char counted[] =
	        ",\"standings\":{\"agent1\":{\"wins\":4,\"losses\":5,\"rank\":6,"
	        "\"headToHeadWins\":7,\"headToHeadLosses\":8},\"agent2\":{\"wins\":31,"
	        "\"losses\":32,\"rank\":null,\"headToHeadWins\":33,\"headToHeadLosses\":34}}}";
	struct duel_cycle cycle = announced();
	(void)state;
	feed_frame_build(&frame, &cycle.duel, false, &health, &place);
	assert_string_equal(frame.text + frame.len - strlen(nobody), nobody);
	for (size_t i = 0; i < 2; i++)
		cycle.duel.counts[i] = (struct duel_count){.known = true,
		                                           .wins = 31,
		                                           .losses = 32,
		                                           .rival_wins = 33,
		                                           .rival_losses = 34};
	feed_frame_build(&frame, &cycle.duel, false, &health, &place);
	assert_string_equal(frame.text + frame.len - strlen(counted), counted);
	assert_non_null(strstr(frame.text, "\"combatLevel\":0,\"wins\":0,\"losses\":0,"));
}

static void records_have_every_member_in_its_place(void **state)
{
	(void)state;
	struct duel_cycle cycle = announced(), back = {0};
	change(&cycle);
	json_t *record = duel_record(&cycle);
	json_t *duel = json_object_get(record, "duel");
	char *text = json_dumps(json_object_get(duel, "agent1"), JSON_COMPACT);
	assert_string_equal(text, "{\"id\":\"a\",\"name\":\"Näh \\\"A\\\"\",\"provider\":\"p\","
	                          "\"model\":\"m-1\",\"hp\":9.5,\"maxHp\":20.0,"
	                          "\"damageDealtThisFight\":0.0,\"combatLevel\":14,\"wins\":4,"
	                          "\"losses\":15,\"headToHeadWins\":16,\"headToHeadLosses\":8,"
	                          "\"rank\":6,\"said\":31}");
	free(text);
	text = json_dumps(json_object_get(duel, "agent2"), JSON_COMPACT);
	assert_string_equal(text, "{\"id\":\"b\",\"name\":\"B\",\"provider\":\"\",\"model\":\"\","
	                          "\"hp\":1.5,\"maxHp\":2.0,\"damageDealtThisFight\":0.0,"
	                          "\"combatLevel\":0,\"wins\":11,\"losses\":0,\"headToHeadWins\":0,"
	                          "\"headToHeadLosses\":13,\"rank\":12,\"said\":21}");
	free(text);
	assert_true(duel_record_read(&back, record));
	assert_memory_equal(&back.duel, &cycle.duel, sizeof back.duel);
	/* What says who fights and how they stand is needed, all else has a default. */
	static const char *const needed[] = {"id", "name", "hp", "maxHp", "damageDealtThisFight"};
	json_t *agent = json_object_get(duel, "agent1"), *less = json_object();
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		json_object_set(less, needed[i], json_object_get(agent, needed[i]));
	json_object_set(duel, "agent1", less);
	assert_true(duel_record_read(&back, record));
	assert_string_equal(back.duel.agents[0].model, "");
	assert_true(back.duel.agents[0].rank == DUEL_NO_RANK);
	assert_true(back.duel.agents[0].losses == 0);
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
		json_t *one = json_copy(less);
		json_object_del(one, needed[i]);
		json_object_set_new(duel, "agent1", one);
		assert_false(duel_record_read(&back, record));
	}
	json_decref(less);
	json_decref(record);
}

/* The tag is the hash of the bytes that are served. */
static void schemas_are_these(void **state)
{
	(void)state;
	assert_string_equal(fact_schema_text(SPAN("cycle"))->etag, "\"932410deaf3ca6f2\"");
	assert_string_equal(fact_schema_text(SPAN("contestant"))->etag, "\"a11c517b173d9d83\"");
	assert_string_equal(fact_schema_text(SPAN(""))->etag, "\"8650f96c49fe535e\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_have_every_member_in_its_place),
	        cmocka_unit_test(what_is_counted_comes_last),
	        cmocka_unit_test(records_have_every_member_in_its_place),
	        cmocka_unit_test(schemas_are_these),
	};
	return cmocka_run_group_tests_name("feed_frame", tests, NULL, NULL);
}
