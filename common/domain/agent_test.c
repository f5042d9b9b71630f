#include "common/domain/agent.h"
#include "common/store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char ours[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                  theirs[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static const char *take(const char *text, struct agent *agent)
{
	json_t *params = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	assert_true((text == NULL) == (params == NULL));
	*agent = (struct agent){0};
	const char *fault = agent_take(params, agent);
	json_decref(params);
	return fault;
}

static void assert_json(json_t *value, const char *text)
{
	char *is = json_dumps(value, JSON_COMPACT);
	assert_string_equal(is, text);
	free(is);
	json_decref(value);
}

static void a_program_says_what_it_is(void **state)
{
	struct agent agent;
	(void)state;
	assert_null(take("{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/w\",\"port\":8080,"
	                 "\"status\":\"offline\",\"offline_since\":7,\"pid\":42,\"more\":[]}",
	                 &agent));
	agent_begin(&agent, NULL, 1700000000123);
	assert_json(agent_joined(&agent),
	            "{\"event\":\"node_joined\",\"node\":{\"id\":\"a\",\"machine\":\"m\",\"cwd\":"
	            "\"/w\",\"port\":8080,\"status\":\"active\",\"last_seen\":1700000000,\"pid\":"
	            "42}}");
	agent_end(&agent, 1700000005000);
	assert_json(
	        agent_node(&agent),
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/w\",\"port\":8080,\"status\":"
	        "\"offline\",\"offline_since\":1700000005,\"last_seen\":1700000000,\"pid\":42}");
	assert_null(take("{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"\",\"port\":0,\"status\":"
	                 "\"active\",\"pid\":null,\"tunnel\":true,\"accepts\":[7,\"sessions\"]}",
	                 &agent));
	assert_true(agent.tunnel && agent.sessions);
	assert_true(agent.pid == RECORD_NULL);
	assert_json(agent_event("node_removed", "x"), "{\"event\":\"node_removed\",\"id\":\"x\"}");
}

static void what_is_no_node_is_refused(void **state)
{
	static const char *const bad[] = {
	        "7",
	        "[]",
	        "{}",
	        "\"x\"",
	        "{\"id\":7,\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\"}",
	        "{\"id\":\"\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\"}",
	        "{\"id\":\"a\\nb\",\"machine\":\"m\",\"cwd\":\"/"
	        "\",\"port\":1,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"port\":1,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/"
	        "\",\"port\":65536,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":-1,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1.5,\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/"
	        "\",\"port\":\"1\",\"status\":\"active\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"idle\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\","
	        "\"pid\":4294967296}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\","
	        "\"pid\":\"1\"}",
	        "{\"id\":\"a\",\"machine\":\"m\",\"cwd\":\"/\",\"port\":1,\"status\":\"active\","
	        "\"accepts\":\"items\"}",
	};
	struct agent agent;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_string_equal(take(bad[i], &agent), "Invalid node info");
	assert_string_equal(take(NULL, &agent), "Missing params");
	assert_string_equal(take("null", &agent), "Missing params");
}

static void rows_come_back_as_they_were(void **state)
{
	struct agent agent = {.port = 8080,
	                      .pid = 7,
	                      .tunnel = true,
	                      .sessions = true,
	                      .slot = 3,
	                      .process_ms = 99},
	             read = {0};
	(void)state;
	snprintf(agent.id, sizeof agent.id, "pi %%/ä");
	snprintf(agent.machine, sizeof agent.machine, "host");
	snprintf(agent.owner, sizeof agent.owner, "%s", ours);
	snprintf(agent.address, sizeof agent.address, "10.0.0.1");
	agent_begin(&agent, NULL, 5000);
	char *text = agent_text(&agent);
	assert_int_equal(agent_read(&read, span_str(text)), ROW_PRESENT);
	char *again = agent_text(&read);
	assert_string_equal(text, again);
	assert_int_equal(read.pid, 7);
	free(again);
	free(text);
	agent.pid = RECORD_NULL;
	text = agent_text(&agent);
	assert_int_equal(agent_read(&read, span_str(text)), ROW_PRESENT);
	assert_true(read.pid == RECORD_NULL);
	free(text);
	assert_int_equal(agent_read(&read, SPAN("{}")), ROW_UNREADABLE);
	assert_int_equal(agent_read(&read, SPAN("")), ROW_UNREADABLE);
	assert_string_equal(read.id, "pi %/ä");
}

