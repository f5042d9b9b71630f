#include "worker-sse/edge/exchange_state.h"

bool exchange_state_follows(enum exchange_state from, enum exchange_state to)
{
	static const unsigned after[EXCHANGE_STATES] = {
	        [EXCHANGE_READING] = 1u << EXCHANGE_WORKING | 1u << EXCHANGE_REFUSED,
	        [EXCHANGE_WORKING] = 1u << EXCHANGE_STREAMING | 1u << EXCHANGE_UPGRADED |
	                             1u << EXCHANGE_ANSWERED,
	        [EXCHANGE_STREAMING] = 1u << EXCHANGE_ANSWERED,
	        [EXCHANGE_UPGRADED] = 1u << EXCHANGE_ANSWERED,
	        [EXCHANGE_ANSWERED] = 0,
	        [EXCHANGE_REFUSED] = 0,
	};
	return (after[from] & 1u << to) != 0;
}
