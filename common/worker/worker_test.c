/* worker_main() in a process of its own, the test being its supervisor. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/worker/handed.h"
#include "common/worker/worker.h"
#include "proto/roles.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { WAIT_MS = 10000 };

/* ---- the worker ---- */

/* What the program does beyond the usual; chosen before the fork. */
static enum { ORDINARY, NEVER_DRAINS, FAILS_START, CANNOT_START } manner;

/* As programs keep them, with one of its texts. */
static const struct settings *kept;
static const char *kept_text;

static int start(struct worker *worker)
{
	if (manner == FAILS_START)
		return EXIT_FAILED;
	if (manner == CANNOT_START)
		return worker_cannot_start(worker, "%s/data.mdb is no store", "/here");
	counter_set(worker->mine, connections, 41);
	kept = settings_keep(worker->settings.newest);
	kept_text = kept->tls_ca_file;
	worker_ready(worker);
	worker_ready(worker);
	return 0;
}

static void reload(struct worker *worker)
{
	counter_set(worker->mine, subscribers,
	            kept != worker->settings.newest &&
	                    strcmp(kept_text, worker->settings.newest->tls_ca_file) == 0);
	counter_set(worker->mine, connections, worker->settings.newest->limits_headers);
}

static void drain(struct worker *worker, uint64_t due_ms)
{
	(void)due_ms;
	if (manner != NEVER_DRAINS)
		worker_exit(worker, EXIT_DONE);
}

/* A notice from one peer is told to all. */
static enum proto_verdict on_frame(struct worker *worker, const struct party *from, unsigned type,
                                   struct span body)
{
	struct proto_log_durable m;
	if (type != PROTO_TYPE_LOG_DURABLE)
		return PROTO_NOT_MINE;
	if ((from->role & ROLE_WORKERS) == 0 || !proto_get_log_durable(body, &m))
		return PROTO_MALFORMED;
	worker_announce_durable(worker, m.lsn + 1);
	return PROTO_HANDLED;
}

static const struct worker_program program = {.role = ROLE_CAPTURE,
                                              .start = start,
                                              .reload = reload,
                                              .drain = drain,
                                              .on_frame = on_frame};

/* ---- its supervisor ---- */

struct bench {
	pid_t pid;
	int bus, counters_fd;
	struct counters *counters;
	struct frame_reader reader;
	uint8_t bytes[4096];
	struct span unread;
};

static noreturn void be_the_worker(int bus, int counters_fd, char **argv)
{
	int high_bus = fcntl(bus, F_DUPFD, 20), high_counters = fcntl(counters_fd, F_DUPFD, 20);
	for (int fd = 3; fd < 20; fd++)
		close(fd);
	dup2(high_bus, BOOT_FD_BUS);
	dup2(high_counters, BOOT_FD_COUNTERS);
	close(high_bus);
	close(high_counters);
	int argc = 0;
	while (argv[argc] != NULL)
		argc++;
	_exit(worker_main(argc, argv, &program));
}

static void launch(struct bench *b, char **argv)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	b->pid = fork();
	assert_true(b->pid >= 0);
	if (b->pid == 0)
		be_the_worker(ends[1], b->counters_fd, argv);
	close(ends[1]);
	b->bus = ends[0];
}

static int begin(void **state)
{
	static struct bench bench;
	bench = (struct bench){.bus = -1, .counters_fd = counters_create()};
	*state = &bench;
	manner = ORDINARY;
	bench.counters = counters_map(bench.counters_fd);
	if (bench.counters == NULL)
		return 1;
	bench.counters->slots[5].role = ROLE_CAPTURE;
	bench.counters->slots[5].slot = 2;
	atomic_store(&bench.counters->slots[5].state, (uint32_t)WORKER_STARTING);
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;
	if (b->pid > 0) {
		kill(b->pid, SIGKILL);
		waitpid(b->pid, NULL, 0);
	}
	if (b->bus >= 0)
		close(b->bus);
	close(b->counters_fd);
	munmap(b->counters, sizeof *b->counters);
	frame_reader_finish(&b->reader);
	return 0;
}

static void launch_usual(struct bench *b)
{
	static char name[] = "ringside-capture", slot[] = "--slot", two[] = "2",
	            generation[] = "--generation", seven[] = "7";
	char *argv[] = {name, slot, two, generation, seven, NULL};
	launch(b, argv);
}

