/* One round: three recorded runs, and the states that a power failure may leave of each. */
#pragma once

#include <stdint.h>

struct round_options {
	uint32_t seed, states; /* of each run */
	const char *keep, *tmp, *weaken;
	const char *with; /* a program that makes the runs (tests/crash/real.py); NULL: work.h */
};

/* How many states or runs failed. */
uint32_t round_run(const struct round_options *options);
void round_print_totals(uint32_t rounds, uint64_t took_ms);

/* The recorded process: `crash work ...`. */
int round_work(int argc, char **argv);
int round_judge_kept(int count, char **files);
