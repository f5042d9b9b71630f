/* A change of markets in the making: what every decision about them is handed. What is put,
 * published and said becomes durable together, or not at all. */
#pragma once

#include "common/base/settings.h"
#include "common/store/rows.h"
#include "worker-bridge/market.h"
#include "worker-bridge/past.h"
#include "worker-bridge/said.h"

struct markets;

enum {
	MARKET_CHANGE_BYTES_MAX = 1 << 17, /* then the rest waits for the next */
	MARKET_ROW_BYTES = 4096,           /* about the most that a market's row and odds have */
};

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
	size_t markets_changed; /* rows of markets that are not put yet */
};

/* Not before: */
static inline void market_change_due(struct market_change *change, uint64_t due_ms)
{
	if (due_ms < change->due_ms)
		change->due_ms = due_ms;
}

/* It holds as much as one transaction should: the smallest ring takes ten times that, for what one
 * step has beyond it, and for what each row and stream costs. */
static inline bool market_change_full(const struct market_change *change)
{
	return txn_bytes(change->txn) + rows_bytes(change->rows) +
	               change->markets_changed * MARKET_ROW_BYTES >=
	       MARKET_CHANGE_BYTES_MAX;
}
