/* WebSockets from the handshake to the last frame, over a wire in memory and a clock by hand. */
#include "worker-sse/edge/websocket.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/edge_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MESSAGE_MAX = 1000, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

#define HANDSHAKE                                                                                  \
	"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, "      \
	"Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "                              \
	"dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct edge_bench *bench;
static struct wire_memory memory;
static struct websocket *websocket;
static char heard[4096];
static unsigned beats, closed, closed_code;
static void (*when_heard)(struct span text);

static void on_text(void *arg, struct span text)
{
	assert_string_equal(arg, "arg");
	size_t len = strlen(heard);
	snprintf(heard + len, sizeof heard - len, "[%.*s]", (int)text.len, (const char *)text.at);
	if (when_heard != NULL)
		when_heard(text);
}

static void on_beat(void *arg)
{
	(void)arg;
	beats++;
}

static void on_closed(void *arg, unsigned code)
{
	(void)arg;
	websocket = NULL;
	closed++;
	closed_code = code;
}

static void accept_it(struct request *request)
{
	static char arg[] = "arg";
	static const struct websocket_events events = {
	        .on_text = on_text, .on_beat = on_beat, .on_closed = on_closed, .arg = arg};
	websocket = websocket_accept(request, &events, MESSAGE_MAX);
}

static void give_text(const char *text)
{
	wire_memory_give_text(&memory, text);
	edge_bench_turn(bench, &memory);
}

static void open_with(const char *const *settings)
{
	bench = edge_bench_create(settings);
	edge_bench_route()->handler = accept_it;
	memory = (struct wire_memory){0};
	*heard = '\0';
	beats = closed = closed_code = 0;
	when_heard = NULL;
	websocket = NULL;
	edge_bench_connect(bench, &memory);
}

static void open_websocket(const char *const *settings)
{
	open_with(settings);
	give_text(HANDSHAKE "\r\n");
	assert_non_null(websocket);
	wire_memory_forget(&memory);
}

static void finish(void)
{
	edge_close(&bench->edge);
	edge_bench_turn(bench, &memory);
	assert_null(memory.wire);
	assert_null(websocket);
	assert_null(bench->edge.websockets);
	assert_int_equal(counter_get(&bench->counters, websockets), 0);
	wire_memory_finish(&memory);
	edge_bench_destroy(bench);
}

/* What a client sends: masked (RFC 6455 5.3). Returns its length. */
static size_t client_frame(uint8_t *out, unsigned first, struct span payload)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t len = 0;
	out[len++] = (uint8_t)first;
	if (payload.len < 126) {
		out[len++] = (uint8_t)(0x80 | payload.len);
	} else {
		out[len++] = 0x80 | 126;
		out[len++] = (uint8_t)(payload.len >> 8);
		out[len++] = (uint8_t)payload.len;
	}
	memcpy(out + len, mask, sizeof mask);
	len += sizeof mask;
	for (size_t i = 0; i < payload.len; i++)
		out[len++] = payload.at[i] ^ mask[i % 4];
	return len;
}

static void say(unsigned first, struct span payload)
{
	uint8_t bytes[4096];
	wire_memory_give(&memory, span_of(bytes, client_frame(bytes, first, payload)));
	edge_bench_turn(bench, &memory);
}

/* What it got, frame by frame, is exactly this. */
static void assert_got(struct span want)
{
	if (memory.out_len != want.len || memcmp(memory.out, want.at, want.len) != 0)
		fail_msg("%zu bytes, %02x %02x %02x %02x", memory.out_len, memory.out[0],
		         memory.out_len > 1 ? memory.out[1] : 0,
		         memory.out_len > 2 ? memory.out[2] : 0,
		         memory.out_len > 3 ? memory.out[3] : 0);
	wire_memory_forget(&memory);
}

/* Its last frame is a close of this code. */
static void assert_got_close(unsigned code, const char *reason)
{
	size_t len = 2 + strlen(reason);
	assert_true(memory.out_len >= 2 + len);
	const uint8_t *at = memory.out + memory.out_len - 2 - len;
	assert_int_equal(at[0], FIN | CLOSE);
	assert_int_equal(at[1], len);
	assert_int_equal(at[2] << 8 | at[3], code);
	assert_memory_equal(at + 4, reason, strlen(reason));
}

/* ---- the handshake ---- */

