#include "worker-bridge/feed_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What 0.1.0 wrote: each release writes it, and reads it. */
static const char golden[] =
        "{\"version\":1,\"epoch\":1,\"seq\":2,\"lastMs\":3,\"judgedMs\":4,\"sourceEpo"
        "ch\":5,\"sourceSeq\":6,\"sourceDigest\":\"d\",\"ready\":true,\"reason\":\"r\""
        ",\"cycle\":{\"idleSince\":7,\"next\":{\"cycleId\":\"n\",\"announcementMs\":8"
        ",\"agent1\":{\"id\":\"e\",\"name\":\"\",\"provider\":\"\",\"model\":\"\",\"h"
        "p\":0.0,\"maxHp\":0.0,\"damageDealtThisFight\":0.0,\"combatLevel\":0,\"wins\""
        ":0,\"losses\":0,\"headToHeadWins\":0,\"headToHeadLosses\":0,\"rank\":9},\"ag"
        "ent2\":{\"id\":\"f\",\"name\":\"\",\"provider\":\"\",\"model\":\"\",\"hp\":0"
        ".0,\"maxHp\":0.0,\"damageDealtThisFight\":0.0,\"combatLevel\":0,\"wins\":0,\""
        "losses\":0,\"headToHeadWins\":0,\"headToHeadLosses\":0,\"rank\":null}},\"due"
        "l\":{\"duelId\":\"streaming-c\",\"phase\":\"FIGHTING\",\"phaseVersion\":4294"
        "967295,\"outcome\":\"win\",\"winner\":1,\"winReason\":\"hp_advantage\",\"cyc"
        "leId\":\"c\",\"duelKey\":\"k\",\"detail\":\"x\",\"cancellationReason\":\"y\""
        ",\"seed\":\"24\",\"replayHash\":\"h\",\"sceneText\":\"{\\\"s\\\":1}\",\"cycl"
        "eStartTime\":10,\"phaseStartTime\":11,\"betOpenTime\":12,\"betCloseTime\":13"
        ",\"plannedFightStartTime\":14,\"fightStartTime\":15,\"duelEndTime\":16,\"age"
        "nt1\":{\"id\":\"a\",\"name\":\"A\",\"provider\":\"p\",\"model\":\"m\",\"hp\""
        ":0.5,\"maxHp\":100.0,\"damageDealtThisFight\":20.25,\"combatLevel\":17,\"win"
        "s\":18,\"losses\":19,\"headToHeadWins\":22,\"headToHeadLosses\":23,\"rank\":"
        "21},\"agent2\":{\"id\":\"b\",\"name\":\"\",\"provider\":\"\",\"model\":\"\","
        "\"hp\":0.0,\"maxHp\":0.0,\"damageDealtThisFight\":0.0,\"combatLevel\":0,\"wi"
        "ns\":0,\"losses\":0,\"headToHeadWins\":0,\"headToHeadLosses\":0,\"rank\":nul"
        "l},\"positions\":[[-1.0,0.0,0.5],[1.0,2.0,3.0]]}}}";
static const char idle[] =
        "{\"version\":1,\"epoch\":1,\"seq\":2,\"lastMs\":3,\"judgedMs\":4,\"sourceEpo"
        "ch\":5,\"sourceSeq\":6,\"sourceDigest\":\"d\",\"ready\":true,\"reason\":\"r\""
        ",\"cycle\":{\"idleSince\":7,\"next\":null,\"duel\":null}}";

static void fill(struct feed_state *s)
{
	*s = (struct feed_state){.epoch = 1,
	                         .seq = 2,
	                         .last_ms = 3,
	                         .now_ms = 4,
	                         .source_epoch = 5,
	                         .source_seq = 6,
	                         .source_digest = "d",
	                         .ready = true,
	                         .reason = "r",
	                         .cycle = {.idle_since_ms = 7,
	                                   .next = {.present = true,
	                                            .cycle_id = "n",
	                                            .announcement_ms = 8,
	                                            .agents = {{.id = "e", .rank = 9},
	                                                       {.id = "f", .rank = DUEL_NO_RANK}}},
	                                   .duel = {.present = true,
	                                            .cycle_id = "c",
	                                            .key = "k",
	                                            .phase = DUEL_FIGHTING,
	                                            .phase_version = UINT32_MAX,
	                                            .cycle_start_ms = 10,
	                                            .phase_start_ms = 11,
	                                            .bet_open_ms = 12,
	                                            .bet_close_ms = 13,
	                                            .fight_planned_ms = 14,
	                                            .fight_start_ms = 15,
	                                            .end_ms = 16,
	                                            .agents = {{.id = "a",
	                                                        .name = "A",
	                                                        .provider = "p",
	                                                        .model = "m",
	                                                        .hp = 0.5,
	                                                        .hp_max = 100,
	                                                        .combat_level = 17,
	                                                        .wins = 18,
	                                                        .losses = 19,
	                                                        .damage = 20.25,
	                                                        .rank = 21,
	                                                        .rival_wins = 22,
	                                                        .rival_losses = 23},
	                                                       {.id = "b", .rank = DUEL_NO_RANK}},
	                                            .positions_present = true,
	                                            .positions = {{-1, 0, 0.5}, {1, 2, 3}},
	                                            .outcome = DUEL_OUTCOME_WIN,
	                                            .winner = 1,
	                                            .win_reason = DUEL_BY_HP_ADVANTAGE,
	                                            .detail = "x",
	                                            .cancellation = "y",
	                                            .seed = "24",
	                                            .replay_hash = "h",
	                                            .scene = "{\"s\":1}"}}};
}

