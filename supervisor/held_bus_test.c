#include "supervisor/held_bus.h"
#include "proto/frame.h"
#include "proto/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static uv_loop_t loop;
static int worker;
static struct held_bus *bus;

static int begin(void **state)
{
	int ends[2];
	(void)state;
	uv_loop_init(&loop);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		return -1;
	worker = ends[1];
	bus = held_bus_create(&loop, ends[0]);
	return 0;
}

static int end(void **state)
{
	(void)state;
	held_bus_destroy(&bus);
	uv_run(&loop, UV_RUN_DEFAULT);
	close(worker);
	return uv_loop_close(&loop);
}

static void test_drain_is_one_frame_that_never_changes(void **state)
{
	static const uint8_t expected[] = {0, 0, 0, 10, 0, 6, 0, 0, 0, 0, 0, 0, 0x30, 0x39};
	uint8_t bytes[64];
	(void)state;
	assert_true(held_bus_drain(bus, 12345));
	assert_int_equal(recv(worker, bytes, sizeof bytes, 0), sizeof expected);
	assert_memory_equal(bytes, expected, sizeof expected);
}

static void test_what_is_said_is_thrown_away(void **state)
{
	static const char words[65536];
	size_t said = 0;
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		ssize_t n = send(worker, words, sizeof words, MSG_DONTWAIT | MSG_NOSIGNAL);
		said += n > 0 ? (size_t)n : 0;
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_true(said > 1000000); /* more than any socket keeps */
}

static void test_who_has_gone_cannot_be_told(void **state)
{
	(void)state;
	shutdown(worker, SHUT_RDWR);
	close(worker);
	worker = dup(STDERR_FILENO);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_false(held_bus_drain(bus, 1));
}

static void test_it_ends_with_its_descriptor(void **state)
{
	char nothing;
	(void)state;
	assert_true(held_bus_fd(bus) >= 0);
	assert_int_equal(recv(worker, &nothing, 1, MSG_DONTWAIT), -1);
	held_bus_destroy(&bus);
	assert_null(bus);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(recv(worker, &nothing, 1, MSG_DONTWAIT), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(drain_is_one_frame_that_never_changes),
	        TEST(what_is_said_is_thrown_away),
	        TEST(who_has_gone_cannot_be_told),
	        TEST(it_ends_with_its_descriptor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