static void names_of_rows_and_paths(void **state)
{
	struct agent agent = {.port = 1}, other = {.port = 11};
	char key[AGENT_KEY_ROOM], other_key[AGENT_KEY_ROOM], path[AGENT_PATH_ROOM],
	        longest[AGENT_ID_MAX + 2];
	struct span id;
	(void)state;
	assert_true(agent_key_id(agent_key(SPAN("x/y"), key), &id));
	assert_true(span_equal(id, SPAN("x/y")));
	assert_false(agent_key_id(agent_place_key(&agent, key), &id));
	assert_false(agent_key_id(SPAN("agent/"), &id));
	snprintf(agent.machine, sizeof agent.machine, "a1");
	snprintf(other.machine, sizeof other.machine, "a");
	assert_false(span_equal(agent_place_key(&agent, key), agent_place_key(&other, other_key)));
	assert_true(span_equal(agent_path(SPAN("a/ %~"), path),
	                       SPAN("/v1/stream/hub/agents/a%2F%20%25~")));
	memset(longest, 1, sizeof longest);
	assert_false(agent_id_good(span_of(longest, 3)));
	memset(longest, 'x', sizeof longest);
	assert_true(agent_id_good(span_of(longest, AGENT_ID_MAX)));
	assert_false(agent_id_good(span_of(longest, AGENT_ID_MAX + 1)));
	assert_false(agent_id_good(SPAN("\xff")));
	assert_false(agent_id_good(SPAN("")));
	agent_key(span_of(longest, AGENT_ID_MAX), key);
	agent_path(span_of(longest, AGENT_ID_MAX), path);
}

static void requests_are_read_and_answered(void **state)
{
	static const char *const none[] = {"",
	                                   "{",
	                                   "[]",
	                                   "7",
	                                   "{}",
	                                   "{\"method\":7}",
	                                   "{\"id\":1.5,\"method\":\"ping\"}",
	                                   "{\"id\":{},\"method\":\"ping\"}",
	                                   "{\"id\":true,\"method\":\"ping\"}",
	                                   "{\"method\":\"pi\\u0000ng\"}",
	                                   "{\"method\":\"ping\"} x"};
	struct agent_request request;
	(void)state;
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		assert_false(agent_request_read(&request, span_str(none[i])));
	assert_true(agent_request_read(
	        &request, SPAN("{\"id\":7,\"method\":\"ping\",\"params\":{\"a\":1}}")));
	assert_string_equal(request.method, "ping");
	char *reply = agent_reply(request.id, json_object(), NULL);
	assert_string_equal(reply, "{\"id\":7,\"result\":{}}");
	free(reply);
	agent_request_finish(&request);
	assert_true(agent_request_read(&request, SPAN("{\"id\":null,\"method\":\"x\"}")));
	reply = agent_reply(request.id, NULL, "why");
	assert_string_equal(reply, "{\"error\":\"why\"}");
	free(reply);
	agent_request_finish(&request);
}