static void the_handshake_is_answered(void **state)
{
	(void)state;
	open_with(NULL);
	give_text(HANDSHAKE "\r\n");
	const char *out = (const char *)memory.out;
	assert_int_equal(strncmp(out, "HTTP/1.1 101 ", 13), 0);
	/* The example of RFC 6455 1.3. */
	assert_non_null(strstr(out, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_null(strstr(out, "sec-websocket-extensions"));
	assert_int_equal(counter_get(&bench->counters, websockets), 1);
	assert_int_equal(counter_get(&bench->counters, websockets_total), 1);
	finish();
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
}

#define OFFERS                                                                                     \
	"Sec-WebSocket-Protocol: other, mine.v1\r\n"                                               \
	"Sec-WebSocket-Extensions: permessage-deflate\r\n"

static void accept_own(struct request *request)
{
	static char arg[] = "arg";
	static const struct websocket_events events = {
	        .on_text = on_text, .on_closed = on_closed, .arg = arg};
	static const struct websocket_options options = {
	        .message_bytes = MESSAGE_MAX, .subprotocol = "mine.v1", .deflates = true};
	websocket = websocket_accept_as(request, &events, &options);
}

static void open_own(const char *offers)
{
	open_with(NULL);
	edge_bench_route()->handler = accept_own;
	give_text(HANDSHAKE);
	give_text(offers);
	give_text("\r\n");
}

static void what_a_feature_has_of_its_own_is_agreed_to(void **state)
{
	(void)state;
	open_own(OFFERS);
	const char *out = (const char *)memory.out;
	assert_non_null(strstr(out, "\r\nsec-websocket-protocol: mine.v1\r\n"));
	assert_non_null(strstr(out, "\r\nsec-websocket-extensions: permessage-deflate; "
	                            "server_no_context_takeover; client_no_context_takeover\r\n"));
	assert_int_equal(websocket_window(websocket), 15);
	finish();
	open_own("");
	assert_null(strstr((const char *)memory.out, "sec-websocket-protocol"));
	assert_int_equal(websocket_window(websocket), 0);
	finish();
	open_own("Sec-WebSocket-Protocol: other\r\n");
	assert_null(websocket);
	assert_int_equal(strncmp((const char *)memory.out, "HTTP/1.1 400 ", 13), 0);
	finish();
}

/* "Hello" as RFC 7692 7.2.3.1 has it; what reads frames is another one for each. */
#define HELLO SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00")

static void what_is_packed_is_read_and_said(void **state)
{
	static uint8_t long_text[500];
	(void)state;
	open_own(OFFERS);
	say(FIN | WEBSOCKET_PACKED | TEXT, HELLO);
	say(FIN | TEXT, SPAN("plain"));
	say(WEBSOCKET_PACKED | TEXT, SPAN("\xf2\x48\xcd"));
	say(FIN, SPAN("\xc9\xc9\x07\x00"));
	assert_string_equal(heard, "[Hello][plain][Hello]");
	memset(long_text, 'a', sizeof long_text);
	struct span message = span_of(long_text, sizeof long_text);
	struct span packed = websocket_packed(&bench->edge, 15, message);
	assert_true(packed.at != NULL && packed.len < 20);
	assert_null(websocket_packed(&bench->edge, 0, message).at);
	assert_int_equal(counter_get(&bench->counters, websocket_deflated_in_bytes_total), 500);
	finish();
}

static void what_is_packed_wrong_ends_it(void **state)
{
	static const struct {
		unsigned first, code;
		struct span payload;
	} rows[] = {
	        {FIN | WEBSOCKET_PACKED | TEXT, WEBSOCKET_BAD_DATA, SPAN("\xff\xff")},
	        /* The byte ff, stored: no UTF-8. */
	        {FIN | WEBSOCKET_PACKED | TEXT, WEBSOCKET_BAD_DATA, SPAN("\0\1\0\xfe\xff\xff\0")},
	        {FIN | WEBSOCKET_PACKED | PING, 1002, SPAN("")},
	        {FIN | 0x20 | TEXT, 1002, SPAN("")},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		open_own(OFFERS);
		wire_memory_forget(&memory);
		say(rows[i].first, rows[i].payload);
		assert_true(memory.out_len >= 4);
		assert_int_equal(memory.out[0], FIN | CLOSE);
		assert_int_equal(memory.out[2] << 8 | memory.out[3], rows[i].code);
		assert_string_equal(heard, "");
		finish();
	}
}

#define HEAD    "GET / HTTP/1.1\r\nHost: localhost\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void what_is_no_handshake_is_refused(void **state)
{
	static const struct {
		const char *bytes, *status;
		bool draining;
	} rows[] = {
	        {HEAD VERSION KEY "\r\n", "HTTP/1.1 426 ", false},
	        {HEAD "Upgrade: websocket\r\n" VERSION KEY "\r\n", "HTTP/1.1 426 ", false},
	        {HEAD "Upgrade: h2c\r\nConnection: upgrade\r\n" VERSION KEY "\r\n", "HTTP/1.1 426 ",
	         false},
	        {HEAD UPGRADE KEY "\r\n", "HTTP/1.1 426 ", false},
	        {HEAD UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", "HTTP/1.1 426 ", false},
	        {HEAD UPGRADE VERSION "\r\n", "HTTP/1.1 400 ", false},
	        {HEAD UPGRADE VERSION "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", "HTTP/1.1 400 ",
	         false},
	        {HEAD UPGRADE VERSION "Sec-WebSocket-Key: ????????????????????????\r\n\r\n",
	         "HTTP/1.1 400 ", false},
	        {HEAD UPGRADE VERSION KEY "Content-Length: 1\r\n\r\nx", "HTTP/1.1 400 ", false},
	        {"POST / HTTP/1.1\r\nHost: localhost\r\n" UPGRADE VERSION KEY "\r\n",
	         "HTTP/1.1 400 ", false},
	        {"GET / HTTP/1.0\r\nHost: localhost\r\n" UPGRADE VERSION KEY "\r\n",
	         "HTTP/1.1 400 ", false},
	        {HEAD UPGRADE VERSION KEY "\r\n", "HTTP/1.1 503 ", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		open_with(NULL);
		bench->edge.draining = rows[i].draining;
		give_text(rows[i].bytes);
		const char *out = (const char *)memory.out;
		if (strncmp(out, rows[i].status, strlen(rows[i].status)) != 0)
			fail_msg("%s: %s", rows[i].bytes, out);
		if (strstr(rows[i].status, "426") != NULL)
			assert_non_null(strstr(out, "sec-websocket-version: 13\r\n"));
		assert_null(websocket);
		finish();
		assert_int_equal(closed, 0);
	}
}

/* ---- messages ---- */

static void messages_are_read_split_at_every_byte(void **state)
{
	uint8_t bytes[1024];
	size_t len = 0;
	(void)state;
	len += client_frame(bytes + len, FIN | TEXT, SPAN("one"));
	len += client_frame(bytes + len, TEXT, SPAN("tw"));
	len += client_frame(bytes + len, FIN | PING, SPAN("?"));
	len += client_frame(bytes + len, 0, SPAN(""));
	len += client_frame(bytes + len, FIN, SPAN("o"));
	len += client_frame(bytes + len, FIN | PONG, SPAN("unasked"));
	len += client_frame(bytes + len, FIN | TEXT, SPAN(""));
	for (size_t at = 0; at <= len; at++) {
		open_websocket(NULL);
		wire_memory_give(&memory, span_of(bytes, at));
		edge_bench_turn(bench, &memory);
		wire_memory_give(&memory, span_of(bytes + at, len - at));
		edge_bench_turn(bench, &memory);
		assert_string_equal(heard, "[one][two][]");
		assert_got(SPAN("\x8a\x01?"));
		finish();
	}
}

/* The first message may come with the handshake. */
static void fragments_are_one_message_whatever_is_said_between(void **state)
{
	(void)state;
	open_websocket(NULL);
	say(TEXT, SPAN("one "));
	websocket_send(websocket, SPAN("between"));
	say(FIN | PING, SPAN("?"));
	say(0, SPAN("and "));
	websocket_send(websocket, SPAN("again"));
	say(FIN, SPAN("the same"));
	assert_string_equal(heard, "[one and the same]");
	assert_got(SPAN("\x81\x07"
	                "between\x8a\x01?\x81\x05"
	                "again"));
	finish();
}

static void a_frame_in_pieces_is_not_broken_into(void **state)
{
	struct chunk *shared = chunk_create(3);
	(void)state;
	memcpy(shared->bytes, "two", 3);
	open_websocket(NULL);
	assert_true(websocket_begin(websocket, FIN | TEXT, 7));
	websocket_piece(websocket, SPAN("1"));
	websocket_send(websocket, SPAN("later"));
	say(FIN | PING, SPAN("?"));
	assert_false(websocket_begin(websocket, FIN | TEXT, 1));
	websocket_piece_shared(websocket, shared, 0, 3);
	websocket_piece(websocket, SPAN("end"));
	assert_got(SPAN("\x81\x07"
	                "1twoend\x8a\x01?\x81\x05"
	                "later"));
	chunk_unref(&shared);
	finish();
}

static void a_message_behind_the_handshake_is_not_lost(void **state)
{
	uint8_t bytes[64];
	(void)state;
	open_with(NULL);
	wire_memory_give_text(&memory, HANDSHAKE "\r\n");
	wire_memory_give(&memory, span_of(bytes, client_frame(bytes, FIN | TEXT, SPAN("early"))));
	edge_bench_turn(bench, &memory);
	assert_string_equal(heard, "[early]");
	finish();
}

static void answer(struct span text)
{
	websocket_send(websocket, text);
}

static void what_is_sent_goes_out_as_text(void **state)
{
	(void)state;
	open_websocket(NULL);
	when_heard = answer;
	websocket_send(websocket, SPAN("hello"));
	assert_got(SPAN("\x81\x05hello"));
	say(FIN | TEXT, SPAN("back"));
	assert_got(SPAN("\x81\x04"
	                "back"));
	finish();
}

/* ---- what it does not take ---- */

static void what_is_not_taken_ends_it(void **state)
{
	static uint8_t large[MESSAGE_MAX + 1];
	static const uint8_t unmasked[] = {FIN | TEXT, 2, 'h', 'i'};
	(void)state;
	memset(large, 'x', sizeof large);
	open_websocket(NULL);
	say(FIN | TEXT, span_of(large, MESSAGE_MAX));
	assert_int_equal(strlen(heard), MESSAGE_MAX + 2);
	assert_int_equal(memory.out_len, 0);
	say(FIN | TEXT, span_of(large, MESSAGE_MAX + 1));
	assert_got_close(1009, "");
	finish();

	open_websocket(NULL); /* in pieces, too */
	say(TEXT, span_of(large, MESSAGE_MAX));
	say(FIN, span_of(large, 1));
	assert_got_close(1009, "");
	assert_string_equal(heard, "");
	finish();

	open_websocket(NULL);
	say(FIN | BINARY, SPAN("bytes"));
	assert_got_close(WEBSOCKET_UNSUPPORTED, "text only");
	say(FIN | TEXT, SPAN("after"));
	assert_string_equal(heard, "");
	say(FIN | CLOSE, SPAN("\x03\xeb"));
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_UNSUPPORTED);
	finish();

	open_websocket(NULL);
	wire_memory_give(&memory, span_of(unmasked, sizeof unmasked));
	edge_bench_turn(bench, &memory);
	assert_got_close(1002, "");
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
	assert_true(memory.shut);
	finish();

	open_websocket(NULL);
	say(FIN | TEXT, SPAN("\xff\xfe")); /* no UTF-8 */
	assert_got_close(1007, "");
	assert_string_equal(heard, "");
	finish();
}

/* ---- the end ---- */

static void a_client_may_close(void **state)
{
	(void)state;
	open_websocket(NULL);
	say(FIN | CLOSE, SPAN("\x03\xe8"
	                      "bye"));
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_NORMAL);
	assert_int_equal(memory.out[0], FIN | CLOSE);
	assert_int_equal(memory.out[2] << 8 | memory.out[3], WEBSOCKET_NORMAL);
	assert_true(memory.shut);
	finish();
	assert_int_equal(closed, 1);
}

static void the_server_may_close_after_what_it_said(void **state)
{
	(void)state;
	open_websocket(NULL);
	websocket_send(websocket, SPAN("last"));
	websocket_close(websocket, WEBSOCKET_NORMAL, "done");
	websocket_close(websocket, WEBSOCKET_POLICY, "twice");
	websocket_send(websocket, SPAN("too late"));
	edge_bench_turn(bench, &memory);
	assert_got(SPAN("\x81\x04last\x88\x06\x03\xe8"
	                "done"));
	assert_int_equal(closed, 0);
	say(FIN | TEXT, SPAN("unheard"));
	assert_string_equal(heard, "");
	say(FIN | CLOSE, SPAN("\x03\xe8"));
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_NORMAL);
	assert_int_equal(memory.out_len, 0);
	assert_true(memory.shut);
	finish();
}

static void say_and_close(struct span text)
{
	websocket_send(websocket, text);
	websocket_close(websocket, WEBSOCKET_TRY_LATER, "later");
	websocket_send(websocket, SPAN("not this"));
}

/* From within a message, too: what was said goes first, and no message of the same read comes. */
static void it_may_close_from_within_a_message(void **state)
{
	uint8_t bytes[128];
	size_t len = client_frame(bytes, FIN | TEXT, SPAN("a"));
	(void)state;
	len += client_frame(bytes + len, FIN | TEXT, SPAN("b"));
	open_websocket(NULL);
	when_heard = say_and_close;
	wire_memory_give(&memory, span_of(bytes, len));
	edge_bench_turn(bench, &memory);
	assert_string_equal(heard, "[a]");
	assert_got(SPAN("\x81\x01"
	                "a\x88\x07\x03\xf5later"));
	finish();
}

static void a_client_that_does_not_close_is_cut(void **state)
{
	(void)state;
	open_websocket(NULL);
	websocket_close(websocket, WEBSOCKET_NORMAL, "done");
	edge_bench_wait(bench, &memory, 4900);
	assert_int_equal(closed, 0);
	edge_bench_wait(bench, &memory, 250);
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
	assert_null(memory.wire);
	finish();
}

static void a_connection_that_breaks_is_told(void **state)
{
	(void)state;
	open_websocket(NULL);
	wire_memory_give_reset(&memory);
	edge_bench_turn(bench, &memory);
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
	finish();
}

/* After a close no other frame is sent (RFC 6455 5.5.1), whatever comes. */
static void what_is_broken_after_a_close_is_not_closed_twice(void **state)
{
	/* A ping of 200 bytes is no frame at all (RFC 6455 5.5). */
	static const uint8_t no_frame[] = {FIN | PING, 0x80 | 126, 0, 200, 1, 2, 3, 4};
	(void)state;
	open_websocket(NULL);
	wire_memory_give(&memory, span_of(no_frame, sizeof no_frame));
	edge_bench_turn(bench, &memory);
	assert_got(SPAN("\x88\x02\x03\xea"));
	assert_int_equal(closed, 1);
	assert_true(memory.shut);
	finish();

	open_websocket(NULL);
	websocket_close(websocket, WEBSOCKET_NORMAL, "done");
	edge_bench_turn(bench, &memory);
	assert_got(SPAN("\x88\x06\x03\xe8"
	                "done"));
	wire_memory_give(&memory, span_of(no_frame, sizeof no_frame));
	edge_bench_turn(bench, &memory);
	assert_got(SPAN(""));
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
	finish();
}

static void several_may_leave_in_any_order(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct wire_memory other = {0};
		struct wire_memory *wires[] = {&memory, &other};
		open_websocket(NULL);
		edge_bench_connect(bench, &other);
		wire_memory_give_text(&other, HANDSHAKE "\r\n");
		edge_bench_turn(bench, &other);
		for (int i = 0; i < 2; i++) {
			struct wire_memory *leaves = wires[i ^ first];
			wire_memory_give_reset(leaves);
			edge_bench_turn(bench, leaves);
			assert_null(leaves->wire);
			assert_int_equal(counter_get(&bench->counters, websockets), 1 - i);
		}
		assert_int_equal(closed, 2);
		wire_memory_finish(&other);
		finish();
	}
}

