#include "worker-sse/views/bet_sync_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define AGENT                                                                                      \
	"{\"id\":\"a\",\"name\":\"A "                                                              \
	"\\\"{,}[\\\\\",\"provider\":\"\",\"model\":\"\",\"hp\":7.2,\"maxHp\":10,"                 \
	"\"combatLevel\":0,\"wins\":0,\"losses\":0,\"damageDealtThisFight\":0.1,\"rank\":null,"    \
	"\"headToHeadWins\":0,\"headToHeadLosses\":0}"
#define HEAD                                                                                       \
	"{\"schemaVersion\":2,\"feed\":\"arena\",\"sourceEpoch\":1795241265347,\"seq\":7,"         \
	"\"previousSeq\":6,\"emittedAt\":9,"
#define FRAME(fight, reason)                                                                       \
	HEAD "\"cycleId\":\"c\",\"duelId\":\"streaming-c\",\"duelKey\":\"k\",\"phase\":"           \
	     "\"COUNTDOWN\",\"phaseVersion\":2,"                                                   \
	     "\"betOpenTime\":1,\"betCloseTime\":2,\"plannedFightStartTime\":3,"                   \
	     "\"fightStartTime\":" fight ",\"duelEndTime\":null,\"terminal\":false,\"outcome\":"   \
	     "null,\"cancellationReason\":null,\"winnerId\":null,"                                 \
	     "\"winnerName\":null,\"loserId\":null,\"loserName\":null,\"winReason\":" reason       \
	     ",\"detail\":null,\"seed\":null,\"replayHash\":null,\"agent1\":" AGENT                \
	     ",\"agent2\":" AGENT ",\"arenaPositions\":{\"agent1\":[0,0,1e-7],\"agent2\":[1,0,0]}" \
	     ",\"scene\":{\"x\":[\"}\",{}]},"                                                      \
	     "\"rendererHealth\":{\"ready\":false,\"degradedReason\":\"capture_client_"            \
	     "disconnected\",\"updatedAt\":5,"                                                     \
	     "\"source\":\"none\",\"page\":null}}"
#define V1(fight, reason)                                                                          \
	"{\"schemaVersion\":1,\"sourceEpoch\":1795241265347,\"seq\":7,\"emittedAt\":9,\"duelId\":" \
	"\"streaming-c\","                                                                         \
	"\"duelKey\":\"k\",\"phase\":\"COUNTDOWN\",\"phaseVersion\":2,\"betOpenTime\":1,"          \
	"\"betCloseTime\":2,"                                                                      \
	"\"fightStartTime\":" fight                                                                \
	",\"duelEndTime\":null,\"winnerId\":null,\"winnerName\":null,\"winReason\":" reason        \
	",\"agent1\":" AGENT ",\"agent2\":" AGENT                                                  \
	",\"arenaPositions\":{\"agent1\":[0,0,1e-7],\"agent2\":[1,0,0]},\"rendererHealth\":{"      \
	"\"ready\":false,"                                                                         \
	"\"degradedReason\":\"capture_client_disconnected\",\"updatedAt\":5}"

static void version_1_is_cut_out_byte_by_byte(void **state)
{
	static const char *const rows[][2] = {{FRAME("null", "null"), V1("3", "null")},
	                                      {FRAME("4", "\"forfeit\""), V1("4", "\"kill\"")},
	                                      {FRAME("4", "\"draw\""), V1("4", "\"draw\"")}};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct bet_sync_frame frame;
		char out[4096];
		assert_true(bet_sync_frame_read(&frame, span_str(rows[i][0])));
		assert_int_equal(frame.epoch, 1795241265347);
		assert_int_equal(frame.seq, 7);
		out[bet_sync_frame_v1(&frame, out)] = '\0';
		assert_string_equal(out, rows[i][1]);
	}
}

/* Every prefix, and every byte turned into another. */
static void what_is_no_frame_is_refused(void **state)
{
	static const char text[] = FRAME("4", "null");
	struct bet_sync_frame frame;
	char other[sizeof text], *out = malloc(sizeof text + BET_SYNC_MORE);
	(void)state;
	for (size_t len = 0; len + 1 < sizeof text; len++)
		assert_false(bet_sync_frame_read(&frame, span_of(text, len)));
	for (size_t i = 0; i + 1 < sizeof text; i++) {
		for (const char *c = "\"\\{}[],:x"; *c != '\0'; c++) {
			memcpy(other, text, sizeof text);
			other[i] = *c;
			if (bet_sync_frame_read(&frame, span_of(other, sizeof other - 1)))
				assert_true(bet_sync_frame_v1(&frame, out) <
				                    sizeof text + BET_SYNC_MORE &&
				            bet_sync_frame_v3(&frame, out) <
				                    sizeof text + BET_SYNC_MORE);
		}
	}
	free(out);
}