static struct feed_state whole, back;

static void a_row_has_its_bytes_and_reads_back(void **state)
{
	(void)state;
	fill(&whole);
	for (int i = 0; i < 2; i++) {
		char *text = feed_state_row(&whole);
		assert_string_equal(text, i == 0 ? golden : idle);
		memset(&back, 0, sizeof back);
		assert_true(feed_state_read(&back, span_str(text)));
		assert_memory_equal(&back, &whole, sizeof whole);
		free(text);
		whole.cycle.duel = (struct duel){.winner = -1};
		whole.cycle.next = (struct duel_pair){0};
	}
}

/* Takes members out, or puts others in their place (`to` NULL: out). */
static bool reads(const char *of, const char *member, const char *to)
{
	json_t *row = json_loads(golden, 0, NULL), *place = row;
	if (*of != '\0')
		place = json_object_get(json_object_get(row, "cycle"), of);
	if (strcmp(of, "cycle") == 0)
		place = json_object_get(row, "cycle");
	assert_non_null(json_object_get(place, member));
	json_object_del(place, member);
	if (to != NULL)
		json_object_set_new(place, member, json_loads(to, JSON_DECODE_ANY, NULL));
	char *text = json_dumps(row, 0);
	fill(&whole);
	back = whole;
	bool good = feed_state_read(&back, span_str(text));
	if (!good)
		assert_memory_equal(&back, &whole, sizeof whole);
	free(text);
	json_decref(row);
	return good;
}

static void what_a_row_needs(void **state)
{
	static const struct {
		const char *of, *member, *to;
		bool good;
	} rows[] = {
	        {"", "version", NULL, false},
	        {"", "version", "2", false},
	        {"", "epoch", "0", false},
	        {"", "seq", NULL, false},
	        {"", "seq", "-1", false},
	        {"", "seq", "1.0", false},
	        {"", "judgedMs", NULL, true},
	        {"", "sourceDigest", NULL, true},
	        {"", "ready", NULL, true},
	        {"", "ready", "1", false},
	        {"", "reason", NULL, true},
	        {"", "reason", "null", false},
	        {"", "cycle", NULL, false},
	        {"", "cycle", "[]", false},
	        {"cycle", "idleSince", NULL, true},
	        {"cycle", "next", NULL, true},
	        {"cycle", "next", "7", false},
	        {"cycle", "duel", NULL, false},
	        {"cycle", "duel", "{}", false},
	        {"next", "agent1", NULL, false},
	        {"next", "cycleId", NULL, true},
	        {"duel", "phase", NULL, false},
	        {"duel", "phase", "\"X\"", false},
	        {"duel", "winner", "2", false},
	        {"duel", "winner", "-1", true},
	        {"duel", "phaseVersion", "4294967296", false},
	        {"duel", "detail", NULL, true},
	        {"duel", "duelId", NULL, true},
	        {"duel", "agent2", "{}", false},
	        {"duel", "positions", NULL, true},
	        {"duel", "positions", "[[1,2]]", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (reads(rows[i].of, rows[i].member, rows[i].to) != rows[i].good)
			fail_msg("%s/%s", rows[i].of, rows[i].member);
	reads("", "judgedMs", NULL);
	assert_int_equal(back.now_ms, 3); /* when its last frame was */
}

/* What is counted is kept while the duel goes on, and what the game has said of it. */
static void counts_are_kept(void **state)
{
	(void)state;
	fill(&whole);
	struct duel *d = &whole.cycle.duel;
	d->agents[0].said = DUEL_SAID_WINS | DUEL_SAID_RIVAL_LOSSES;
	d->counts[0] = (struct duel_count){.known = true,
	                                   .wins = 1,
	                                   .losses = 2,
	                                   .draws = 3,
	                                   .streak = -4,
	                                   .rank = 5,
	                                   .rival_wins = 6,
	                                   .rival_losses = 7,
	                                   .rival_draws = 8};
	d->counts[1] = (struct duel_count){.known = true};
	char *text = feed_state_row(&whole);
	memset(&back, 0, sizeof back);
	assert_true(feed_state_read(&back, span_str(text)));
	assert_memory_equal(&back, &whole, sizeof whole);
	free(text);
}

static void what_is_counted_stands_for_what_was_not_said(void **state)
{
	struct duel_agent agent = {.wins = 9, .rank = DUEL_NO_RANK, .said = DUEL_SAID_WINS};
	struct duel_count count = {.wins = 1, .losses = 2, .rank = 3, .rival_wins = 4};
	(void)state;
	duel_agent_fill(&agent, &count);
	assert_int_equal(agent.losses, 0); /* nothing is known */
	count.known = true;
	duel_agent_fill(&agent, &count);
	assert_int_equal(agent.wins, 9);
	assert_int_equal(agent.losses, 2);
	assert_int_equal(agent.rank, 3);
	assert_int_equal(agent.rival_wins, 4);
	count.rank = 0;
	duel_agent_fill(&agent, &count);
	assert_true(agent.rank == DUEL_NO_RANK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_row_has_its_bytes_and_reads_back),
	        cmocka_unit_test(what_a_row_needs),
	        cmocka_unit_test(counts_are_kept),
	        cmocka_unit_test(what_is_counted_stands_for_what_was_not_said),
	};
	return cmocka_run_group_tests_name("feed_state", tests, NULL, NULL);
}
