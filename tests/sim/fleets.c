/* A supervisor in a world of chance: the real fleet, lives, links, plan, restarts, watches and
 * outages, over processes that die, hang, start late, do not finish, and lose links, buses and
 * messages (machine.h), while people scale, restart and reload, and the supervisor itself stands
 * still. Then all faults end, and everything has to come to rest.
 *
 *     sim-fleet [--seed N] [--count N] [--seconds N] [--trace]
 *
 * Judged at all times: no process is started twice, none is aborted or killed that is well, no more
 * are started in worker.restart_window than worker.restart_limit and the delays let through, and it
 * gives up when nothing has served for worker.give_up, no sooner. In the end: all that are wanted
 * serve, those that should know each other do, a restart one by one and a change of scale leave
 * somebody serving throughout, and a stop ends all in its time. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/tell.h"
#include "tests/sim/machine.h"
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
	ROUGH_MS = 90000,
	TROUBLE_MS =
	        3000, /* between two of people, or of the machine, usually less than twice that */
	PAUSE_MS_MAX = 6000,
	POISON_MS_MAX = 90000,
	REST_MS_MAX = 90000, /* from the end of all faults until all is as it should be */
	GIVE_UP_MS = 60000,
	DRAIN_MS = 3000,
	STOP_SLACK_MS = 2500,
	SCALE_MAX = 4,
};

static struct totals {
	struct machine_counts machine;
	uint64_t ms, pauses, commands, given_up;
} * totals;

static struct fleet fleet;
static struct settings_source settings;
static struct events events;
static uv_loop_t loop;
static bool rough, must_serve;
static uint64_t paused_ms; /* of all pauses, for what they shift */
static uint64_t served_ms; /* somebody did then; or nobody has failed yet */

static void set(const char *key, const char *value)
{
	char reason[SETTINGS_REASON_MAX];
	check(settings_renew_key(&settings.newest, span_str(key), span_str(value), reason));
}

/* ---- the supervisor's own ---- */

/* As inbox.c has it. */
static enum proto_verdict on_message(void *arg, struct child *child, const struct party *from,
                                     unsigned type, struct span body)
{
	struct proto_hello hello;
	struct proto_ready ready;
	struct proto_link_state link;
	(void)arg;
	(void)from;
	if (type == PROTO_TYPE_HELLO && proto_get_hello(body, &hello))
		life_hello(child, hello.schema_hash);
	else if (type == PROTO_TYPE_READY && proto_get_ready(body, &ready))
		life_ready(child, ready.generation);
	else if (type == PROTO_TYPE_HEARTBEAT)
		life_heard(child);
	else if (type == PROTO_TYPE_LINK_STATE && proto_get_link_state(body, &link))
		fleet_link_state(&fleet, child, &link);
	else
		return PROTO_NOT_MINE;
	return PROTO_HANDLED;
}

static void begin(void)
{
	static const char *const values[][2] = {{"sse_workers", "3"},
	                                        {"bridge.workers", "1"},
	                                        {"capture.workers", "1"},
	                                        {"worker.hang_timeout", "2s"},
	                                        {"worker.abort_grace", "500ms"},
	                                        {"worker.start_timeout", "6s"},
	                                        {"worker.restart_delay_min", "50ms"},
	                                        {"worker.restart_delay_max", "4s"},
	                                        {"worker.restart_stable", "10s"},
	                                        {"worker.restart_limit", "6"},
	                                        {"worker.restart_window", "20s"},
	                                        {"worker.drain_timeout", "3s"},
	                                        {"worker.give_up", "60s"}};
	static struct settings value;
	char reason[256];
	settings_init(&value);
	settings.newest = settings_freeze(&value);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		set(values[i][0], values[i][1]);
	loop.data = (void *)(uintptr_t)MACHINE_SUPERVISOR;
	fleet = (struct fleet){.life = {.loop = &loop,
	                                .settings = &settings,
	                                .events = &events,
	                                .program_dir = "/programs",
	                                .on_message = on_message},
	                       .cpus = 2,
	                       .memory_bytes = UINT64_MAX};
	machine_begin(&fleet, &totals->machine);
	check(fleet_init(&fleet, reason, sizeof reason));
	fleet_step(&fleet);
	served_ms = world_ms();
}