static void a_drain_tells_all_to_go(void **state)
{
	struct wire_memory other = {0};
	(void)state;
	open_websocket(NULL);
	edge_bench_connect(bench, &other);
	wire_memory_give_text(&other, HANDSHAKE "\r\n");
	edge_bench_turn(bench, &other);
	wire_memory_forget(&other);
	websockets_drain(&bench->edge);
	edge_bench_turn(bench, &memory);
	edge_bench_turn(bench, &other);
	assert_got_close(WEBSOCKET_GOING_AWAY, "this worker is on its way out");
	assert_int_equal(other.out_len, memory.out_len);
	edge_bench_wait(bench, &other, 5200);
	assert_null(other.wire);
	assert_int_equal(closed, 2);
	wire_memory_finish(&other);
	finish();
}

/* ---- rights ---- */

/* By the query a browser's WebSocket is known, or its cookie: here a Bearer does. */
static void a_credential_that_ends_ends_it(void **state)
{
	static const char *const strict[] = {"dev=false", "auth.publish_tokens=one,other", NULL};
	char reason[SETTINGS_REASON_MAX];
	(void)state;
	for (unsigned asks = 0; asks < 2; asks++) {
		open_with(strict);
		edge_bench_route()->rights = (struct route_rights){.get = asks ? RIGHT(READ) : 0};
		give_text(HANDSHAKE "Authorization: Bearer one\r\n\r\n");
		assert_non_null(websocket);
		wire_memory_forget(&memory);
		check(settings_set(&bench->settings, SPAN("auth.publish_tokens"), SPAN("other"),
		                   reason));
		edge_use(&bench->edge, &bench->settings);
		edge_bench_turn(bench, &memory);
		if (asks)
			assert_got_close(WEBSOCKET_EXPIRED, "this credential is good no longer");
		else
			assert_int_equal(memory.out_len, 0); /* nobody's matter */
		edge_bench_route()->rights = (struct route_rights){0};
		finish();
	}
}

