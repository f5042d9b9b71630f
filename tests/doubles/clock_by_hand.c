#include "tests/doubles/clock_by_hand.h"

#include <time.h>

static uint64_t now_ns = 1000000ull * 1000000000;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	*t = (struct timespec){(time_t)(now_ns / 1000000000), (long)(now_ns % 1000000000)};
	return 0;
}

void clock_by_hand_advance_ms(uint64_t ms)
{
	now_ns += ms * 1000000;
}

uint64_t clock_by_hand_ms(void)
{
	return now_ns / 1000000;
}
