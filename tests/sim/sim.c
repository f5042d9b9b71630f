/* Duels in a world of chance: the real feeds, markets, operators and leases of two bridges, on a
 * clock, a scheduler and a store that a seed decides (world.h, log_memory.h), with a game and
 * bettors, while bridges are killed and stand still, the disk and the network fail, and clocks are
 * set. Then all faults end, and everything has to come to an end as it must (judge.h).
 *
 *     sim [--seed N] [--count N] [--seconds N] [--duels N] [--trace]
 *         [--operator ledger|webhook|solana]
 *
 * Without --seed it begins anywhere, and says where. A run that fails prints its seed:
 * `sim --seed N --count 1 --trace` is the same run, told as it happens. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/sim/bettors.h"
#include "tests/sim/bridges.h"
#include "tests/sim/cluster.h"
#include "tests/sim/game.h"
#include "tests/sim/judge.h"
#include "tests/sim/log_memory.h"
#include "tests/sim/receiver.h"
#include "tests/sim/world.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	GRANT = 12000,     /* ledger.grant */
	TROUBLE_MS = 6000, /* between two faults, usually less than twice that */
	PAUSE_MS_MAX = 25000,
	DOWN_MS_MAX = 8000,
	STEP_MS_MAX = 120000,
	ROUGH_MS_MAX = 3600 * 1000, /* a run that does not get on ends */
	CALM_MS_MAX = 4 * 3600 * 1000,
	LOOK_MS = 2000,
	OPENING_MS = 5000,  /* accounts are opened */
	TELLING_MS = 60000, /* spectators are told of the rest */
};

struct options {
	uint64_t seed, count, seconds;
	unsigned duels;
	const char *operator; /* NULL: each in turn */
	bool trace;
};

/* Of all runs; shared with the processes that make them. */
static struct totals {
	struct judge_counts counts;
	uint64_t kills, pauses, deaths, steps, ms;
} * totals;

static bool rough;
static unsigned slots; /* as many bridges at a time */

/* ---- faults ---- */

static void on_up(void *arg)
{
	unsigned slot = (unsigned)(uintptr_t)arg;
	if (!bridge_runs(slot))
		bridge_start(slot);
}

static void kill_one(void)
{
	unsigned slot = (unsigned)world_below(slots);
	if (!bridge_runs(slot))
		return;
	totals->kills++;
	bridge_kill(slot);
	world_after(0, world_chance(500) ? 0 : world_below(DOWN_MS_MAX), on_up,
	            (void *)(uintptr_t)slot);
}

static void set_clock(void)
{
	int64_t by_ms = (int64_t)world_below(2 * STEP_MS_MAX) - STEP_MS_MAX;
	totals->steps++;
	world_set_clock(world_chance(500) ? by_ms : by_ms / 100);
}

static void on_trouble(void *arg)
{
	if (!rough)
		return;
	world_after(0, world_below(2 * TROUBLE_MS), on_trouble, arg);
	uint64_t dice = world_below(100);
	if (dice < 50) {
		kill_one();
	} else if (dice < 75) {
		totals->pauses++;
		bridge_pause((unsigned)world_below(slots), world_below(PAUSE_MS_MAX));
	} else if (dice < 90) {
		totals->deaths++;
		game_die();
	} else {
		set_clock();
	}
}

static void end_trouble(void)
{
	rough = false;
	log_memory_fail(0);
	bridges_calm();
	receiver_calm();
	cluster_calm();
	world_trace("---- all faults end");
	for (unsigned slot = 0; slot < slots; slot++)
		if (!bridge_runs(slot))
			bridge_start(slot);
}

/* ---- one run ---- */

/* What is the same in all runs: once, for it takes its time. */
static void set_most(void)
{
	static const char *const values[][2] = {{"feeds.scheduled", ""},
	                                        {"feeds.source_driven", "arena"},
	                                        {"feeds.source_silence", "10s"},
	                                        {"duel.countdown", "2s"},
	                                        {"duel.fight", "40s"},
	                                        {"duel.end_warning", "5s"},
	                                        {"duel.resolution", "2s"},
	                                        {"duel.pause", "500ms"},
	                                        {"duel.prep_timeout", "8s"},
	                                        {"ledger.grant", "12000"},
	                                        {"market.attempts_max", "1000"},
	                                        {"market.retry_max", "20s"},
	                                        {"market.webhook_url", "http://127.0.0.1:1/m"},
	                                        {"solana.rpc_url", "http://127.0.0.1:1/"},
	                                        {"solana.key", cluster_key},
	                                        {"solana.oracle_program", cluster_oracle},
	                                        {"solana.market_program", cluster_market}};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		bridges_set(values[i][0], values[i][1]);
}

static void set_rest(const char *operator, uint64_t fee_ppm)
{
	char text[24];
	bridges_set("market.operator", operator);
	snprintf(text, sizeof text, "%" PRIu64, fee_ppm);
	bridges_set("ledger.fee_ppm", text);
	if (world_chance(300))
		bridges_set("market.resolution_delay", "5s");
	if (world_chance(500))
		bridges_set("feeds.spectator_delay", "3s");
	bool confirmed = world_chance(300);
	if (confirmed)
		bridges_set("solana.commitment", "confirmed");
	cluster_begin(!confirmed);
}