static void accept_for_a_second(struct request *request)
{
	request->identity->expires_ms = clock_by_hand_ms() + 1000;
	accept_it(request);
}

/* What it says afterwards is not waited for until the next beat. */
static void nothing_is_heard_of_whose_credential_has_ended(void **state)
{
	static const char *const strict[] = {"dev=false", "auth.publish_tokens=one", NULL};
	(void)state;
	open_with(strict);
	edge_bench_route()->rights = (struct route_rights){.get = RIGHT(READ)};
	edge_bench_route()->handler = accept_for_a_second;
	give_text(HANDSHAKE "Authorization: Bearer one\r\n\r\n");
	assert_non_null(websocket);
	wire_memory_forget(&memory);
	say(FIN | TEXT, SPAN("in time"));
	edge_bench_wait(bench, &memory, 1100);
	assert_int_equal(memory.out_len, 0);
	say(FIN | TEXT, SPAN("late"));
	assert_string_equal(heard, "[in time]");
	assert_got_close(WEBSOCKET_EXPIRED, "this credential is good no longer");
	edge_bench_route()->rights = (struct route_rights){0};
	finish();
}

/* ---- time ---- */

static const char *const beat_settings[] = {"http.sse_keepalive=1s",
                                            "http.websocket_output_bytes=64k", NULL};

