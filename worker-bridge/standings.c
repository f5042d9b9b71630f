#include "worker-bridge/standings.h"
#include "common/base/check.h"
#include "common/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct contestant {
	struct standing standing; /* first */
	UT_hash_handle hh;        /* by its id */
};

struct pair {
	struct standing_pair pair; /* first */
	UT_hash_handle hh;         /* by its key */
};

struct standings {
	struct contestant *contestants; /* hash */
	struct pair *pairs;             /* hash */
	size_t contestants_max, pairs_max;
};

struct standings *standings_create(size_t contestants_max, size_t pairs_max)
{
	struct standings *s = xcalloc(1, sizeof *s);
	check(contestants_max >= 2 && pairs_max >= 1);
	s->contestants_max = contestants_max;
	s->pairs_max = pairs_max;
	return s;
}

static void drop(struct standings *s, struct contestant *contestant)
{
	HASH_DEL(s->contestants, contestant);
	free(contestant);
}

static void drop_pair(struct standings *s, struct pair *pair)
{
	HASH_DEL(s->pairs, pair);
	free(pair);
}

void standings_destroy(struct standings **standings)
{
	struct standings *s = *standings;
	*standings = NULL;
	if (s == NULL)
		return;
	while (s->contestants != NULL)
		drop(s, s->contestants);
	while (s->pairs != NULL)
		drop_pair(s, s->pairs);
	free(s);
}

/* ---- finding ---- */

static struct contestant *find(const struct standings *s, const char *id)
{
	struct contestant *found;
	HASH_FIND_STR(s->contestants, id, found);
	return found;
}

static struct contestant *add(struct standings *s, const char *id)
{
	struct contestant *made = xcalloc(1, sizeof *made);
	snprintf(made->standing.id, sizeof made->standing.id, "%s", id);
	HASH_ADD_KEYPTR(hh, s->contestants, made->standing.id, strlen(made->standing.id), made);
	return made;
}

static struct pair *find_pair(const struct standings *s, const char *key)
{
	struct pair *found;
	HASH_FIND_STR(s->pairs, key, found);
	return found;
}

static struct pair *add_pair(struct standings *s, const char *key)
{
	struct pair *made = xcalloc(1, sizeof *made);
	snprintf(made->pair.key, sizeof made->pair.key, "%s", key);
	HASH_ADD_KEYPTR(hh, s->pairs, made->pair.key, strlen(made->pair.key), made);
	return made;
}

/* True: `id` is the first of the two. */
static bool key_of(const char *id, const char *rival, char key[STANDING_PAIR_ROOM])
{
	bool first = strcmp(id, rival) < 0;
	const char *one = first ? id : rival, *other = first ? rival : id;
	snprintf(key, STANDING_PAIR_ROOM, "%zu/%.*s/%.*s", strlen(one), DUEL_ID_MAX, one,
	         DUEL_ID_MAX, other);
	return first;
}

void standings_take(struct standings *s, const struct standing *standing)
{
	struct contestant *found = find(s, standing->id);
	if (found == NULL)
		found = add(s, standing->id);
	found->standing = *standing; /* the key is the same */
}

void standings_take_pair(struct standings *s, const struct standing_pair *pair)
{
	struct pair *found = find_pair(s, pair->key);
	if (found == NULL)
		found = add_pair(s, pair->key);
	found->pair = *pair;
}

size_t standings_contestants(const struct standings *s)
{
	return HASH_COUNT(s->contestants);
}

size_t standings_pairs(const struct standings *s)
{
	return HASH_COUNT(s->pairs);
}

/* ---- counting ---- */

/* Whose last duel is longest ago, of all but the two. */
static struct contestant *oldest(const struct standings *s, const struct contestant *const two[2])
{
	struct contestant *old = NULL;
	for (struct contestant *c = s->contestants; c != NULL; c = c->hh.next)
		if (c != two[0] && c != two[1] &&
		    (old == NULL || c->standing.last_end_ms < old->standing.last_end_ms))
			old = c;
	return old;
}

static struct pair *oldest_pair(const struct standings *s, const struct pair *but)
{
	struct pair *old = NULL;
	for (struct pair *p = s->pairs; p != NULL; p = p->hh.next)
		if (p != but && (old == NULL || p->pair.last_end_ms < old->pair.last_end_ms))
			old = p;
	return old;
}

static void forget_some(struct standings *s, const struct contestant *const two[2],
                        const struct pair *pair, struct standings_change *change)
{
	for (size_t i = 0; i < 2 && HASH_COUNT(s->contestants) > s->contestants_max; i++) {
		struct contestant *old = oldest(s, two);
		check(old != NULL);
		memcpy(change->gone[i], old->standing.id, sizeof change->gone[i]);
		drop(s, old);
	}
	if (HASH_COUNT(s->pairs) > s->pairs_max) {
		struct pair *old = oldest_pair(s, pair);
		check(old != NULL);
		memcpy(change->gone_pair, old->pair.key, sizeof change->gone_pair);
		drop_pair(s, old);
	}
}

