#include "supervisor/listeners.h"

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct listeners listeners;

static int teardown(void **state)
{
	(void)state;
	listeners_finish(&listeners);
	return 0;
}

static void add(const char *v4, bool v6, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 b = {.sin6_family = AF_INET6,
	                         .sin6_port = htons(port),
	                         .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	assert_true(v6 || inet_pton(AF_INET, v4, &a.sin_addr) == 1);
	if (v6)
		listener_init(&listeners.each[listeners.count++], (const struct sockaddr *)&b,
		              sizeof b);
	else
		listener_init(&listeners.each[listeners.count++], (const struct sockaddr *)&a,
		              sizeof a);
}

static bool connects(const struct listener *listener)
{
	int fd = socket(listener->address.ss_family, SOCK_STREAM, 0);
	bool ok = connect(fd, (const struct sockaddr *)&listener->address, listener->address_len) ==
	          0;
	close(fd);
	return ok;
}

static void test_every_address_of_a_name_is_served(void **state)
{
	(void)state;
	int fds[BOOT_LISTENERS_MAX];
	listeners.count = 0;
	add("127.0.0.1", false, 0);
	add("127.0.0.2", false, 0);
	assert_int_equal(listeners_open(&listeners, 3), 0);
	assert_true(listeners_are_open(&listeners, 3));
	assert_int_not_equal(listener_port(&listeners.each[0]), 0);
	assert_int_equal(listener_port(&listeners.each[0]), listener_port(&listeners.each[1]));
	assert_true(connects(&listeners.each[0]) && connects(&listeners.each[1]));
	listeners_fds(&listeners, 3, fds);
	assert_true(fds[0] >= 0 && fds[1] >= 0 && fds[0] != fds[1]);
	assert_true(listeners_queue_waits(&listeners, 3));
	assert_memory_equal(listeners_url(&listeners), "http://127.0.0.1:", 17);
	listeners_close(&listeners, 3);
	assert_false(listeners_are_open(&listeners, 3));
	assert_false(connects(&listeners.each[1]));
}

/* What is taken on the second address must not leave the first one open. */
static void test_all_or_none(void **state)
{
	(void)state;
	struct sockaddr_in taken = {.sin_family = AF_INET,
	                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	socklen_t len = sizeof taken;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&taken, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&taken, &len);
	listeners.count = 0;
	add("127.0.0.1", false, ntohs(taken.sin_port));
	add("127.0.0.2", false, ntohs(taken.sin_port));
	assert_int_equal(listeners_open(&listeners, 0), EADDRINUSE);
	assert_false(listeners_are_open(&listeners, 0));
	assert_false(connects(&listeners.each[0]));
	close(fd);
}

static void test_an_address_that_is_not_here_is_left_out(void **state)
{
	(void)state;
	unsigned left_out;
	listeners.count = 0;
	add("192.0.2.7", false, 0); /* RFC 5737: nobody's */
	add("127.0.0.1", false, 0);
	assert_int_equal(listeners_probe(&listeners, &left_out), 0);
	assert_int_equal(left_out, 1);
	assert_int_equal(listeners.count, 1);
	assert_int_equal(listeners_open(&listeners, 0), 0);
	listeners_finish(&listeners);
	listeners.count = 0;
	add("192.0.2.7", false, 0);
	assert_int_equal(listeners_probe(&listeners, &left_out), EADDRNOTAVAIL);
}

static void test_names_and_numbers(void **state)
{
	(void)state;
	const char *reason = NULL;
	assert_true(listeners_init(&listeners, "127.0.0.1:80", true, &reason));
	assert_int_equal(listeners.count, 1);
	assert_true(listeners_init(&listeners, "[::1]:80", true, &reason));
	assert_int_equal(listeners.count, 1);
	assert_true(listeners_init(&listeners, "localhost:80", true, &reason));
	assert_int_equal(listeners.each[0].address.ss_family, AF_INET);
	assert_true(listeners_init(&listeners, "192.0.2.7:80", false, &reason));
	assert_false(listeners_init(&listeners, "192.0.2.7:80", true, &reason));
	assert_non_null(strstr(reason, "loopback"));
	assert_false(listeners_init(&listeners, "127.0.0.1", false, &reason));
	assert_false(listeners_init(&listeners, "no such host:1", false, &reason));
}

static void test_several_are_served_each_in_its_way(void **state)
{
	(void)state;
	const char *reason = NULL;
	assert_true(listeners_init(
	        &listeners, "https://127.0.0.1:0, 127.0.0.1:0,http://127.0.0.2:0", true, &reason));
	assert_int_equal(listeners.count, 3);
	assert_true(listeners_init(&listeners, "127.0.0.3:0,https://127.0.0.1:0", true, &reason));
	assert_int_equal(listeners_tls(&listeners), 2);
	assert_int_equal(listeners_open(&listeners, 0), 0);
	/* Each group has a free port of its own. */
	assert_int_not_equal(listener_port(&listeners.each[1]), 0);
	assert_memory_equal(listeners.each[0].url, "http://127.0.0.3:", 17);
	assert_memory_equal(listeners.each[1].url, "https://127.0.0.1:", 18);
	listeners_finish(&listeners);
	assert_false(listeners_init(&listeners,
	                            "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4,127.0.0.1:5,"
	                            "127.0.0.1:6,127.0.0.1:7,127.0.0.1:8,127.0.0.1:9",
	                            true, &reason));
	assert_string_equal(reason, "more than 8 addresses");
	assert_false(listeners_init(&listeners, "127.0.0.1:1,127.0.0.1:1", true, &reason));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(name, teardown)
	        T(test_every_address_of_a_name_is_served),       T(test_all_or_none),
	        T(test_an_address_that_is_not_here_is_left_out), T(test_names_and_numbers),
	        T(test_several_are_served_each_in_its_way),
#undef T
	};
	return cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
}
