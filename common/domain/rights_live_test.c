#include "common/domain/rights_live.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct rights_live now = {0}, old = {.frames_by_read = true}, late = {.delayed = true},
                                old_and_late = {.frames_by_read = true, .delayed = true};

static const char *of(const struct rights_live *live, enum verb verb, const char *path)
{
	static char room[RIGHTS_LIVE_ROOM];
	return rights_live(live, verb, span_str(path), room) ? room : "";
}

static void frames_are_a_right_of_their_own(void **state)
{
	(void)state;
	assert_string_equal(of(&now, VERB_READ, "/v1/stream/feeds/a/frames"), "/v1/feeds/a");
	assert_string_equal(of(&old, VERB_READ, "/v1/stream/feeds/a/frames"), "");
	assert_string_equal(of(&old_and_late, VERB_READ, "/v1/stream/feeds/a/frames"),
	                    "/v1/feeds/a");
	/* In any spelling. */
	assert_string_equal(of(&now, VERB_READ, "/v1/stream/%66eeds/%61/fr%61mes"), "/v1/feeds/a");
	/* Others are not. */
	static const char *const others[] = {"/v1/stream/feeds/a/results",
	                                     "/v1/stream/feeds/a",
	                                     "/v1/stream/feeds/a/frames/x",
	                                     "/v1/stream/feeds/frames",
	                                     "/v1/stream/x/feeds/a/frames",
	                                     "/v1/stream/feeds/a/spectator",
	                                     "/v1/feeds/a",
	                                     "/v1/markets",
	                                     ""};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_string_equal(of(&now, VERB_READ, others[i]), "");
	assert_string_equal(of(&now, VERB_APPEND, "/v1/stream/feeds/a/frames"), "");
	assert_string_equal(of(&now, VERB_VIEW, "/v1/hls/a"), "");
}

static void what_tells_of_duels_where_there_is_a_delay(void **state)
{
	static const struct {
		enum verb verb;
		const char *path, *of;
	} rows[] = {
	        {VERB_READ, "/v1/stream/feeds/a/frames", "/v1/feeds/a"},
	        {VERB_READ, "/v1/stream/feeds/a/results", "/v1/feeds/a"},
	        {VERB_READ, "/v1/stream/feeds/a/odds", "/v1/feeds/a"},
	        {VERB_READ, "/v1/stream/feeds/a/what/ever", "/v1/feeds/a"},
	        {VERB_READ, "/v1/stream/feeds/a/spectator", ""},
	        {VERB_READ, "/v1/stream/feeds/a/spectators", "/v1/feeds/a"},
	        {VERB_READ, "/v1/stream/other", ""},
	        {VERB_READ, "/v1/duels", "/v1/feeds/*"},
	        {VERB_READ, "/v1/duels/a", "/v1/feeds/a"},
	        {VERB_READ, "/v1/duelsome", ""},
	        {VERB_READ, "/v1/stream/feeds/a/spectator/odds", ""},
	        /* They answer by themselves what is late enough. */
	        {VERB_READ, "/v1/markets", ""},
	        {VERB_READ, "/v1/markets/d/bets", ""},
	        {VERB_READ, "/v1/oracle/d", ""},
	        {VERB_READ, "/v1/oracle/keys", ""},
	        {VERB_READ, "/v1/feeds/a", ""},
	        {VERB_VIEW, "/v1/hls/a/index.m3u8", ""},
	        {VERB_VIEW, "/stream/s1", "/v1/feeds/*"},
	        {VERB_RENDER, "/stream/s1", ""},
	        {VERB_BET, "/v1/ledger/accounts", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_string_equal(of(&late, rows[i].verb, rows[i].path), rows[i].of);
}

static void what_is_answered_later(void **state)
{
	static const struct {
		enum verb verb;
		const char *path, *of;
	} rows[] = {
	        {VERB_READ, "/v1/markets", "/v1/feeds/*"},
	        {VERB_READ, "/v1/markets/d/bets", "/v1/feeds/*"},
	        {VERB_READ, "/v1/m%61rkets", "/v1/feeds/*"},
	        {VERB_READ, "/v1/oracle/d", "/v1/feeds/*"},
	        {VERB_READ, "/v1/oracle/keys", ""},
	        {VERB_READ, "/v1/marketsome", ""},
	        {VERB_READ, "/v1/duels", ""},
	        {VERB_BET, "/v1/markets", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char room[RIGHTS_LIVE_ROOM] = "";
		bool later = rights_live_later(&late, rows[i].verb, span_str(rows[i].path), room);
		assert_string_equal(room, rows[i].of);
		assert_int_equal(later, *rows[i].of != '\0');
		assert_false(rights_live_later(&now, rows[i].verb, span_str(rows[i].path), room));
	}
}

static void names_that_are_too_long_are_nobodys(void **state)
{
	char path[600] = "/v1/stream/feeds/";
	(void)state;
	memset(path + strlen(path), 'x', 300);
	strcat(path, "/frames");
	assert_int_equal(strlen(of(&now, VERB_READ, path)), RIGHTS_LIVE_ROOM - 1);
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern;
		bool late;
	} rows[] = {
	        {"feeds/a/frames", true},
	        {"feeds/*/frames", true},
	        {"feeds/a/*", true},
	        {"feeds/**", true},
	        {"**", true},
	        {"/v1/stream/**", true},
	        {"*/a/fra*", true},
	        {"/v1/stream/feeds/a/frames", true},
	        {"feeds/a/frames/**", true},
	        {"feeds/a", false},
	        {"feeds/a/results", true},
	        {"feeds/a/odds", true},
	        {"feeds/a/bets", true},
	        {"feeds/a/spectator", false},
	        {"feeds/a/spectator/bets", false},
	        {"other/**", false},
	        {"feeds/a/frames/x", false},
	        {"%66eeds/a/frames", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (rights_live_pattern(&late, span_str(rows[i].pattern)) != rows[i].late)
			fail_msg("%s", rows[i].pattern);
		assert_false(rights_live_pattern(&now, span_str(rows[i].pattern)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_are_a_right_of_their_own),
	        cmocka_unit_test(what_tells_of_duels_where_there_is_a_delay),
	        cmocka_unit_test(what_is_answered_later),
	        cmocka_unit_test(names_that_are_too_long_are_nobodys),
	        cmocka_unit_test(patterns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
