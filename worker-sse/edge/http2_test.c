/* Sessions of HTTP/2 over a wire in memory and a clock by hand. */
#include "common/base/check.h"
#include "tests/doubles/edge_bench.h"
#include "worker-sse/edge/http2.h"
#include "worker-sse/edge/websocket.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct fixture {
	struct edge_bench *bench;
	struct wire_memory memory;
	struct conn *conn;
	uint8_t in[1 << 20]; /* what the client sends next */
	size_t len;
};

static struct request *kept[256];
static size_t kept_count;
static unsigned gone, drained;
static char seen[4096];

/* ---- a client ---- */

static void put(struct fixture *f, const void *at, size_t len)
{
	check(f->len + len <= sizeof f->in);
	if (len > 0)
		memcpy(f->in + f->len, at, len);
	f->len += len;
}

static void put_frame(struct fixture *f, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t len)
{
	const uint8_t head[9] = {(uint8_t)(len >> 16),
	                         (uint8_t)(len >> 8),
	                         (uint8_t)len,
	                         type,
	                         flags,
	                         (uint8_t)(stream >> 24),
	                         (uint8_t)(stream >> 16),
	                         (uint8_t)(stream >> 8),
	                         (uint8_t)stream};
	put(f, head, sizeof head);
	put(f, payload, len);
}

static size_t literal(uint8_t *out, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value), at = 0;
	check(name_len < 127 && value_len < 127);
	out[at++] = 0;
	out[at++] = (uint8_t)name_len;
	memcpy(out + at, name, name_len);
	at += name_len;
	out[at++] = (uint8_t)value_len;
	memcpy(out + at, value, value_len);
	return at + value_len;
}

static void put_request(struct fixture *f, uint32_t stream, const char *method, const char *path,
                        bool ends)
{
	uint8_t block[512];
	size_t len = literal(block, ":method", method);
	len += literal(block + len, ":scheme", "http");
	len += literal(block + len, ":authority", "localhost");
	len += literal(block + len, ":path", path);
	put_frame(f, NGHTTP2_HEADERS,
	          (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (ends ? NGHTTP2_FLAG_END_STREAM : 0)),
	          stream, block, len);
}

static void put_number(struct fixture *f, uint8_t type, uint32_t stream, uint32_t number)
{
	const uint8_t bytes[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
	                          (uint8_t)(number >> 8), (uint8_t)number};
	put_frame(f, type, 0, stream, bytes, sizeof bytes);
}

static void say(struct fixture *f)
{
	wire_memory_give(&f->memory, span_of(f->in, f->len));
	f->len = 0;
	edge_bench_turn(f->bench, &f->memory);
}

