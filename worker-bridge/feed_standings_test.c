#include "worker-bridge/feed_standings.h"
#include "common/base/log.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RESULTS "/v1/stream/feeds/arena/results"

static struct store_bench bench;
static struct settings settings;
static struct said said;
static struct feed_standings standings;
static struct feed_standings_change change;
static uint64_t seq;

static void begin(void)
{
	while (store_advance(bench.store, 0)) {
	}
	change = (struct feed_standings_change){.rows = rows_create(store_view(bench.store)),
	                                        .store = bench.store,
	                                        .settings = &settings,
	                                        .said = &said,
	                                        .now_ms = 1000000 + seq};
}

/* As the feed does: the terminal frame is in the same transaction. */
static void commit(const char *frame)
{
	struct txn *txn = txn_create();
	if (frame != NULL)
		txn_publish(txn, RESULTS, span_str(frame));
	rows_add(change.rows, txn);
	rows_destroy(&change.rows);
	assert_int_equal(txn_execute(&txn, bench.store), VERDICT_OK);
	while (store_advance(bench.store, 0)) {
	}
}

static void frame_of(const char *winner, char text[400])
{
	snprintf(text, 400,
	         "{\"sourceEpoch\":1,\"seq\":%u,\"emittedAt\":%u,\"outcome\":\"%s\",\"winnerId\":"
	         "\"%s\",\"agent1\":{\"id\":\"ann\",\"name\":\"Ann\"},\"agent2\":{\"id\":\"bob\","
	         "\"name\":\"Bob\"}}",
	         (unsigned)seq, (unsigned)(1000000 + seq), *winner != '\0' ? "win" : "draw",
	         winner);
}

static struct duel duel_of(const char *winner)
{
	struct duel d = {.outcome = *winner != '\0' ? DUEL_OUTCOME_WIN : DUEL_OUTCOME_DRAW,
	                 .winner = *winner == '\0' ? -1 : *winner == 'b'};
	snprintf(d.agents[0].id, sizeof d.agents[0].id, "ann");
	snprintf(d.agents[1].id, sizeof d.agents[1].id, "bob");
	return d;
}

/* A duel ends as it should, "": a draw; or in a release that did not count. */
static void end(const char *winner, bool counted)
{
	char text[400];
	struct duel d = duel_of(winner);
	seq++;
	frame_of(winner, text);
	begin();
	if (counted) {
		feed_standings_turn(&standings, &change);
		feed_standings_end(&standings, &change, &d, 1, seq, 1000000 + seq);
	}
	commit(text);
}

static struct duel_count count_of(unsigned side)
{
	struct duel d = duel_of("");
	begin();
	feed_standings_turn(&standings, &change);
	rows_destroy(&change.rows);
	feed_standings_fill(&standings, &d);
	return d.counts[side];
}

/* All that is to be counted is; in how many transactions. */
static unsigned settle(void)
{
	unsigned turns = 0;
	for (bool more = true; more; turns += more) {
		begin();
		more = feed_standings_turn(&standings, &change);
		commit(NULL);
	}
	return turns;
}

static bool add(void *arg, struct span key, struct span value)
{
	(void)key;
	(void)value;
	++*(size_t *)arg;
	return true;
}

static size_t rows_below(const char *prefix)
{
	size_t count = 0;
	state_kv_each(store_view(bench.store), span_str(prefix), add, &count);
	return count;
}

static void assert_counts(uint64_t wins, uint64_t losses, uint64_t draws)
{
	struct duel_count ann = count_of(0), bob = count_of(1);
	assert_true(ann.known && bob.known);
	assert_int_equal(ann.wins, wins);
	assert_int_equal(ann.losses, losses);
	assert_int_equal(ann.draws, draws);
	assert_int_equal(bob.wins, losses);
	assert_int_equal(ann.rival_wins, wins);
	assert_int_equal(bob.rival_wins, losses);
	assert_int_equal(standings.duels, wins + losses + draws);
}