/* A reason in somebody's own words once cut the frame in the wrong place. */
static void a_reason_may_hold_anything(void **state)
{
	static const char before[] = FRAME("4", "null");
	static const char token[] = "capture_client_disconnected", reason[] = "a, \\\"b\\\"}, c, d";
	char text[4096], out[8192];
	struct bet_sync_frame frame;
	const char *at = strstr(before, token);
	(void)state;
	snprintf(text, sizeof text, "%.*s%s%s", (int)(at - before), before, reason,
	         at + strlen(token));
	assert_true(bet_sync_frame_read(&frame, span_str(text)));
	out[bet_sync_frame_v1(&frame, out)] = '\0';
	assert_non_null(strstr(out, "\"rendererHealth\":{\"ready\":false,\"degradedReason\":\"a, "
	                            "\\\"b\\\"}, c, d\",\"updatedAt\":5}"));
	assert_null(strstr(out, "\"source\":"));
}

static void health_of_another_shape_stays_as_it_is(void **state)
{
	static const char *const shapes[] = {
	        "null", "{}", "{\"ready\":true}", "{\"ready\":true,\"x\":[1,2]}", "[", "1"};
	(void)state;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		char text[4096], out[8192], *exact;
		struct bet_sync_frame frame;
		const char *before = FRAME("4", "null"), *at = strstr(before, "{\"ready\"");
		int len = snprintf(text, sizeof text, "%.*s%s}", (int)(at - before), before,
		                   shapes[i]);
		exact = memcpy(malloc((size_t)len), text, (size_t)len); /* no byte behind it */
		if (bet_sync_frame_read(&frame, span_of(exact, (size_t)len))) {
			out[bet_sync_frame_v1(&frame, out)] = '\0';
			assert_string_equal(out + strlen(out) - strlen(shapes[i]), shapes[i]);
		}
		free(exact);
	}
}

#define AGENT_V3                                                                                   \
	"{\"id\":\"a\",\"name\":\"A "                                                              \
	"\\\"{,}[\\\\\",\"provider\":\"unknown\",\"model\":\"unknown\",\"hp\":8,\"maxHp\":10,"     \
	"\"combatLevel\":1,\"wins\":0,\"losses\":0,\"damageDealtThisFight\":0,\"rank\":0,"         \
	"\"headToHeadWins\":0,\"headToHeadLosses\":0}"

static void version_3_has_a_value_for_everything(void **state)
{
	struct bet_sync_frame frame;
	char out[8192], text[8192];
	(void)state;
	assert_true(bet_sync_frame_read(&frame, SPAN(FRAME("4", "null"))));
	out[bet_sync_frame_v3(&frame, out)] = '\0';
	assert_string_equal(
	        out,
	        "{\"schemaVersion\":3,\"sourceEpoch\":1795241265347,\"seq\":7,\"emittedAt\":9,"
	        "\"phaseVersion\":2,\"duelId\":\"streaming-c\",\"duelKey\":\"k\","
	        "\"competitiveSnapshotVersion\":1,\"competitiveSnapshotDigest\":"
	        "\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\","
	        "\"competitiveSnapshot\":{},\"phase\":\"COUNTDOWN\",\"betOpenTime\":1,"
	        "\"betCloseTime\":2,\"fightStartTime\":4,\"duelEndTime\":null,\"winnerId\":null,"
	        "\"outcome\":null,\"cancellationReason\":null,\"winReason\":null,\"seed\":null,"
	        "\"replayHash\":null,\"agent1\":" AGENT_V3 ",\"agent2\":" AGENT_V3
	        ",\"arenaPositions\":{\"agent1\":[0,0,1e-7],\"agent2\":[1,0,0]},\"winnerName\":"
	        "null,"
	        "\"rendererHealth\":{\"ready\":false,\"degradedReason\":\"capture_client_"
	        "disconnected\",\"updatedAt\":5}");
	/* What the bridge says of the snapshot, and a picture of which nothing is known. */
	static const char before[] = FRAME("4", "null");
	const char *at = strstr(before, "\"updatedAt\":5");
	snprintf(text, sizeof text,
	         "%.*s\"updatedAt\":0,\"source\":\"none\",\"page\":null},"
	         "\"competitiveSnapshotDigest\":\"d\",\"competitiveSnapshot\":{\"x\":[1]}}",
	         (int)(at - before), before);
	assert_true(bet_sync_frame_read(&frame, span_str(text)));
	out[bet_sync_frame_v3(&frame, out)] = '\0';
	assert_non_null(strstr(out, "\"competitiveSnapshotDigest\":\"d\","
	                            "\"competitiveSnapshot\":{\"x\":[1]},\"phase\""));
	assert_non_null(strstr(out, "\"updatedAt\":9}"));
	out[bet_sync_frame_v1(&frame, out)] = '\0';
	assert_null(strstr(out, "competitive"));
}