/* The n-th frame of this type for this stream that came, from 0; at NULL: there is none. */
static struct span came(const struct fixture *f, uint8_t type, uint32_t stream, unsigned n,
                        uint8_t *flags)
{
	const uint8_t *at = f->memory.out, *end = at + f->memory.out_len;
	while (end - at >= 9) {
		size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
		uint32_t id = (uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 8 |
		              at[8];
		if ((size_t)(end - at) < 9 + len)
			break;
		if (at[3] == type && id == stream && n-- == 0) {
			if (flags != NULL)
				*flags = at[4];
			return span_of(at + 9, len);
		}
		at += 9 + len;
	}
	return (struct span){0};
}

static bool has(const struct fixture *f, uint8_t type, uint32_t stream)
{
	return came(f, type, stream, 0, NULL).at != NULL;
}

static uint32_t number_of(struct span s, size_t at)
{
	return (uint32_t)s.at[at] << 24 | (uint32_t)s.at[at + 1] << 16 |
	       (uint32_t)s.at[at + 2] << 8 | s.at[at + 3];
}

/* ---- handlers ---- */

static void echo(struct request *request)
{
	char line[512];
	int len = snprintf(line, sizeof line, "%d %.*s [%.*s]", (int)request->method,
	                   (int)request->path.len, request->path.at, (int)request->body_len,
	                   request->body != NULL ? (const char *)request->body : "");
	strncat(seen, line, sizeof seen - strlen(seen) - 2);
	strcat(seen, "\n");
	reply(request, 200, NULL, 0, span_of(line, (size_t)len));
}

static void on_gone(struct request *request)
{
	(void)request;
	gone++;
}

static void on_drain(struct request *request)
{
	(void)request;
	drained++;
}

static void keep(struct request *request)
{
	kept[kept_count++] = request;
}

static void stream_on(struct request *request)
{
	reply_start(request, 200, NULL, 0, UINT64_MAX);
	request->on_gone = on_gone;
	request->on_drain = on_drain;
	keep(request);
}

static void open_with(struct fixture *f, void (*handler)(struct request *request),
                      const char *const *settings)
{
	memset(f, 0, sizeof *f);
	memset(seen, 0, sizeof seen);
	kept_count = gone = drained = 0;
	f->bench = edge_bench_create(settings);
	edge_bench_route()->handler = handler;
	f->memory.http2 = f->memory.shaking = true;
	struct conn *conn = conn_create(&f->bench->edge);
	conn->tls = conn->shaking = true;
	wire_memory_open(&f->memory, &conn->wire, &conn_wire_events);
	conn_start(conn);
	f->conn = conn;
	f->memory.shaking = false;
	put(f, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2_PREFACE_BYTES);
	put_frame(f, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void finish(struct fixture *f)
{
	edge_close(&f->bench->edge);
	edge_bench_turn(f->bench, &f->memory);
	assert_null(f->memory.wire);
	assert_int_equal(f->bench->edge.body_bytes, 0);
	assert_int_equal(f->bench->edge.waiting.in_bytes, 0);
	assert_int_equal(counter_get(&f->bench->counters, http2_connections), 0);
	assert_int_equal(counter_get(&f->bench->counters, http2_streams), 0);
	assert_int_equal(counter_get(&f->bench->counters, http2_queued_bytes), 0);
	wire_memory_finish(&f->memory);
	edge_bench_destroy(f->bench);
}

static struct fixture f;

/* ---- the tests ---- */

static void requests_are_read_split_at_every_byte(void **state)
{
	static uint8_t all[1024];
	size_t len;
	(void)state;
	open_with(&f, echo, NULL);
	put_request(&f, 1, "GET", "/a?b", true);
	put_request(&f, 3, "POST", "/c", false);
	put_frame(&f, NGHTTP2_DATA, 0, 3, "hel", 3);
	put_frame(&f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "lo", 2);
	len = f.len;
	check(len <= sizeof all);
	memcpy(all, f.in, len);
	f.len = 0;
	finish(&f);
	for (size_t at = 0; at <= len; at++) {
		open_with(&f, echo, NULL);
		f.len = 0;
		put(&f, all, at);
		say(&f);
		put(&f, all + at, len - at);
		say(&f);
		assert_string_equal(seen, "0 /a []\n2 /c [hello]\n");
		assert_true(span_equal(came(&f, NGHTTP2_DATA, 1, 0, NULL), SPAN("0 /a []")));
		assert_true(span_equal(came(&f, NGHTTP2_DATA, 3, 0, NULL), SPAN("2 /c [hello]")));
		assert_int_equal(f.bench->before, 2);
		finish(&f);
	}
}

static void a_reset_tells_who_works_on_it_and_nobody_else(void **state)
{
	(void)state;
	open_with(&f, stream_on, NULL);
	put_request(&f, 1, "GET", "/a", true);
	put_request(&f, 3, "GET", "/b", true);
	say(&f);
	assert_int_equal(kept_count, 2);
	put_number(&f, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	say(&f);
	assert_int_equal(gone, 1);
	const struct iovec iov = {(void *)(uintptr_t) "news", 4};
	reply_write(kept[1], &iov, 1);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(span_equal(came(&f, NGHTTP2_DATA, 3, 0, NULL), SPAN("news")));
	assert_int_equal(drained, 1);
	reply_abort(kept[1]);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(number_of(came(&f, NGHTTP2_RST_STREAM, 3, 0, NULL), 0),
	                 NGHTTP2_INTERNAL_ERROR);
	assert_int_equal(gone, 1);
	finish(&f);
}

/* Nobody hears of it; the answer of the store goes nowhere. */
static void what_waits_for_the_store_outlives_its_stream(void **state)
{
	(void)state;
	open_with(&f, keep, NULL);
	put_request(&f, 1, "POST", "/a", true);
	put_request(&f, 3, "POST", "/b", true);
	say(&f);
	put_number(&f, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	say(&f);
	reply(kept[0], 204, NULL, 0, (struct span){0});
	edge_bench_turn(f.bench, &f.memory);
	assert_false(has(&f, NGHTTP2_HEADERS, 1));
	edge_refuse_stalled(&f.bench->edge, UINT64_MAX);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(has(&f, NGHTTP2_HEADERS, 3));
	assert_true(span_equal(came(&f, NGHTTP2_DATA, 3, 0, NULL),
	                       SPAN("the log stands still; nothing is promised\n")));
	reply(kept[1], 204, NULL, 0, (struct span){0});
	finish(&f);
}

static void answers_wait_for_windows_and_siblings_do_not(void **state)
{
	static uint8_t large[100000];
	const struct iovec iov = {large, sizeof large}, small = {(void *)(uintptr_t) "x", 1};
	(void)state;
	open_with(&f, stream_on, NULL);
	put_number(&f, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
	put_request(&f, 1, "GET", "/a", true);
	put_request(&f, 3, "GET", "/b", true);
	say(&f);
	assert_false(reply_write(kept[0], &iov, 1));
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(reply_pending(kept[0]), sizeof large - 65535);
	assert_int_equal(drained, 0);
	reply_write(kept[1], &small, 1);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(has(&f, NGHTTP2_DATA, 3));
	assert_int_equal(drained, 1);
	put_number(&f, NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
	say(&f);
	assert_int_equal(reply_pending(kept[0]), 0);
	assert_int_equal(drained, 2);
	/* One that is never opened is reset, alone. */
	put_number(&f, NGHTTP2_WINDOW_UPDATE, 0, 1 << 20);
	say(&f);
	while (reply_pending(kept[1]) == 0) {
		reply_write(kept[1], &iov, 1);
		edge_bench_turn(f.bench, &f.memory);
	}
	edge_bench_wait(f.bench, &f.memory, f.bench->settings.http_write_timeout_ms + 4000);
	assert_int_equal(gone, 1);
	assert_int_equal(number_of(came(&f, NGHTTP2_RST_STREAM, 3, 0, NULL), 0), NGHTTP2_CANCEL);
	assert_false(has(&f, NGHTTP2_RST_STREAM, 1));
	finish(&f);
}

static void a_wire_that_takes_nothing_holds_what_there_is(void **state)
{
	static uint8_t large[60000];
	const struct iovec iov = {large, sizeof large};
	(void)state;
	open_with(&f, stream_on, NULL);
	put_request(&f, 1, "GET", "/a", true);
	say(&f);
	wire_memory_take(&f.memory, 100);
	reply_write(kept[0], &iov, 1);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(drained, 0);
	for (int i = 0; i < 700; i++) {
		wire_memory_take(&f.memory, 100);
		edge_bench_turn(f.bench, &f.memory);
	}
	assert_int_equal(drained, 1);
	size_t bytes = 0;
	for (unsigned n = 0; came(&f, NGHTTP2_DATA, 1, n, NULL).at != NULL; n++)
		bytes += came(&f, NGHTTP2_DATA, 1, n, NULL).len;
	assert_int_equal(bytes, sizeof large);
	finish(&f);
}

static void a_drain_says_goodbye_twice(void **state)
{
	uint8_t flags;
	(void)state;
	open_with(&f, stream_on, NULL);
	put_request(&f, 1, "GET", "/a", true);
	say(&f);
	edge_drain(&f.bench->edge);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(number_of(came(&f, NGHTTP2_GOAWAY, 0, 0, NULL), 0), 0x7fffffff);
	struct span ping = came(&f, NGHTTP2_PING, 0, 0, &flags);
	assert_int_equal(flags, 0);
	put_request(&f, 3, "GET", "/on/the/way", true);
	put_frame(&f, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, ping.at, ping.len);
	put_request(&f, 5, "GET", "/too/late", true);
	say(&f);
	assert_int_equal(kept_count, 3);
	assert_int_equal(number_of(came(&f, NGHTTP2_GOAWAY, 0, 1, NULL), 0), 5);
	put_request(&f, 7, "GET", "/later/still", true);
	say(&f);
	assert_int_equal(kept_count, 3);
	for (size_t i = 0; i < 3; i++)
		reply_end(kept[i]);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(f.memory.shut);
	finish(&f);
}

static void a_client_that_does_not_echo_is_told_the_last_all_the_same(void **state)
{
	(void)state;
	open_with(&f, stream_on, NULL);
	put_request(&f, 1, "GET", "/a", true);
	say(&f);
	edge_drain(&f.bench->edge);
	edge_bench_wait(f.bench, &f.memory, HTTP2_GOODBYE_MS + 2000);
	assert_int_equal(number_of(came(&f, NGHTTP2_GOAWAY, 0, 1, NULL), 0), 1);
	finish(&f);
}

static void one_too_many_is_told_in_its_own_words(void **state)
{
	(void)state;
	memset(&f, 0, sizeof f);
	f.bench = edge_bench_create(NULL);
	f.memory.http2 = f.memory.shaking = true;
	struct conn *conn = conn_create(&f.bench->edge);
	conn->tls = conn->shaking = true;
	wire_memory_open(&f.memory, &conn->wire, &conn_wire_events);
	wire_memory_take(&f.memory, 0);
	conn_refuse(conn, 503, "too many");
	f.memory.shaking = false;
	put(&f, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2_PREFACE_BYTES);
	say(&f);
	wire_memory_take(&f.memory, SIZE_MAX);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(has(&f, NGHTTP2_SETTINGS, 0));
	assert_int_equal(number_of(came(&f, NGHTTP2_GOAWAY, 0, 0, NULL), 4),
	                 NGHTTP2_ENHANCE_YOUR_CALM);
	finish(&f);
}

static struct websocket *websocket;

static void on_text(void *arg, struct span text)
{
	(void)arg;
	strncat(seen, (const char *)text.at, text.len);
	websocket_send(websocket, SPAN("heard"));
}

static void on_closed(void *arg, unsigned code)
{
	(void)arg;
	gone = code;
	websocket = NULL;
}

static void accept_websocket(struct request *request)
{
	const struct websocket_events events = {.on_text = on_text, .on_closed = on_closed};
	websocket = websocket_accept(request, &events, 1000);
}

static void put_connect(struct fixture *x, uint32_t stream)
{
	uint8_t block[512];
	size_t len = literal(block, ":method", "CONNECT");
	len += literal(block + len, ":protocol", "websocket");
	len += literal(block + len, ":scheme", "https");
	len += literal(block + len, ":authority", "localhost");
	len += literal(block + len, ":path", "/ws");
	len += literal(block + len, "sec-websocket-version", "13");
	put_frame(x, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, block, len);
}

/* RFC 8441, RFC 6455 5.3: a client masks; by noughts it reads as it is. */
static void a_websocket_is_a_stream(void **state)
{
	static const uint8_t text[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i'},
	                     end[] = {0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 255};
	uint8_t flags;
	(void)state;
	open_with(&f, accept_websocket, NULL);
	put_connect(&f, 1);
	say(&f);
	assert_non_null(websocket);
	struct span head = came(&f, NGHTTP2_HEADERS, 1, 0, &flags);
	assert_int_equal(head.at[0], 0x88); /* :status 200, of the static table */
	assert_false(flags & NGHTTP2_FLAG_END_STREAM);
	put_frame(&f, NGHTTP2_DATA, 0, 1, text, 3);
	put_frame(&f, NGHTTP2_DATA, 0, 1, text + 3, sizeof text - 3);
	say(&f);
	assert_string_equal(seen, "hi");
	assert_true(span_equal(came(&f, NGHTTP2_DATA, 1, 0, NULL), SPAN("\x81\x05heard")));
	put_frame(&f, NGHTTP2_DATA, 0, 1, end, sizeof end);
	put_frame(&f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, NULL, 0);
	say(&f);
	assert_int_equal(gone, 1000);
	/* Half a stream ends a whole WebSocket; and an answer that is none is no tunnel. */
	gone = 0;
	put_connect(&f, 3);
	put_frame(&f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, NULL, 0);
	say(&f);
	assert_int_equal(gone, WEBSOCKET_ABNORMAL);
	edge_bench_route()->handler = echo;
	put_connect(&f, 5);
	say(&f);
	head = came(&f, NGHTTP2_HEADERS, 5, 0, &flags);
	assert_int_equal(head.at[0], 0x8c); /* 400 */
	assert_true(flags & NGHTTP2_FLAG_END_STREAM);
	finish(&f);
}

/* What a stream costs that has begun its answer and waits for news, nghttp2's part included; beside
 * this there is the reader (struct live_reader, 192 bytes). */
static void an_idle_stream_is_small(void **state)
{
	enum { STREAMS = 100, MOST = 700 };
	(void)state;
	open_with(&f, stream_on, NULL);
	say(&f);
	put_request(&f, 1, "GET", "/first", true);
	say(&f);
	request_forget(kept[0]);
	for (uint32_t i = 1; i <= STREAMS; i++)
		put_request(&f, 2 * i + 1, "GET", "/a", true);
	wire_memory_forget(&f.memory);
	size_t before = mallinfo2().uordblks;
	say(&f);
	for (size_t i = 1; i < kept_count; i++)
		request_forget(kept[i]);
	edge_bench_turn(f.bench, &f.memory);
	size_t out = f.memory.out_len;
	wire_memory_forget(&f.memory);
	size_t each = (mallinfo2().uordblks - before - out) / STREAMS;
	assert_int_equal(kept_count, STREAMS + 1);
	/* A sanitizer's allocator keeps no such books. */
	if (before != 0 && each > MOST)
		fail_msg("%zu bytes a stream", each);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(requests_are_read_split_at_every_byte),
	        cmocka_unit_test(a_reset_tells_who_works_on_it_and_nobody_else),
	        cmocka_unit_test(what_waits_for_the_store_outlives_its_stream),
	        cmocka_unit_test(answers_wait_for_windows_and_siblings_do_not),
	        cmocka_unit_test(a_wire_that_takes_nothing_holds_what_there_is),
	        cmocka_unit_test(a_drain_says_goodbye_twice),
	        cmocka_unit_test(a_client_that_does_not_echo_is_told_the_last_all_the_same),
	        cmocka_unit_test(one_too_many_is_told_in_its_own_words),
	        cmocka_unit_test(a_websocket_is_a_stream),
	        cmocka_unit_test(an_idle_stream_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