static bool step_until(uint64_t until_ms)
{
	while (world_ms() < until_ms)
		check(world_step());
	return true;
}

static void run(const struct options *options, uint64_t seed)
{
	static const char *const operators[] = {"ledger", "ledger", "webhook", "solana"};
	const char *operator= options->operator!= NULL ? options->operator: operators[seed % 4];
	uint64_t fee_ppm;
	world_begin(seed, options->trace);
	log_set_level(options->trace ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR + 1);
	log_memory_begin();
	bridges_begin();
	receiver_begin();
	fee_ppm = world_chance(500) ? 0 : world_below(100000);
	set_rest(operator, fee_ppm);
	slots = 1 + (unsigned)world_below(BRIDGES_MAX);
	for (unsigned slot = 0; slot < slots; slot++)
		bridge_start(slot);
	bettors_begin();
	step_until(world_ms() + OPENING_MS);
	game_begin(options->duels);
	rough = true;
	log_memory_fail(world_chance(300) ? 20 : 0);
	world_after(0, world_below(TROUBLE_MS), on_trouble, NULL);
	while (!game_over() && world_ms() < ROUGH_MS_MAX)
		check(world_step());
	step_until(world_ms() + world_below(40000));
	end_trouble();
	bettors_stop();
	for (uint64_t until_ms = world_ms() + CALM_MS_MAX;
	     !bettors_done() || !game_over() || !judge_settled();) {
		step_until(world_ms() + LOOK_MS);
		if (world_ms() >= until_ms)
			world_broken("it does not come to an end");
	}
	step_until(world_ms() + TELLING_MS);
	judge_all(&(struct judge_run){operator, fee_ppm, GRANT}, &totals->counts);
	totals->ms += world_ms();
}

/* In a process of its own: whatever it leaves is gone, and a crash is a finding. */
static bool run_apart(const struct options *options, uint64_t seed)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		run(options, seed);
		fflush(stdout);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != WORLD_BROKEN)
		printf("BROKEN: seed %" PRIu64 ": the process died, status %d\n", seed, status);
	printf("told as it happens: sim --trace --count 1 --seed %" PRIu64 " --duels %u%s%s\n",
	       seed, options->duels, options->operator!= NULL ? " --operator " : "",
	       options->operator!= NULL ? options->operator: "");
	return false;
}

/* The real one. */
static uint64_t seconds_now(void)
{
	struct timespec t;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

static uint64_t number_of(const char *text)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);
	if (*text == '\0' || *end != '\0')
		fatal("not a number: %s", text);
	return number;
}

static void read_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {{"seed", required_argument, NULL, 's'},
	                                      {"count", required_argument, NULL, 'c'},
	                                      {"seconds", required_argument, NULL, 't'},
	                                      {"duels", required_argument, NULL, 'd'},
	                                      {"operator", required_argument, NULL, 'o'},
	                                      {"trace", no_argument, NULL, 'v'},
	                                      {0}};
	int c;
	if (getrandom(&options->seed, sizeof options->seed, 0) != sizeof options->seed)
		fatal("no chance");
	options->seed >>= 32;
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			options->seed = number_of(optarg);
			break;
		case 'c':
			options->count = number_of(optarg);
			break;
		case 't':
			options->seconds = number_of(optarg);
			break;
		case 'd':
			options->duels = (unsigned)number_of(optarg);
			break;
		case 'o':
			options->operator= optarg;
			break;
		case 'v':
			options->trace = true;
			break;
		default:
			exit(2);
		}
	}
	if (options->duels < 1 || options->duels > GAME_DUELS_MAX)
		fatal("--duels: 1 to %d", GAME_DUELS_MAX);
}

int main(int argc, char **argv)
{
	struct options options = {.count = UINT64_MAX, .duels = 3};
	uint64_t runs = 0, seed;
	bool good = true;
	read_options(argc, argv, &options);
	if (options.count == UINT64_MAX && options.seconds == 0)
		options.count = 200;
	totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	check(totals != MAP_FAILED);
	set_most();
	printf("seeds from %" PRIu64 " on\n", options.seed);
	uint64_t began = seconds_now();
	for (seed = options.seed; good && runs < options.count; seed++, runs++) {
		if (options.seconds != 0 && seconds_now() - began >= options.seconds)
			break;
		good = run_apart(&options, seed);
	}
	const struct totals *t = totals;
	printf("%" PRIu64 " runs in %" PRIu64 " s, %" PRIu64 " h of duels: %" PRIu64
	       " duels (%" PRIu64 " won, %" PRIu64 " drawn, %" PRIu64 " cancelled), %" PRIu64
	       " bets; %" PRIu64 " kills, %" PRIu64 " pauses, %" PRIu64
	       " deaths of the game, %" PRIu64 " set clocks: %s\n",
	       runs, seconds_now() - began, t->ms / 3600000, t->counts.duels, t->counts.won,
	       t->counts.drawn, t->counts.cancelled, t->counts.bets, t->kills, t->pauses, t->deaths,
	       t->steps, good ? "all as it must be" : "BROKEN");
	return good ? 0 : 1;
}