/* Where the bridge says what it has counted; by a frame of another shape nothing is changed. */
static void version_3_has_what_was_counted(void **state)
{
	static const char before[] = FRAME("4", "null");
	static const char told[] = "\"combatLevel\":1,\"wins\":0,\"losses\":0,"
	                           "\"damageDealtThisFight\":0,\"rank\":0,\"headToHeadWins\":0,"
	                           "\"headToHeadLosses\":0}",
	                  one[] = "\"combatLevel\":1,\"wins\":1,\"losses\":22,"
	                          "\"damageDealtThisFight\":0,\"rank\":3,\"headToHeadWins\":4,"
	                          "\"headToHeadLosses\":5},\"agent2\"",
	                  two[] = "\"combatLevel\":1,\"wins\":6,\"losses\":7,"
	                          "\"damageDealtThisFight\":0,\"rank\":0,\"headToHeadWins\":8,"
	                          "\"headToHeadLosses\":9},\"arenaPositions\"";
	static const char *const others[] = {"null", "{}", "[1]", "{\"agent1\":{\"wins\":1}}",
	                                     "{\"agent1\":1,\"agent2\":2}"};
	char text[8192], out[8192];
	struct bet_sync_frame frame;
	(void)state;
	int len = (int)strlen(before) - 1;
	snprintf(text, sizeof text,
	         "%.*s,\"competitiveSnapshotDigest\":\"d\",\"competitiveSnapshot\":{},"
	         "\"standings\":{"
	         "\"agent1\":{\"wins\":1,\"losses\":22,\"rank\":3,\"headToHeadWins\":4,"
	         "\"headToHeadLosses\":5},\"agent2\":{\"wins\":6,\"losses\":7,\"rank\":null,"
	         "\"headToHeadWins\":8,\"headToHeadLosses\":9}}}",
	         len, before);
	assert_true(bet_sync_frame_read(&frame, span_str(text)));
	out[bet_sync_frame_v3(&frame, out)] = '\0';
	assert_non_null(strstr(out, one));
	assert_non_null(strstr(out, two));
	assert_null(strstr(out, "standings"));
	out[bet_sync_frame_v1(&frame, out)] = '\0';
	assert_null(strstr(out, "standings"));
	assert_null(strstr(out, "\"wins\":1"));
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		int whole = snprintf(text, sizeof text,
		                     "%.*s,\"competitiveSnapshotDigest\":\"d\","
		                     "\"competitiveSnapshot\":{},\"standings\":%s}",
		                     len, before, others[i]);
		char *exact = memcpy(malloc((size_t)whole), text, (size_t)whole);
		assert_true(bet_sync_frame_read(&frame, span_of(exact, (size_t)whole)));
		out[bet_sync_frame_v3(&frame, out)] = '\0';
		assert_non_null(strstr(out, told));
		free(exact);
	}
}

static void cursors(void **state)
{
	static const struct {
		const char *text;
		enum bet_sync_cursor_result result;
		uint64_t epoch, seq;
	} rows[] = {
	        {"", BET_SYNC_CURSOR_NONE, 0, 0},
	        {"0", BET_SYNC_CURSOR_SEQ, 0, 0},
	        {"12", BET_SYNC_CURSOR_SEQ, 0, 12},
	        {"9007199254740992", BET_SYNC_CURSOR_SEQ, 0, (uint64_t)1 << 53},
	        {"9007199254740993", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"1795241265347-12", BET_SYNC_CURSOR_PLACE, 1795241265347, 12},
	        {"-1", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"12abc", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"1e3", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"01", BET_SYNC_CURSOR_BAD, 0, 0},
	        {" 1", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"1-", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"1-2-3", BET_SYNC_CURSOR_BAD, 0, 0},
	        {"99999999999999999999999", BET_SYNC_CURSOR_BAD, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bet_sync_cursor cursor;
		assert_int_equal(bet_sync_cursor_read(&cursor, span_str(rows[i].text)),
		                 rows[i].result);
		if (rows[i].result == BET_SYNC_CURSOR_BAD)
			continue;
		assert_int_equal(cursor.epoch, rows[i].epoch);
		assert_int_equal(cursor.seq, rows[i].seq);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(version_1_is_cut_out_byte_by_byte),
	        cmocka_unit_test(version_3_has_a_value_for_everything),
	        cmocka_unit_test(what_is_no_frame_is_refused),
	        cmocka_unit_test(a_reason_may_hold_anything),
	        cmocka_unit_test(health_of_another_shape_stays_as_it_is),
	        cmocka_unit_test(version_3_has_what_was_counted),
	        cmocka_unit_test(cursors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