static void a_ping_goes_out_after_each_beat(void **state)
{
	(void)state;
	open_websocket(beat_settings);
	edge_bench_wait(bench, &memory, 950);
	assert_got(SPAN(""));
	for (unsigned i = 1; i < 6; i++) {
		edge_bench_wait(bench, &memory, i == 1 ? 150 : 1050);
		assert_got(SPAN("\x89\x00"));
		assert_int_equal(beats, i);
		say(FIN | PONG, SPAN(""));
	}
	assert_int_equal(closed, 0);
	finish();
}

static void who_says_nothing_is_cut(void **state)
{
	(void)state;
	open_websocket(beat_settings);
	edge_bench_wait(bench, &memory, 2000);
	assert_int_equal(closed, 0);
	edge_bench_wait(bench, &memory, 1250);
	assert_int_equal(closed, 1);
	assert_int_equal(closed_code, WEBSOCKET_ABNORMAL);
	assert_null(memory.wire);
	finish();
}

/* ---- output ---- */

/* So that it stays full: what the kernel has taken meanwhile is no message that was read. */
static void fill(void)
{
	static uint8_t text[65536];
	memset(text, 'x', sizeof text);
	wire_memory_take(&memory, 0);
	websocket_send(websocket, span_of(text, sizeof text));
	edge_bench_turn(bench, &memory);
	assert_int_equal(closed, 0);
}

