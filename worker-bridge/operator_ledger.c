#include "worker-bridge/operator_ledger.h"
#include "common/base/check.h"
#include "worker-bridge/ledger.h"

#include <stdio.h>

enum { SETTLED_AT_ONCE = 32 }; /* bets, in one transaction */

static enum operator_outcome settle(struct rows *rows, struct market *market, char why[160])
{
	switch (ledger_settle(rows, market, SETTLED_AT_ONCE)) {
	case LEDGER_DONE:
		return OPERATOR_DONE;
	case LEDGER_MORE:
		return OPERATOR_AGAIN;
	case LEDGER_STUCK:
		break;
	}
	snprintf(why, 160, "a row cannot be read, retry when it can: %.100s", rows_marked(rows));
	return OPERATOR_FINAL;
}

static enum operator_outcome apply(struct rows *rows, struct market *market, enum market_step step,
                                   char why[160])
{
	switch (step) {
	case MARKET_STEP_CREATE:
	case MARKET_STEP_LOCK:
		return OPERATOR_DONE; /* what it judges bets by is the market's own row */
	case MARKET_STEP_RESOLVE:
	case MARKET_STEP_CANCEL:
		return settle(rows, market, why);
	case MARKET_STEP_NONE:
	case MARKET_STEP_COUNT:
		break;
	}
	check(false);
}

struct market_operator operator_ledger = {
        .name = "ledger", .can = OPERATOR_ALL_STEPS, .apply = apply};
