/* Opens the store in `dir` and compares it with what is owed (owed.h): everything acknowledged is
 * there once and in order, nothing that was never sent, what was deleted stays deleted,
 * transactions are whole, producers are known, `store check` is content, and the store goes on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct judge_options {
	uint64_t ring_bytes, retention_bytes;
	bool real;       /* the store is Ringside's: what is not below REAL_ROOT is its own */
	bool may_refuse; /* a store that does not open is no fault, unless somebody was served */
};

/* How many faults there are; each is told on standard output, the first few. */
unsigned judge(const char *dir, const struct judge_options *options);

/* Messages read so far, and ops that were under way: there, not there. */
struct judge_totals {
	uint64_t messages, there, not_there, refused;
};
extern struct judge_totals judge_totals;
