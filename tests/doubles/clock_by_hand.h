/* A clock that goes when it is told to, for what calls common/base/clock.h: link with
 * clock_by_hand_dep, which puts it in place of clock_gettime(). */
#pragma once

#include <stdint.h>

/* Both clocks; monotonic and wall are the same. Begins at 1,000,000 s. */
void clock_by_hand_advance_ms(uint64_t ms);
uint64_t clock_by_hand_ms(void);
