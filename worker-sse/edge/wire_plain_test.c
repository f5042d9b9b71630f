/* A TCP socket as a wire, with its other end in the test's hands. */
#include "worker-sse/edge/wire.h"
#include "common/base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { BUFFER_BYTES = 4096 };

static uv_loop_t loop;
static struct wire wire;
static int peer; /* the other end, which waits */
static unsigned readable, writable, closed;
static void (*when_readable)(void), (*when_writable)(void);

static void on_readable(struct wire *of)
{
	assert_ptr_equal(of, &wire);
	readable++;
	if (when_readable != NULL)
		when_readable();
}

static void on_writable(struct wire *of)
{
	assert_ptr_equal(of, &wire);
	writable++;
	if (when_writable != NULL)
		when_writable();
}

static void on_closed(struct wire *of)
{
	assert_ptr_equal(of, &wire);
	closed++;
}

static const struct wire_events events = {
        .readable = on_readable, .writable = on_writable, .closed = on_closed};

static void open_wire(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof name;
	const int small = BUFFER_BYTES;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	peer = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&name, sizeof name), 0);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	close(listener);
	readable = writable = closed = 0;
	when_readable = when_writable = NULL;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_true(wire_plain_open(&wire, &loop, fd, &events));
}

static void finish(void)
{
	if (wire.fd >= 0)
		wire.kind->close(&wire);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(closed, 1);
	assert_int_equal(uv_loop_close(&loop), 0);
	if (peer >= 0)
		close(peer);
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void until(const unsigned *count, unsigned at_least)
{
	while (*count < at_least)
		uv_run(&loop, UV_RUN_ONCE);
}

static void peer_resets(void)
{
	const struct linger at_once = {.l_onoff = 1};
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(peer);
	peer = -1;
}

/* ---- reading ---- */

static void it_reads_what_comes_and_the_end(void **state)
{
	char bytes[8];
	(void)state;
	open_wire();
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), WIRE_AGAIN);
	wire.kind->want(&wire, WIRE_READABLE);
	turn();
	assert_int_equal(readable, 0);
	assert_int_equal(send(peer, "abcdefghij", 10, 0), 10);
	until(&readable, 1);
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), 8);
	assert_memory_equal(bytes, "abcdefgh", 8);
	unsigned before = readable;
	until(&readable, before + 1); /* each time the loop turns, while there is something */
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), 2);
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), WIRE_AGAIN);
	before = readable;
	shutdown(peer, SHUT_WR);
	until(&readable, before + 1);
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), 0);
	assert_false(wire.kind->was_reset(&wire));
	assert_int_equal(writable, 0);
	finish();
}

static void who_does_not_want_to_hear_does_not(void **state)
{
	(void)state;
	open_wire();
	assert_int_equal(send(peer, "a", 1, 0), 1);
	turn();
	assert_int_equal(readable + writable, 0);
	wire.kind->want(&wire, WIRE_READABLE);
	until(&readable, 1);
	assert_int_equal(wire.wants, WIRE_READABLE);
	wire.kind->want(&wire, 0);
	unsigned before = readable;
	turn();
	assert_int_equal(readable, before);
	assert_int_equal(writable, 0);
	wire.kind->want(&wire, WIRE_WRITABLE);
	until(&writable, 1);
	assert_int_equal(readable, before);
	wire.kind->want(&wire, WIRE_READABLE | WIRE_WRITABLE);
	until(&readable, before + 1);
	finish();
}

/* ---- writing ---- */

/* As much as fits, then nothing; when the other side has taken some there is room again, and every
 * byte arrives once. */
static void it_writes_until_it_is_full_and_goes_on(void **state)
{
	static uint8_t bytes[1 << 20], got[sizeof bytes];
	size_t sent = 0, received = 0;
	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	open_wire();
	while (received < sizeof bytes) {
		for (;;) { /* in three pieces, and in one when little is left */
			size_t left = sizeof bytes - sent, part = left / 3;
			const struct iovec iov[3] = {{bytes + sent, part},
			                             {bytes + sent + part, part},
			                             {bytes + sent + 2 * part, left - 2 * part}};
			ssize_t n = left == 0   ? 0
			            : part == 0 ? wire.kind->write(&wire, iov + 2, 1)
			                        : wire.kind->write(&wire, iov, 3);
			assert_true(n >= 0);
			sent += (size_t)n;
			if (n == 0)
				break;
		}
		if (received == 0) {
			assert_true(sent < sizeof bytes);
			assert_true(wire.kind->undelivered(&wire) > 0);
			wire.kind->want(&wire, WIRE_WRITABLE);
			turn();
			assert_int_equal(writable, 0);
		}
		ssize_t n = recv(peer, got + received, sizeof got - received, 0);
		assert_true(n > 0);
		received += (size_t)n;
	}
	assert_memory_equal(got, bytes, sizeof bytes);
	until(&writable, 1);
	while (wire.kind->undelivered(&wire) > 0)
		usleep(100);
	finish();
}

/* Pieces that fit go at once, in their order. */
static void pieces_go_together(void **state)
{
	const struct iovec iov[3] = {{(void *)(uintptr_t) "ab", 2},
	                             {(void *)(uintptr_t) "", 0},
	                             {(void *)(uintptr_t) "cde", 3}};
	char bytes[8];
	(void)state;
	open_wire();
	assert_int_equal(wire.kind->write(&wire, iov, 3), 5);
	assert_int_equal(recv(peer, bytes, 5, MSG_WAITALL), 5);
	assert_memory_equal(bytes, "abcde", 5);
	finish();
}

