/* What is told of markets: audit, odds, alerts; and a step that has taken effect. */
#pragma once

#include "worker-bridge/markets.h"

/* One line for the audit; `more` is taken, may be NULL. */
void market_audit(struct market_change *change, const struct market *market, const char *event,
                  json_t *more);
/* Its pools and odds, for the stream of odds. */
void market_tell_odds(struct market_change *change, const struct market *market);

/* A bet that was taken, for the stream of bets; `bet` is its record, `name` what its owner is
 * called there, NULL: nothing. Never the account's id. */
void market_tell_bet(struct market_change *change, const struct market *market, const json_t *bet,
                     const char *name);

/* A person is needed: said where people look, and not again and again. `why` may be the market's
 * own error. */
void market_alert(struct market_change *change, struct market *market, const char *why);

/* The step has taken effect. */
void market_step_done(struct market_change *change, struct market *market, enum market_step step);
