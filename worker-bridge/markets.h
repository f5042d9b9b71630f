/* Markets in memory: those that are not settled, and others while a change needs them; and those
 * that stand still, because their row cannot be read (stopped.h). */
#pragma once

#include "worker-bridge/feed_bets.h"
#include "worker-bridge/feed_names.h"
#include "worker-bridge/frame_follower.h"
#include "worker-bridge/market_change.h"
#include "worker-bridge/stopped.h"

struct listed {
	struct market market;
	bool dirty, odds; /* in this change: its row, its odds */
	/* The outbox's: an operator is asked, or is to be, once the change is durable; about what
	 * is in doubt; only to prepare the attempt. */
	const void *calling; /* by whom; NULL: nobody */
	bool doubt, prepares;
	bool watches;                  /* only whether what waits may still be done */
	uint64_t watch_due_ms, spared; /* when next; failures that spent no attempt, in a row */
	enum market_step to_call;
	UT_hash_handle hh;
};

struct market_feed {
	struct frame_follower follower;
	struct feed_bets_watch bets;
};

struct markets {
	struct market_feed feeds[FEEDS_MAX];
	const char *names[FEEDS_MAX + 1]; /* of the feeds; NULL ends them */
	size_t feeds_count;
	struct listed *listed; /* hash by duel id */
	struct stopped *stopped;
};

/* For the feeds that are configured now. */
void markets_init(struct markets *markets, const struct settings *settings);

bool market_settled(const struct market *market);

/* The market of a duel as it is in this change: *market with ROW_PRESENT, else NULL. What is
 * changed in it is kept when markets_changed() is told. */
enum row_found markets_get(struct market_change *change, const char *feed, const char *duel_id,
                           struct listed **found);
/* The same of any feed. */
enum row_found markets_find(struct market_change *change, const char *duel_id,
                            struct market **market);
struct listed *markets_add(struct markets *markets, const struct market *market);
struct listed *markets_listed(struct markets *markets, const char *duel_id);
void markets_changed(struct market_change *change, struct market *market, bool odds);

/* The duel itself still takes bets: its market may not have seen the frame yet that ends them. */
bool markets_takes_bets(struct market_change *change, const struct market *market);

/* The rows of those that have changed. True: there were any. `odds` is told of those whose odds
 * did. */
bool markets_put(struct market_change *change,
                 void (*odds)(struct market_change *change, const struct market *market));

uint64_t markets_unsettled(const struct markets *markets);
/* Duels of the feed's that are not settled; new reference. An older release that can read what
 * stands still finds it among the active ones. */
json_t *markets_active(const struct markets *markets, const char *feed);

/* Memory is for markets that are not settled. Or for none: they are read anew. */
void markets_drop_settled(struct markets *markets);
void markets_drop_all(struct markets *markets);
