#include "supervisor/fleet.h"
#include "common/base/check.h"
#include "common/base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- a life, links and listeners that only say what they were told ---- */

static char told[8192];

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	size_t len = strlen(told);
	va_list args;
	va_start(args, format);
	vsnprintf(told + len, sizeof told - len, format, args);
	va_end(args);
}

/* What was told since the last time. */
static const char *heard(void)
{
	static char text[sizeof told];
	memcpy(text, told, sizeof told);
	*told = '\0';
	return text;
}

static pid_t last_pid;
static uint64_t drain_due_ms; /* of the last drain */

void life_start(struct child *child, size_t bus_bytes_max)
{
	assert_true(bus_bytes_max > 0);
	note("start %s;", child->name);
	child->state = CHILD_STARTING;
	child->pid = ++last_pid;
	child->generation = ++child->life->generation;
	child->kill_due_ms = UINT64_MAX;
	child->recycle = child->hung = false;
	watch_begin(&child->watch, clock_monotonic_ms());
}

void life_adopt(struct child *child, pid_t pid, uint64_t generation, int bus_fd, bool confined)
{
	(void)confined;
	note("adopt %s %d;", child->name, bus_fd);
	child->state = CHILD_READY;
	child->pid = pid;
	child->generation = generation;
	child->recycle = true;
	child->held = (void *)child; /* it is only looked at */
	child->kill_due_ms = UINT64_MAX;
}

void life_exited(struct child *child, int status)
{
	(void)status;
	note("exited %s;", child->name);
	child->pid = 0;
	child->held = NULL;
	child->state = CHILD_STOPPED;
	child->start_due_ms = 0;
	child->life->on_news(child->life->news_arg, child, LIFE_ENDED);
}

void life_drain(struct child *child, uint64_t due_ms, uint64_t kill_due_ms)
{
	assert_true(kill_due_ms >= due_ms);
	note("drain %s;", child->name);
	drain_due_ms = due_ms;
	child->state = CHILD_DRAINING;
	child->recycle = false;
	child->kill_due_ms = kill_due_ms;
}

void life_cut(struct child *child)
{
	note("cut %s;", child->name);
	child->kill_due_ms = UINT64_MAX;
}

void life_release(struct child *child)
{
	note("release %s;", child->name);
	child->state = CHILD_ABSENT;
	child->recycle = false;
}

void life_signal(const struct child *child, int signal)
{
	if (child->pid > 0)
		note("signal %d %s;", signal, child->name);
}

void life_abort(const struct child *child)
{
	note("abort %s;", child->name);
}

void life_emit(struct child *child, enum log_level level, const char *event, json_t *more)
{
	(void)level;
	note("%s %s;", event, child->name);
	json_decref(more);
}

struct links *links_create(struct child *children, struct counters *counters, struct events *events)
{
	(void)children;
	(void)counters;
	(void)events;
	return NULL;
}

void links_destroy(struct links **links)
{
	*links = NULL;
}

void links_introduce(struct links *links, struct child *newcomer)
{
	(void)links;
	note("introduce %s;", newcomer->name);
}

void links_forget(struct links *links, const struct child *gone)
{
	(void)links;
	note("forget %s;", gone->name);
}

bool links_report(struct links *links, const struct child *child,
                  const struct proto_link_state *report)
{
	(void)links;
	(void)child;
	return report->up == 0;
}

static unsigned repairs; /* how often links were looked at: once a step */

uint64_t links_repair(struct links *links, uint64_t now_ms)
{
	(void)links;
	(void)now_ms;
	repairs++;
	return UINT64_MAX;
}

static bool steered[LISTENER_SLOTS_MAX];

bool listeners_adopt(struct listeners *listeners, int fd, unsigned slot)
{
	(void)listeners;
	note("socket %d %u;", fd, slot);
	return true;
}

bool listeners_init(struct listeners *listeners, const char *listen, bool loopback_only,
                    const char **reason)
{
	(void)listeners;
	(void)loopback_only;
	*reason = "it is a bad name";
	return strcmp(listen, "bad.example:80") != 0;
}

int listeners_await(struct listeners *listeners, const char *listen, uint64_t wait_ms,
                    unsigned *left_out)
{
	(void)listeners;
	(void)listen;
	(void)wait_ms;
	*left_out = 0;
	return 0;
}

int listeners_steer(struct listeners *listeners, const bool active[LISTENER_SLOTS_MAX])
{
	(void)listeners;
	memcpy(steered, active, sizeof steered);
	return 0;
}

bool listeners_queue_waits(const struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	(void)slot;
	return false;
}

void listeners_finish(struct listeners *listeners)
{
	(void)listeners;
}

