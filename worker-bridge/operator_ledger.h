/* The operator inside: the ledger (ledger.h) takes every step within the market's transaction. */
#pragma once

#include "worker-bridge/operator.h"

extern struct market_operator operator_ledger;