/* ---- trouble ---- */

static void end_poison(void *arg)
{
	(void)arg;
	machine_poison(false);
}

static void scale(void)
{
	char text[8];
	snprintf(text, sizeof text, "%u", 1 + (unsigned)world_below(SCALE_MAX));
	world_trace("sse_workers becomes %s", text);
	set("sse_workers", text);
	fleet_step(&fleet);
}

static void reload(void)
{
	set("worker.drain_timeout", world_chance(500) ? "3s" : "2s");
	tell_settings(&fleet);
	fleet_step(&fleet);
}

static void restart_some(void)
{
	const struct child *any = &fleet.children[world_below(SCALE_MAX)];
	struct child *child = world_chance(500) ? fleet_find(&fleet, any->name) : NULL;
	world_trace("%s is to be restarted", child != NULL ? child->name : "each");
	machine_forgive();
	fleet_restart(&fleet, child);
}

/* People's commands come through the supervisor's loop, so not while it stands still. */
static void on_command(void *arg)
{
	(void)arg;
	if (!rough)
		return;
	totals->commands++;
	uint64_t dice = world_below(3);
	if (dice == 0)
		scale();
	else if (dice == 1)
		reload();
	else
		restart_some();
}

static void on_trouble(void *arg)
{
	if (!rough)
		return;
	world_after(0, world_below(2 * TROUBLE_MS), on_trouble, arg);
	uint64_t dice = world_below(100);
	if (dice < 60) {
		world_after(MACHINE_SUPERVISOR, 0, on_command, NULL);
	} else if (dice < 90) {
		uint64_t ms = world_wait(2500, PAUSE_MS_MAX);
		totals->pauses++;
		paused_ms += ms;
		machine_pause(ms);
	} else {
		world_trace("nothing starts any more");
		machine_poison(true);
		world_after(0, world_below(POISON_MS_MAX), end_poison, NULL);
	}
}

/* ---- what must hold at all times ---- */

static bool anybody_serves(void)
{
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++) {
		const struct child *child = &fleet.children[i];
		if (child_listens(child) && child->wanted && child->state == CHILD_READY)
			return true;
	}
	return false;
}

static void look(void)
{
	uint64_t now_ms = world_ms();
	if (anybody_serves())
		served_ms = now_ms;
	if (fleet.gave_up && now_ms - served_ms + 1000 < GIVE_UP_MS)
		world_broken("it gives up %" PRIu64 " ms after somebody served",
		             now_ms - served_ms);
	if (fleet.refused != NULL)
		world_broken("a worker is taken to refuse its start");
	if (must_serve && !machine_serves())
		world_broken("nobody is asked to serve who does, and nothing fails");
}

static void step(void)
{
	if (!world_step())
		world_broken("nothing happens any more");
	look();
}

static void run_for(uint64_t ms)
{
	for (uint64_t until_ms = world_ms() + ms; world_ms() < until_ms && !fleet.gave_up;)
		step();
}

/* ---- how it must end ---- */

static bool rests(void)
{
	struct fleet_tally tally = fleet_tally(&fleet);
	return tally.settled && tally.failed == 0 && tally.ready == tally.wanted &&
	       machine_living() == tally.wanted && machine_unlinked() == NULL &&
	       atomic_load(&fleet.counters->links_missing) == 0;
}

static void come_to_rest(const char *after)
{
	uint64_t until_ms = world_ms() + REST_MS_MAX;
	while (!rests()) {
		step();
		if (world_ms() < until_ms)
			continue;
		const char *unlinked = machine_unlinked();
		struct fleet_tally tally = fleet_tally(&fleet);
		world_broken("%s, it does not come to rest: %u of %u ready, %u failed, %u "
		             "processes, links missing: %u, unlinked: %s",
		             after, tally.ready, tally.wanted, tally.failed, machine_living(),
		             atomic_load(&fleet.counters->links_missing),
		             unlinked != NULL ? unlinked : "none");
	}
}

static void end_trouble(void)
{
	world_trace("---- all faults end");
	rough = false;
	machine_rough(false);
	machine_poison(false);
}

