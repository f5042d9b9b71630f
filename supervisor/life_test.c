#include "supervisor/life.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "proto/frame.h"
#include "supervisor/spawn.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a process that waits to be killed, sockets that only say whether they are open ---- */

static int bus = -1;         /* the end that the process would have */
static struct spawn spawned; /* its texts are gone */
static char spawned_path[256];
static int spawn_error; /* it cannot be started */

pid_t spawn_start(const struct spawn *spawn)
{
	spawned = *spawn;
	snprintf(spawned_path, sizeof spawned_path, "%s", spawn->path);
	if (spawn_error != 0) {
		errno = spawn_error;
		return -1;
	}
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(spawn->bus_fd); /* the test speaks for it */
		for (;;)
			pause();
	}
	bus = dup(spawn->bus_fd);
	setpgid(pid, pid);
	return pid;
}

static bool open_slots[4];

int listeners_open(struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	open_slots[slot] = true;
	return 0;
}

bool listeners_are_open(const struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	return open_slots[slot];
}

void listeners_close(struct listeners *listeners, unsigned slot)
{
	(void)listeners;
	open_slots[slot] = false;
}

void listeners_fds(const struct listeners *listeners, unsigned slot, int fds[BOOT_LISTENERS_MAX])
{
	(void)listeners;
	fds[0] = (int)slot;
}

uint64_t listeners_tls(const struct listeners *listeners)
{
	(void)listeners;
	return 2;
}

static unsigned listens_told;

void tls_files_tell(const struct tls_files *files, struct peer *peer, uint64_t tls)
{
	(void)files;
	assert_non_null(peer);
	assert_int_equal(tls, 2);
	listens_told++;
}

/* ---- one child ---- */

static uv_loop_t loop;
static struct settings_source settings;
static struct events events;
static struct life life;
static struct counters_slot counters;
static struct child child;
static unsigned news[LIFE_REFUSED + 1];
static unsigned messages;
static char lines[1024]; /* the names of events */

static void on_event(void *arg, const char *line)
{
	(void)arg;
	json_t *json = json_loads(line, 0, NULL);
	size_t len = strlen(lines);
	snprintf(lines + len, sizeof lines - len, "%s;",
	         json_string_value(json_object_get(json, "event")));
	json_decref(json);
}

static void on_news(void *arg, struct child *about, enum life_news what)
{
	assert_ptr_equal(arg, &news);
	assert_ptr_equal(about, &child);
	news[what]++;
}

static enum proto_verdict on_message(void *arg, struct child *about, const struct party *from,
                                     unsigned type, struct span body)
{
	(void)body;
	assert_ptr_equal(arg, &messages);
	assert_ptr_equal(about, &child);
	assert_int_equal(from->generation, child.generation);
	assert_int_equal(type, PROTO_TYPE_HEARTBEAT);
	messages++;
	return PROTO_HANDLED;
}

static void set(const char *key, const char *value)
{
	char reason[SETTINGS_REASON_MAX];
	assert_true(settings_renew_key(&settings.newest, span_str(key), span_str(value), reason));
}

static int begin(void **state)
{
	static struct settings value;
	(void)state;
	settings_init(&value);
	settings.newest = settings_freeze(&value);
	uv_loop_init(&loop);
	events.on_line = on_event;
	memset(news, 0, sizeof news);
	memset(open_slots, 0, sizeof open_slots);
	messages = listens_told = 0;
	*lines = '\0';
	spawn_error = 0;
	counters = (struct counters_slot){0};
	life = (struct life){.loop = &loop,
	                     .settings = &settings,
	                     .events = &events,
	                     .program_dir = "/programs",
	                     .counters_fd = -1,
	                     .generation = 6,
	                     .listeners = {.count = 1},
	                     .on_news = on_news,
	                     .news_arg = &news,
	                     .on_message = on_message,
	                     .message_arg = &messages};
	child = (struct child){.life = &life,
	                       .role = role_of(ROLE_SSE),
	                       .slot = 2,
	                       .name = "sse-2",
	                       .counters = &counters};
	return 0;
}

