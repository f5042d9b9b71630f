#include "worker-bridge/market_shown.h"
#include "common/base/clock.h"

static json_t *odds_value(const struct market *m, unsigned side)
{
	double odds = market_odds(m, side);
	return odds > 0 ? json_real(odds) : json_null();
}

json_t *market_shown(const struct market *m)
{
	json_t *o = market_record(m);
	json_object_set_new(o, "odds",
	                    json_pack("{s:o,s:o}", "A", odds_value(m, 0), "B", odds_value(m, 1)));
	json_object_del(o, "attemptData"); /* the operator's own */
	market_put_payout(m, o);
	json_object_set_new(o, "takesBets", json_boolean(market_takes_bets(m, clock_wall_ms())));
	return o;
}

json_t *market_pools(const struct market *m)
{
	return json_pack("{s:I,s:I}", "A", (json_int_t)m->pool[0], "B", (json_int_t)m->pool[1]);
}

static json_t *known(const char *text)
{
	return *text != '\0' ? json_string(text) : json_null();
}

json_t *market_result(const struct market *m)
{
	json_t *o = json_pack("{s:s,s:o,s:o,s:o,s:o}", "state", market_state_name(m->state),
	                      "outcome", known(m->outcome), "winnerSide", known(m->side), "reason",
	                      known(m->reason), "pools", market_pools(m));
	market_put_payout(m, o);
	return o;
}
