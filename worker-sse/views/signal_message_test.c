#include "worker-sse/views/signal_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void what_clients_say(void **state)
{
	static const struct {
		const char *json;
		enum signal_kind kind;
		const char *text;
	} rows[] = {
	        {"{\"type\":\"answer\",\"sdp\":{\"type\":\"answer\",\"sdp\":\"v=0\\r\\n\"}}",
	         SIGNAL_ANSWER, "v=0\r\n"},
	        {"{\"type\":\"answer\",\"sdp\":\"v=0\"}", SIGNAL_ANSWER, "v=0"},
	        {"{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"candidate:1 1 udp 2 "
	         "10.0.0.1 9 typ host\","
	         "\"sdpMid\":\"a\",\"usernameFragment\":\"u+/1\"}}",
	         SIGNAL_CANDIDATE,
	         "a=ice-ufrag:u+/1\r\na=mid:a\r\na=candidate:1 1 udp 2 10.0.0.1 9 typ host\r\n"},
	        {"{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"candidate:1\","
	         "\"sdpMLineIndex\":0}}",
	         SIGNAL_CANDIDATE, "a=mid:0\r\na=candidate:1\r\n"},
	        {"{\"type\":\"ice-candidate\",\"candidate\":null}", SIGNAL_NOTHING, NULL},
	        {"{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"\"}}", SIGNAL_NOTHING,
	         NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct signal_message m = signal_message_read(span_str(rows[i].json));
		assert_int_equal(m.kind, rows[i].kind);
		if (rows[i].text != NULL)
			assert_string_equal(m.text, rows[i].text);
		signal_message_finish(&m);
	}
}

static void what_is_not_understood(void **state)
{
	static const char *const rows[] = {
	        "",
	        "null",
	        "[]",
	        "{}",
	        "{\"type\":1}",
	        "{\"type\":\"offer\",\"sdp\":\"v=0\"}",
	        "{\"type\":\"answer\"}",
	        "{\"type\":\"answer\",\"sdp\":\"\"}",
	        "{\"type\":\"answer\",\"sdp\":{\"sdp\":1}}",
	        "{\"type\":\"ice-candidate\"}",
	        "{\"type\":\"ice-candidate\",\"candidate\":\"candidate:1\"}",
	        /* another line must not be had by a line end within one */
	        "{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"candidate:1\\r\\na=x\"}"
	        "}",
	        "{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"candidate:1\","
	        "\"sdpMid\":\"0\\na=x\"}}",
	        "{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"candidate:1\","
	        "\"usernameFragment\":\"\\n\"}}",
	        "{\"type\":\"ice-candidate\",\"candidate\":{\"candidate\":\"a=x\"}}",
	        "{\"type\":\"answer\",\"type\":\"answer\",\"sdp\":\"v=0\"}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct signal_message m = signal_message_read(span_str(rows[i]));
		assert_int_equal(m.kind, SIGNAL_BAD);
		signal_message_finish(&m);
	}
}

static void what_clients_are_told(void **state)
{
	char *offer = signal_message_offer("v=0\r\n"), *error = signal_message_error("\"no\"");
	(void)state;
	assert_string_equal(
	        offer, "{\"type\":\"offer\",\"sdp\":{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}}");
	assert_string_equal(error, "{\"type\":\"error\",\"message\":\"\\\"no\\\"\"}");
	free(offer);
	free(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_clients_say),
	        cmocka_unit_test(what_is_not_understood),
	        cmocka_unit_test(what_clients_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
