#include "worker-sse/views/stream_socket_message.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

enum { DEPTH = 16 };

/* In a block of exactly its size, which outlives the message. */
struct reading {
	uint8_t *block;
	struct stream_socket_message m;
};

static struct reading read_of(struct span text, bool binary)
{
	struct reading r = {.block = malloc(text.len + 1)};
	assert_non_null(r.block);
	if (text.len > 0)
		memcpy(r.block, text.at, text.len);
	r.m = stream_socket_message_read(span_of(r.block, text.len), binary, DEPTH);
	return r;
}

static struct reading read_text(const char *text)
{
	return read_of(span_str(text), false);
}

static void finish(struct reading *r)
{
	stream_socket_message_finish(&r->m);
	free(r->block);
}

static void a_subscribe_with_everything(void **state)
{
	struct reading r =
	        read_text("{\"type\":\"subscribe\",\"subscription\":\"a\",\"streams\":"
	                  "[\"x/*\",\"/v1/stream/y\"],\"from\":\"start\",\"id\":\"1-2.3\"}");
	(void)state;
	assert_int_equal(r.m.said, STREAM_SOCKET_SUBSCRIBE);
	assert_string_equal(r.m.subscription, "a");
	assert_int_equal(r.m.streams_count, 2);
	assert_string_equal(r.m.streams[0], "x/*");
	assert_string_equal(r.m.streams[1], "/v1/stream/y");
	assert_true(r.m.from_start);
	assert_string_equal(r.m.id, "1-2.3");
	finish(&r);
}

static void an_append_keeps_its_json_as_it_was_written(void **state)
{
	struct reading r = read_text(" {\"json\": [1.50, {\"a\":1e400}] "
	                             ",\"type\":\"append\",\"request\":\"7\",\"stream\":"
	                             "\"s\",\"producer\":{\"id\":\"p\",\"epoch\":3,\"seq\":"
	                             "9007199254740991},\"close\":true,"
	                             "\"streamSeq\":\"z\"}");
	(void)state;
	assert_int_equal(r.m.said, STREAM_SOCKET_APPEND);
	assert_true(span_equal(r.m.body, SPAN("[1.50, {\"a\":1e400}]")));
	assert_true(r.m.json && r.m.close && r.m.producer);
	assert_string_equal(r.m.content_type, "application/json");
	assert_string_equal(r.m.producer_id, "p");
	assert_int_equal(r.m.producer_epoch, 3);
	assert_true(r.m.producer_seq == (1ull << 53) - 1);
	assert_string_equal(r.m.stream_seq, "z");
	assert_string_equal(r.m.request, "7");
	finish(&r);
}

static void bodies(void **state)
{
	struct reading r =
	        read_text("{\"type\":\"append\",\"stream\":\"s\",\"text\":\"a\\u0000\\n\"}");
	(void)state;
	assert_true(span_equal(r.m.body, span_of("a\0\n", 3)));
	assert_string_equal(r.m.content_type, "text/plain");
	finish(&r);
	r = read_text("{\"type\":\"append\",\"stream\":\"s\",\"base64\":\"AAEC\"}");
	assert_true(span_equal(r.m.body, span_of("\0\1\2", 3)));
	assert_string_equal(r.m.content_type, "application/octet-stream");
	finish(&r);
	r = read_text("{\"type\":\"append\",\"stream\":\"s\",\"close\":true}");
	assert_int_equal(r.m.said, STREAM_SOCKET_APPEND);
	assert_int_equal(r.m.body.len, 0);
	finish(&r);
	r = read_of(SPAN("\0\0\0\x1e{\"type\":\"append\",\"stream\":\"s\"}\xff\0!"), true);
	assert_int_equal(r.m.said, STREAM_SOCKET_APPEND);
	assert_true(span_equal(r.m.body, span_of("\xff\0!", 3)));
	finish(&r);
}

