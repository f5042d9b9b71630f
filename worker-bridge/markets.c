#include "worker-bridge/markets.h"
#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

void markets_init(struct markets *markets, const struct settings *settings)
{
	struct feed_name names[FEEDS_MAX];
	int count = feed_names(settings, names);
	*markets = (struct markets){.feeds_count = count > 0 ? (size_t)count : 0};
	for (size_t i = 0; i < markets->feeds_count; i++) {
		frame_follower_init(&markets->feeds[i].follower, names[i].name);
		markets->names[i] = markets->feeds[i].follower.name;
	}
}

bool market_settled(const struct market *m)
{
	return m->state == MARKET_RESOLVED || m->state == MARKET_CANCELLED;
}

struct listed *markets_add(struct markets *markets, const struct market *market)
{
	struct listed *e = xcalloc(1, sizeof *e);
	e->market = *market;
	HASH_ADD_STR(markets->listed, market.duel_id, e);
	return e;
}

struct listed *markets_listed(struct markets *markets, const char *duel_id)
{
	struct listed *e;
	HASH_FIND_STR(markets->listed, duel_id, e);
	return e;
}

static enum row_found load(struct market_change *change, const char *feed, const char *duel_id,
                           struct listed **found_at)
{
	char key[MARKET_KEY_ROOM];
	struct market m;
	json_t *record;
	market_key(feed, duel_id, key);
	enum row_found found = rows_json(change->rows, key, &record);
	if (found == ROW_PRESENT && !market_read(&m, record)) {
		rows_mark(change->rows, key);
		found = ROW_UNREADABLE;
	}
	json_decref(record);
	*found_at = found == ROW_PRESENT ? markets_add(change->markets, &m) : NULL;
	return found;
}

enum row_found markets_get(struct market_change *change, const char *feed, const char *duel_id,
                           struct listed **found)
{
	*found = markets_listed(change->markets, duel_id);
	return *found != NULL ? ROW_PRESENT : load(change, feed, duel_id, found);
}

enum row_found markets_find(struct market_change *change, const char *duel_id,
                            struct market **market)
{
	struct listed *e = markets_listed(change->markets, duel_id);
	enum row_found found = e != NULL ? ROW_PRESENT : ROW_ABSENT;
	for (const char *const *feed = change->markets->names;
	     found == ROW_ABSENT && *feed != NULL && strlen(duel_id) < sizeof e->market.duel_id;
	     feed++)
		found = load(change, *feed, duel_id, &e);
	*market = e != NULL ? &e->market : NULL;
	return found;
}

void markets_changed(struct market_change *change, struct market *market, bool odds)
{
	struct listed *e = (struct listed *)((char *)market - offsetof(struct listed, market));
	change->markets_changed += !e->dirty;
	e->dirty = true;
	e->odds = e->odds || odds;
}

bool markets_takes_bets(struct market_change *change, const struct market *market)
{
	for (size_t i = 0; i < change->markets->feeds_count; i++) {
		struct market_feed *feed = &change->markets->feeds[i];
		if (strcmp(feed->follower.name, market->feed) != 0)
			continue;
		/* Lost: nobody would learn how it ends. */
		return !feed->follower.lost &&
		       feed_bets_open(&feed->bets, change->rows, market->feed, market->duel_id,
		                      change->now_ms);
	}
	return true;
}

bool markets_put(struct market_change *change,
                 void (*odds)(struct market_change *change, const struct market *market))
{
	bool any = false;
	for (struct listed *e = change->markets->listed; e != NULL; e = e->hh.next) {
		char key[MARKET_KEY_ROOM];
		if (!e->dirty)
			continue;
		market_key(e->market.feed, e->market.duel_id, key);
		rows_put_json(change->rows, key, market_record(&e->market));
		if (e->odds)
			odds(change, &e->market);
		e->dirty = e->odds = false;
		any = true;
	}
	return any;
}

uint64_t markets_unsettled(const struct markets *markets)
{
	uint64_t count = 0;
	for (const struct listed *e = markets->listed; e != NULL; e = e->hh.next)
		count += !market_settled(&e->market);
	return count;
}

json_t *markets_active(const struct markets *markets, const char *feed)
{
	json_t *active = json_array();
	for (const struct listed *e = markets->listed; e != NULL; e = e->hh.next)
		if (!market_settled(&e->market) && strcmp(e->market.feed, feed) == 0)
			json_array_append_new(active, json_string(e->market.duel_id));
	for (const struct stopped *one = markets->stopped; one != NULL; one = one->hh.next)
		if (strcmp(one->feed, feed) == 0)
			json_array_append_new(active, json_string(one->duel_id));
	return active;
}

static void drop(struct markets *markets, bool all)
{
	struct listed *e, *next;
	HASH_ITER (hh, markets->listed, e, next) {
		if (!all && !market_settled(&e->market))
			continue;
		HASH_DEL(markets->listed, e);
		free(e);
	}
}

void markets_drop_settled(struct markets *markets)
{
	drop(markets, false);
}

void markets_drop_all(struct markets *markets)
{
	drop(markets, true);
}
