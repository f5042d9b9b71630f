/* Connections from the first byte to the last, over a wire in memory and a clock by hand. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/edge_bench.h"

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
};

/* What the handlers saw and keep. */
static struct request *kept[8];
static size_t kept_count;
static char seen[4096];
static unsigned gone;

/* "METHOD path body", and the same as the answer. */
static void echo(struct request *request)
{
	char line[512];
	int len = snprintf(line, sizeof line, "%d %.*s [%.*s]", (int)request->method,
	                   (int)request->path.len, request->path.at, (int)request->body_len,
	                   request->body != NULL ? (const char *)request->body : "");
	strncat(seen, line, sizeof seen - strlen(seen) - 1);
	strcat(seen, "\n");
	reply(request, 200, NULL, 0, span_of(line, (size_t)len));
}

static void keep(struct request *request)
{
	kept[kept_count++] = request;
}

static void on_gone(struct request *request)
{
	(void)request;
	gone++;
}

static void keep_and_watch(struct request *request)
{
	request->on_gone = on_gone;
	keep(request);
}

static void open_with(struct fixture *f, void (*handler)(struct request *request),
                      const char *const *settings)
{
	memset(seen, 0, sizeof seen);
	kept_count = gone = 0;
	f->bench = edge_bench_create(settings);
	edge_bench_route()->handler = handler;
	f->memory = (struct wire_memory){0};
	f->conn = edge_bench_connect(f->bench, &f->memory);
}

static void finish(struct fixture *f)
{
	edge_close(&f->bench->edge);
	edge_bench_turn(f->bench, &f->memory);
	assert_null(f->memory.wire);
	assert_int_equal(f->bench->edge.body_bytes, 0);
	wire_memory_finish(&f->memory);
	edge_bench_destroy(f->bench);
}

static void give(struct fixture *f, const char *text)
{
	wire_memory_give_text(&f->memory, text);
	edge_bench_turn(f->bench, &f->memory);
}

static const char *out(const struct fixture *f)
{
	return (const char *)f->memory.out;
}

static unsigned occurrences(const char *text, const char *of)
{
	unsigned count = 0;
	for (; (text = strstr(text, of)) != NULL; text++)
		count++;
	return count;
}

/* ---- bytes in ---- */

static const char all[] =
        "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "POST /c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
        "POST /d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
        "GET /e HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
static const char wanted[] = "0 /a []\n2 /c [hello]\n2 /d [abcde]\n0 /e []\n";

static void requests_are_read_split_at_every_byte(void **state)
{
	(void)state;
	assert_int_equal(METHOD_POST, 2);
	for (size_t at = 0; at < sizeof all; at++) {
		struct fixture f;
		open_with(&f, echo, NULL);
		wire_memory_give(&f.memory, span_of(all, at));
		edge_bench_turn(f.bench, &f.memory);
		wire_memory_give(&f.memory, span_of(all + at, sizeof all - 1 - at));
		edge_bench_turn(f.bench, &f.memory);
		assert_string_equal(seen, wanted);
		assert_int_equal(occurrences(out(&f), "HTTP/1.1 200 OK\r\n"), 4);
		assert_true(f.memory.shut);
		assert_int_equal(f.bench->before, 4);
		finish(&f);
	}
}

static void requests_are_read_byte_by_byte(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, echo, NULL);
	for (size_t at = 0; at + 1 < sizeof all; at++) {
		wire_memory_give(&f.memory, span_of(all + at, 1));
		edge_bench_turn(f.bench, &f.memory);
	}
	assert_string_equal(seen, wanted);
	finish(&f);
}

static void answers_keep_the_order_of_their_requests(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep, NULL);
	for (char c = '0'; c < '3'; c++) {
		char text[128];
		snprintf(text, sizeof text,
		         "POST /%c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n%c", c,
		         c);
		give(&f, text);
	}
	give(&f, "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_int_equal(kept_count, 3); /* a read waits for the writes before it */
	for (size_t i = 3; i-- > 0;)
		reply(kept[i], 200 + (unsigned)i, NULL, 0, SPAN("x"));
	edge_bench_turn(f.bench, &f.memory);
	const char *first = strstr(out(&f), "200 OK"), *second = strstr(out(&f), "201 Created"),
	           *third = strstr(out(&f), "202 Accepted");
	assert_true(first != NULL && first < second && second < third);
	assert_int_equal(kept_count, 4);
	reply(kept[3], 204, NULL, 0, (struct span){0});
	finish(&f);
}

