/* How long to wait before something that failed is tried again. Pure: no clock, no dice. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* min_ms after the first of `failures`, twice as long after each further one, max_ms at most. Where
 * others fail at the same moment the caller spreads it, so that not all come back at once. */
uint64_t backoff_doubled_ms(uint64_t min_ms, uint64_t max_ms, uint64_t failures);

/* ---- of somebody else's server, which may say how long it wants to be left alone ---- */

struct backoff {
	uint64_t min_ms, max_ms; /* the first delay; what doubling ends at */
	uint64_t asked_ms_max;   /* as much of a Retry-After as is honoured; 0: none */
};

enum { BACKOFF_DICE = 41 };

/* After `failures` failed attempts (1 after the first). `asked_ms`: what the server asked for; 0:
 * nothing. `dice`: random, below BACKOFF_DICE: what doubles is spread by a fifth either way; what
 * was asked for is kept, and spread by up to a fifth more, so that not all come back at once. */
uint64_t backoff_ms(const struct backoff *backoff, uint64_t failures, uint64_t asked_ms,
                    unsigned dice);

/* No delay is longer. */
uint64_t backoff_longest_ms(const struct backoff *backoff);

/* Whether a wait that began at `since_ms` and was to end at `until_ms` (wall clock, as stored) is
 * over. It is, too, when it has not begun yet: the clock was set back meanwhile. `since_ms` 0: not
 * known (rows of releases before); then it is over when it would last longer than `longest_ms`. */
bool backoff_over(uint64_t since_ms, uint64_t until_ms, uint64_t longest_ms, uint64_t now_ms);