static void who_is_full_gets_no_more_but_the_reason(void **state)
{
	(void)state;
	open_websocket(beat_settings);
	fill();
	websocket_send(websocket, SPAN("one more"));
	wire_memory_take(&memory, SIZE_MAX);
	edge_bench_turn(bench, &memory);
	assert_got_close(WEBSOCKET_POLICY, "what is said to you is not read");
	assert_null(memmem(memory.out, memory.out_len, "one more", 8));
	assert_int_equal(counter_get(&bench->counters, timeouts_total), 1);
	finish();
}

/* It is not read while it is full: from one beat to the next that may be. */
static void who_stays_full_from_beat_to_beat_ends(void **state)
{
	(void)state;
	open_websocket(beat_settings);
	fill();
	edge_bench_wait(bench, &memory, 1100);
	assert_int_equal(counter_get(&bench->counters, timeouts_total), 0);
	edge_bench_wait(bench, &memory, 1050);
	assert_int_equal(counter_get(&bench->counters, timeouts_total), 1);
	wire_memory_take(&memory, SIZE_MAX);
	edge_bench_turn(bench, &memory);
	assert_got_close(WEBSOCKET_POLICY, "what is said to you is not read");
	finish();
}

/* Slow is not stuck. */
static void who_takes_some_of_it_from_beat_to_beat_does_not_end(void **state)
{
	static const char *const settings[] = {"http.sse_keepalive=1s",
	                                       "http.websocket_output_bytes=4k", NULL};
	(void)state;
	open_websocket(settings);
	fill();
	edge_bench_wait(bench, &memory, 1100);
	for (unsigned i = 0; i < 5; i++) {
		wire_memory_take(&memory, 1000);
		edge_bench_wait(bench, &memory, 1050);
		assert_int_equal(closed, 0);
		assert_int_equal(counter_get(&bench->counters, timeouts_total), 0);
	}
	edge_bench_wait(bench, &memory, 2100);
	assert_int_equal(counter_get(&bench->counters, timeouts_total), 1);
	finish();
}