static void a_held_request_lets_nothing_begin(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep, NULL);
	give(&f, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	request_hold(kept[0], true);
	give(&f, "POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	assert_int_equal(kept_count, 1);
	request_hold(kept[0], false);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(kept_count, 2);
	reply(kept[0], 204, NULL, 0, (struct span){0});
	reply(kept[1], 204, NULL, 0, (struct span){0});
	finish(&f);
}

static void what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *bytes, *status;
	} rows[] = {
	        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
	        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 505 "},
	        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "}, /* no Host */
	        {"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 "},
	        {"GET / HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: 1\r\nIdempotency-Key: "
	         "1\r\n\r\n",
	         "HTTP/1.1 400 "},
	        {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	         "HTTP/1.1 400 "},
	        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
	         "HTTP/1.1 413 "},
	        {"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
	         "HTTP/1.1 404 "},
	        {"GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n",
	         "HTTP/1.1 421 "}, /* dev */
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f;
		open_with(&f, echo, NULL);
		give(&f, rows[i].bytes);
		if (strncmp(out(&f), rows[i].status, strlen(rows[i].status)) != 0)
			fail_msg("%s: %s", rows[i].bytes, out(&f));
		assert_true(f.memory.shut);
		assert_string_equal(seen, "");
		finish(&f);
	}
}

/* What it sends must not stay with the kernel, which would wake us for it without end. */
static void who_is_one_too_many_is_answered_and_its_request_dropped(void **state)
{
	struct fixture f;
	struct wire_memory memory = {0};
	(void)state;
	open_with(&f, echo, NULL);
	struct conn *conn = conn_create(&f.bench->edge);
	wire_memory_open(&memory, &conn->wire, &conn_wire_events);
	wire_memory_give_text(&memory, all);
	conn_refuse(conn, 503, "too many");
	edge_bench_turn(f.bench, &memory);
	assert_int_equal(strncmp((const char *)memory.out, "HTTP/1.1 503 ", 13), 0);
	assert_true(memory.shut);
	assert_false(memory.closing);
	assert_int_equal(memory.in_len, 0);
	assert_string_equal(seen, "");
	wire_memory_give_text(&memory, all);
	edge_bench_turn(f.bench, &memory);
	assert_int_equal(memory.in_len, 0);
	assert_string_equal(seen, "");
	wire_memory_give_end(&memory);
	edge_bench_turn(f.bench, &memory);
	assert_null(memory.wire);
	assert_int_equal(f.bench->edge.conns_count, 1);
	wire_memory_finish(&memory);
	finish(&f);
}

static void a_body_that_is_expected_is_asked_for(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, echo, NULL);
	give(&f, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: "
	         "100-continue\r\n\r\n");
	assert_string_equal(out(&f), "HTTP/1.1 100 Continue\r\n\r\n");
	give(&f, "hi");
	assert_string_equal(seen, "2 /a [hi]\n");
	finish(&f);
}

/* ---- time ---- */