static void what_was_written_arrives_after_the_end(void **state)
{
	const struct iovec iov = {(void *)(uintptr_t) "last", 4};
	char bytes[8];
	(void)state;
	open_wire();
	assert_int_equal(wire.kind->write(&wire, &iov, 1), 4);
	assert_true(wire.kind->shut(&wire));
	assert_int_equal(recv(peer, bytes, sizeof bytes, MSG_WAITALL), 4);
	assert_int_equal(recv(peer, bytes, sizeof bytes, 0), 0);
	assert_int_equal(send(peer, "go on", 5, 0), 5); /* the other side may */
	wire.kind->want(&wire, WIRE_READABLE);
	until(&readable, 1);
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), 5);
	finish();
}

/* ---- what breaks ---- */

/* The error is no event of the loop's, which hears no more by itself: reading says what it is. */
static void a_reset_is_heard_by_who_reads(void **state)
{
	char bytes[8];
	(void)state;
	open_wire();
	assert_false(wire.kind->was_reset(&wire));
	wire.kind->want(&wire, WIRE_READABLE);
	peer_resets();
	until(&readable, 1);
	assert_int_equal(wire.kind->read(&wire, bytes, sizeof bytes), WIRE_BROKEN);
	assert_true(wire.kind->was_reset(&wire));
	assert_false(wire.kind->shut(&wire));
	finish();
}

static void a_reset_is_heard_by_who_writes(void **state)
{
	const struct iovec iov[2] = {{(void *)(uintptr_t) "a", 1}, {(void *)(uintptr_t) "b", 1}};
	(void)state;
	for (int count = 1; count <= 2; count++) {
		open_wire();
		peer_resets();
		wire.kind->want(&wire, WIRE_WRITABLE);
		until(&writable, 1);
		assert_int_equal(readable, 0);
		assert_int_equal(wire.kind->write(&wire, iov, count), WIRE_BROKEN);
		finish();
	}
}

static void a_reset_shows_while_nothing_is_read(void **state)
{
	(void)state;
	open_wire();
	assert_int_equal(send(peer, "abc", 3, 0), 3);
	peer_resets();
	while (!wire.kind->was_reset(&wire))
		usleep(100);
	assert_int_equal(readable, 0);
	finish();
}

/* What came before the error is read before it. Whoever still wants to hear says so anew. */
static void data_goes_before_the_error(void **state)
{
	char bytes[8];
	(void)state;
	open_wire();
	assert_int_equal(send(peer, "abc", 3, 0), 3);
	peer_resets();
	while (!wire.kind->was_reset(&wire))
		usleep(100);
	wire.kind->want(&wire, WIRE_READABLE);
	until(&readable, 1);
	assert_int_equal(wire.wants, 0);
	ssize_t n = wire.kind->read(&wire, bytes, sizeof bytes);
	if (n != WIRE_BROKEN) {
		assert_int_equal(n, 3);
		assert_memory_equal(bytes, "abc", 3);
		wire.kind->want(&wire, WIRE_READABLE);
		until(&readable, 2);
		n = wire.kind->read(&wire, bytes, sizeof bytes);
	}
	assert_true(n == WIRE_BROKEN || n == 0);
	finish();
}

/* ---- closing ---- */

static void close_it(void)
{
	wire.kind->close(&wire);
}

/* Within an event: no other comes but closed(), although it was due in the same turn. */
static void it_may_be_closed_within_an_event(void **state)
{
	(void)state;
	open_wire();
	assert_int_equal(send(peer, "abc", 3, 0), 3);
	when_readable = close_it;
	wire.kind->want(&wire, WIRE_READABLE | WIRE_WRITABLE);
	while (closed == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(readable, 1);
	assert_true(wire.fd < 0);
	finish();
}

static unsigned written_after_close;

static void note_late(void)
{
	written_after_close += wire.fd < 0;
}

static void no_event_follows_a_close(void **state)
{
	(void)state;
	written_after_close = 0;
	open_wire();
	assert_int_equal(send(peer, "abc", 3, 0), 3);
	when_writable = note_late;
	when_readable = close_it;
	wire.kind->want(&wire, WIRE_READABLE | WIRE_WRITABLE);
	while (closed == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(written_after_close, 0);
	finish();
}

static void it_knows_who_is_there(void **state)
{
	static const uint8_t loopback[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	uint8_t address[16];
	(void)state;
	open_wire();
	assert_true(wire.kind->address(&wire, address));
	assert_memory_equal(address, loopback, sizeof address);
	finish();
}

static void what_cannot_be_waited_for_is_no_wire(void **state)
{
	struct wire none = {0};
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_false(wire_plain_open(&none, &loop, fd, &events));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still the caller's */
	close(fd);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_reads_what_comes_and_the_end),
	        cmocka_unit_test(who_does_not_want_to_hear_does_not),
	        cmocka_unit_test(it_writes_until_it_is_full_and_goes_on),
	        cmocka_unit_test(pieces_go_together),
	        cmocka_unit_test(what_was_written_arrives_after_the_end),
	        cmocka_unit_test(a_reset_is_heard_by_who_reads),
	        cmocka_unit_test(a_reset_is_heard_by_who_writes),
	        cmocka_unit_test(a_reset_shows_while_nothing_is_read),
	        cmocka_unit_test(data_goes_before_the_error),
	        cmocka_unit_test(it_may_be_closed_within_an_event),
	        cmocka_unit_test(no_event_follows_a_close),
	        cmocka_unit_test(it_knows_who_is_there),
	        cmocka_unit_test(what_cannot_be_waited_for_is_no_wire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
