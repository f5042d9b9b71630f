/* Who is let in, over sockets of this machine: descriptors of their own number, as a worker
 * inherits them. */
#include "worker-sse/edge/listen.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/edge_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { LISTENERS = 2 };

static const char hello[] = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
static struct edge_bench *bench;
static struct wire_memory none; /* the bench's own wire: not used */
static struct sockaddr_in names[LISTENERS];
static unsigned requests;

static void answer(struct request *request)
{
	requests++;
	reply(request, 200, NULL, 0, SPAN("hi"));
}

/* The numbers of listeners are taken, by what does not listen. */
static void take_numbers(void)
{
	int fd = open("/dev/null", O_RDONLY);
	for (int i = BOOT_FD_LISTEN; i < BOOT_FD_END; i++)
		check(dup2(fd, i) == i);
	if (fd >= BOOT_FD_END)
		close(fd);
}

static void bind_listener(int i)
{
	socklen_t len = sizeof names[i];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	names[i] = (struct sockaddr_in){.sin_family = AF_INET,
	                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&names[i], len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&names[i], &len), 0);
	assert_int_equal(dup2(fd, BOOT_FD_LISTEN + i), BOOT_FD_LISTEN + i);
	close(fd);
}

static void open_with(const char *const *settings)
{
	for (int i = 0; i < LISTENERS; i++)
		bind_listener(i);
	requests = 0;
	bench = edge_bench_create(settings);
	edge_bench_route()->handler = answer;
	assert_int_equal(edge_listen(&bench->edge), 0);
	assert_int_equal(bench->edge.listeners_count, LISTENERS);
}

static void finish(void)
{
	edge_close(&bench->edge);
	edge_bench_turn(bench, &none);
	assert_true(edge_is_empty(&bench->edge));
	if (bench->edge.spare_fd >= 0)
		close(bench->edge.spare_fd);
	edge_bench_destroy(bench);
	take_numbers();
}

/* A client that has said what it wants. */
static int client(int listener)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&names[listener], sizeof *names), 0);
	assert_int_equal(send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL), sizeof hello - 1);
	return fd;
}