static void what_ends_counts_once(void **state)
{
	(void)state;
	end("ann", true);
	end("ann", true);
	end("bob", true);
	end("", true);
	assert_counts(2, 1, 1);
	/* By whoever reads it anew. */
	feed_standings_forget(&standings);
	assert_counts(2, 1, 1);
	assert_int_equal(settle(), 0);
	assert_int_equal(rows_below("standings/arena/one/"), 2);
	assert_int_equal(rows_below("standings/arena/list/"), 1);
}

static void what_did_not_become_is_not_counted(void **state)
{
	struct duel d = duel_of("ann");
	(void)state;
	end("ann", true);
	begin();
	feed_standings_turn(&standings, &change);
	feed_standings_end(&standings, &change, &d, 1, seq + 1, 2000000);
	rows_destroy(&change.rows); /* somebody else was faster */
	feed_standings_forget(&standings);
	assert_counts(1, 0, 0);
}

static void what_nobody_counted_is_counted_in_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 150; i++)
		end(i % 3 == 0 ? "ann" : i % 3 == 1 ? "bob" : "", false);
	begin();
	assert_true(feed_standings_turn(&standings, &change));
	assert_int_equal(standings.stage, FEED_STANDINGS_COUNTING);
	commit(NULL);
	/* One that ends meanwhile is counted when its turn comes. */
	end("ann", true);
	assert_true(settle() >= 1);
	assert_int_equal(standings.stage, FEED_STANDINGS_CURRENT);
	assert_counts(51, 50, 50);
}

static void all_may_be_counted_anew(void **state)
{
	(void)state;
	end("bob", true);
	end("bob", true);
	begin();
	feed_standings_turn(&standings, &change);
	assert_true(feed_standings_recount(&standings, &change));
	commit(NULL);
	assert_int_equal(standings.stage, FEED_STANDINGS_CLEARING);
	assert_true(settle() >= 2);
	assert_counts(0, 2, 0);
}

static void what_cannot_be_read_is_left_alone(void **state)
{
	struct duel d = duel_of("ann");
	(void)state;
	end("ann", true);
	struct txn *txn = txn_create();
	txn_put_always(txn, SPAN("standings/arena/one/ann"), SPAN("{\"wins\":\"many\"}"));
	assert_int_equal(txn_execute(&txn, bench.store), VERDICT_OK);
	feed_standings_forget(&standings);
	begin();
	assert_false(feed_standings_turn(&standings, &change));
	assert_int_equal(standings.stage, FEED_STANDINGS_LOST);
	assert_non_null(rows_marked(change.rows));
	feed_standings_end(&standings, &change, &d, 1, seq + 1, 2000000);
	assert_false(feed_standings_recount(&standings, &change));
	assert_int_equal(rows_bytes(change.rows), 0);
	rows_destroy(&change.rows);
	assert_string_equal(feed_standings_stage_name(standings.stage), "unreadable");
}

/* Lists stay for whoever reads later. */
static void lists_stay_as_long_as_the_delay(void **state)
{
	(void)state;
	settings.feeds_spectator_delay_ms = 3;
	for (unsigned i = 0; i < 10; i++)
		end("ann", true);
	size_t kept = rows_below("standings/arena/list/");
	assert_true(kept >= 4 && kept <= 6);
}

static int set_up(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR + 1);
	bench = (struct store_bench){.maintains = true};
	store_bench_open(&bench);
	settings_init(&settings);
	said_init(&said);
	feed_standings_init(&standings, "arena", RESULTS);
	seq = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	said_forget(&said);
	feed_standings_forget(&standings);
	settings_finish(&settings);
	store_bench_close(&bench);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(what_ends_counts_once),
	                                   TEST(what_did_not_become_is_not_counted),
	                                   TEST(what_nobody_counted_is_counted_in_steps),
	                                   TEST(all_may_be_counted_anew),
	                                   TEST(what_cannot_be_read_is_left_alone),
	                                   TEST(lists_stay_as_long_as_the_delay)};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