static void what_does_not_come_in_time_is_refused(void **state)
{
	static const struct {
		const char *bytes, *status;
		uint64_t limit_ms;
	} rows[] = {{"GET / HT", "HTTP/1.1 408 ", 1000},
	            {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
	             "HTTP/1.1 408 ", 2000},
	            {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 ", 3000}};
	static const char *const settings[] = {"http.header_timeout=1s", "http.body_timeout=2s",
	                                       "http.keepalive_timeout=3s", NULL};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f;
		open_with(&f, echo, settings);
		give(&f, rows[i].bytes);
		edge_bench_wait(f.bench, &f.memory, rows[i].limit_ms - 100);
		assert_false(f.memory.shut || f.memory.closing);
		edge_bench_wait(f.bench, &f.memory, 250);
		assert_true(f.memory.shut || f.memory.wire == NULL);
		assert_int_equal(strncmp(out(&f), rows[i].status, strlen(rows[i].status)), 0);
		finish(&f);
	}
}

/* Nothing is said to it: what would be said could not be read. */
static void a_handshake_has_its_time(void **state)
{
	static const char *const settings[] = {"tls.handshake_timeout=1s", NULL};
	(void)state;
	for (int through = 0; through < 2; through++) {
		struct fixture f;
		open_with(&f, echo, settings);
		struct conn *conn = f.bench->edge.conns;
		conn->tls = conn->shaking = f.memory.shaking = true;
		conn_settle(conn);
		edge_bench_wait(f.bench, &f.memory, 900);
		assert_false(f.memory.closing);
		f.memory.shaking = !through;
		if (through)
			give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
		edge_bench_wait(f.bench, &f.memory, 250);
		assert_int_equal(f.memory.wire == NULL, !through);
		assert_int_equal(f.memory.out_len > 0, through);
		finish(&f);
	}
}

static void large(struct request *request)
{
	static uint8_t body[300000];
	memset(body, 'x', sizeof body);
	reply(request, 200, NULL, 0, span_of(body, sizeof body));
}

/* A slow client may take as long as it likes; one that takes nothing is cut. */
static void a_slow_reader_gets_all_and_a_dead_one_is_cut(void **state)
{
	static const char *const settings[] = {"http.write_timeout=2s", NULL};
	struct fixture f;
	(void)state;
	open_with(&f, large, settings);
	wire_memory_take(&f.memory, 1000);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_int_equal(f.memory.out_len, 1000);
	assert_true((f.memory.wire->wants & WIRE_WRITABLE) != 0);
	for (int i = 0; i < 50; i++) { /* a minute and more */
		edge_bench_wait(f.bench, &f.memory, 1500);
		wire_memory_take(&f.memory, 1000);
		edge_bench_turn(f.bench, &f.memory);
	}
	assert_int_equal(f.memory.out_len, 51000);
	wire_memory_take(&f.memory, SIZE_MAX);
	edge_bench_turn(f.bench, &f.memory);
	assert_true(f.memory.out_len > 300000);
	assert_int_equal(occurrences(out(&f), "HTTP/1.1 200"), 1);
	assert_int_equal(f.memory.wire->wants, WIRE_READABLE);

	wire_memory_take(&f.memory, 10);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	f.memory.undelivered = 10;
	edge_bench_wait(f.bench, &f.memory, 4500);
	assert_null(f.memory.wire);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

/* While much waits to be sent nothing further is begun, nor read beyond a little. */
static void who_reads_nothing_is_not_read(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, large, NULL);
	wire_memory_take(&f.memory, 0);
	for (int i = 0; i < 3000; i++)
		wire_memory_give_text(&f.memory,
		                      "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: "
		                      "localhost\r\n\r\n");
	edge_bench_turn(f.bench, &f.memory);
	assert_true(f.conn->out.bytes < 3 << 20);
	assert_true(f.conn->in_len < 200000);
	assert_int_equal(f.memory.wire->wants & WIRE_READABLE, 0);
	finish(&f);
}

static unsigned drained;

static void on_drain(struct request *request)
{
	(void)request;
	drained++;
}

static void begin_stream(struct request *request)
{
	keep(request);
	request->on_gone = on_gone;
	request->on_drain = on_drain;
	reply_start(request, 200, NULL, 0, UINT64_MAX);
}

static bool write_text(struct request *request, const char *text)
{
	const struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	return reply_write(request, &iov, 1);
}

/* ---- leaving ---- */

static void whoever_waits_hears_that_the_client_left(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep_and_watch, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	wire_memory_give_reset(&f.memory);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(gone, 1);
	assert_null(f.memory.wire);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

/* It only says that it sends no more: the answer is its. */
static void a_half_closed_client_gets_its_answer(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep_and_watch, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	wire_memory_give_end(&f.memory);
	edge_bench_wait(f.bench, &f.memory, 20000);
	assert_int_equal(gone, 0);
	reply(kept[0], 200, NULL, 0, SPAN("still"));
	edge_bench_turn(f.bench, &f.memory);
	assert_non_null(strstr(out(&f), "\r\n\r\nstill"));
	assert_null(f.memory.wire);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

/* Its record is dead, and the late answer changes nothing. */
static void a_late_answer_finds_nobody(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep, NULL);
	give(&f, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	wire_memory_give_reset(&f.memory);
	edge_bench_turn(f.bench, &f.memory);
	assert_null(f.memory.wire);
	reply(kept[0], 200, NULL, 0, SPAN("late"));
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

static void one_that_is_cut_late_finds_nobody(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, begin_stream, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	kept[0]->on_gone = NULL;
	wire_memory_give_reset(&f.memory);
	edge_bench_turn(f.bench, &f.memory);
	assert_null(f.memory.wire);
	assert_true(write_text(kept[0], "nobody"));
	reply_abort(kept[0]);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

static void a_log_that_stands_still_is_said(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep, NULL);
	give(&f, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	edge_refuse_stalled(&f.bench->edge, clock_by_hand_ms() * 1000000 - 1);
	edge_bench_turn(f.bench, &f.memory);
	assert_string_equal(out(&f), "");
	edge_refuse_stalled(&f.bench->edge, clock_by_hand_ms() * 1000000);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(strncmp(out(&f), "HTTP/1.1 503 ", 13), 0);
	reply(kept[0], 200, NULL, 0, SPAN("late"));
	finish(&f);
}

/* ---- crowds ---- */

/* One that takes all of every turn. */
struct crowd {
	struct turn_task task;
	struct turn *turn;
};

static void crowd_proceed(struct turn_task *task)
{
	struct crowd *crowd = (struct crowd *)task;
	crowd->turn->over = true;
	turn_wait(crowd->turn, task, TURN_REQUESTS);
}

static void who_waits_in_line_is_read_behind_half_a_head(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, echo, NULL);
	give(&f, "GET /a HTTP/1.1\r\nHo");
	struct crowd crowd = {.task = {.proceed = crowd_proceed}, .turn = &f.bench->edge.turn};
	crowd.turn->over = true;
	turn_wait(crowd.turn, &crowd.task, TURN_REQUESTS);
	give(&f, "st: localhost\r\n\r\n");
	assert_string_equal(seen, "0 /a []\n");
	finish(&f);
}

/* ---- drain ---- */

static void a_drain_answers_all_of_a_row(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, keep, NULL);
	for (int i = 0; i < 3; i++)
		give(&f, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	f.bench->edge.draining = true;
	edge_drain(&f.bench->edge);
	give(&f, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
	assert_int_equal(kept_count, 3);
	for (size_t i = 0; i < 3; i++) {
		reply(kept[i], 204, NULL, 0, (struct span){0});
		edge_bench_turn(f.bench, &f.memory);
		assert_int_equal(occurrences(out(&f), "HTTP/1.1 204 "), i + 1);
		assert_int_equal(f.memory.shut, i == 2);
	}
	assert_int_equal(occurrences(out(&f), "connection: close\r\n"), 1);
	finish(&f);
}

static void a_drain_ends_what_is_idle_and_lets_the_rest_finish(void **state)
{
	struct fixture f;
	struct wire_memory idle = {0}, fresh = {0};
	(void)state;
	open_with(&f, keep, NULL);
	edge_bench_connect(f.bench, &idle);
	edge_bench_connect(f.bench, &fresh);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	wire_memory_give_text(&idle, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	reply(kept[1], 204, NULL, 0, (struct span){0});
	edge_bench_turn(f.bench, &idle);
	f.bench->edge.draining = true;
	edge_drain(&f.bench->edge);
	edge_bench_turn(f.bench, &idle);
	assert_true(idle.shut);
	edge_bench_turn(f.bench, &fresh);
	assert_false(fresh.shut || fresh.closing); /* its first request may be on the way */
	reply(kept[0], 200, NULL, 0, SPAN("x"));
	edge_bench_turn(f.bench, &f.memory);
	assert_non_null(strstr(out(&f), "connection: close\r\n"));
	assert_true(f.memory.shut);
	edge_bench_wait(f.bench, &fresh, 2500);
	assert_null(fresh.wire);
	edge_close(&f.bench->edge);
	edge_bench_turn(f.bench, &idle);
	wire_memory_finish(&idle);
	wire_memory_finish(&fresh);
	finish(&f);
}

/* ---- streamed answers ---- */

static void a_streamed_answer_is_chunked_and_waits_for_its_client(void **state)
{
	struct fixture f;
	(void)state;
	drained = 0;
	open_with(&f, begin_stream, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	assert_non_null(strstr(out(&f), "transfer-encoding: chunked\r\n"));
	wire_memory_forget(&f.memory);
	assert_true(write_text(kept[0], "hello"));
	assert_string_equal(out(&f), "5\r\nhello\r\n");
	wire_memory_take(&f.memory, 4);
	assert_false(write_text(kept[0], "world"));
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(drained, 0);
	assert_int_equal(reply_pending(kept[0]), 6);
	wire_memory_take(&f.memory, SIZE_MAX);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(drained, 1);
	reply_end(kept[0]);
	edge_bench_turn(f.bench, &f.memory);
	assert_string_equal(out(&f), "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n");
	assert_int_equal(gone, 0);
	finish(&f);
}

static void of_http_1_0_it_is_bare_and_ends_with_the_connection(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, begin_stream, NULL);
	give(&f, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
	assert_null(strstr(out(&f), "transfer-encoding"));
	wire_memory_forget(&f.memory);
	assert_true(write_text(kept[0], "hello"));
	reply_end(kept[0]);
	edge_bench_turn(f.bench, &f.memory);
	assert_string_equal(out(&f), "hello");
	assert_true(f.memory.shut);
	finish(&f);
}

static void an_answer_that_is_cut_has_no_end(void **state)
{
	struct fixture f;
	(void)state;
	open_with(&f, begin_stream, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	wire_memory_forget(&f.memory);
	reply_abort(kept[0]);
	edge_bench_turn(f.bench, &f.memory);
	assert_string_equal(out(&f), "");
	assert_null(f.memory.wire);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

static char upgraded[64];

static void on_bytes(struct request *request, struct span bytes)
{
	strncat(upgraded, (const char *)bytes.at, bytes.len);
	if (bytes.at[bytes.len - 1] == '!')
		reply_end(request);
}

static void upgrade(struct request *request)
{
	keep(request);
	request->on_gone = on_gone;
	reply_upgrade(request, NULL, 0, on_bytes);
}

static void upgraded_bytes_go_to_whoever_upgraded(void **state)
{
	struct fixture f;
	(void)state;
	*upgraded = '\0';
	open_with(&f, upgrade, NULL);
	give(&f,
	     "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\none");
	give(&f, "two");
	assert_string_equal(upgraded, "onetwo");
	assert_int_equal(strncmp(out(&f), "HTTP/1.1 101 ", 13), 0);
	assert_true(write_text(kept[0], "as it is"));
	assert_non_null(strstr(out(&f), "\r\n\r\nas it is"));
	give(&f, "!");
	assert_true(f.memory.shut);
	finish(&f);
}

/* ---- sinks ---- */

static unsigned sink_drained, sink_gone;

static void on_sink_drained(void *holder)
{
	(void)holder;
	sink_drained++;
}

static void on_sink_gone(void *holder)
{
	assert_string_equal(holder, "holder");
	sink_gone++;
}

static struct sse_frame frame_of(const char *chunked, uint32_t from, uint32_t len)
{
	struct chunk *chunk = chunk_create(strlen(chunked));
	memcpy(chunk->bytes, chunked, strlen(chunked));
	return (struct sse_frame){.chunk = chunk, .bare_from = from, .bare_len = len};
}

static void a_sink_shares_frames_and_says_when_it_drained_or_went(void **state)
{
	static const struct sink_events events = {.drained = on_sink_drained, .gone = on_sink_gone};
	struct fixture f;
	struct sse_frame frame = frame_of("5\r\n:ab\n\n\r\n", 3, 5);
	char holder[] = "holder";
	(void)state;
	sink_drained = sink_gone = 0;
	open_with(&f, begin_stream, NULL);
	give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
	struct sink sink = request_sink(kept[0]);
	sink.kind->hold(sink.to, holder, &events);
	wire_memory_forget(&f.memory);
	assert_true(sink.kind->write(sink.to, &frame));
	assert_string_equal(out(&f), "5\r\n:ab\n\n\r\n");
	wire_memory_take(&f.memory, 3);
	assert_false(sink.kind->write(sink.to, &frame));
	assert_int_equal(frame.chunk->refs, 2); /* the rest waits by reference */
	assert_int_equal(sink.kind->pending(sink.to), 7);
	wire_memory_take(&f.memory, SIZE_MAX);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(sink_drained, 1);
	assert_int_equal(frame.chunk->refs, 1);
	wire_memory_give_reset(&f.memory);
	edge_bench_turn(f.bench, &f.memory);
	assert_int_equal(sink_gone, 1);
	sse_frame_finish(&frame);
	wire_memory_finish(&f.memory);
	edge_bench_destroy(f.bench);
}

static void a_sink_that_is_cut_or_whole(void **state)
{
	static const struct sink_events events = {.drained = on_sink_drained, .gone = on_sink_gone};
	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		struct fixture f;
		char holder[] = "holder";
		open_with(&f, begin_stream, NULL);
		give(&f, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
		struct sink sink = request_sink(kept[0]);
		sink.kind->hold(sink.to, holder, &events);
		sink.kind->release(sink.to);
		wire_memory_forget(&f.memory);
		sink.kind->end(sink.to, whole ? SINK_WHOLE : SINK_CUT);
		edge_bench_turn(f.bench, &f.memory);
		assert_string_equal(out(&f), whole ? "0\r\n\r\n" : "");
		finish(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(requests_are_read_split_at_every_byte),
	        cmocka_unit_test(requests_are_read_byte_by_byte),
	        cmocka_unit_test(answers_keep_the_order_of_their_requests),
	        cmocka_unit_test(a_held_request_lets_nothing_begin),
	        cmocka_unit_test(what_is_no_request_is_refused),
	        cmocka_unit_test(who_is_one_too_many_is_answered_and_its_request_dropped),
	        cmocka_unit_test(a_body_that_is_expected_is_asked_for),
	        cmocka_unit_test(what_does_not_come_in_time_is_refused),
	        cmocka_unit_test(a_handshake_has_its_time),
	        cmocka_unit_test(a_slow_reader_gets_all_and_a_dead_one_is_cut),
	        cmocka_unit_test(who_reads_nothing_is_not_read),
	        cmocka_unit_test(whoever_waits_hears_that_the_client_left),
	        cmocka_unit_test(a_half_closed_client_gets_its_answer),
	        cmocka_unit_test(a_late_answer_finds_nobody),
	        cmocka_unit_test(one_that_is_cut_late_finds_nobody),
	        cmocka_unit_test(a_log_that_stands_still_is_said),
	        cmocka_unit_test(who_waits_in_line_is_read_behind_half_a_head),
	        cmocka_unit_test(a_drain_answers_all_of_a_row),
	        cmocka_unit_test(a_drain_ends_what_is_idle_and_lets_the_rest_finish),
	        cmocka_unit_test(a_streamed_answer_is_chunked_and_waits_for_its_client),
	        cmocka_unit_test(of_http_1_0_it_is_bare_and_ends_with_the_connection),
	        cmocka_unit_test(an_answer_that_is_cut_has_no_end),
	        cmocka_unit_test(upgraded_bytes_go_to_whoever_upgraded),
	        cmocka_unit_test(a_sink_shares_frames_and_says_when_it_drained_or_went),
	        cmocka_unit_test(a_sink_that_is_cut_or_whole),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