static void what_is_refused(void **state)
{
#define SUBSCRIBE "{\"type\":\"subscribe\",\"subscription\":"
#define APPEND    "{\"type\":\"append\",\"stream\":\"s\","
#define LONG      "0123456789012345678901234567890123456789012345678901234567890123"
	static const struct {
		const char *text, *code;
	} rows[] = {
	        {"", "malformed"},
	        {"x", "malformed"},
	        {"[]", "malformed"},
	        {"{}", "malformed"},
	        {"{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "malformed"},
	        {"{\"type\":\"subscribe\",}", "malformed"},
	        {"{\"type\":\"publish\"}", "unknown-type"},
	        {"{\"type\":1,\"more\":2}", "unknown-type"},
	        {"{\"type\":\"\\u0061ppend\",\"stream\":\"s\"}", "unknown-type"},
	        {SUBSCRIBE "\"a\"}", "invalid"},
	        {SUBSCRIBE "\"\",\"streams\":[\"a\"]}", "invalid"},
	        {SUBSCRIBE "\"" LONG "0\",\"streams\":[\"a\"]}", "invalid"},
	        {SUBSCRIBE "1,\"streams\":[\"a\"]}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":\"a\"}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[]}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[1]}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[\"\"]}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[\"a\"],\"from\":\"end\"}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[\"a\"],\"id\":7}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[\"a\"],\"more\":7}", "invalid"},
	        {SUBSCRIBE "\"a\",\"streams\":[\"a\"],\"text\":\"\"}", "invalid"},
	        {SUBSCRIBE "\"a\",\"subscription\":\"b\",\"streams\":[\"a\"]}", "invalid"},
	        {"{\"type\":\"append\",\"json\":1}", "invalid"},
	        {APPEND "\"json\":1,\"text\":\"a\"}", "invalid"},
	        {APPEND "\"base64\":\"A\"}", "invalid"},
	        {APPEND "\"base64\":\"QUJD\\u0000xx\"}", "invalid"},
	        {APPEND "\"base64\":\"QUJD\\u0000xxx\"}", "invalid"},
	        {APPEND "\"text\":1}", "invalid"},
	        {APPEND "\"text\":\"\\ud800\"}", "invalid"},
	        {APPEND "\"text\":\"a\",\"close\":1}", "invalid"},
	        {APPEND "\"text\":\"a\",\"contentType\":\"\"}", "invalid"},
	        {APPEND "\"text\":\"a\",\"streamSeq\":\"a\\u0000\"}", "invalid"},
	        {APPEND "\"text\":\"a\",\"producer\":{\"id\":\"p\",\"epoch\":0}}", "invalid"},
	        {APPEND "\"text\":\"a\",\"producer\":{\"id\":\"p\",\"epoch\":0,\"seq\":-1}}",
	         "invalid"},
	        {APPEND "\"text\":\"a\",\"producer\":{\"id\":\"p\",\"epoch\":0,\"seq\":1.0}}",
	         "invalid"},
	        {APPEND
	         "\"text\":\"a\",\"producer\":{\"id\":\"p\",\"epoch\":0,\"seq\":9007199254740992}}",
	         "invalid"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct reading r = read_text(rows[i].text);
		assert_int_equal(r.m.said, STREAM_SOCKET_BAD);
		assert_string_equal(r.m.code, rows[i].code);
		assert_non_null(r.m.fault);
		finish(&r);
	}
}

static size_t made;

static void *count_malloc(size_t len)
{
	made++;
	return malloc(len);
}

/* A MiB of it would be many times as much in memory. */
static void a_list_that_is_too_long_is_not_made(void **state)
{
	static const char head[] = SUBSCRIBE "\"a\",\"streams\":[\",,\\\",\"", *const each[] = {
	                                                                               ",\"b\"",
	                                                                               ",1"};
	enum { MANY = 10000 };
	char *text = malloc(sizeof head + 4 * MANY + 3);
	(void)state;
	for (size_t i = 0; i < 2; i++)
		for (unsigned count = 63; count <= MANY; count += count == 63 ? 1 : MANY - 64) {
			char *at = stpcpy(text, head);
			for (unsigned k = 0; k < count; k++)
				at = stpcpy(at, each[i]);
			strcpy(at, "]}");
			made = 0;
			json_set_alloc_funcs(count_malloc, free);
			struct reading r = read_text(text);
			json_set_alloc_funcs(malloc, free);
			bool good = i == 0 && count == 63;
			assert_int_equal(r.m.said,
			                 good ? STREAM_SOCKET_SUBSCRIBE : STREAM_SOCKET_BAD);
			assert_true(count == 63 || made < 50);
			if (good) {
				assert_int_equal(r.m.streams_count, 64);
				assert_string_equal(r.m.streams[0], ",,\",");
			}
			finish(&r);
		}
	free(text);
}

static void a_binary_message_is_as_long_as_it_says(void **state)
{
	static const struct span bad[] = {
	        SPAN(""),
	        SPAN("\0\0\0"),
	        SPAN("\0\0\0\1"),
	        SPAN("\xff\xff\xff\xff{}"),
	        SPAN("\0\0\0\x37{\"type\":\"subscribe\",\"subscription\":\"a\",\"streams\":[\"a\"]"
	             "}"),
	        SPAN("\0\0\0\x27{\"type\":\"append\",\"stream\":\"s\",\"json\":1}x")};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct reading r = read_of(bad[i], true);
		assert_int_equal(r.m.said, STREAM_SOCKET_BAD);
		finish(&r);
	}
}

static void a_fault_says_what_it_is_about(void **state)
{
	struct reading r = read_text("{\"request\":\"r\",\"subscription\":\"s\",\"type\":\"x\"}");
	(void)state;
	assert_string_equal(r.m.request, "r");
	assert_string_equal(r.m.subscription, "s");
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_subscribe_with_everything),
	        cmocka_unit_test(an_append_keeps_its_json_as_it_was_written),
	        cmocka_unit_test(bodies),
	        cmocka_unit_test(what_is_refused),
	        cmocka_unit_test(a_list_that_is_too_long_is_not_made),
	        cmocka_unit_test(a_binary_message_is_as_long_as_it_says),
	        cmocka_unit_test(a_fault_says_what_it_is_about),
	};
	return cmocka_run_group_tests_name("stream_socket_message", tests, NULL, NULL);
}
