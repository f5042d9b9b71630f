#include "common/base/check.h"
#include "common/worker/handed.h"
#include "common/worker/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { FRAMES_MAX = 4096 };

/* One peer under test, its other end as a plain socket, and what came out of it. */
enum { QUEUE_BYTES_MAX = 8 << 20 };

struct bench {
	uv_loop_t loop;
	struct peer *peer;
	int other;
	size_t frames, closes;
	unsigned types[FRAMES_MAX];
	uint64_t numbers[FRAMES_MAX]; /* first eight bytes of the body */
	int fds[FRAMES_MAX];
	enum proto_verdict verdict;
	bool destroy_within;
};

static enum proto_verdict on_frame(void *arg, struct peer *peer, unsigned type, struct span body,
                                   int fd)
{
	struct bench *b = arg;
	assert_true(b->frames < FRAMES_MAX);
	assert_ptr_equal(peer, b->peer);
	struct reader r = {body.at, body.at + body.len, true};
	b->types[b->frames] = type;
	b->numbers[b->frames] = reader_uint(&r, 8);
	b->fds[b->frames++] = fd;
	if (b->destroy_within)
		peer_destroy(&b->peer);
	return b->verdict;
}

static void on_close(void *arg, struct peer *peer)
{
	struct bench *b = arg;
	assert_ptr_equal(peer, b->peer);
	b->peer = NULL;
	b->closes++;
}

static int begin(void **state)
{
	static struct bench bench;
	int ends[2];
	bench = (struct bench){.verdict = PROTO_HANDLED};
	*state = &bench;
	if (uv_loop_init(&bench.loop) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return 1;
	const struct peer_events events = {.on_frame = on_frame,
	                                   .on_close = on_close,
	                                   .arg = &bench,
	                                   .queue_bytes_max = QUEUE_BYTES_MAX};
	bench.peer = peer_create(&bench.loop, ends[0], (struct party){ROLE_SSE, 3, 9}, &events);
	bench.other = ends[1];
	return 0;
}

static void turn(struct bench *b)
{
	for (int i = 0; i < 4; i++)
		uv_run(&b->loop, UV_RUN_NOWAIT);
}

static int end(void **state)
{
	struct bench *b = *state;
	peer_destroy(&b->peer);
	peer_destroy(&b->peer);
	turn(b);
	close(b->other);
	for (size_t i = 0; i < b->frames; i++)
		if (b->fds[i] >= 0)
			close(b->fds[i]);
	return uv_loop_close(&b->loop);
}

static size_t put_frame(uint8_t *at, unsigned type, uint64_t number, size_t body_len)
{
	memset(at, 0, FRAME_HEAD_BYTES + body_len);
	frame_head(at, type, body_len);
	struct writer w = {at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + body_len, true};
	writer_uint(&w, number, 8);
	assert_true(w.ok);
	return FRAME_HEAD_BYTES + body_len;
}

static void send_bytes(struct bench *b, const uint8_t *at, size_t len)
{
	assert_int_equal(send(b->other, at, len, MSG_NOSIGNAL), len);
}

/* `len` bytes with `count` descriptors on the first of them. */
static void send_fds(struct bench *b, const uint8_t *at, size_t len, const int *fds, size_t count)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)at, len};
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	assert_int_equal(sendmsg(b->other, &message, MSG_NOSIGNAL), len);
}

static size_t open_fds(void)
{
	size_t count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A pipe's read end whose first byte is `mark`. */
static int marked_fd(uint8_t mark)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], &mark, 1), 1);
	close(ends[1]);
	return ends[0];
}

static int mark_of(int fd)
{
	uint8_t mark = 0;
	return read(fd, &mark, 1) == 1 ? mark : -1;
}

static void test_identity(void **state)
{
	struct bench *b = *state;
	assert_int_equal(peer_party(b->peer)->role, ROLE_SSE);
	assert_int_equal(peer_party(b->peer)->slot, 3);
	assert_int_equal(peer_party(b->peer)->generation, 9);
}

