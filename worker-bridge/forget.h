/* What is kept of a duel, its settled market with bets and their keys and its attestation, is
 * removed when market.keep is over. Works on rows, as the book does: a part of a market at a time,
 * so that no transaction is large, each whole, so that no crash leaves a bet without its market.
 * Balances are not touched: what was paid is in them. */
#pragma once

#include "worker-bridge/past.h"
#include "common/store/rows.h"

struct forget {
	struct rows *rows;
	const char *const *feeds; /* NULL ends them */
	uint64_t keep_ms, now_ms;
};

enum forget_result {
	FORGET_DONE,    /* a market is gone */
	FORGET_NOTHING, /* this entry of the past has nothing (any more) to say; or a row of it
	                 * cannot be read (rows_marked()), and stays */
	FORGET_MORE,    /* the next part, in this transaction or another */
	FORGET_LATER,   /* frames of it may still come, and would begin another market */
};
enum forget_result forget_duel(const struct forget *how, const char *duel_id);

/* Everything that is kept now; what was in *past before goes. Walks all markets and attestations.
 */
void forget_load(struct past *past, struct state *view);
