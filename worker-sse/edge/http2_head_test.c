/* Fields as heads of HTTP/1.1, and heads as fields. */
#include "worker-sse/edge/http2_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void add(struct http2_head *head, const char *name, const char *value)
{
	assert_true(http2_head_add(head, span_str(name), span_str(value)));
}

static void expect(struct http2_head *head, const char *text, const char *fault)
{
	const char *said;
	struct span all = http2_head_text(head, &said);
	if (fault == NULL)
		assert_null(said);
	else
		assert_non_null(said);
	if (text != NULL) {
		assert_int_equal(all.len, strlen(text));
		assert_memory_equal(all.at, text, all.len);
	}
}

static void fields_become_a_head_of_http1(void **state)
{
	struct http2_head head = {0};
	(void)state;
	http2_head_begin(&head, 1000);
	add(&head, ":method", "POST");
	add(&head, ":scheme", "https");
	add(&head, ":authority", "here:1");
	add(&head, ":path", "/a?b");
	add(&head, "cookie", "a=1");
	add(&head, "cookie", "b=2");
	add(&head, "host", "HERE:1");
	expect(&head, "POST /a?b HTTP/1.1\r\nhost: here:1\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n",
	       NULL);
	assert_false(http2_head_tunnels(&head));
	http2_head_begin(&head, 1000);
	add(&head, ":method", "GET");
	add(&head, ":path", "/");
	add(&head, "host", "there");
	expect(&head, "GET / HTTP/1.1\r\nhost: there\r\n\r\n", NULL);
	http2_head_finish(&head);
}

static void a_websocket_becomes_its_handshake(void **state)
{
	struct http2_head head = {0};
	(void)state;
	http2_head_begin(&head, 1000);
	add(&head, ":method", "CONNECT");
	add(&head, ":protocol", "websocket");
	add(&head, ":scheme", "https");
	add(&head, ":path", "/ws");
	add(&head, ":authority", "x");
	add(&head, "sec-websocket-version", "13");
	add(&head, "sec-websocket-key", "mine");
	assert_true(http2_head_tunnels(&head));
	expect(&head,
	       "GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
	       "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n",
	       NULL);
	http2_head_finish(&head);
}

static void what_would_be_another_request_is_refused(void **state)
{
	static const char *const rows[][2] = {
	        {":path", "/ HTTP/1.1\r\nx: y"}, {":path", "/a b"},      {":path", "/\n"},
	        {":method", "GET /x"},           {":authority", "a\rb"}, {":authority", "a b"},
	        {"host", "elsewhere"},           {":scheme", "ftp"},     {":protocol", "telnet"}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct http2_head head = {0};
		http2_head_begin(&head, 1000);
		add(&head, rows[i][0], rows[i][1]);
		add(&head, ":authority", "here");
		expect(&head, NULL, "some");
		http2_head_finish(&head);
	}
}

static void a_large_head_is_dropped_and_said_to_be(void **state)
{
	struct http2_head head = {0};
	(void)state;
	http2_head_begin(&head, 30);
	assert_true(http2_head_add(&head, SPAN(":path"), SPAN("/12345678901234")));
	assert_false(http2_head_add(&head, SPAN("x"), SPAN("23")));
	assert_false(http2_head_add(&head, SPAN("y"), SPAN("")));
	assert_int_equal(head.lines.len, 0);
	http2_head_finish(&head);
}

static void a_head_becomes_fields(void **state)
{
	static const char *const wanted[][2] = {
	        {":status", "200"}, {"content-type", "a: b"}, {"set-cookie", "c"}, {"empty", ""}};
	nghttp2_nv fields[HTTP2_FIELDS_MAX];
	(void)state;
	size_t count = http2_head_fields(
	        SPAN("200"),
	        SPAN("content-type: a: b\r\nconnection: close\r\nset-cookie: c\r\nupgrade: x\r\n"
	             "transfer-encoding: chunked\r\nkeep-alive: 1\r\nempty: \r\n"),
	        fields);
	assert_int_equal(count, 4);
	for (size_t i = 0; i < count; i++) {
		assert_true(span_equal(span_of(fields[i].name, fields[i].namelen),
		                       span_str(wanted[i][0])));
		assert_true(span_equal(span_of(fields[i].value, fields[i].valuelen),
		                       span_str(wanted[i][1])));
	}
	assert_int_equal(fields[1].flags, NGHTTP2_NV_FLAG_NONE);
	assert_int_equal(fields[2].flags, NGHTTP2_NV_FLAG_NO_INDEX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fields_become_a_head_of_http1),
	        cmocka_unit_test(a_websocket_becomes_its_handshake),
	        cmocka_unit_test(what_would_be_another_request_is_refused),
	        cmocka_unit_test(a_large_head_is_dropped_and_said_to_be),
	        cmocka_unit_test(a_head_becomes_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