static void who_was_full_may_go_on(void **state)
{
	(void)state;
	open_websocket(beat_settings);
	fill();
	edge_bench_wait(bench, &memory, 1100);
	wire_memory_take(&memory, SIZE_MAX);
	edge_bench_turn(bench, &memory);
	say(FIN | TEXT, SPAN("here"));
	assert_string_equal(heard, "[here]");
	edge_bench_wait(bench, &memory, 1050);
	assert_int_equal(closed, 0);
	wire_memory_forget(&memory);
	websocket_send(websocket, SPAN("there"));
	assert_got(SPAN("\x81\x05there"));
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_handshake_is_answered),
	        cmocka_unit_test(what_is_no_handshake_is_refused),
	        cmocka_unit_test(what_a_feature_has_of_its_own_is_agreed_to),
	        cmocka_unit_test(what_is_packed_is_read_and_said),
	        cmocka_unit_test(what_is_packed_wrong_ends_it),
	        cmocka_unit_test(messages_are_read_split_at_every_byte),
	        cmocka_unit_test(fragments_are_one_message_whatever_is_said_between),
	        cmocka_unit_test(a_frame_in_pieces_is_not_broken_into),
	        cmocka_unit_test(a_message_behind_the_handshake_is_not_lost),
	        cmocka_unit_test(what_is_sent_goes_out_as_text),
	        cmocka_unit_test(what_is_not_taken_ends_it),
	        cmocka_unit_test(a_client_may_close),
	        cmocka_unit_test(the_server_may_close_after_what_it_said),
	        cmocka_unit_test(it_may_close_from_within_a_message),
	        cmocka_unit_test(a_client_that_does_not_close_is_cut),
	        cmocka_unit_test(a_connection_that_breaks_is_told),
	        cmocka_unit_test(what_is_broken_after_a_close_is_not_closed_twice),
	        cmocka_unit_test(several_may_leave_in_any_order),
	        cmocka_unit_test(a_drain_tells_all_to_go),
	        cmocka_unit_test(a_credential_that_ends_ends_it),
	        cmocka_unit_test(nothing_is_heard_of_whose_credential_has_ended),
	        cmocka_unit_test(a_ping_goes_out_after_each_beat),
	        cmocka_unit_test(who_says_nothing_is_cut),
	        cmocka_unit_test(who_is_full_gets_no_more_but_the_reason),
	        cmocka_unit_test(who_stays_full_from_beat_to_beat_ends),
	        cmocka_unit_test(who_takes_some_of_it_from_beat_to_beat_does_not_end),
	        cmocka_unit_test(who_was_full_may_go_on),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