/* +1: won, -1: lost, 0: neither. */
static void take_end(struct standing *s, const struct duel_agent *agent, int side, uint64_t end_ms)
{
	memcpy(s->name, agent->name, sizeof s->name);
	memcpy(s->provider, agent->provider, sizeof s->provider);
	memcpy(s->model, agent->model, sizeof s->model);
	s->combat_level = agent->combat_level;
	s->wins += side > 0;
	s->losses += side < 0;
	s->draws += side == 0;
	if (side == 0)
		s->streak = 0;
	else if (side > 0)
		s->streak = s->streak > 0 ? s->streak + 1 : 1;
	else
		s->streak = s->streak < 0 ? s->streak - 1 : -1;
	s->last_end_ms = end_ms;
}

static struct pair *take_pair_end(struct standings *s, const struct duel_agent agents[2],
                                  int winner, uint64_t end_ms)
{
	char key[STANDING_PAIR_ROOM];
	bool straight = key_of(agents[0].id, agents[1].id, key);
	struct pair *found = find_pair(s, key);
	if (found == NULL)
		found = add_pair(s, key);
	found->pair.draws += winner < 0;
	found->pair.first_wins += winner == (straight ? 0 : 1);
	found->pair.second_wins += winner == (straight ? 1 : 0);
	found->pair.last_end_ms = end_ms;
	return found;
}

void standings_end(struct standings *s, const struct duel_agent agents[2], int winner,
                   uint64_t end_ms, struct standings_change *change)
{
	const struct contestant *two[2];
	*change = (struct standings_change){0};
	if (strcmp(agents[0].id, agents[1].id) == 0)
		return;
	for (int i = 0; i < 2; i++) {
		struct contestant *c = find(s, agents[i].id);
		if (c == NULL)
			c = add(s, agents[i].id);
		take_end(&c->standing, &agents[i], winner < 0 ? 0 : winner == i ? 1 : -1, end_ms);
		change->contestants[i] = &c->standing;
		two[i] = c;
	}
	const struct pair *pair = take_pair_end(s, agents, winner, end_ms);
	change->pair = &pair->pair;
	forget_some(s, two, pair, change);
}

/* ---- ranks ---- */

static int more(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

/* Below 0: a is before b. Counts are of duels, and no product of two of them passes 64 bits before
 * there have been four billion. */
static int compare(const struct standing *a, const struct standing *b)
{
	uint64_t a_decided = a->wins + a->losses, b_decided = b->wins + b->losses;
	int order = more(a->wins * (b_decided != 0 ? b_decided : 1),
	                 b->wins * (a_decided != 0 ? a_decided : 1));
	if (order == 0)
		order = more(a->wins, b->wins);
	if (order == 0)
		order = -more(a->losses, b->losses);
	if (order == 0)
		order = more(a->draws, b->draws);
	return order != 0 ? order : strcmp(a->id, b->id);
}

static uint64_t rank_of(const struct standings *s, const struct standing *standing)
{
	uint64_t rank = 1;
	for (const struct contestant *c = s->contestants; c != NULL; c = c->hh.next)
		rank += compare(&c->standing, standing) < 0;
	return rank;
}

void standings_of(const struct standings *s, const char *id, const char *rival,
                  struct duel_count *count)
{
	const struct contestant *c = find(s, id);
	char key[STANDING_PAIR_ROOM];
	bool first = key_of(id, rival, key);
	const struct pair *pair = find_pair(s, key);
	*count = (struct duel_count){.known = true};
	if (c != NULL) {
		count->wins = c->standing.wins;
		count->losses = c->standing.losses;
		count->draws = c->standing.draws;
		count->streak = c->standing.streak;
		count->rank = rank_of(s, &c->standing);
	}
	if (pair == NULL)
		return;
	count->rival_wins = first ? pair->pair.first_wins : pair->pair.second_wins;
	count->rival_losses = first ? pair->pair.second_wins : pair->pair.first_wins;
	count->rival_draws = pair->pair.draws;
}

static int compare_pointers(const void *a, const void *b)
{
	return compare(*(const struct standing *const *)a, *(const struct standing *const *)b);
}

size_t standings_best(const struct standings *s, const struct standing **best, size_t max)
{
	size_t count = HASH_COUNT(s->contestants), i = 0;
	const struct standing **all = xcalloc(count + 1, sizeof *all);
	for (const struct contestant *c = s->contestants; c != NULL; c = c->hh.next)
		all[i++] = &c->standing;
	qsort(all, count, sizeof *all, compare_pointers);
	count = count < max ? count : max;
	for (i = 0; i < count; i++)
		best[i] = all[i];
	free(all);
	return count;
}