/* The next frame; 0: end of file. */
static unsigned next_frame(struct bench *b, struct span *body)
{
	unsigned type;
	for (;;) {
		switch (frame_read(&b->reader, &b->unread, &type, body)) {
		case FRAME_WHOLE:
			return type;
		case FRAME_CONDEMNED:
			fail_msg("the worker sent a hostile frame");
			return 0;
		case FRAME_MORE:
			break;
		}
		struct pollfd p = {.fd = b->bus, .events = POLLIN};
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg("the worker is silent");
		ssize_t n = recv(b->bus, b->bytes, sizeof b->bytes, 0);
		if (n <= 0)
			return 0;
		b->unread = span_of(b->bytes, (size_t)n);
	}
}

static void expect(struct bench *b, unsigned type, struct span *body)
{
	unsigned got;
	do
		got = next_frame(b, body);
	while (got == PROTO_TYPE_HEARTBEAT && type != PROTO_TYPE_HEARTBEAT);
	assert_string_equal(proto_name(got), proto_name(type));
}

static void tell(int socket, unsigned type, struct span body, int fd)
{
	uint8_t head[FRAME_HEAD_BYTES];
	frame_head(head, type, body.len);
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov[] = {{head, sizeof head}, {(void *)(uintptr_t)body.at, body.len}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	if (fd >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), sizeof head + body.len);
}