/* ---- a fleet ---- */

static struct fleet *fleet;
static struct settings_source settings;
static struct events events;
static uv_loop_t loop;

static void set(const char *key, const char *value)
{
	char reason[SETTINGS_REASON_MAX];
	assert_true(settings_renew_key(&settings.newest, span_str(key), span_str(value), reason));
}

static void on_event(void *arg, const char *line)
{
	(void)arg;
	if (strstr(line, "\"restart-halted\"") != NULL)
		note("halted;");
}

/* Two SSE workers and the bridge. */
static int begin(void **state)
{
	static struct settings value;
	char reason[256];
	(void)state;
	settings_init(&value);
	settings.newest = settings_freeze(&value);
	set("sse_workers", "2");
	set("bridge.workers", "1");
	set("capture.workers", "0");
	set("worker.drain_timeout", "10s");
	uv_loop_init(&loop);
	*told = '\0';
	last_pid = 1000;
	events.on_line = on_event;
	fleet = xcalloc(1, sizeof *fleet);
	fleet->life = (struct life){.loop = &loop, .settings = &settings, .events = &events};
	fleet->cpus = 4;
	fleet->memory_bytes = UINT64_MAX;
	return fleet_init(fleet, reason, sizeof reason) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	fleet_finish(fleet);
	uv_run(&loop, UV_RUN_DEFAULT);
	events_finish(&events);
	settings_drop(&settings.newest);
	free(fleet);
	return uv_loop_close(&loop);
}

static struct child *child(const char *name)
{
	struct child *found = fleet_find(fleet, name);
	assert_non_null(found);
	return found;
}

static void ready(const char *name)
{
	struct child *c = child(name);
	c->state = CHILD_READY;
	watch_begin(&c->watch, clock_monotonic_ms());
	restart_ready(&c->restart, clock_monotonic_ms());
	fleet->life.on_news(fleet, c, LIFE_READY);
}

static void exits(const char *name)
{
	assert_true(fleet_exited(fleet, child(name)->pid, 0));
	fleet_step(fleet);
}

/* It cannot serve for a while, or never, and its process has ended. */
static void fails(const char *name, enum life_news news)
{
	struct child *c = child(name);
	c->pid = 0;
	c->state = news == LIFE_REFUSED ? CHILD_FAILED : CHILD_STOPPED;
	c->restart.failing = true;
	c->start_due_ms = UINT64_MAX;
	fleet->life.on_news(fleet, c, news);
	fleet_step(fleet);
}

static void all_ready(void)
{
	fleet_step(fleet);
	ready("sse-0");
	ready("sse-1");
	ready("bridge-0");
	heard();
}

/* ---- tests ---- */

static void test_what_the_plan_has_is_started(void **state)
{
	(void)state;
	fleet_step(fleet);
	assert_string_equal(heard(), "start sse-0;start sse-1;start bridge-0;");
	struct fleet_tally tally = fleet_tally(fleet);
	assert_int_equal(tally.wanted, 3);
	assert_int_equal(tally.ready, 0);
	assert_int_equal(tally.listening_wanted, 2);
	assert_false(tally.settled);
	ready("sse-0");
	ready("sse-1");
	ready("bridge-0");
	tally = fleet_tally(fleet);
	assert_int_equal(tally.ready, 3);
	assert_int_equal(tally.listening_ready, 2);
	assert_true(tally.settled);
	assert_string_equal(heard(), "");
	assert_null(fleet_find(fleet, "capture-0"));
}

static void test_a_bad_name_is_refused(void **state)
{
	(void)state;
	char reason[256];
	static struct fleet other;
	set("listen", "bad.example:80");
	other.life = fleet->life;
	assert_false(fleet_init(&other, reason, sizeof reason));
	assert_string_equal(reason, "listen: bad.example:80: it is a bad name");
}

static void test_who_ended_is_forgotten_and_started_again(void **state)
{
	(void)state;
	all_ready();
	assert_true(fleet_owns(fleet, child("sse-1")->pid));
	assert_false(fleet_exited(fleet, 77, 0));
	exits("sse-1");
	assert_string_equal(heard(), "exited sse-1;forget sse-1;start sse-1;");
	fleet->life.on_news(fleet, child("sse-1"), LIFE_KNOWN);
	assert_string_equal(heard(), "introduce sse-1;");
}

