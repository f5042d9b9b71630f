/* A change of markets in the making: what every decision about them is handed. What is put,
 * published and said becomes durable together, or not at all. */
#pragma once

#include "common/base/settings.h"
#include "common/store/rows.h"
#include "worker-bridge/market.h"
#include "worker-bridge/past.h"
#include "worker-bridge/said.h"

struct markets;

enum { MARKET_CHANGE_BYTES_MAX = 1 << 17 }; /* then the rest waits for the next */

struct market_change {
	struct markets *markets;
	struct rows *rows;
	struct txn *txn;
	struct said *said;
	struct past *past; /* what is settled, to be forgotten in time */
	const struct settings *settings;
	uint64_t now_ms;
	/* When there is something to do again: at once, or then. */
	bool again;
	uint64_t due_ms;
};

/* Not before: */
static inline void market_change_due(struct market_change *change, uint64_t due_ms)
{
	if (due_ms < change->due_ms)
		change->due_ms = due_ms;
}

/* It holds as much as one transaction should, the markets' own rows not counted. */
static inline bool market_change_full(const struct market_change *change)
{
	return txn_bytes(change->txn) + rows_bytes(change->rows) >= MARKET_CHANGE_BYTES_MAX;
}
