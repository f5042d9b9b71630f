#include "common/domain/conversation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(value);
	return value;
}

static void assert_json(json_t *value, const char *text)
{
	char *is = json_dumps(value, JSON_COMPACT);
	assert_string_equal(is, text);
	free(is);
	json_decref(value);
}

static void ids_that_stand_in_paths_as_they_are(void **state)
{
	static const char *const good[] = {"a", "A-Z_0.9~", "...", ".a",
	                                   "123e4567-e89b-12d3-a456-426614174000"};
	static const char *const bad[] = {"",    ".",   "..", "a b",     "a/b",
	                                  "a:b", "%41", "ä",  "$events", "a\n"};
	char longest[CONVERSATION_ID_MAX + 2];
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(conversation_id_good(span_str(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(conversation_id_good(span_str(bad[i])));
	memset(longest, 'x', sizeof longest);
	assert_true(conversation_id_good(span_of(longest, CONVERSATION_ID_MAX)));
	assert_false(conversation_id_good(span_of(longest, CONVERSATION_ID_MAX + 1)));
}

static void the_longest_names_find_room(void **state)
{
	char id[CONVERSATION_ID_ROOM], key[CONVERSATION_KEY_ROOM], path[CONVERSATION_PATH_ROOM];
	(void)state;
	memset(id, 'x', sizeof id - 1);
	id[sizeof id - 1] = '\0';
	assert_true(conversation_message_key(id, id, key).len < CONVERSATION_KEY_ROOM);
	assert_true(conversation_slot_key(id, UINT64_MAX, key).len < CONVERSATION_KEY_ROOM);
	assert_true(strlen(conversation_path(id, "events", path)) < sizeof path);
	assert_string_equal(conversation_path("a", "inbox", path),
	                    "/v1/stream/conversations/a/inbox");
}

/* Byte order of the keys is newest first; the id comes back. */
static void lists_are_newest_first(void **state)
{
	static const uint64_t times[] = {UINT64_MAX, 1700000000001, 1700000000000, 999, 0};
	char keys[5][CONVERSATION_KEY_ROOM];
	struct span id;
	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct span key = conversation_time_key("some.id", times[i], keys[i]);
		assert_true(i == 0 || strcmp(keys[i - 1], keys[i]) < 0);
		assert_true(conversation_time_key_id(key, &id));
		assert_true(span_equal(id, SPAN("some.id")));
		for (size_t len = 0; len < key.len - id.len + 1; len++)
			assert_false(conversation_time_key_id(span_of(key.at, len), &id));
	}
	assert_false(conversation_time_key_id(SPAN("conversation.time/0123456789abcdef/a b"), &id));
	assert_false(conversation_time_key_id(SPAN("conversation.tame/0123456789abcdef/ab"), &id));
}

/* As the first release with them wrote them. */
static void rows_have_their_bytes(void **state)
{
	static const struct {
		struct conversation row;
		const char *text;
	} rows[] = {
	        {{.id = "a", .title = "T", .created_ms = 5, .changed_ms = 6, .revision = 1},
	         "{\"id\":\"a\",\"title\":\"T\",\"createdMs\":5,\"changedMs\":6,\"revision\":1,"
	         "\"messages\":0}"},
	        {{.id = "a",
	          .title = "",
	          .created_by = "me",
	          .owner = "0f",
	          .created_ms = 5,
	          .messages = 9,
	          .generation = "m1",
	          .fork_source = "b"},
	         "{\"id\":\"a\",\"title\":\"\",\"createdBy\":\"me\",\"owner\":\"0f\",\"createdMs\":"
	         "5,"
	         "\"changedMs\":0,\"revision\":0,\"messages\":9,\"generation\":\"m1\","
	         "\"forkSource\":\"b\"}"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct conversation back;
		char *text = conversation_text(&rows[i].row);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(conversation_read(&back, span_str(text)), ROW_PRESENT);
		assert_memory_equal(&back, &rows[i].row, sizeof back);
		free(text);
	}
	const struct conversation_message message = {
	        .digest = "ab", .pieces = 1, .position = 70, .at_ms = 8, .ended = true};
	struct conversation_message back = {0};
	char *text = conversation_message_text(&message);
	assert_string_equal(text, "{\"digest\":\"ab\",\"pieces\":1,\"position\":70,\"atMs\":8,"
	                          "\"ended\":true}");
	assert_int_equal(conversation_message_read(&back, span_str(text)), ROW_PRESENT);
	assert_string_equal(back.digest, message.digest);
	assert_int_equal(back.pieces, message.pieces);
	assert_int_equal(back.position, message.position);
	assert_int_equal(back.at_ms, message.at_ms);
	assert_int_equal(back.ended, message.ended);
	free(text);
}

/* What another release wrote with more in it can be read; what lacks a needed member cannot. */
static void what_a_row_needs(void **state)
{
	static const char *const good[] = {
	        "{\"id\":\"a\",\"title\":\"\",\"createdMs\":0}",
	        "{\"id\":\"a\",\"title\":\"\",\"createdMs\":0,\"later\":[1]}"};
	static const char *const bad[] = {
	        "",
	        "7",
	        "{}",
	        "{\"id\":\"a\",\"title\":\"\"}",
	        "{\"id\":\"a b\",\"title\":\"\",\"createdMs\":0}",
	        "{\"id\":7,\"title\":\"\",\"createdMs\":0}",
	        "{\"id\":\"a\",\"title\":\"\",\"createdMs\":-1}",
	        "{\"id\":\"a\",\"title\":null,\"createdMs\":0}",
	        "{\"id\":\"a\",\"id\":\"a\",\"title\":\"\",\"createdMs\":0}"};
	struct conversation row = {.id = "kept"};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(conversation_read(&row, span_str(bad[i])), ROW_UNREADABLE);
	assert_string_equal(row.id, "kept");
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(conversation_read(&row, span_str(good[i])), ROW_PRESENT);
}

/* Soonest first, those with an endpoint apart; the time and the id come back. */
static void what_is_due_stands_in_its_order(void **state)
{
	static const uint64_t times[] = {1, 999, 1700000000000, 1700000000001, UINT64_MAX};
	char keys[5][CONVERSATION_KEY_ROOM], asked[CONVERSATION_KEY_ROOM];
	struct span id;
	uint64_t due_ms;
	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct span key = conversation_due_key("some.id", false, times[i], keys[i]);
		assert_true(i == 0 || strcmp(keys[i - 1], keys[i]) < 0);
		assert_true(conversation_due_key_read(key, &due_ms, &id));
		assert_true(due_ms == times[i] && span_equal(id, SPAN("some.id")));
		for (size_t len = 0; len < key.len - id.len + 1; len++)
			assert_false(conversation_due_key_read(span_of(key.at, len), &due_ms, &id));
	}
	assert_true(
	        conversation_due_key_read(conversation_due_key("a", true, 7, asked), &due_ms, &id));
	assert_memory_equal(asked, CONVERSATION_ASK_KEY, sizeof CONVERSATION_ASK_KEY - 1);
	assert_false(conversation_due_key_read(SPAN("conversation.due/012345678 abcdef/ab"),
	                                       &due_ms, &id));
	assert_false(conversation_due_key_read(SPAN("conversation.dye/0123456789abcdef/ab"),
	                                       &due_ms, &id));
}

static void a_lease_from_beginning_to_end(void **state)
{
	struct conversation c = {.id = "c"};
	(void)state;
	assert_true(conversation_is_free(&c, "a", "me", 5));
	assert_int_equal(conversation_fence(&c, 0, 5), CONVERSATION_OPEN);
	assert_int_equal(conversation_fence(&c, 1, 5), CONVERSATION_LOST);
	conversation_received(&c, 40, 1000); /* what is there from before is for nobody */
	assert_true(c.due_ms == 1000 && c.done == 40);
	conversation_received(&c, 60, 1500);
	assert_true(c.due_ms == 1000 && c.done == 40); /* it waits since then */
	conversation_give(&c, "a", "me", 100, 80, 2000);
	assert_true(c.epoch == 2000 && c.due_ms == 2100 && c.lease_until_ms == 2100 &&
	            c.done == 40);
	assert_false(conversation_is_free(&c, "b", "me", 2099));
	assert_false(conversation_is_free(&c, "a", "you", 2099));
	assert_true(conversation_is_free(&c, "a", "me", 2099)); /* from its own former life */
	assert_true(conversation_is_free(&c, "b", "me", 2100));
	assert_int_equal(conversation_fence(&c, 0, 2099), CONVERSATION_HELD);
	assert_int_equal(conversation_fence(&c, 0, 2100), CONVERSATION_OPEN);
	assert_int_equal(conversation_fence(&c, 2000, 9999),
	                 CONVERSATION_OPEN); /* nobody else has it */
	assert_int_equal(conversation_fence(&c, 2001, 2099), CONVERSATION_LOST);
	conversation_renew(&c, 80, 2050);
	assert_true(c.due_ms == 2150);
	assert_false(conversation_deal(&c, 81, 80, 2060));
	assert_true(conversation_deal(&c, 60, 80, 2060) && c.done == 60 && c.due_ms == 2150);
	assert_true(conversation_deal(&c, 40, 80, 2060) && c.done == 60); /* said late */
	assert_true(conversation_deal(&c, 80, 80, 2060) && c.due_ms == 0);
	conversation_received(&c, 80, 2070);
	assert_true(c.due_ms == 2150 && c.done == 80); /* whoever has it deals with it */
	conversation_give(&c, "b", "me", 100, 90, 2150);
	assert_int_equal(conversation_fence(&c, 2000, 2150), CONVERSATION_LOST);
	conversation_release(&c, 90, 2160);
	assert_true(c.due_ms == 2160 && *c.agent == '\0');
	assert_int_equal(conversation_fence(&c, 2001, 2160), CONVERSATION_LOST);
	conversation_give(&c, "b", "me", 100, 90, 2170);
	assert_true(conversation_deal(&c, 90, 90, 2180));
	conversation_release(&c, 90, 2190);
	assert_true(c.due_ms == 0 && c.epoch == 2002);
	/* Deleted and made again: what comes late from before is none of it. */
	struct conversation again = {.id = "c"};
	conversation_give(&again, "b", "me", 100, 0, 2200);
	assert_int_equal(conversation_fence(&again, 2002, 2200), CONVERSATION_LOST);
}

/* Whoever answers without leases is left alone, until somebody asks for one by name. */
static void who_takes_no_leases_is_left_alone(void **state)
{
	struct conversation c = {.id = "c"};
	(void)state;
	conversation_received(&c, 0, 1000);
	c.served = true;
	conversation_forgo(&c, 20);
	assert_true(c.due_ms == 0 && c.done == 20);
	conversation_received(&c, 20, 2000);
	assert_true(c.due_ms == 0);
	conversation_give(&c, "a", "me", 100, 40, 3000);
	assert_true(!c.served && c.done == 40 && c.due_ms == 0);
	conversation_received(&c, 40, 3010);
	assert_true(c.due_ms == 3100);
}

static uint64_t dice(uint64_t *seed, uint64_t sides)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % sides;
}

/* Agents that are given it, work, stand still, die and come back late; people who write; time.
 * Whatever happens: one epoch at a time is heard, every item is dealt with exactly once and in its
 * order, and what waits is found by its due time and by nothing else. */
static void whatever_happens_each_item_is_dealt_with_once(void **state)
{
	enum { AGENTS = 4, STEPS = 4000, ITEM = 10 };
	(void)state;
	for (uint64_t first = 1; first <= 200; first++) {
		struct conversation c = {.id = "c"};
		struct {
			uint64_t epoch, next; /* as it believes: 0 none; what it deals with next */
		} agents[AGENTS] = {{0}};
		uint64_t seed = first, now_ms = 1000, tail = 0, dealt = 0, heard_epoch = 0;
		for (size_t step = 0; step < STEPS; step++) {
			size_t who = dice(&seed, AGENTS);
			char name[8];
			snprintf(name, sizeof name, "a%zu", who);
			now_ms += dice(&seed, 40);
			switch (dice(&seed, 8)) {
			case 0:
				conversation_received(&c, tail, now_ms);
				tail += ITEM;
				break;
			case 1: /* is given what is due, as those who wait for the next one are */
				if (c.due_ms == 0 || c.due_ms > now_ms)
					break;
				assert_true(conversation_is_free(&c, name, "me", now_ms));
				conversation_give(&c, name, "me", 100, tail, now_ms);
				agents[who].epoch = c.epoch;
				agents[who].next = c.done;
				assert_true(c.epoch > heard_epoch);
				break;
			case 2:
				agents[who].epoch = 0; /* dies */
				break;
			case 3:
				if (agents[who].epoch != 0 &&
				    conversation_fence(&c, agents[who].epoch, now_ms) ==
				            CONVERSATION_OPEN)
					conversation_renew(&c, tail, now_ms);
				break;
			case 4:
				if (agents[who].epoch == 0 ||
				    conversation_fence(&c, agents[who].epoch, now_ms) !=
				            CONVERSATION_OPEN)
					break;
				conversation_release(&c, tail, now_ms);
				break;
			default: /* answers, and is done with it */
				if (agents[who].epoch == 0 || agents[who].next >= tail)
					break;
				if (conversation_fence(&c, agents[who].epoch, now_ms) !=
				    CONVERSATION_OPEN) {
					agents[who].epoch = 0; /* is told that it lost it */
					break;
				}
				assert_true(agents[who].epoch >= heard_epoch);
				heard_epoch = agents[who].epoch;
				assert_true(agents[who].next ==
				            dealt); /* none twice, none left out */
				assert_true(conversation_deal(&c, agents[who].next += ITEM, tail,
				                              now_ms));
				dealt = agents[who].next;
				break;
			}
			assert_true(c.done == dealt);
			assert_true((c.due_ms != 0) == (tail > dealt));
			assert_true(c.due_ms == 0 || c.due_ms <= now_ms ||
			            c.due_ms == c.lease_until_ms);
		}
		assert_true(dealt > 0);
	}
}

/* The order of members does not matter, everything else does. */
static void digests_of_what_was_sent(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {{"{\"a\":1,\"b\":[2]}", "{ \"b\" : [2], \"a\" : 1 }", true},
	            {"{\"a\":1}", "{\"a\":2}", false},
	            {"{\"a\":1}", "{\"a\":\"1\"}", false},
	            {"{\"a\":[1,2]}", "{\"a\":[2,1]}", false},
	            {"{\"a\":null}", "{}", false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char a[CONVERSATION_DIGEST_ROOM], b[CONVERSATION_DIGEST_ROOM];
		json_t *one = parse(rows[i].a), *two = parse(rows[i].b);
		conversation_digest(one, a);
		conversation_digest(two, b);
		assert_int_equal(strcmp(a, b) == 0, rows[i].same);
		assert_int_equal(strlen(a), 64);
		json_decref(one);
		json_decref(two);
	}
}

static void the_same_again_is_the_same_receipt(void **state)
{
	const struct conversation_message sent = {.digest = "aa"}, answer = {.pieces = 3};
	(void)state;
	assert_int_equal(conversation_judge_message(NULL, "aa"), CONVERSATION_TAKEN);
	assert_int_equal(conversation_judge_message(&sent, "aa"), CONVERSATION_REPEATED);
	assert_int_equal(conversation_judge_message(&sent, "bb"), CONVERSATION_CONFLICT);
	assert_int_equal(conversation_judge_message(&answer, "aa"), CONVERSATION_CONFLICT);
}

static void one_generation_at_a_time(void **state)
{
	const struct conversation idle = {.id = "c"}, busy = {.id = "c", .generation = "m1"};
	const struct conversation_message pieces = {.pieces = 3},
	                                  over = {.pieces = 3, .ended = true},
	                                  sent = {.digest = "aa", .pieces = 1};
	static const struct {
		bool busy;
		int known; /* 0: nothing, 1: pieces, 2: ended, 3: a person's */
		const char *message;
		enum conversation_verdict want;
	} rows[] = {
	        {false, 0, "m1", CONVERSATION_TAKEN},     {true, 1, "m1", CONVERSATION_TAKEN},
	        {true, 0, "m2", CONVERSATION_GENERATING}, {true, 1, "m2", CONVERSATION_GENERATING},
	        {false, 1, "m2", CONVERSATION_TAKEN},     {false, 2, "m1", CONVERSATION_ENDED},
	        {true, 2, "m2", CONVERSATION_ENDED},      {false, 3, "m1", CONVERSATION_CONFLICT},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct conversation_message *known[] = {NULL, &pieces, &over, &sent};
		assert_int_equal(conversation_judge_piece(rows[i].busy ? &busy : &idle,
		                                          known[rows[i].known], rows[i].message),
		                 rows[i].want);
	}
	assert_int_equal(conversation_judge_end(&idle, NULL), CONVERSATION_REPEATED);
	assert_int_equal(conversation_judge_end(&idle, "m1"), CONVERSATION_REPEATED);
	assert_int_equal(conversation_judge_end(&busy, NULL), CONVERSATION_TAKEN);
	assert_int_equal(conversation_judge_end(&busy, "m1"), CONVERSATION_TAKEN);
	assert_int_equal(conversation_judge_end(&busy, "m2"), CONVERSATION_GENERATING);
}

/* Byte for byte what the registry's clients and its client package know. */
static void what_is_on_the_wires(void **state)
{
	const struct conversation plain = {.id = "a", .title = "T", .created_ms = 1700000000123},
	                          named = {.id = "a", .title = "\"/ä", .created_by = "me"};
	(void)state;
	assert_json(
	        conversation_info(&plain),
	        "{\"sessionId\":\"a\",\"title\":\"T\",\"createdAt\":\"2023-11-14T22:13:20.123Z\"}");
	assert_json(conversation_info(&named),
	            "{\"sessionId\":\"a\",\"title\":\"\\\"/ä\",\"createdBy\":\"me\","
	            "\"createdAt\":\"1970-01-01T00:00:00.000Z\"}");
	assert_json(conversation_change("created", &plain),
	            "{\"type\":\"created\",\"session\":{\"sessionId\":\"a\",\"title\":\"T\","
	            "\"createdAt\":\"2023-11-14T22:13:20.123Z\"}}");
	json_t *chunk = parse("{\"type\":\"text\",\"delta\":\"hi\"}");
	assert_json(
	        conversation_piece_event("m", 7, "agent", "assistant", chunk, 1, "tx"),
	        "{\"type\":\"chunk\",\"key\":\"m:7\",\"value\":{\"messageId\":\"m\",\"actorId\":"
	        "\"agent\",\"role\":\"assistant\",\"chunk\":\"{\\\"type\\\":\\\"text\\\",\\\"delta"
	        "\\\":\\\"hi\\\"}\",\"seq\":7,\"createdAt\":\"1970-01-01T00:00:00.001Z\"},"
	        "\"headers\":{\"operation\":\"insert\",\"txid\":\"tx\"}}");
	json_decref(chunk);
	assert_json(
	        conversation_whole_message("m", "user", "hi", 0),
	        "{\"type\":\"whole-message\",\"message\":{\"id\":\"m\",\"role\":\"user\",\"parts\":"
	        "[{\"type\":\"text\",\"content\":\"hi\"}],\"createdAt\":"
	        "\"1970-01-01T00:00:00.000Z\"}}");
	assert_json(conversation_reset_event(), "{\"headers\":{\"control\":\"reset\"}}");
}

static void who_is_there(void **state)
{
	const struct conversation_presence one = {"ann", "d1", "user", "Ann", true},
	                                   two = {"ann", "d2", "user", NULL, true};
	struct conversation_presence gone = one;
	json_t *row = conversation_presence_read((struct span){0});
	(void)state;
	gone.online = false;
	assert_json(conversation_presence_event(&gone, 0),
	            "{\"type\":\"presence\",\"key\":\"ann:d1\",\"value\":{\"actorId\":\"ann\","
	            "\"deviceId\":\"d1\",\"actorType\":\"user\",\"name\":\"Ann\",\"status\":"
	            "\"offline\",\"lastSeenAt\":\"1970-01-01T00:00:00.000Z\"},\"headers\":"
	            "{\"operation\":\"upsert\"}}");
	assert_true(conversation_presence_put(row, &one, 0, 1));
	assert_true(conversation_presence_put(row, &one, 5, 1));
	assert_false(conversation_presence_put(row, &two, 0, 1));
	assert_int_equal(json_object_size(row), 1);
	assert_true(conversation_presence_put(row, &gone, 6, 1));
	assert_int_equal(json_object_size(row), 0);
	assert_true(conversation_presence_put(row, &two, 0, 1));
	json_decref(row);
	assert_null(conversation_presence_read(SPAN("[]")));
	assert_null(conversation_presence_read(SPAN("")));
}

static void entries_of_an_old_registry(void **state)
{
	static const struct {
		const char *entry;
		const char *fault, *id, *title;
		uint64_t created_ms;
	} rows[] = {
	        {"{\"sessionId\":\"a\",\"title\":\"T\",\"createdAt\":\"2023-11-14T22:13:20.123Z\"}",
	         NULL, "a", "T", 1700000000123},
	        {"{\"sessionId\":7,\"title\":12}", NULL, "7", "12", 55},
	        {"{\"sessionId\":\"a\",\"title\":null,\"createdAt\":\"soon\"}", NULL, "a", "", 55},
	        {"{\"sessionId\":\"a b\",\"title\":\"T\"}", "sessionId", NULL, NULL, 0},
	        {"{\"title\":\"T\"}", "sessionId", NULL, NULL, 0},
	        {"{\"sessionId\":\"a\",\"title\":{}}", "title", NULL, NULL, 0},
	        {"{\"sessionId\":\"a\",\"title\":\"T\",\"createdBy\":[]}", "createdBy", NULL, NULL,
	         0},
	        {"7", "object", NULL, NULL, 0},
	};
	struct conversation row;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		json_t *entry = parse(rows[i].entry);
		const char *fault = conversation_import(entry, 55, &row);
		json_decref(entry);
		if (rows[i].fault != NULL) {
			assert_non_null(fault);
			assert_non_null(strstr(fault, rows[i].fault));
			continue;
		}
		assert_null(fault);
		assert_string_equal(row.id, rows[i].id);
		assert_string_equal(row.title, rows[i].title);
		assert_int_equal(row.created_ms, rows[i].created_ms);
	}
	char text[2 * CONVERSATION_TITLE_MAX];
	memset(text, 'x', sizeof text);
	json_t *entry = json_pack("{s:s, s:s#}", "sessionId", "a", "title", text,
	                          (size_t)CONVERSATION_TITLE_MAX + 1);
	assert_non_null(conversation_import(entry, 0, &row));
	json_decref(entry);
}

static void words_are_looked_for(void **state)
{
	static const struct {
		const char *words;
		bool there;
	} rows[] = {
	        {"", true},
	        {"   ", true},
	        {"chess", true},
	        {"CHESS", true},
	        {"openings", true},
	        {"pen", true},
	        {"c-17", true},
	        {"ann", true},
	        {"ann chess", true},
	        {" c-1  ", true},
	        {"chess bob", false},
	        {"chessx", false},
	        {"c-177", false},
	        {"\xc3\xa9t\xc3\xa9", true},
	        {"\xc3\x89t\xc3\xa9", false},
	        {"openings ", true},
	};
	struct conversation row = {
	        .id = "c-17", .title = "Chess \xc3\xa9t\xc3\xa9 Openings", .created_by = "Ann"};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (conversation_matches(&row, span_str(rows[i].words)) != rows[i].there)
			fail_msg("'%s'", rows[i].words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(words_are_looked_for),
	        cmocka_unit_test(ids_that_stand_in_paths_as_they_are),
	        cmocka_unit_test(the_longest_names_find_room),
	        cmocka_unit_test(lists_are_newest_first),
	        cmocka_unit_test(rows_have_their_bytes),
	        cmocka_unit_test(what_a_row_needs),
	        cmocka_unit_test(digests_of_what_was_sent),
	        cmocka_unit_test(the_same_again_is_the_same_receipt),
	        cmocka_unit_test(one_generation_at_a_time),
	        cmocka_unit_test(what_is_on_the_wires),
	        cmocka_unit_test(who_is_there),
	        cmocka_unit_test(entries_of_an_old_registry),
	        cmocka_unit_test(what_is_due_stands_in_its_order),
	        cmocka_unit_test(a_lease_from_beginning_to_end),
	        cmocka_unit_test(who_takes_no_leases_is_left_alone),
	        cmocka_unit_test(whatever_happens_each_item_is_dealt_with_once),
	};
	return cmocka_run_group_tests_name("conversation", tests, NULL, NULL);
}