static void test_all_are_replaced_one_by_one(void **state)
{
	(void)state;
	all_ready();
	uint64_t begun_ms = clock_monotonic_ms();
	fleet_restart(fleet, NULL);
	assert_string_equal(heard(), "drain sse-0;");
	assert_true(drain_due_ms >= begun_ms + 10000);
	exits("sse-0");
	assert_string_equal(heard(), "exited sse-0;forget sse-0;start sse-0;");
	assert_false(fleet_tally(fleet).settled);
	ready("sse-0");
	assert_string_equal(heard(), "drain sse-1;");
	exits("sse-1");
	ready("sse-1");
	assert_string_equal(heard(), "exited sse-1;forget sse-1;start sse-1;drain bridge-0;");
	exits("bridge-0");
	ready("bridge-0");
	assert_true(fleet_tally(fleet).settled);
	assert_false(fleet->halted);
}

/* A single one that listens gets company for the time in which it is replaced. */
static void test_somebody_serves_throughout(void **state)
{
	(void)state;
	set("sse_workers", "1");
	fleet_step(fleet);
	ready("sse-0");
	ready("bridge-0");
	heard();
	fleet_restart(fleet, child("sse-0"));
	assert_string_equal(heard(), "start sse-1;");
	ready("sse-1");
	assert_string_equal(heard(), "drain sse-0;");
	assert_true(steered[1]);
	assert_false(steered[0]);
}

static void test_who_is_taken_over_is_replaced_in_turn(void **state)
{
	(void)state;
	assert_true(fleet_adopt(fleet, "sse", 0, 1, 5, 50, false, true));
	assert_true(fleet_adopt(fleet, "sse", 1, 2, 6, 51, false, true));
	assert_true(fleet_adopt(fleet, "bridge", 0, 3, 7, 52, true, true));
	assert_false(fleet_adopt(fleet, "unheard-of", 0, 4, 8, 53, false, true));
	assert_false(fleet_adopt(fleet, "bridge", 1, 4, 8, 53, false, true));
	assert_string_equal(heard(), "adopt sse-0 50;adopt sse-1 51;adopt bridge-0 52;");
	assert_true(fleet_holds(fleet));
	fleet_step(fleet);
	assert_true(!steered[0] && steered[1]);
	/* As in a restart one by one, with one more that listens for the time. */
	assert_string_equal(heard(), "drain sse-0;");
	exits("sse-0");
	assert_string_equal(heard(), "exited sse-0;forget sse-0;start sse-0;");
	assert_false(fleet_tally(fleet).settled);
	ready("sse-0");
	assert_string_equal(heard(), "drain sse-1;");
	assert_null(fleet->start_failed);
	exits("sse-1");
	ready("sse-1");
	exits("bridge-0");
	heard();
	exits("bridge-0"); /* before it was ready */
	assert_ptr_equal(fleet->start_failed, child("bridge-0"));
	assert_false(fleet_holds(fleet));
	/* One that did not serve ends at once, and nobody is sent to it. */
	heard();
	assert_true(fleet_adopt(fleet, "sse", 2, 9, 9, 54, false, false));
	assert_string_equal(heard(), "adopt sse-2 54;drain sse-2;");
}

static void test_a_failure_halts_the_replacing(void **state)
{
	(void)state;
	all_ready();
	fleet_restart(fleet, NULL);
	exits("sse-0");
	heard();
	fails("sse-0", LIFE_FAILING);
	assert_string_equal(heard(), "halted;");
	assert_true(fleet->halted);
	assert_true(fleet_tally(fleet).settled);
	assert_int_equal(fleet_tally(fleet).failed, 1);
	assert_int_equal(child("sse-1")->state, CHILD_READY);
}

static void test_a_failure_without_replacing_halts_nothing(void **state)
{
	(void)state;
	all_ready();
	fails("sse-0", LIFE_FAILING);
	assert_string_equal(heard(), "");
	assert_false(fleet->halted);
}

static void test_who_refuses_ends_the_start(void **state)
{
	(void)state;
	fleet_step(fleet);
	struct child *refused = child("bridge-0");
	fails("bridge-0", LIFE_REFUSED);
	assert_ptr_equal(fleet->refused, refused);
	fails("sse-0", LIFE_REFUSED);
	assert_ptr_equal(fleet->refused, refused); /* the first says why */
}

/* New settings that one of them refuses: the others go on with the old ones. */
static void test_who_refuses_while_they_are_replaced_ends_that_alone(void **state)
{
	(void)state;
	all_ready();
	fleet_restart(fleet, NULL);
	exits("sse-0");
	heard();
	fails("sse-0", LIFE_REFUSED);
	assert_string_equal(heard(), "worker-failed sse-0;halted;");
	assert_null(fleet->refused);
	assert_true(fleet->halted);
	assert_int_equal(child("bridge-0")->state, CHILD_READY);
}

