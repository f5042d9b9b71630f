#include "worker-bridge/standings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct standings_change change;

static void name(struct duel_agent *agent, const char *id)
{
	*agent = (struct duel_agent){.combat_level = 7};
	snprintf(agent->id, sizeof agent->id, "%s", id);
	snprintf(agent->name, sizeof agent->name, "The %.100s", id);
}

/* `winner`: 0, 1 or -1 */
static void fight(struct standings *s, const char *one, const char *other, int winner, uint64_t ms)
{
	struct duel_agent agents[2];
	name(&agents[0], one);
	name(&agents[1], other);
	standings_end(s, agents, winner, ms, &change);
}

static struct duel_count of(const struct standings *s, const char *id, const char *rival)
{
	struct duel_count count;
	standings_of(s, id, rival, &count);
	return count;
}

static void wins_losses_and_draws(void **state)
{
	struct standings *s = standings_create(8, 8);
	(void)state;
	fight(s, "ann", "bob", 0, 10);
	fight(s, "bob", "ann", 1, 20);
	fight(s, "ann", "bob", -1, 30);
	fight(s, "ann", "bob", 1, 40);
	struct duel_count ann = of(s, "ann", "bob"), bob = of(s, "bob", "ann");
	assert_true(ann.known);
	assert_int_equal(ann.wins, 2);
	assert_int_equal(ann.losses, 1);
	assert_int_equal(ann.draws, 1);
	assert_int_equal(ann.rival_wins, 2);
	assert_int_equal(ann.rival_losses, 1);
	assert_int_equal(ann.rival_draws, 1);
	assert_int_equal(bob.wins, 1);
	assert_int_equal(bob.rival_wins, 1);
	assert_int_equal(bob.rival_losses, 2);
	assert_int_equal(change.contestants[0]->last_end_ms, 40);
	assert_string_equal(change.contestants[1]->name, "The bob");
	assert_int_equal(change.contestants[1]->combat_level, 7);
	assert_int_equal(change.pair->first_wins, 2);
	standings_destroy(&s);
}

static void whoever_is_new_stands_at_nothing(void **state)
{
	struct standings *s = standings_create(8, 8);
	(void)state;
	fight(s, "ann", "bob", 0, 10);
	struct duel_count cid = of(s, "cid", "ann");
	assert_true(cid.known);
	assert_int_equal(cid.wins + cid.losses + cid.draws + cid.rank + cid.rival_losses, 0);
	/* ... and against a newcomer, too. */
	assert_int_equal(of(s, "ann", "cid").wins, 1);
	assert_int_equal(of(s, "ann", "cid").rival_wins, 0);
	standings_destroy(&s);
}

static void streaks(void **state)
{
	struct standings *s = standings_create(8, 8);
	(void)state;
	fight(s, "ann", "bob", 0, 1);
	fight(s, "ann", "bob", 0, 2);
	assert_int_equal(of(s, "ann", "bob").streak, 2);
	assert_int_equal(of(s, "bob", "ann").streak, -2);
	fight(s, "ann", "bob", 1, 3);
	assert_int_equal(of(s, "ann", "bob").streak, -1);
	assert_int_equal(of(s, "bob", "ann").streak, 1);
	fight(s, "ann", "bob", -1, 4);
	assert_int_equal(of(s, "ann", "bob").streak, 0);
	standings_destroy(&s);
}

static void ranks(void **state)
{
	struct standings *s = standings_create(8, 8);
	const struct standing *best[8];
	(void)state;
	fight(s, "ann", "bob", 0, 1); /* ann 1:0 */
	fight(s, "cid", "bob", 0, 2);
	fight(s, "cid", "bob", 0, 3); /* cid 2:0, bob 0:3 */
	fight(s, "dan", "eve", -1, 4);
	assert_int_equal(of(s, "cid", "").rank, 1);
	assert_int_equal(of(s, "ann", "").rank, 2);
	assert_int_equal(of(s, "dan", "").rank, 3); /* none decided, and before the loser */
	assert_int_equal(of(s, "eve", "").rank, 4);
	assert_int_equal(of(s, "bob", "").rank, 5);
	fight(s, "eve", "cid", 0, 5); /* eve 1:0 and a draw, cid 2:1 */
	assert_int_equal(of(s, "eve", "").rank, 1);
	assert_int_equal(of(s, "ann", "").rank, 2);
	assert_int_equal(of(s, "cid", "").rank, 3);
	assert_int_equal(standings_best(s, best, 8), 5);
	assert_string_equal(best[0]->id, "eve");
	assert_string_equal(best[4]->id, "bob");
	assert_int_equal(standings_best(s, best, 2), 2);
	assert_string_equal(best[1]->id, "ann");
	standings_destroy(&s);
}

