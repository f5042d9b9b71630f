/* Crash states of real runs: records what processes do to a store's files, makes of it what a disk
 * may show after a power failure at any point; judges each (docs/reliability.md).
 *
 *     crash run [--seed N] [--rounds N] [--seconds N] [--states N] [--keep DIR] [--tmp DIR]
 *               [--weaken FILE] [--with PROGRAM]
 *     crash judge KEPT.tar.xz...
 *
 * A round is three runs on end, each but the first on a state that the one before left: crash,
 * crash again, or the restore of a backup. `--states` are made of each run. Without --seed it is
 * random; it is printed. The first round with a failure is the last; a state that fails is kept in
 * DIR, as small as it is, with its marks: `judge` tries it again, with whatever the store is then.
 * `--weaken ring` ignores that file's syncs: then states must fail. Exit code 1: some did.
 *
 * With `--with tests/crash/real.py` the runs are made by the real programs: a supervisor, its
 * workers and ringsidectl, asked over HTTP (real.py says what such a program is told). */
#include "tests/crash/round.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static int run_rounds(struct round_options *options, uint32_t rounds, uint64_t seconds)
{
	uint64_t end_ms = clock_monotonic_ms() + seconds * 1000, begun_ms = clock_monotonic_ms();
	uint32_t bad = 0, done = 0;
	if (options->seed == 0)
		check(getrandom(&options->seed, sizeof options->seed, 0) > 0);
	printf("seed %u\n", options->seed);
	for (; bad == 0 && (rounds != 0 ? done < rounds : clock_monotonic_ms() < end_ms);
	     done++, options->seed++)
		bad += round_run(options);
	round_print_totals(done, clock_monotonic_ms() - begun_ms);
	return bad != 0;
}

static int run(int argc, char **argv)
{
	static const struct option names[] = {
	        {"seed", 1, 0, 's'},   {"rounds", 1, 0, 'r'}, {"seconds", 1, 0, 't'},
	        {"states", 1, 0, 'n'}, {"keep", 1, 0, 'k'},   {"tmp", 1, 0, 'd'},
	        {"weaken", 1, 0, 'w'}, {"with", 1, 0, 'p'},   {0, 0, 0, 0}};
	struct round_options options = {.states = 1000, .keep = "crash-states", .tmp = "/dev/shm"};
	uint32_t rounds = 0;
	uint64_t seconds = 0;
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (c == 's')
			options.seed = (uint32_t)number(optarg);
		else if (c == 'r')
			rounds = (uint32_t)number(optarg);
		else if (c == 't')
			seconds = number(optarg);
		else if (c == 'n')
			options.states = (uint32_t)number(optarg);
		else if (c == 'k')
			options.keep = optarg;
		else if (c == 'd')
			options.tmp = optarg;
		else if (c == 'w')
			options.weaken = optarg;
		else if (c == 'p')
			options.with = optarg;
		else
			return 2;
	}
	return run_rounds(&options, rounds == 0 && seconds == 0 ? 1 : rounds, seconds);
}

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "work") == 0)
		return round_work(argc - 1, argv + 1);
	if (argc > 2 && strcmp(argv[1], "judge") == 0)
		return round_judge_kept(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return run(argc - 1, argv + 1);
	fprintf(stderr, "usage: crash run|judge ...: see tests/crash/crash.c\n");
	return 2;
}