static void test_those_that_listen_leave_first(void **state)
{
	(void)state;
	all_ready();
	uint64_t due_ms = clock_monotonic_ms() + 10000;
	fleet_stop(fleet, due_ms);
	assert_string_equal(heard(), "drain sse-0;drain sse-1;");
	assert_true(drain_due_ms < due_ms); /* the bridge needs some of the time */
	exits("sse-0");
	assert_string_equal(heard(), "exited sse-0;forget sse-0;release sse-0;");
	exits("sse-1");
	assert_string_equal(heard(), "exited sse-1;forget sse-1;release sse-1;drain bridge-0;");
	assert_true(drain_due_ms == due_ms);
	exits("bridge-0");
	assert_int_equal(fleet_tally(fleet).processes, 0);
}

static void test_who_is_not_wanted_is_drained_when_handshakes_have_settled(void **state)
{
	(void)state;
	all_ready();
	set("sse_workers", "1");
	fleet_step(fleet);
	assert_string_equal(heard(), "");
	assert_false(steered[1]);
	child("sse-1")->settle_due_ms = 0; /* time passes */
	fleet_step(fleet);
	assert_string_equal(heard(), "drain sse-1;");
	exits("sse-1");
	assert_string_equal(heard(),
	                    "exited sse-1;forget sse-1;release sse-1;worker-removed sse-1;");
	assert_true(fleet_tally(fleet).settled);
}

static void test_who_hangs_is_aborted_then_killed(void **state)
{
	(void)state;
	all_ready();
	set("worker.abort_grace", "100ms");
	struct child *c = child("sse-0");
	c->watch.heard_ms -= 5000; /* half of worker.hang_timeout: late */
	fleet_step(fleet);
	assert_string_equal(heard(), "");
	assert_false(steered[0]);
	assert_true(steered[1]);
	c->watch.heard_ms -= 5000;
	fleet_step(fleet);
	assert_string_equal(heard(), "worker-hung sse-0;abort sse-0;");
	assert_true(c->hung);
	c->watch.aborted_ms -= 100;
	fleet_step(fleet);
	char killed[64];
	snprintf(killed, sizeof killed, "worker-killed sse-0;signal %d sse-0;", SIGKILL);
	assert_string_equal(heard(), killed);
}

static void pause_of(uint64_t ms)
{
	fleet->look_ms -= ms;
	for (size_t i = 0; i < FLEET_CHILDREN_MAX; i++)
		if (fleet->children[i].state == CHILD_READY)
			fleet->children[i].watch.heard_ms -= ms;
	fleet_step(fleet);
}

/* A debugger held us: nobody was silent for that time. */
static void test_our_own_pause_is_nobodys_silence(void **state)
{
	(void)state;
	all_ready();
	pause_of(60000);
	assert_string_equal(heard(), "");
}

/* Only pauses of two seconds counted, and with a shorter worker.hang_timeout all were aborted. */
static void test_nor_is_a_short_one(void **state)
{
	(void)state;
	all_ready();
	set("worker.hang_timeout", "1s");
	pause_of(1900);
	assert_string_equal(heard(), "");
	/* Whoever hangs is found all the same, however late we always are. */
	for (int i = 0; i < 40 && !child("sse-1")->hung; i++) {
		fleet->look_ms -= 700;
		child("sse-1")->watch.heard_ms -= 800;
		fleet_step(fleet);
	}
	assert_string_equal(heard(), "worker-hung sse-1;abort sse-1;");
}

static void test_a_lost_link_makes_a_step(void **state)
{
	(void)state;
	all_ready();
	unsigned before = repairs;
	fleet_link_state(fleet, child("sse-0"), &(struct proto_link_state){.up = 1});
	assert_int_equal(repairs, before);
	fleet_link_state(fleet, child("sse-0"), &(struct proto_link_state){.up = 0});
	assert_int_equal(repairs, before + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(what_the_plan_has_is_started),
	        TEST(a_bad_name_is_refused),
	        TEST(who_ended_is_forgotten_and_started_again),
	        TEST(all_are_replaced_one_by_one),
	        TEST(somebody_serves_throughout),
	        TEST(who_is_taken_over_is_replaced_in_turn),
	        TEST(a_failure_halts_the_replacing),
	        TEST(a_failure_without_replacing_halts_nothing),
	        TEST(who_refuses_ends_the_start),
	        TEST(who_refuses_while_they_are_replaced_ends_that_alone),
	        TEST(those_that_listen_leave_first),
	        TEST(who_is_not_wanted_is_drained_when_handshakes_have_settled),
	        TEST(who_hangs_is_aborted_then_killed),
	        TEST(our_own_pause_is_nobodys_silence),
	        TEST(nor_is_a_short_one),
	        TEST(a_lost_link_makes_a_step),
	};
#undef TEST
	return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
