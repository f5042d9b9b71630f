#include "worker-bridge/fact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define AGENT "{\"id\":\"a\",\"name\":\"A\",\"hp\":1,\"maxHp\":2}"
#define OTHER "{\"id\":\"b\",\"name\":\"B\",\"hp\":1,\"maxHp\":2}"
#define PLACE "\"sourceEpoch\":1,\"sourceSeq\":1"

static enum fact_result read_text(const char *kind, const char *text, struct fact_post *post,
                                  char reason[160])
{
	json_t *body = json_loads(text, JSON_DECODE_ANY, NULL);
	assert_non_null(body);
	enum fact_result result = fact_read(post, span_str(kind), body, reason);
	json_decref(body);
	return result;
}

static void what_is_well_formed(void **state)
{
	static const char *const rows[][2] = {
	        {"cycle", "{" PLACE ",\"agent1\":" AGENT ",\"agent2\":" OTHER "}"},
	        {"cycle",
	         "{" PLACE ",\"agent1\":" AGENT ",\"agent2\":" OTHER
	         ",\"cycleId\":\"31b10fcd-5d3c-4455-8303-21a5b65a785b\",\"announcementMs\":1000}"},
	        {"phase",
	         "{" PLACE ",\"duelId\":\"d\",\"phase\":\"COUNTDOWN\",\"fightStartTime\":5}"},
	        {"positions",
	         "{" PLACE ",\"duelId\":\"d\",\"agent1\":[0,0,0],\"agent2\":[1,-2.5,3]}"},
	        {"damage",
	         "{" PLACE ",\"duelId\":\"d\",\"attackerId\":\"a\",\"amount\":0,\"targetHp\":0.5}"},
	        {"contestant", "{" PLACE ",\"duelId\":\"d\",\"id\":\"a\",\"rank\":1}"},
	        {"death", "{" PLACE ",\"duelId\":\"d\",\"ids\":[\"a\",\"b\"]}"},
	        {"forfeit", "{" PLACE ",\"duelId\":\"d\",\"id\":\"a\",\"detail\":\"resignation\"}"},
	        {"result",
	         "{" PLACE
	         ",\"duelId\":\"d\",\"outcome\":\"draw\",\"seed\":\"18446744073709551615\"}"},
	        {"abort", "{" PLACE ",\"duelId\":\"d\",\"reason\":\"x\"}"},
	        {"scene", "{" PLACE ",\"duelId\":\"d\",\"scene\":{\"a\":[1,0.1]}}"},
	        {"batch",
	         "{" PLACE ",\"facts\":[{\"type\":\"abort\",\"duelId\":\"d\",\"reason\":\"x\"}]}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fact_post post;
		char reason[160] = "";
		assert_int_equal(read_text(rows[i][0], rows[i][1], &post, reason), FACT_OK);
		assert_string_equal(reason, "");
		assert_int_equal(post.count, 1);
		assert_int_equal(post.source_seq, 1);
		fact_post_finish(&post);
	}
}

static void what_is_not(void **state)
{
	static const struct {
		const char *kind, *text;
		enum fact_result result;
		const char *reason;
	} rows[] = {
	        {"nothing", "{}", FACT_UNKNOWN, "no such kind of fact"},
	        {"abort", "[]", FACT_MALFORMED, "the body must be a JSON object"},
	        {"abort", "{}", FACT_MALFORMED, "/sourceEpoch: is missing"},
	        {"abort", "{" PLACE ",\"duelId\":\"d\"}", FACT_MALFORMED, "/reason: is missing"},
	        {"abort", "{" PLACE ",\"duelId\":\"d\",\"reason\":\"x\",\"y\":1}", FACT_MALFORMED,
	         "/y: is not a member that is known"},
	        {"abort", "{" PLACE ",\"duelId\":\"d\",\"reason\":1}", FACT_MALFORMED,
	         "/reason: a string is needed"},
	        {"abort", "{" PLACE ",\"duelId\":\"d\",\"reason\":\"A B\"}", FACT_UNSUITABLE,
	         "/reason: must match [a-z0-9][a-z0-9_.:-]{0,127}"},
	        {"abort", "{\"sourceEpoch\":0,\"sourceSeq\":1,\"duelId\":\"d\",\"reason\":\"x\"}",
	         FACT_UNSUITABLE, "/sourceEpoch: must be from 1 to 9007199254740992"},
	        {"abort", "{\"sourceEpoch\":1.5,\"sourceSeq\":1,\"duelId\":\"d\",\"reason\":\"x\"}",
	         FACT_MALFORMED, "/sourceEpoch: an integer is needed"},
	        {"cycle", "{" PLACE ",\"agent1\":{\"id\":\"a\"},\"agent2\":" OTHER "}",
	         FACT_MALFORMED, "/agent1/name: is missing"},
	        {"cycle", "{" PLACE ",\"agent1\":" AGENT ",\"agent2\":" OTHER ",\"cycleId\":\"x\"}",
	         FACT_UNSUITABLE, "/cycleId: must be a version 4 UUID in lower case"},
	        {"cycle", "{" PLACE ",\"agent1\":7,\"agent2\":" OTHER "}", FACT_MALFORMED,
	         "/agent1: an object is needed"},
	        {"positions", "{" PLACE ",\"duelId\":\"d\",\"agent1\":[0,0],\"agent2\":[1,2,3]}",
	         FACT_MALFORMED, "/agent1: an array of three numbers is needed"},
	        {"positions",
	         "{" PLACE ",\"duelId\":\"d\",\"agent1\":[0,0,1e10],\"agent2\":[1,2,3]}",
	         FACT_UNSUITABLE, "/agent1: coordinates must be from -1e9 to 1e9"},
	        {"damage", "{" PLACE ",\"duelId\":\"d\",\"attackerId\":\"a\",\"amount\":-1}",
	         FACT_UNSUITABLE, "/amount: must be from 0 to 1000000000"},
	        {"death", "{" PLACE ",\"duelId\":\"d\",\"ids\":[]}", FACT_MALFORMED,
	         "/ids: an array of one or two ids is needed"},
	        {"phase", "{" PLACE ",\"duelId\":\"d\",\"phase\":\"RESOLUTION\"}", FACT_UNSUITABLE,
	         "/phase: must be COUNTDOWN, FIGHTING or IDLE; post cycle for ANNOUNCEMENT, result "
	         "for RESOLUTION"},
	        {"result", "{" PLACE ",\"duelId\":\"d\",\"outcome\":\"cancelled\"}",
	         FACT_UNSUITABLE, "/outcome: must be win or draw; post abort to cancel"},
	        {"result",
	         "{" PLACE
	         ",\"duelId\":\"d\",\"outcome\":\"win\",\"seed\":\"18446744073709551616\"}",
	         FACT_UNSUITABLE, "/seed: must be a decimal number of at most 64 bits"},
	        {"scene", "{" PLACE ",\"duelId\":\"d\",\"scene\":[]}", FACT_MALFORMED,
	         "/scene: an object is needed"},
	        {"batch",
	         "{" PLACE
	         ",\"facts\":[{\"type\":\"abort\",\"duelId\":\"d\",\"reason\":\"x\"},{\"type\":"
	         "\"batch\",\"facts\":[]}]}",
	         FACT_MALFORMED, "/facts/1/type: must name a kind other than batch"},
	        {"batch",
	         "{" PLACE
	         ",\"facts\":[{\"type\":\"damage\",\"duelId\":\"d\",\"attackerId\":\"a\"}]}",
	         FACT_MALFORMED, "/facts/0/amount: is missing"},
	        {"batch", "{" PLACE ",\"facts\":[]}", FACT_UNSUITABLE,
	         "/facts: must hold 1 to 64 facts"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fact_post post;
		char reason[160] = "";
		assert_int_equal(read_text(rows[i].kind, rows[i].text, &post, reason),
		                 rows[i].result);
		assert_string_equal(reason, rows[i].reason);
		fact_post_finish(&post); /* there is nothing in it */
	}
}

static void a_scene_has_a_limit(void **state)
{
	char *text = malloc(40000), reason[160];
	struct fact_post post;
	(void)state;
	for (int len = 16374; len <= 16375; len++) {
		memset(text, 'x', 40000);
		int head = sprintf(text, "{" PLACE ",\"duelId\":\"d\",\"scene\":{\"abc\":\"");
		text[head] = 'x';
		strcpy(text + head + len, "\"}}");
		assert_int_equal(read_text("scene", text, &post, reason),
		                 len == 16374 ? FACT_OK : FACT_UNSUITABLE);
		if (len == 16374)
			assert_int_equal(strlen(post.facts->scene), DUEL_SCENE_MAX);
		fact_post_finish(&post);
	}
	free(text);
}

static void every_kind_has_a_schema(void **state)
{
	json_t *all = fact_schemas(), *schema;
	const char *kind;
	(void)state;
	assert_int_equal(json_object_size(all), 12);
	json_object_foreach (all, kind, schema) {
		json_t *one = fact_schema(span_str(kind));
		assert_true(json_equal(one, schema));
		assert_non_null(
		        json_object_get(json_object_get(schema, "properties"), "sourceSeq"));
		assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
		json_decref(one);
	}
	assert_null(fact_schema(SPAN("nothing")));
	assert_null(fact_schema_text(SPAN("nothing")));
	assert_ptr_equal(fact_schema_text(SPAN("")), fact_schema_text(SPAN("")));
	assert_string_not_equal(fact_schema_text(SPAN(""))->etag,
	                        fact_schema_text(SPAN("cycle"))->etag);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_well_formed),
	        cmocka_unit_test(what_is_not),
	        cmocka_unit_test(a_scene_has_a_limit),
	        cmocka_unit_test(every_kind_has_a_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