static void the_oldest_gives_way(void **state)
{
	struct standings *s = standings_create(3, 2);
	(void)state;
	fight(s, "ann", "bob", 0, 1);
	fight(s, "ann", "cid", 0, 2);
	assert_string_equal(change.gone[0], "");
	fight(s, "cid", "dan", 0, 3); /* bob fought at 1, ann at 2 */
	assert_string_equal(change.gone[0], "bob");
	assert_string_equal(change.gone[1], "");
	assert_string_equal(change.gone_pair, "3/ann/bob");
	assert_int_equal(standings_contestants(s), 3);
	assert_int_equal(standings_pairs(s), 2);
	fight(s, "eve", "fay", 0, 4); /* both are new */
	assert_string_equal(change.gone[0], "ann");
	assert_int_equal(strlen(change.gone[1]), 3);
	assert_int_equal(standings_contestants(s), 3);
	fight(s, "bob", "eve", 0, 5); /* who comes back begins at 0 */
	assert_int_equal(of(s, "bob", "eve").losses, 0);
	assert_int_equal(of(s, "bob", "eve").wins, 1);
	standings_destroy(&s);
}

static void what_was_kept_is_taken_as_it_is(void **state)
{
	struct standings *s = standings_create(8, 8);
	(void)state;
	struct standing ann = {.id = "ann", .wins = 4, .losses = 2, .streak = 3};
	struct standing_pair pair = {.key = "3/ann/bob", .first_wins = 1, .second_wins = 2};
	standings_take(s, &ann);
	standings_take(s, &ann);
	standings_take_pair(s, &pair);
	assert_int_equal(standings_contestants(s), 1);
	assert_int_equal(of(s, "ann", "bob").wins, 4);
	assert_int_equal(of(s, "bob", "ann").rival_wins, 2);
	fight(s, "bob", "ann", 1, 9);
	assert_int_equal(of(s, "ann", "bob").wins, 5);
	assert_int_equal(of(s, "ann", "bob").streak, 4);
	assert_int_equal(of(s, "ann", "bob").rival_wins, 2);
	standings_destroy(&s);
	standings_destroy(&s);
}

/* Ids are texts of any kind: where one ends is told by its length. */
static void pairs_are_not_mixed_up(void **state)
{
	struct standings *s = standings_create(8, 8);
	char longest[DUEL_ID_MAX + 1];
	(void)state;
	fight(s, "a/b", "c", 0, 1);
	fight(s, "a", "b/c", 0, 2);
	assert_int_equal(standings_pairs(s), 2);
	assert_int_equal(of(s, "a", "b/c").rival_wins, 1);
	assert_int_equal(of(s, "c", "a/b").rival_losses, 1);
	memset(longest, 'x', DUEL_ID_MAX);
	longest[DUEL_ID_MAX] = '\0';
	fight(s, longest, "c", 0, 3);
	assert_int_equal(of(s, longest, "c").rival_wins, 1);
	fight(s, "c", "c", 0, 4);
	assert_null(change.contestants[0]);
	standings_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(wins_losses_and_draws),
	        cmocka_unit_test(whoever_is_new_stands_at_nothing),
	        cmocka_unit_test(streaks),
	        cmocka_unit_test(ranks),
	        cmocka_unit_test(the_oldest_gives_way),
	        cmocka_unit_test(what_was_kept_is_taken_as_it_is),
	        cmocka_unit_test(pairs_are_not_mixed_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