static void whose_it_is_decides(void **state)
{
	struct agent there = {.status = AGENT_OFFLINE}, place = {.status = AGENT_ACTIVE};
	const struct span me = span_str(ours), nobody = SPAN("");
	(void)state;
	assert_int_equal(agent_judge(NULL, NULL, me, nobody), AGENT_TAKEN);
	assert_int_equal(agent_judge(&there, &place, nobody, nobody), AGENT_TAKEN);
	assert_int_equal(agent_judge(&there, NULL, me, nobody), AGENT_OTHERS_ID);
	snprintf(there.owner, sizeof there.owner, "%s", theirs);
	assert_int_equal(agent_judge(&there, NULL, me, nobody), AGENT_OTHERS_ID);
	assert_int_equal(agent_judge(&there, NULL, nobody, nobody), AGENT_OTHERS_ID);
	assert_int_equal(agent_judge(&there, NULL, me, span_str(theirs)), AGENT_TAKEN);
	there.evicted = true;
	assert_int_equal(agent_judge(&there, NULL, me, nobody), AGENT_TAKEN);
	snprintf(place.owner, sizeof place.owner, "%s", theirs);
	assert_int_equal(agent_judge(NULL, &place, me, nobody), AGENT_OTHERS_PLACE);
	place.status = AGENT_OFFLINE;
	assert_int_equal(agent_judge(NULL, &place, me, nobody), AGENT_TAKEN);
}

static void a_life_is_told_from_the_next(void **state)
{
	struct agent first = {0}, second = {0};
	(void)state;
	agent_begin(&first, NULL, 5000);
	assert_int_equal(first.generation, 5000);
	agent_begin(&second, &first, 4000); /* the clock was set back */
	assert_int_equal(second.generation, 5001);
	assert_int_equal(second.reconnects, 1);
	assert_int_equal(second.first_seen_s, 5);
	assert_false(agent_is_due(&second, UINT64_MAX / 2, 0));
	agent_end(&second, 60000);
	assert_int_equal(second.process_ms, 0);
	assert_false(agent_is_due(&second, 90000, 30000));
	assert_true(agent_is_due(&second, 90001, 30000));
	assert_false(agent_is_ahead(&second, 59000)); /* two clocks, read at one moment */
	assert_true(agent_is_ahead(&second, 58999));
	agent_end(&second, 1000);
	assert_false(agent_is_ahead(&second, 1000));
	assert_true(agent_is_due(&second, 31001, 30000));
	second.evicted = true;
	assert_true(agent_is_due(&second, 0, 30000));
	agent_begin(&first, &second, 100000);
	assert_int_equal(first.reconnects, 0);
	assert_int_equal(first.first_seen_s, 100);
}

static void an_item_goes_as_it_is(void **state)
{
	size_t len;
	const struct agent_item plain = {.conversation = "x",
	                                 .epoch = 3,
	                                 .lease_ms = 30000,
	                                 .seq = 12,
	                                 .item = SPAN("{\"a\":1}")};
	struct agent_item begun = plain;
	char *item = agent_session_item(&plain, &len);
	(void)state;
	assert_string_equal(item, "{\"event\":\"session_item\",\"session\":\"x\",\"epoch\":3,"
	                          "\"leaseMs\":30000,\"seq\":12,\"item\":{\"a\":1}}");
	assert_int_equal(len, strlen(item));
	free(item);
	begun.generation = "{\"messageId\":\"re-1\",\"pieces\":2}";
	item = agent_session_item(&begun, &len);
	assert_string_equal(item, "{\"event\":\"session_item\",\"session\":\"x\",\"epoch\":3,"
	                          "\"leaseMs\":30000,"
	                          "\"generation\":{\"messageId\":\"re-1\",\"pieces\":2},"
	                          "\"seq\":12,\"item\":{\"a\":1}}");
	free(item);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_program_says_what_it_is),
	        cmocka_unit_test(what_is_no_node_is_refused),
	        cmocka_unit_test(rows_come_back_as_they_were),
	        cmocka_unit_test(names_of_rows_and_paths),
	        cmocka_unit_test(requests_are_read_and_answered),
	        cmocka_unit_test(whose_it_is_decides),
	        cmocka_unit_test(an_item_goes_as_it_is),
	        cmocka_unit_test(a_life_is_told_from_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