static void test_split_at_every_byte(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	size_t len = put_frame(bytes, PROTO_TYPE_HEARTBEAT, 11, 8);
	len += put_frame(bytes + len, PROTO_TYPE_READY, 12, 8);
	for (size_t cut = 1; cut < len; cut++) {
		b->frames = 0;
		send_bytes(b, bytes, cut);
		turn(b);
		send_bytes(b, bytes + cut, len - cut);
		turn(b);
		assert_int_equal(b->frames, 2);
		assert_int_equal(b->types[0], PROTO_TYPE_HEARTBEAT);
		assert_int_equal(b->numbers[0], 11);
		assert_int_equal(b->numbers[1], 12);
	}
	for (size_t i = 0; i < len; i++) {
		send_bytes(b, bytes + i, 1);
		turn(b);
	}
	assert_int_equal(b->frames, 4);
	assert_int_equal(b->closes, 0);
}

static void test_sent_frames_arrive_whole(void **state)
{
	struct bench *b = *state;
	peer_put(b->peer, ready, READY, {.generation = 77});
	uint8_t expected[FRAME_HEAD_BYTES + 8], got[64];
	put_frame(expected, PROTO_TYPE_READY, 77, 8);
	assert_int_equal(recv(b->other, got, sizeof got, MSG_DONTWAIT), sizeof expected);
	assert_memory_equal(got, expected, sizeof expected);
}

/* Reads what is there; returns the frames. The reader stays between calls. */
static size_t drain(struct bench *b, struct frame_reader *reader, uint64_t *last, bool *in_order)
{
	static uint8_t bytes[65536];
	size_t frames = 0;
	for (;;) {
		ssize_t n = recv(b->other, bytes, sizeof bytes, MSG_DONTWAIT);
		if (n <= 0)
			return frames;
		struct span in = span_of(bytes, (size_t)n), body;
		unsigned type;
		while (frame_read(reader, &in, &type, &body) == FRAME_WHOLE) {
			struct reader r = {body.at, body.at + body.len, true};
			uint64_t number = reader_uint(&r, 8);
			if (type == PROTO_TYPE_ADMIN_REPLY) {
				*in_order = *in_order && number == *last + 1;
				*last = number;
			}
			frames++;
		}
	}
}

static bool send_reply(struct bench *b, uint64_t number, size_t body_len)
{
	uint8_t *body = xcalloc(1, body_len);
	struct writer w = {body, body + body_len, true};
	writer_uint(&w, number, 8);
	bool sent = peer_send(b->peer, PROTO_TYPE_ADMIN_REPLY, span_of(body, body_len), -1);
	free(body);
	return sent;
}

/* A reader that stops for a while gets everything, in order, and never blocks the sender. */
static void test_slow_reader(void **state)
{
	struct bench *b = *state;
	struct frame_reader reader = {0};
	uint64_t last = 0;
	bool in_order = true;
	for (uint64_t i = 1; i <= 700; i++)
		assert_true(send_reply(b, i, 10000));
	size_t frames = 0;
	for (int i = 0; i < 1000 && frames < 700; i++) {
		frames += drain(b, &reader, &last, &in_order);
		turn(b);
	}
	assert_int_equal(frames, 700);
	assert_int_equal(last, 700);
	assert_true(in_order);
	assert_int_equal(b->closes, 0);
	frame_reader_finish(&reader);
}

static void test_dead_reader_is_cut_at_the_maximum(void **state)
{
	struct bench *b = *state;
	size_t sent = 0;
	while (send_reply(b, sent + 1, 100000)) {
		sent++;
		assert_true(sent < 200);
	}
	assert_true(sent * 100000 > QUEUE_BYTES_MAX / 2);
	assert_int_equal(b->closes, 0); /* not within the call */
	assert_non_null(b->peer);
	assert_false(send_reply(b, 1, 100));
	peer_send_durable(b->peer, 5);
	turn(b);
	assert_int_equal(b->closes, 1);
	assert_null(b->peer);
}