/* Its process ends so, as waitpid() has it, by itself or when it is given a push. */
static void ends(int status)
{
	pid_t pid = child.pid;
	life_exited(&child, status);
	assert_int_equal(waitpid(pid, NULL, 0), pid); /* its group was killed */
	close(bus);
	bus = -1;
}

static int end(void **state)
{
	(void)state;
	if (child.pid != 0)
		ends(W_EXITCODE(0, 0));
	settings_drop(&child.settings);
	uv_run(&loop, UV_RUN_DEFAULT);
	events_finish(&events);
	settings_drop(&settings.newest);
	return uv_loop_close(&loop);
}

static void start(void)
{
	life_start(&child, PEER_QUEUE_BYTES_MIN);
}

/* Started, known, ready. */
static void start_ready(void)
{
	start();
	life_hello(&child, proto_schema_hash());
	life_ready(&child, child.generation);
	*lines = '\0';
}

/* Has its process been killed? Leaves it to be waited for. */
static bool was_killed(void)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT) == 0 &&
	       info.si_code == CLD_KILLED && info.si_status == SIGKILL;
}

/* ---- tests ---- */

static void test_a_start(void **state)
{
	(void)state;
	start();
	assert_int_equal(child.state, CHILD_STARTING);
	assert_true(child.pid > 0);
	assert_int_equal(child.generation, 7);
	assert_int_equal(spawned.generation, 7);
	assert_string_equal(spawned_path, "/programs/ringside-sse");
	assert_int_equal(spawned.slot, 2);
	assert_int_equal(spawned.listen_count, 1);
	assert_int_equal(spawned.listen_fds[0], 2);
	assert_true(open_slots[2]);
	assert_ptr_equal(child.settings, settings.newest);
	assert_int_equal(counters.state, WORKER_STARTING);
	assert_int_equal(counters.pid, child.pid);
	assert_string_equal(lines, "worker-started;");
}

static void test_who_says_hello_is_given_its_settings_once(void **state)
{
	(void)state;
	uint8_t bytes[64];
	start();
	life_hello(&child, proto_schema_hash());
	assert_int_equal(news[LIFE_KNOWN], 1);
	assert_true(read(bus, bytes, sizeof bytes) > 0);
	assert_int_equal(listens_told, 1);
	life_hello(&child, proto_schema_hash());
	assert_int_equal(news[LIFE_KNOWN], 1);
	assert_int_equal(listens_told, 1);
}

static void test_a_program_of_another_build_is_killed(void **state)
{
	(void)state;
	start();
	life_hello(&child, proto_schema_hash() + 1);
	assert_true(was_killed());
	assert_int_equal(news[LIFE_KNOWN], 0);
}

static void test_only_the_present_process_is_ready(void **state)
{
	(void)state;
	start();
	life_ready(&child, child.generation - 1);
	assert_int_equal(child.state, CHILD_STARTING);
	life_ready(&child, child.generation);
	assert_int_equal(child.state, CHILD_READY);
	assert_int_equal(counters.state, WORKER_READY);
	life_ready(&child, child.generation);
	assert_int_equal(news[LIFE_READY], 1);
}

static void test_its_messages_are_handed_on(void **state)
{
	(void)state;
	start_ready();
	uint8_t frame[FRAME_HEAD_BYTES + 8] = {0};
	frame_head(frame, PROTO_TYPE_HEARTBEAT, 8);
	assert_int_equal(write(bus, frame, sizeof frame), sizeof frame);
	peer_drain(child.peer);
	assert_int_equal(messages, 1);
}

static void test_without_a_bus_it_must_go(void **state)
{
	(void)state;
	start_ready();
	close(bus);
	bus = dup(STDERR_FILENO);
	peer_drain(child.peer);
	while (child.peer != NULL)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(was_killed());
}

