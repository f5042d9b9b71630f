#include "supervisor/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct listener listener;

/* On any port of the family's loopback address. */
static void begin(sa_family_t family)
{
	const struct sockaddr_in v4 = {.sin_family = AF_INET,
	                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
	                                .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	if (family == AF_INET)
		listener_init(&listener, (const struct sockaddr *)&v4, sizeof v4);
	else
		listener_init(&listener, (const struct sockaddr *)&v6, sizeof v6);
}

static int teardown(void **state)
{
	(void)state;
	listener_finish(&listener);
	return 0;
}

/* Connects n times and counts in whose queue the connections are. */
static void connect_and_count(unsigned n, unsigned counts[LISTENER_SLOTS_MAX])
{
	memset(counts, 0, LISTENER_SLOTS_MAX * sizeof *counts);
	for (unsigned i = 0; i < n; i++) {
		int fd = socket(listener.address.ss_family, SOCK_STREAM, 0);
		assert_int_equal(
		        connect(fd, (struct sockaddr *)&listener.address, listener.address_len), 0);
		for (unsigned slot = 0; slot < LISTENER_SLOTS_MAX; slot++)
			if (listener.fds[slot] >= 0 && listener_queue_waits(&listener, slot)) {
				close(accept(listener.fds[slot], NULL, NULL));
				counts[slot]++;
			}
		close(fd);
	}
}

static void steer(unsigned first, unsigned second)
{
	bool active[LISTENER_SLOTS_MAX] = {false};
	active[first] = active[second] = true;
	assert_int_equal(listener_steer(&listener, active), 0);
}

static void test_program_leads_to_every_position(void **state)
{
	(void)state;
	struct sock_filter code[LISTENER_PROGRAM_MAX];
	unsigned positions[LISTENER_SLOTS_MAX];
	for (unsigned i = 0; i < LISTENER_SLOTS_MAX; i++)
		positions[i] = 1000 + i;
	for (unsigned count = 1; count <= LISTENER_SLOTS_MAX; count++) {
		unsigned len = listener_program(code, positions, count);
		assert_in_range(len, 3, LISTENER_PROGRAM_MAX);
		assert_int_equal(code[1].k, count);
		unsigned returns = 0;
		for (unsigned i = 2; i < len; i++)
			if (code[i].code == (BPF_RET | BPF_K))
				assert_int_equal(code[i].k, 1000 + returns++);
		assert_int_equal(returns, count);
		assert_int_equal(code[len - 1].code, BPF_RET | BPF_K);
	}
}

static void test_port_zero_is_shared_by_all(void **state)
{
	(void)state;
	begin(AF_INET);
	assert_int_equal(listener_open(&listener, 0), 0);
	assert_int_equal(listener_open(&listener, 1), 0);
	struct sockaddr_in a, b;
	socklen_t len = sizeof a;
	getsockname(listener.fds[0], (struct sockaddr *)&a, &len);
	getsockname(listener.fds[1], (struct sockaddr *)&b, &len);
	assert_int_equal(a.sin_port, b.sin_port);
	char url[64];
	snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(a.sin_port));
	assert_string_equal(listener.url, url);
}

static void test_only_steered_slots_get_connections(void **state)
{
	(void)state;
	unsigned counts[LISTENER_SLOTS_MAX];
	begin(AF_INET);
	for (unsigned slot = 0; slot < 4; slot++)
		assert_int_equal(listener_open(&listener, slot), 0);
	steer(1, 3);
	connect_and_count(200, counts);
	assert_int_equal(counts[0] + counts[2], 0);
	assert_int_equal(counts[1] + counts[3], 200);
	assert_in_range(counts[1], 50, 150);
}

static void test_new_socket_waits_to_be_steered_to(void **state)
{
	(void)state;
	unsigned counts[LISTENER_SLOTS_MAX];
	begin(AF_INET);
	listener_open(&listener, 0);
	steer(0, 0);
	listener_open(&listener, 1);
	connect_and_count(50, counts);
	assert_int_equal(counts[0], 50);
	steer(0, 1);
	connect_and_count(100, counts);
	assert_true(counts[0] > 10 && counts[1] > 10);
}

/* Whatever is closed in whatever order, the numbering stays the kernel's. */
static void test_closing_keeps_the_numbering(void **state)
{
	(void)state;
	unsigned counts[LISTENER_SLOTS_MAX];
	begin(AF_INET);
	for (unsigned slot = 0; slot < 5; slot++)
		listener_open(&listener, slot);
	steer(2, 4);
	listener_close(&listener, 1); /* 4 moves into its place */
	connect_and_count(100, counts);
	assert_int_equal(counts[2] + counts[4], 100);
	assert_true(counts[2] > 10 && counts[4] > 10);
	listener_close(&listener, 0); /* 3 moves */
	steer(3, 3);
	connect_and_count(50, counts);
	assert_int_equal(counts[3], 50);
	listener_open(&listener, 0);
	listener_close(&listener, 0); /* the last one: nothing moves */
	steer(4, 4);
	connect_and_count(50, counts);
	assert_int_equal(counts[4], 50);
}

static void test_probe_sees_who_shares(void **state)
{
	(void)state;
	struct listener other;
	begin(AF_INET);
	assert_int_equal(listener_probe(&listener), 0);
	listener_open(&listener, 0);
	other = listener;
	assert_int_equal(listener_probe(&other), EADDRINUSE);
}

static void test_ipv6(void **state)
{
	(void)state;
	unsigned counts[LISTENER_SLOTS_MAX];
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
	                                .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool there = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
	close(fd);
	if (!there)
		skip();
	begin(AF_INET6);
	listener_open(&listener, 0);
	assert_memory_equal(listener.url, "http://[::1]:", 13);
	listener_open(&listener, 1);
	steer(1, 1);
	connect_and_count(20, counts);
	assert_int_equal(counts[1], 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_program_leads_to_every_position),
#define T(name) cmocka_unit_test_teardown(name, teardown)
	        T(test_port_zero_is_shared_by_all),
	        T(test_only_steered_slots_get_connections),
	        T(test_new_socket_waits_to_be_steered_to),
	        T(test_closing_keeps_the_numbering),
	        T(test_probe_sees_who_shares),
	        T(test_ipv6),
#undef T
	};
	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