/* What it is answered with; 0: it was cut. */
static unsigned status_of(int fd)
{
	char bytes[2048] = "";
	unsigned status = 0;
	ssize_t n;
	do {
		edge_bench_turn(bench, &none);
		n = recv(fd, bytes, sizeof bytes - 1, MSG_DONTWAIT);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (n > 0)
		assert_int_equal(sscanf(bytes, "HTTP/1.1 %u ", &status), 1);
	return status;
}

/* It leaves, and that is noticed. */
static void leave(int fd)
{
	size_t before = bench->edge.conns_count;
	close(fd);
	while (bench->edge.conns_count >= before)
		edge_bench_turn(bench, &none);
}

static void every_listener_lets_clients_in(void **state)
{
	int fds[LISTENERS * 2];
	(void)state;
	open_with(NULL);
	for (int i = 0; i < LISTENERS * 2; i++)
		fds[i] = client(i % LISTENERS);
	for (int i = 0; i < LISTENERS * 2; i++)
		assert_int_equal(status_of(fds[i]), 200);
	assert_int_equal(requests, LISTENERS * 2);
	assert_int_equal(bench->edge.conns_count, LISTENERS * 2);
	for (int i = 0; i < LISTENERS * 2; i++)
		close(fds[i]);
	finish();
}

static void one_too_many_is_told_so(void **state)
{
	int fds[3];
	(void)state;
	open_with(NULL);
	bench->edge.conns_max = 2;
	for (int i = 0; i < 2; i++) {
		fds[i] = client(0);
		assert_int_equal(status_of(fds[i]), 200);
	}
	fds[2] = client(0);
	assert_int_equal(status_of(fds[2]), 503);
	assert_int_equal(requests, 2); /* its request is not read */
	assert_int_equal(counter_get(&bench->counters, connections_refused_total), 1);
	leave(fds[2]);
	leave(fds[0]);
	fds[0] = client(1);
	assert_int_equal(status_of(fds[0]), 200);
	leave(fds[0]);
	leave(fds[1]);
	finish();
}

/* Of those who are told so there may be some; the rest is cut at once. */
static void far_too_many_are_cut(void **state)
{
	(void)state;
	open_with(NULL);
	bench->edge.conns_max = 0;
	bench->edge.conns_count = 1000; /* who are being told */
	int fd = client(0);
	assert_int_equal(status_of(fd), 0);
	assert_int_equal(counter_get(&bench->counters, connections_refused_total), 1);
	assert_int_equal(bench->edge.conns_count, 1000);
	bench->edge.conns_count = 0;
	close(fd);
	finish();
}

static void an_address_has_its_share(void **state)
{
	int fds[3];
	(void)state;
	open_with((const char *const[]){"limits.connections_per_address=2", NULL});
	for (int i = 0; i < 2; i++) {
		fds[i] = client(i);
		assert_int_equal(status_of(fds[i]), 200);
	}
	fds[2] = client(0);
	assert_int_equal(status_of(fds[2]), 429);
	assert_int_equal(requests, 2);
	leave(fds[2]);
	leave(fds[1]);
	fds[1] = client(0);
	assert_int_equal(status_of(fds[1]), 200);
	leave(fds[0]);
	leave(fds[1]);
	finish();
}

/* ---- without descriptors ---- */

static int fillers[1024];
static size_t fillers_count;
static struct rlimit before;

static void use_up_descriptors(void)
{
	getrlimit(RLIMIT_NOFILE, &before);
	const struct rlimit few = {.rlim_cur = 128, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fillers_count = 0;
	for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;)
		fillers[fillers_count++] = fd;
	assert_int_equal(errno, EMFILE);
}

static void free_descriptors(void)
{
	while (fillers_count > 0)
		close(fillers[--fillers_count]);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* Left in the queue it would wake us for ever: the spare descriptor accepts it and lets it go. */
static void without_descriptors_a_client_is_dropped(void **state)
{
	(void)state;
	open_with(NULL);
	int fd = client(0);
	use_up_descriptors();
	assert_int_equal(status_of(fd), 0);
	assert_int_equal(counter_get(&bench->counters, connections_dropped_total), 1);
	assert_true(bench->edge.spare_fd >= 0);
	free_descriptors();
	close(fd);
	fd = client(0);
	assert_int_equal(status_of(fd), 200);
	leave(fd);
	finish();
}

/* Not even the spare one: it waits a little, and is served when there are some again. */
static void without_a_spare_one_it_waits(void **state)
{
	(void)state;
	open_with(NULL);
	close(bench->edge.spare_fd);
	bench->edge.spare_fd = -1;
	int fd = client(0);
	use_up_descriptors();
	edge_bench_turn(bench, &none);
	assert_int_equal(counter_get(&bench->counters, connections_dropped_total), 0);
	assert_false(uv_is_active((uv_handle_t *)&bench->edge.listeners[0]));
	assert_false(uv_is_active((uv_handle_t *)&bench->edge.listeners[1]));
	free_descriptors();
	edge_bench_wait(bench, &none, 200);
	assert_int_equal(status_of(fd), 200);
	leave(fd);
	finish();
}

/* ---- drain ---- */

/* What the kernel has accepted would be reset when the socket closes: it is served first. */
static void who_stands_at_the_door_is_served_before_it_closes(void **state)
{
	(void)state;
	open_with(NULL);
	int fds[2] = {client(0), client(1)}, late = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(requests, 0);
	edge_stop_accepting(&bench->edge);
	edge_stop_accepting(&bench->edge);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(status_of(fds[i]), 200);
		close(fds[i]);
	}
	assert_int_equal(connect(late, (struct sockaddr *)&names[0], sizeof *names), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(late);
	finish();
}

static void a_worker_without_sockets_listens_to_nobody(void **state)
{
	(void)state;
	bench = edge_bench_create(NULL);
	assert_int_equal(edge_listen(&bench->edge), 0);
	assert_int_equal(bench->edge.listeners_count, 0);
	finish();
}

/* A connection is a descriptor: fewer of these, fewer of those. */
static void descriptors_bound_the_connections(void **state)
{
	static const struct {
		rlim_t descriptors;
		uint64_t connections;
	} rows[] = {{4000, 1000}, {1768, 1000}, {1767, 999}, {1537, 769}, {1536, 768}, {100, 50}};
	struct rlimit was;
	(void)state;
	getrlimit(RLIMIT_NOFILE, &was);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct rlimit limit = {rows[i].descriptors, was.rlim_max};
		if (limit.rlim_cur > was.rlim_max)
			continue;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		open_with((const char *const[]){"limits.connections=1000", NULL});
		assert_int_equal(bench->edge.conns_max, rows[i].connections);
		finish();
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_listener_lets_clients_in),
	        cmocka_unit_test(one_too_many_is_told_so),
	        cmocka_unit_test(far_too_many_are_cut),
	        cmocka_unit_test(an_address_has_its_share),
	        cmocka_unit_test(without_descriptors_a_client_is_dropped),
	        cmocka_unit_test(without_a_spare_one_it_waits),
	        cmocka_unit_test(who_stands_at_the_door_is_served_before_it_closes),
	        cmocka_unit_test(a_worker_without_sockets_listens_to_nobody),
	        cmocka_unit_test(descriptors_bound_the_connections),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	take_numbers();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