static void check_sockets(void)
{
	for (unsigned slot = 0; slot < role_of(ROLE_SSE)->slots; slot++)
		if (machine_listens(slot) != fleet.children[role_of(ROLE_SSE)->first + slot].wanted)
			world_broken("slot %u: its socket is %s", slot,
			             machine_listens(slot) ? "open" : "closed");
}

static void change_in_peace(void)
{
	char text[8];
	must_serve = true;
	fleet_restart(&fleet, NULL);
	come_to_rest("all restarted one by one");
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "%u", 1 + (unsigned)world_below(SCALE_MAX));
		set("sse_workers", text);
		world_trace("sse_workers becomes %s", text);
		fleet_step(&fleet);
		run_for(world_below(3000)); /* it may be changed again while it is under way */
	}
	come_to_rest("scaled");
	check_sockets();
	must_serve = false;
}

static void stop(void)
{
	uint64_t due_ms = world_ms() + DRAIN_MS, until_ms = due_ms + STOP_SLACK_MS;
	machine_no_more_starts();
	world_trace("---- it stops");
	fleet_stop(&fleet, due_ms);
	while (fleet_tally(&fleet).processes != 0) {
		step();
		if (world_ms() > until_ms)
			world_broken("stopping, it still has %u processes", machine_living());
	}
	if (machine_living() != 0)
		world_broken("it has stopped, and %u processes live", machine_living());
	fleet_finish(&fleet);
}

static void run(uint64_t seed, bool traced)
{
	world_begin(seed, traced);
	log_set_level(traced ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR + 1);
	begin();
	rough = world_chance(950);
	machine_rough(rough);
	world_after(0, world_below(TROUBLE_MS), on_trouble, NULL);
	run_for(ROUGH_MS);
	totals->given_up += fleet.gave_up;
	/* That is the end of it, in whatever state things are: still all ends in its time. */
	bool early = fleet.gave_up || world_chance(200);
	end_trouble();
	if (!early) {
		come_to_rest("all faults have ended");
		change_in_peace();
	}
	stop();
	totals->ms += world_ms();
}

static bool run_apart(uint64_t seed, bool traced)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		run(seed, traced);
		fflush(stdout);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != WORLD_BROKEN)
		printf("BROKEN: seed %" PRIu64 ": the process died, status %d\n", seed, status);
	printf("told as it happens: sim-fleet --trace --count 1 --seed %" PRIu64 "\n", seed);
	return false;
}

/* The real one. */
static uint64_t seconds_now(void)
{
	struct timespec t;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"seed", 1, NULL, 's'},
	                                      {"count", 1, NULL, 'c'},
	                                      {"seconds", 1, NULL, 't'},
	                                      {"trace", 0, NULL, 'v'},
	                                      {0}};
	uint64_t seed, count = 0, seconds = 0, runs = 0;
	bool traced = false, good = true;
	check(getrandom(&seed, sizeof seed, 0) == sizeof seed);
	seed >>= 32;
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		uint64_t number = c == 'v' || c == '?' ? 0 : strtoull(optarg, NULL, 10);
		if (c == 's')
			seed = number;
		else if (c == 'c')
			count = number;
		else if (c == 't')
			seconds = number;
		else if (c == 'v')
			traced = true;
		else
			return 2;
	}
	if (count == 0)
		count = seconds != 0 ? UINT64_MAX : 200;
	totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	check(totals != MAP_FAILED);
	printf("seeds from %" PRIu64 " on\n", seed);
	uint64_t began = seconds_now();
	for (; good && runs < count; seed++, runs++) {
		if (seconds != 0 && seconds_now() - began >= seconds)
			break;
		good = run_apart(seed, traced);
	}
	const struct totals *t = totals;
	printf("%" PRIu64 " runs in %" PRIu64 " s, %" PRIu64 " h: %" PRIu64 " starts, %" PRIu64
	       " deaths, %" PRIu64 " hangs, %" PRIu64 " links lost, %" PRIu64
	       " messages refused, %" PRIu64 " pauses, %" PRIu64 " commands, %" PRIu64
	       " given up: %s\n",
	       runs, seconds_now() - began, t->ms / 3600000, t->machine.starts, t->machine.deaths,
	       t->machine.hangs, t->machine.losses, t->machine.refused_sends, t->pauses,
	       t->commands, t->given_up, good ? "all as it must be" : "BROKEN");
	return good ? 0 : 1;
}
