#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static size_t encode(uint8_t *buf, size_t room)
{
	struct writer w = {buf, buf + room, true};
	const struct proto_admin_reply in = {.id = 7, .last = 1, .body = SPAN("{\"ok\":true}")};
	assert_true(proto_put_admin_reply(&w, &in));
	return (size_t)(w.at - buf);
}

static void test_round_trip(void **state)
{
	(void)state;
	uint8_t buf[128];
	struct proto_admin_reply out;
	size_t len = encode(buf, sizeof buf);
	assert_true(proto_get_admin_reply(span_of(buf, len), &out));
	assert_int_equal(out.id, 7);
	assert_true(span_equal(out.body, SPAN("{\"ok\":true}")));
	assert_string_equal(proto_name(PROTO_TYPE_ADMIN_REPLY), "admin_reply");
}

/* In blocks of exact size, so that a sanitizer sees any overread. */
static bool decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);
	memcpy(copy, bytes, len);
	struct proto_admin_reply out;
	bool ok = proto_get_admin_reply(span_of(copy, len), &out);
	free(copy);
	return ok;
}

static void test_every_truncation_is_malformed(void **state)
{
	(void)state;
	uint8_t buf[128] = {0};
	size_t len = encode(buf, sizeof buf);
	for (size_t n = 0; n < len; n++)
		assert_false(decodes(buf, n));
	assert_false(decodes(buf, len + 1));
	memset(buf + 10, 0xff, 4); /* the hostile length */
	assert_false(decodes(buf, len));
}

static void test_random_bodies(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 100000; i++) {
		uint8_t body[40];
		size_t n = (size_t)rand() % sizeof body;
		for (size_t k = 0; k < n; k++)
			body[k] = (uint8_t)(rand() % 4 ? 0 : rand());
		decodes(body, n);
	}
}

static size_t frames_in(struct frame_reader *reader, struct span in, bool *condemned)
{
	size_t count = 0;
	for (;;) {
		unsigned type;
		struct span body;
		switch (frame_read(reader, &in, &type, &body)) {
		case FRAME_MORE:
			return count;
		case FRAME_WHOLE:
			count++;
			break;
		case FRAME_CONDEMNED:
			*condemned = true;
			return count;
		}
	}
}

static void test_frames_split_at_every_byte(void **state)
{
	(void)state;
	uint8_t bytes[2 * (FRAME_HEAD_BYTES + 8)] = {0};
	frame_head(bytes, PROTO_TYPE_HEARTBEAT, 8);
	frame_head(bytes + FRAME_HEAD_BYTES + 8, PROTO_TYPE_READY, 8);
	for (size_t cut = 0; cut <= sizeof bytes; cut++) {
		struct frame_reader reader = {0};
		bool condemned = false;
		size_t count = frames_in(&reader, span_of(bytes, cut), &condemned);
		count += frames_in(&reader, span_of(bytes + cut, sizeof bytes - cut), &condemned);
		assert_int_equal(count, 2);
		assert_false(condemned);
		frame_reader_finish(&reader);
	}
}

static void test_hostile_frames_condemn(void **state)
{
	(void)state;
	static const struct {
		uint32_t length;
		unsigned type;
	} rows[] = {{0, PROTO_TYPE_READY}, {1, PROTO_TYPE_READY}, {11, PROTO_TYPE_READY},
	            {10, 999}, {UINT32_MAX, PROTO_TYPE_SETTINGS}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint8_t bytes[FRAME_HEAD_BYTES];
		struct writer w = {bytes, bytes + sizeof bytes, true};
		writer_uint(&w, rows[i].length, 4);
		writer_uint(&w, rows[i].type, 2);
		struct frame_reader reader = {0};
		bool condemned = false;
		frames_in(&reader, span_of(bytes, sizeof bytes), &condemned);
		assert_true(condemned);
		frame_reader_finish(&reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_round_trip),
	        cmocka_unit_test(test_every_truncation_is_malformed),
	        cmocka_unit_test(test_random_bodies),
	        cmocka_unit_test(test_frames_split_at_every_byte),
	        cmocka_unit_test(test_hostile_frames_condemn),
	};
	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