static void test_who_dies_is_started_again_later(void **state)
{
	(void)state;
	start_ready();
	uint64_t now_ms = clock_monotonic_ms();
	ends(W_EXITCODE(0, SIGSEGV));
	assert_int_equal(child.state, CHILD_STOPPED);
	assert_true(child.start_due_ms > now_ms);
	assert_int_equal(child.pid, 0);
	assert_int_equal(counters.pid, 0);
	assert_int_equal(news[LIFE_ENDED], 1);
	assert_int_equal(news[LIFE_FAILING], 0);
	assert_true(open_slots[2]); /* its queue waits for the next */
	assert_string_equal(lines, "worker-exited;");
}

static void test_too_many_failures_are_told_once(void **state)
{
	(void)state;
	set("worker.restart_limit", "3");
	spawn_error = EAGAIN;
	for (int i = 0; i < 5; i++)
		start();
	assert_int_equal(news[LIFE_FAILING], 1);
	assert_string_equal(lines, "worker-failed;");
	assert_true(child_failed(&child));
	assert_int_equal(counters.state, WORKER_FAILED);
	assert_false(open_slots[2]); /* nobody should wait in its queue */
}

static void test_who_says_why_it_cannot_start_is_not_tried_again(void **state)
{
	(void)state;
	start();
	life_refuses(&child, span_str("no such directory"));
	ends(W_EXITCODE(EXIT_USAGE, 0));
	assert_int_equal(child.state, CHILD_FAILED);
	assert_int_equal(news[LIFE_REFUSED], 1);
	assert_string_equal(child.refusal, "no such directory");
	assert_false(open_slots[2]);
}

static void test_who_does_not_say_why_is_tried_again(void **state)
{
	(void)state;
	start();
	ends(W_EXITCODE(EXIT_USAGE, 0));
	assert_int_equal(child.state, CHILD_STOPPED);
	assert_int_equal(news[LIFE_REFUSED], 0);
}

static void test_a_drained_one_has_not_failed(void **state)
{
	(void)state;
	start_ready();
	uint64_t due_ms = clock_monotonic_ms() + 10000;
	life_drain(&child, due_ms, due_ms + 1000);
	assert_int_equal(child.state, CHILD_DRAINING);
	assert_true(child.kill_due_ms == due_ms + 1000);
	ends(W_EXITCODE(0, 0));
	assert_int_equal(child.state, CHILD_STOPPED);
	assert_int_equal(child.start_due_ms, 0);
	assert_int_equal(child.restart.failures, 0);
}

static void test_who_hung_while_it_was_drained_has_failed(void **state)
{
	(void)state;
	start_ready();
	child.hung = true;
	life_drain(&child, 0, 0);
	life_cut(&child);
	assert_true(was_killed());
	assert_true(child.kill_due_ms == UINT64_MAX);
	ends(W_EXITCODE(0, SIGKILL));
	assert_int_equal(child.restart.failures, 1);
}

static void test_what_is_released_has_no_socket_and_no_past(void **state)
{
	(void)state;
	start_ready();
	ends(W_EXITCODE(1, 0));
	assert_int_equal(child.restart.failures, 1);
	life_release(&child);
	assert_int_equal(child.state, CHILD_ABSENT);
	assert_int_equal(child.restart.failures, 0);
	assert_false(open_slots[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
	        TEST(a_start),
	        TEST(who_says_hello_is_given_its_settings_once),
	        TEST(a_program_of_another_build_is_killed),
	        TEST(only_the_present_process_is_ready),
	        TEST(its_messages_are_handed_on),
	        TEST(without_a_bus_it_must_go),
	        TEST(who_dies_is_started_again_later),
	        TEST(too_many_failures_are_told_once),
	        TEST(who_says_why_it_cannot_start_is_not_tried_again),
	        TEST(who_does_not_say_why_is_tried_again),
	        TEST(a_drained_one_has_not_failed),
	        TEST(who_hung_while_it_was_drained_has_failed),
	        TEST(what_is_released_has_no_socket_and_no_past),
	};
#undef TEST
	return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
