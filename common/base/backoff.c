#include "common/base/backoff.h"
#include "common/base/clock.h"

uint64_t backoff_doubled_ms(uint64_t min_ms, uint64_t max_ms, uint64_t failures)
{
	uint64_t delay_ms = min_ms;
	for (uint64_t i = 1; i < failures && delay_ms < max_ms; i++)
		delay_ms *= 2;
	return delay_ms < max_ms ? delay_ms : max_ms;
}

uint64_t backoff_ms(const struct backoff *b, uint64_t failures, uint64_t asked_ms, unsigned dice)
{
	uint64_t delay_ms = backoff_doubled_ms(b->min_ms, b->max_ms, failures) * (80 + dice) / 100;
	asked_ms = asked_ms < b->asked_ms_max ? asked_ms : b->asked_ms_max;
	asked_ms = asked_ms * (200 + dice) / 200;
	return asked_ms > delay_ms ? asked_ms : delay_ms;
}

uint64_t backoff_longest_ms(const struct backoff *b)
{
	return (b->max_ms > b->asked_ms_max ? b->max_ms : b->asked_ms_max) * 6 / 5;
}

bool backoff_over(uint64_t since_ms, uint64_t until_ms, uint64_t longest_ms, uint64_t now_ms)
{
	if (now_ms >= until_ms)
		return true;
	return since_ms != 0 ? now_ms + CLOCK_STEP_MS < since_ms
	                     : until_ms - now_ms > longest_ms + CLOCK_STEP_MS;
}