static void test_durable_notices_merge(void **state)
{
	struct bench *b = *state;
	size_t queued = 0;
	while (queued < 64) { /* more than the socket takes */
		assert_true(send_reply(b, queued + 1, 100000));
		queued++;
	}
	for (uint64_t lsn = 1; lsn <= 100000; lsn++)
		peer_send_durable(b->peer, lsn);
	struct frame_reader reader = {0};
	uint8_t bytes[65536];
	size_t notices = 0;
	uint64_t lsn = 0;
	for (int idle = 0; idle < 4; turn(b)) {
		ssize_t n = recv(b->other, bytes, sizeof bytes, MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		struct span in = span_of(bytes, n > 0 ? (size_t)n : 0), body;
		unsigned type;
		while (frame_read(&reader, &in, &type, &body) == FRAME_WHOLE) {
			struct proto_log_durable m;
			if (type != PROTO_TYPE_LOG_DURABLE)
				continue;
			assert_true(proto_get_log_durable(body, &m));
			assert_true(m.lsn > lsn);
			lsn = m.lsn;
			notices++;
		}
	}
	assert_int_equal(notices, 1);
	assert_int_equal(lsn, 100000);
	assert_int_equal(b->closes, 0);
	frame_reader_finish(&reader);
}

static void test_fd_arrives_with_its_frame(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	int fd = marked_fd(1);
	size_t len = put_frame(bytes, PROTO_TYPE_PEER, 1, PROTO_MAX_PEER);
	send_fds(b, bytes, len, &fd, 1);
	close(fd);
	turn(b);
	assert_int_equal(b->frames, 1);
	assert_int_equal(mark_of(b->fds[0]), 1);
	assert_true(fcntl(b->fds[0], F_GETFD) & FD_CLOEXEC);
}

/* The first frame comes in two pieces, the second with the rest of it: each keeps its descriptor.
 */
static void test_fds_of_split_frames_keep_their_order(void **state)
{
	struct bench *b = *state;
	uint8_t one[64], two[64];
	size_t len = put_frame(one, PROTO_TYPE_PEER, 1, PROTO_MAX_PEER);
	put_frame(two, PROTO_TYPE_PEER, 2, PROTO_MAX_PEER);
	for (size_t cut = 1; cut < len; cut++) {
		int a = marked_fd(1), c = marked_fd(2);
		b->frames = 0;
		send_fds(b, one, cut, &a, 1);
		turn(b);
		send_bytes(b, one + cut, len - cut);
		send_fds(b, two, len, &c, 1);
		close(a);
		close(c);
		turn(b);
		assert_int_equal(b->frames, 2);
		assert_int_equal(mark_of(b->fds[0]), 1);
		assert_int_equal(mark_of(b->fds[1]), 2);
		close(b->fds[0]);
		close(b->fds[1]);
		b->fds[0] = b->fds[1] = -1;
	}
}

static void test_unexpected_fds_are_closed(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	size_t before = open_fds();
	int fd = marked_fd(1);
	size_t len = put_frame(bytes, PROTO_TYPE_HEARTBEAT, 1, 8);
	send_fds(b, bytes, len, &fd, 1);
	close(fd);
	turn(b);
	assert_int_equal(b->frames, 1);
	assert_int_equal(b->fds[0], -1);
	assert_int_equal(open_fds(), before);
	/* and a later introduction without a socket does not inherit it */
	len = put_frame(bytes, PROTO_TYPE_PEER, 1, PROTO_MAX_PEER);
	send_bytes(b, bytes, len);
	turn(b);
	assert_int_equal(b->fds[1], -1);
	assert_int_equal(b->closes, 0);
}

static void test_too_many_fds_condemn(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	size_t before = open_fds();
	int fds[16];
	for (int i = 0; i < 16; i++)
		fds[i] = marked_fd(1);
	size_t len = put_frame(bytes, PROTO_TYPE_PEER, 1, PROTO_MAX_PEER);
	send_fds(b, bytes, len, fds, 16);
	for (int i = 0; i < 16; i++)
		close(fds[i]);
	turn(b);
	assert_int_equal(b->closes, 1);
	assert_int_equal(b->frames, 0);
	assert_int_equal(open_fds(), before - 1); /* the peer's own socket */
}

static void test_fd_is_passed_on_and_kept(void **state)
{
	struct bench *b = *state;
	uint8_t body[PROTO_MAX_PEER] = {0}, got[64];
	int fd = marked_fd(9), passed;
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control;
	assert_true(peer_send(b->peer, PROTO_TYPE_PEER, span_of(body, sizeof body), fd));
	struct iovec iov = {got, sizeof got};
	struct msghdr message = {.msg_iov = &iov,
	                         .msg_iovlen = 1,
	                         .msg_control = control.room,
	                         .msg_controllen = sizeof control.room};
	assert_int_equal(recvmsg(b->other, &message, MSG_DONTWAIT), FRAME_HEAD_BYTES + sizeof body);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
	close(fd); /* still ours */
	assert_int_equal(mark_of(passed), 9);
	close(passed);
	assert_false(peer_send(b->peer, PROTO_TYPE_PEER, span_of(body, sizeof body), 999));
	assert_int_equal(b->closes, 0);
}

/* Descriptors may run out in any process: that costs this link, not the bus it was sent on. */
static void test_fd_that_finds_no_room_is_missing(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	struct rlimit limit, none;
	size_t len = put_frame(bytes, PROTO_TYPE_PEER, 1, PROTO_MAX_PEER);
	int lost = marked_fd(1), found = marked_fd(2);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	send_fds(b, bytes, len, &lost, 1);
	put_frame(bytes, PROTO_TYPE_PEER, 2, PROTO_MAX_PEER);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turn(b);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	send_fds(b, bytes, len, &found, 1);
	turn(b);
	close(lost);
	close(found);
	assert_int_equal(b->closes, 0);
	assert_int_equal(b->frames, 2);
	assert_int_equal(b->fds[0], -1);
	assert_int_equal(mark_of(b->fds[1]), 2);
}

/* ---- links ---- */

static int begin_link(void **state)
{
	int code = begin(state);
	struct bench *b = *state;
	const struct peer_events events = {.on_frame = on_frame,
	                                   .on_close = on_close,
	                                   .arg = b,
	                                   .queue_bytes_max = PEER_QUEUE_BYTES_MIN,
	                                   .link = true};
	int ends[2];
	peer_destroy(&b->peer);
	close(b->other);
	turn(b);
	if (code != 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return 1;
	b->peer = peer_create(&b->loop, ends[0], (struct party){ROLE_SSE, 3, 9}, &events);
	b->other = ends[1];
	return 0;
}

/* What is encoded into is as large as the message, not as the largest of its type: the heap does
 * not grow by a megabyte. */
static void test_a_small_frame_takes_little_memory(void **state)
{
	struct bench *b = *state;
	size_t before = mallinfo2().arena;
	for (int i = 0; i < 4; i++)
		peer_put(b->peer, call, CALL, {.id = 1, .path = SPAN("/v1/duels")});
	assert_in_range(mallinfo2().arena - before, 0, 256 << 10);
}

static void send_taken(struct bench *b, uint64_t bytes)
{
	uint8_t frame[FRAME_HEAD_BYTES + 8];
	send_bytes(b, frame, put_frame(frame, PROTO_TYPE_TAKEN, bytes, 8));
}

static void test_full_link_refuses_and_lives(void **state)
{
	struct bench *b = *state;
	struct frame_reader reader = {0};
	uint64_t last = 0;
	bool in_order = true;
	size_t small = 0, large = 0;
	while (send_reply(b, large + 1, 500000))
		assert_true(++large < 100);
	while (send_reply(b, small + 1, 1000))
		assert_true(++small < 10000);
	assert_true(large >= 4 && small > 1000);
	size_t before = small;
	for (int i = 0; i < 1000 && drain(b, &reader, &last, &in_order) > 0; i++)
		turn(b);
	assert_int_equal(last, before); /* whole and in order; of the large ones a word each */
	assert_true(in_order);
	assert_true(send_reply(b, before + 1, 1000));
	assert_false(send_reply(b, 1, 500000)); /* nobody has said that they are done with */
	send_taken(b, 500000);
	turn(b);
	assert_true(send_reply(b, 1, 500000));
	assert_false(send_reply(b, 1, 500000));
	assert_int_equal(b->closes, 0);
	frame_reader_finish(&reader);
}

/* A descriptor each, if the other does not read. */
static void test_few_descriptors_wait(void **state)
{
	struct bench *b = *state;
	const struct peer_events events = {.on_frame = on_frame,
	                                   .on_close = on_close,
	                                   .arg = b,
	                                   .queue_bytes_max = 1 << 30,
	                                   .link = true};
	peer_destroy(&b->peer);
	turn(b);
	close(b->other);
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	b->peer = peer_create(&b->loop, ends[0], (struct party){ROLE_SSE, 3, 9}, &events);
	b->other = ends[1];
	size_t open = open_fds(), sent = 0;
	while (send_reply(b, 1, PROTO_HANDED_BYTES_MIN))
		assert_true(++sent < 5000);
	assert_int_equal(open_fds(), open + 64);
	assert_int_equal(b->closes, 0);
}

/* Two ends of one link in one loop. */
struct far {
	struct peer *peer;
	size_t frames, larges;
	bool intact;
};

static enum proto_verdict on_far_frame(void *arg, struct peer *peer, unsigned type,
                                       struct span body, int fd)
{
	struct far *far = arg;
	(void)peer;
	assert_int_equal(type, PROTO_TYPE_ADMIN_REPLY);
	assert_int_equal(fd, -1);
	far->frames++;
	if (body.len >= PROTO_HANDED_BYTES_MIN) {
		far->larges++;
		for (size_t i = 8; i < body.len; i++)
			far->intact = far->intact && body.at[i] == 0;
		struct reader r = {body.at, body.at + body.len, true};
		far->intact =
		        far->intact && body.len == 900000 && reader_uint(&r, 8) == far->larges;
	}
	return PROTO_HANDLED;
}

/* As many again and again: each is done with, and its descriptor gone, at both ends. */
static void test_large_frames_arrive_whole_among_small_ones(void **state)
{
	struct bench *b = *state;
	struct far far = {.intact = true};
	const struct peer_events events = {.on_frame = on_far_frame,
	                                   .arg = &far,
	                                   .queue_bytes_max = PEER_QUEUE_BYTES_MIN,
	                                   .link = true};
	far.peer = peer_create(&b->loop, dup(b->other), (struct party){ROLE_SSE, 1, 1}, &events);
	size_t open = open_fds();
	for (size_t round = 1; round <= 10; round++) {
		assert_true(send_reply(b, 2 * round - 1, 900000));
		assert_true(send_reply(b, 2 * round, 900000));
		for (uint64_t i = 0; i < 200; i++)
			assert_true(send_reply(b, i, 60000 / (1 + i)));
		for (int i = 0; i < 1000 && far.frames < 202 * round; i++)
			turn(b);
		assert_int_equal(far.frames, 202 * round);
		assert_int_equal(far.larges, 2 * round);
		turn(b);
	}
	assert_true(far.intact);
	assert_int_equal(open_fds(), open);
	peer_destroy(&far.peer);
	turn(b);
}

/* `fd` -1: without one; it is closed. */
static void send_handed(struct bench *b, uint64_t type, uint64_t len, int fd)
{
	uint8_t frame[FRAME_HEAD_BYTES + PROTO_MAX_HANDED];
	struct writer w = {frame + FRAME_HEAD_BYTES, frame + sizeof frame, true};
	const struct proto_handed m = {.type = type, .len = len};
	assert_true(proto_put_handed(&w, &m));
	frame_head(frame, PROTO_TYPE_HANDED, PROTO_MAX_HANDED);
	if (fd < 0) {
		send_bytes(b, frame, sizeof frame);
		return;
	}
	send_fds(b, frame, sizeof frame, &fd, 1);
	close(fd);
}

static int file_of(size_t len)
{
	uint8_t *bytes = xcalloc(1, len);
	int fd = handed_make(span_of(bytes, len));
	assert_true(fd >= 0);
	free(bytes);
	return fd;
}

static void test_hostile_handing_over_condemns(void **state)
{
	static const struct {
		uint64_t type, len;
		size_t file; /* 0: no file, but a pipe */
	} rows[] = {
	        {PROTO_TYPE_CALL_REPLY, UINT64_MAX, 100000},
	        {PROTO_TYPE_CALL_REPLY, PROTO_MAX_CALL_REPLY + 1, PROTO_MAX_CALL_REPLY + 1},
	        {PROTO_TYPE_CALL_REPLY, 100, 100}, /* has no need of it */
	        {PROTO_TYPE_CALL_REPLY, 100000, 99999},
	        {PROTO_TYPE_CALL_REPLY, 100000, 0},
	        {999, 100000, 100000},
	        {1 << 16 | PROTO_TYPE_CALL_REPLY, 100000, 100000},
	        {PROTO_TYPE_HANDED, 100000, 100000},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bench *b = *state;
		size_t open = open_fds();
		send_handed(b, rows[i].type, rows[i].len,
		            rows[i].file != 0 ? file_of(rows[i].file) : marked_fd(1));
		turn(b);
		assert_int_equal(b->closes, 1);
		assert_int_equal(b->frames, 0);
		assert_int_equal(open_fds(), open - 1); /* the peer's own socket */
		assert_int_equal(end(state), 0);
		assert_int_equal(begin_link(state), 0);
	}
}

/* What was done with was handed over. */
static void test_too_much_taken_condemns(void **state)
{
	struct bench *b = *state;
	assert_true(send_reply(b, 1, 100000));
	send_taken(b, 100000);
	turn(b);
	assert_int_equal(b->closes, 0);
	send_taken(b, 1);
	turn(b);
	assert_int_equal(b->closes, 1);
}

/* The receiver had no descriptor left: that frame is lost, and done with. */
static void test_without_its_file_a_frame_is_lost(void **state)
{
	struct bench *b = *state;
	struct frame_reader reader = {0};
	uint64_t last = 0;
	bool in_order = true;
	send_handed(b, PROTO_TYPE_ADMIN_REPLY, 100000, -1);
	turn(b);
	assert_int_equal(b->frames, 0);
	assert_int_equal(b->closes, 0);
	assert_int_equal(drain(b, &reader, &last, &in_order), 1); /* TAKEN */
	send_handed(b, PROTO_TYPE_ADMIN_REPLY, 100000, file_of(100000));
	turn(b);
	assert_int_equal(b->frames, 1);
	assert_int_equal(b->types[0], PROTO_TYPE_ADMIN_REPLY);
	frame_reader_finish(&reader);
}

static void test_only_links_are_handed_bodies(void **state)
{
	struct bench *b = *state;
	send_handed(b, PROTO_TYPE_CALL_REPLY, 100000, file_of(100000));
	turn(b);
	assert_int_equal(b->closes, 1);
	assert_int_equal(b->frames, 0);
}

static void test_hostile_frame_condemns(void **state)
{
	struct bench *b = *state;
	static const uint8_t hostile[] = {0xff, 0xff, 0xff, 0xff, 0, PROTO_TYPE_SETTINGS};
	send_bytes(b, hostile, sizeof hostile);
	turn(b);
	assert_int_equal(b->closes, 1);
	assert_int_equal(b->frames, 0);
	uint8_t byte;
	assert_int_equal(recv(b->other, &byte, 1, MSG_DONTWAIT), 0);
}

static void test_refused_frame_closes(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	size_t len = put_frame(bytes, PROTO_TYPE_READY, 1, 8);
	len += put_frame(bytes + len, PROTO_TYPE_READY, 2, 8);
	b->verdict = PROTO_FORBIDDEN;
	send_bytes(b, bytes, len);
	turn(b);
	assert_int_equal(b->frames, 1);
	assert_int_equal(b->closes, 1);
}

static void test_end_of_file(void **state)
{
	struct bench *b = *state;
	shutdown(b->other, SHUT_WR);
	turn(b);
	assert_int_equal(b->closes, 1);
}

static void test_the_last_words_of_the_dead_are_heard(void **state)
{
	struct bench *b = *state;
	uint8_t frame[64];
	for (unsigned i = 0; i < 3; i++)
		send_bytes(b, frame, put_frame(frame, PROTO_TYPE_READY, i, 8));
	shutdown(b->other, SHUT_RDWR);
	peer_drain(b->peer); /* no turn of the loop */
	assert_int_equal(b->frames, 3);
	assert_int_equal(b->numbers[2], 2);
	assert_int_equal(b->closes, 1);
}

static void test_the_last_words_of_one_who_did_not_listen_are_heard(void **state)
{
	struct bench *b = *state;
	uint8_t frame[64];
	assert_true(peer_send(b->peer, PROTO_TYPE_READY, SPAN("12345678"),
	                      -1)); /* never read: a reset */
	for (unsigned i = 0; i < 3; i++)
		send_bytes(b, frame, put_frame(frame, PROTO_TYPE_READY, i, 8));
	close(b->other);
	turn(b);
	assert_int_equal(b->frames, 3);
	assert_int_equal(b->closes, 1);
	b->other = dup(STDIN_FILENO); /* for end() */
}

static void test_draining_ends_where_nothing_has_come(void **state)
{
	struct bench *b = *state;
	peer_drain(b->peer);
	assert_int_equal(b->frames, 0);
	assert_int_equal(b->closes, 0);
}

static void test_sending_to_the_dead(void **state)
{
	struct bench *b = *state;
	shutdown(b->other, SHUT_RDWR);
	assert_false(send_reply(b, 1, 100));
	assert_int_equal(b->closes, 0);
	turn(b);
	assert_int_equal(b->closes, 1);
}

static void test_destroyed_within_its_own_frame(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[64];
	size_t len = put_frame(bytes, PROTO_TYPE_READY, 1, 8);
	len += put_frame(bytes + len, PROTO_TYPE_READY, 2, 8);
	b->destroy_within = true;
	send_bytes(b, bytes, len);
	turn(b);
	assert_int_equal(b->frames, 1);
	assert_int_equal(b->closes, 0);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, begin, end)
#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, begin_link, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
	        LINK_TEST(test_a_small_frame_takes_little_memory), /* of a heap without holes */
	        TEST(test_identity),
	        TEST(test_split_at_every_byte),
	        TEST(test_sent_frames_arrive_whole),
	        TEST(test_slow_reader),
	        TEST(test_dead_reader_is_cut_at_the_maximum),
	        TEST(test_durable_notices_merge),
	        TEST(test_fd_arrives_with_its_frame),
	        TEST(test_fds_of_split_frames_keep_their_order),
	        TEST(test_unexpected_fds_are_closed),
	        TEST(test_too_many_fds_condemn),
	        TEST(test_fd_is_passed_on_and_kept),
	        TEST(test_fd_that_finds_no_room_is_missing),
	        LINK_TEST(test_full_link_refuses_and_lives),
	        LINK_TEST(test_few_descriptors_wait),
	        LINK_TEST(test_large_frames_arrive_whole_among_small_ones),
	        LINK_TEST(test_hostile_handing_over_condemns),
	        LINK_TEST(test_too_much_taken_condemns),
	        LINK_TEST(test_without_its_file_a_frame_is_lost),
	        TEST(test_only_links_are_handed_bodies),
	        TEST(test_hostile_frame_condemns),
	        TEST(test_refused_frame_closes),
	        TEST(test_end_of_file),
	        TEST(test_the_last_words_of_the_dead_are_heard),
	        TEST(test_the_last_words_of_one_who_did_not_listen_are_heard),
	        TEST(test_draining_ends_where_nothing_has_come),
	        TEST(test_sending_to_the_dead),
	        TEST(test_destroyed_within_its_own_frame),
	};
	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