#define TELL(socket, lname, NAME, fd, ...)                                                         \
	do {                                                                                       \
		static uint8_t body_[PROTO_MAX_##NAME];                                            \
		struct writer w_ = {body_, body_ + sizeof body_, true};                            \
		const struct proto_##lname message_ = __VA_ARGS__;                                 \
		assert_true(proto_put_##lname(&w_, &message_));                                    \
		tell(socket, PROTO_TYPE_##NAME, span_of(body_, (size_t)(w_.at - body_)), fd);      \
	} while (0)

static void tell_settings(struct bench *b, const char *more)
{
	char text[512];
	snprintf(text, sizeof text, "log.level=error\n%s", more);
	int fd = handed_make(span_str(text));
	assert_true(fd >= 0);
	TELL(b->bus, settings, SETTINGS, fd, {.len = strlen(text)});
	close(fd);
}

static void boot(struct bench *b)
{
	struct span body;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	tell_settings(b, "");
	expect(b, PROTO_TYPE_READY, &body);
}

static int exit_code(struct bench *b)
{
	int status;
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	b->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- tests ---- */

static void test_boot(void **state)
{
	struct bench *b = *state;
	struct span body;
	struct proto_hello hello;
	struct proto_ready ready;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	assert_true(proto_get_hello(body, &hello));
	assert_int_equal(hello.pid, b->pid);
	assert_int_equal(hello.schema_hash, proto_schema_hash());
	tell_settings(b, "");
	expect(b, PROTO_TYPE_READY, &body);
	assert_true(proto_get_ready(body, &ready));
	assert_int_equal(ready.generation, 7);
	assert_int_equal(counter_get(&b->counters->slots[5], connections), 41);
	/* READY is said once; then it beats */
	assert_int_equal(next_frame(b, &body), PROTO_TYPE_HEARTBEAT);
	assert_int_equal(next_frame(b, &body), PROTO_TYPE_HEARTBEAT);
}

static void test_drain(void **state)
{
	struct bench *b = *state;
	boot(b);
	TELL(b->bus, drain, DRAIN, -1, {.due_ms = clock_monotonic_ms() + 60000});
	assert_int_equal(exit_code(b), EXIT_DONE);
}

static void test_drain_before_settings(void **state)
{
	struct bench *b = *state;
	struct span body;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	TELL(b->bus, drain, DRAIN, -1, {.due_ms = clock_monotonic_ms() + 60000});
	assert_int_equal(exit_code(b), EXIT_DONE);
}

static void test_drain_is_cut_when_due(void **state)
{
	struct bench *b = *state;
	manner = NEVER_DRAINS;
	boot(b);
	uint64_t began_ms = clock_monotonic_ms();
	TELL(b->bus, drain, DRAIN, -1, {.due_ms = began_ms + 300});
	assert_int_equal(exit_code(b), EXIT_DONE);
	assert_true(clock_monotonic_ms() - began_ms >= 300);
}

static void test_supervisor_gone(void **state)
{
	struct bench *b = *state;
	boot(b);
	close(b->bus);
	b->bus = -1;
	assert_int_equal(exit_code(b), EXIT_SUPERVISOR_GONE);
}

static void test_what_cannot_start_says_why(void **state)
{
	struct bench *b = *state;
	struct span body;
	struct proto_cannot_start m;
	manner = CANNOT_START;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	tell_settings(b, "");
	expect(b, PROTO_TYPE_CANNOT_START, &body);
	assert_true(proto_get_cannot_start(body, &m));
	assert_true(span_equal(m.reason, SPAN("/here/data.mdb is no store")));
	assert_int_equal(exit_code(b), EXIT_USAGE);
}

/* Half of a configuration is none. */
static void test_settings_that_cannot_be_read(void **state)
{
	struct bench *b = *state;
	static const char text[] = "log.level=error\n";
	struct span body;
	for (size_t i = 0; i < 3; i++) {
		int fd = i == 0 ? -1 : handed_make(span_str(text));
		uint64_t len = i == 1 ? sizeof text - 2 : i == 2 ? UINT64_MAX : sizeof text - 1;
		launch_usual(b);
		expect(b, PROTO_TYPE_HELLO, &body);
		TELL(b->bus, settings, SETTINGS, fd, {.len = len});
		assert_int_equal(exit_code(b), EXIT_FAILED);
		close(b->bus);
		b->unread = (struct span){0};
		if (fd >= 0)
			close(fd);
	}
	b->bus = -1;
}

static void test_failed_start(void **state)
{
	struct bench *b = *state;
	struct span body;
	manner = FAILS_START;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	tell_settings(b, "");
	assert_int_equal(exit_code(b), EXIT_FAILED);
}

static void test_bad_settings(void **state)
{
	struct bench *b = *state;
	struct span body;
	launch_usual(b);
	expect(b, PROTO_TYPE_HELLO, &body);
	tell_settings(b, "no.such=1\n");
	assert_int_equal(exit_code(b), EXIT_FAILED);
}

static void test_reload(void **state)
{
	struct bench *b = *state;
	boot(b);
	/* Twice: what was kept at the start is there after two of them, too. */
	tell_settings(b, "limits.headers=76\n");
	tell_settings(b, "limits.headers=77\n");
	struct counters_slot *slot = &b->counters->slots[5];
	for (int i = 0; i < 1000 && counter_get(slot, connections) != 77; i++)
		usleep(10000);
	assert_int_equal(counter_get(slot, connections), 77);
	assert_int_equal(counter_get(slot, subscribers),
	                 1); /* what it kept at its start is there, and is not the newest */
}

static void test_only_the_supervisor_ends_it(void **state)
{
	struct bench *b = *state;
	struct span body;
	boot(b);
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		kill(b->pid, signals[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(next_frame(b, &body), PROTO_TYPE_HEARTBEAT);
	kill(b->pid, SIGABRT);
	assert_int_equal(exit_code(b), 1000 + SIGABRT);
}

static void test_a_forbidden_frame_ends_the_bus(void **state)
{
	struct bench *b = *state;
	boot(b);
	TELL(b->bus, ready, READY, -1, {.generation = 1}); /* workers say this, not supervisors */
	assert_int_equal(exit_code(b), EXIT_SUPERVISOR_GONE);
}

static void test_usage(void **state)
{
	struct bench *b = *state;
	static char name[] = "ringside-capture", slot[] = "--slot", two[] = "2", help[] = "--help",
	            generation[] = "--generation", word[] = "x", none[] = "";
	char *rows[][6] = {{name, NULL},
	                   {name, help, NULL},
	                   {name, slot, two, NULL},
	                   {name, slot, two, generation, NULL},
	                   {name, slot, two, generation, word, NULL},
	                   {name, slot, none, generation, two, NULL},
	                   {name, slot, two, slot, two, NULL}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		launch(b, rows[i]);
		assert_int_equal(exit_code(b), EXIT_USAGE);
		close(b->bus);
		b->bus = -1;
	}
}

static void test_supervisor_of_another_build(void **state)
{
	struct bench *b = *state;
	uint64_t other = 1;
	assert_int_equal(pwrite(b->counters_fd, &other, sizeof other, 0), sizeof other);
	launch_usual(b);
	assert_int_equal(exit_code(b), EXIT_USAGE);
}

/* ---- peers ---- */

/* Introduces (role, slot, generation), a link of the same number; returns its end of the pair. */
static int introduced(struct bench *b, unsigned role, unsigned slot, uint64_t generation)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	TELL(b->bus, peer, PEER, ends[0],
	     {.role = (uint8_t)role, .slot = slot, .generation = generation, .link = generation});
	close(ends[0]);
	return ends[1];
}

static void expect_link(struct bench *b, unsigned role, uint64_t slot, uint64_t link, bool up)
{
	struct span body;
	struct proto_link_state m;
	expect(b, PROTO_TYPE_LINK_STATE, &body);
	assert_true(proto_get_link_state(body, &m));
	assert_int_equal(m.role, role);
	assert_int_equal(m.slot, slot);
	assert_int_equal(m.link, link);
	assert_int_equal(m.up, up);
}

static ssize_t receive(int socket, uint8_t *into, size_t room)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};
	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("nothing came");
	return recv(socket, into, room, 0);
}

static uint64_t durable_from(int socket)
{
	uint8_t frame[FRAME_HEAD_BYTES + 8];
	struct proto_log_durable m;
	assert_int_equal(receive(socket, frame, sizeof frame), sizeof frame);
	assert_true(proto_get_log_durable(span_of(frame + FRAME_HEAD_BYTES, 8), &m));
	return m.lsn;
}

static void test_peers_hear_of_durable(void **state)
{
	struct bench *b = *state;
	boot(b);
	int one = introduced(b, ROLE_SSE, 0, 1), two = introduced(b, ROLE_SSE, 1, 2);
	TELL(one, log_durable, LOG_DURABLE, -1, {.lsn = 100});
	assert_int_equal(durable_from(one), 101);
	/* the second may have been introduced after that frame was read */
	TELL(two, log_durable, LOG_DURABLE, -1, {.lsn = 200});
	uint64_t lsn = durable_from(two);
	if (lsn == 101)
		lsn = durable_from(two);
	assert_int_equal(lsn, 201);
	assert_int_equal(durable_from(one), 201);
	close(one);
	close(two);
}

/* A peer that came back replaces its former self, whose socket is closed. */
static void test_later_generation_replaces(void **state)
{
	struct bench *b = *state;
	uint8_t byte;
	boot(b);
	int old = introduced(b, ROLE_SSE, 0, 1), fresh = introduced(b, ROLE_SSE, 0, 2);
	assert_int_equal(receive(old, &byte, 1), 0);
	TELL(fresh, log_durable, LOG_DURABLE, -1, {.lsn = 5});
	assert_int_equal(durable_from(fresh), 6);
	close(old);
	close(fresh);
}

static void test_a_bad_peer_costs_only_itself(void **state)
{
	struct bench *b = *state;
	uint8_t byte;
	struct span body;
	boot(b);
	int bad = introduced(b, ROLE_SSE, 0, 1), good = introduced(b, ROLE_SSE, 1, 2);
	static const uint8_t hostile[] = {0, 0, 0, 1, 0, 0};
	assert_int_equal(send(bad, hostile, sizeof hostile, MSG_NOSIGNAL), sizeof hostile);
	assert_int_equal(receive(bad, &byte, 1), 0);
	TELL(good, log_durable, LOG_DURABLE, -1, {.lsn = 5});
	assert_int_equal(durable_from(good), 6);
	expect_link(b, ROLE_SSE, 0, 1, true);
	expect_link(b, ROLE_SSE, 1, 2, true);
	expect_link(b, ROLE_SSE, 0, 1, false);
	expect(b, PROTO_TYPE_HEARTBEAT, &body);
	close(bad);
	close(good);
}

/* The supervisor is told of each link whether it has come, and when it is lost; not of one that it
 * has replaced itself. */
static void test_links_are_reported(void **state)
{
	struct bench *b = *state;
	boot(b);
	TELL(b->bus, peer, PEER, -1, {.role = ROLE_BRIDGE, .slot = 0, .generation = 3, .link = 7});
	expect_link(b, ROLE_BRIDGE, 0, 7, false);
	int old = introduced(b, ROLE_BRIDGE, 0, 8), fresh = introduced(b, ROLE_BRIDGE, 0, 9);
	expect_link(b, ROLE_BRIDGE, 0, 8, true);
	expect_link(b, ROLE_BRIDGE, 0, 9, true);
	close(fresh);
	expect_link(b, ROLE_BRIDGE, 0, 9, false);
	assert_int_equal(atomic_load(&b->counters->slots[5].links_lost_total), 2);
	close(old);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(test_boot),
	        TEST(test_drain),
	        TEST(test_drain_before_settings),
	        TEST(test_drain_is_cut_when_due),
	        TEST(test_supervisor_gone),
	        TEST(test_failed_start),
	        TEST(test_settings_that_cannot_be_read),
	        TEST(test_what_cannot_start_says_why),
	        TEST(test_bad_settings),
	        TEST(test_reload),
	        TEST(test_only_the_supervisor_ends_it),
	        TEST(test_a_forbidden_frame_ends_the_bus),
	        TEST(test_usage),
	        TEST(test_supervisor_of_another_build),
	        TEST(test_peers_hear_of_durable),
	        TEST(test_later_generation_replaces),
	        TEST(test_a_bad_peer_costs_only_itself),
	        TEST(test_links_are_reported),
	};
	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
