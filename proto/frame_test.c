#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

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
	} rows[] = {{0, PROTO_TYPE_READY},
	            {1, PROTO_TYPE_READY},
	            {11, PROTO_TYPE_READY},
	            {10, 999},
	            {UINT32_MAX, PROTO_TYPE_SETTINGS}};
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

/* What would need more than its type may have is refused on its head alone: nothing is allocated.
 */
static void test_ceiling_before_allocation(void **state)
{
	(void)state;
	uint8_t head[FRAME_HEAD_BYTES];
	frame_head(head, PROTO_TYPE_ADMIN_REPLY, PROTO_MAX_ADMIN_REPLY);
	struct frame_reader reader = {0};
	bool condemned = false;
	frames_in(&reader, span_of(head, sizeof head), &condemned);
	assert_false(condemned);
	assert_true(reader.room <= FRAME_HEAD_BYTES + PROTO_MAX_ADMIN_REPLY);
	frame_reader_finish(&reader);
	frame_head(head, PROTO_TYPE_ADMIN_REPLY, PROTO_MAX_ADMIN_REPLY + 1);
	frames_in(&reader, span_of(head, sizeof head), &condemned);
	assert_true(condemned);
	assert_true(reader.room <= FRAME_HEAD_BYTES);
	frame_reader_finish(&reader);
}

static void test_condemned_stays_condemned(void **state)
{
	(void)state;
	static const uint8_t hostile[] = {0, 0, 0, 0, 0, 0};
	uint8_t good[FRAME_HEAD_BYTES + 8] = {0};
	frame_head(good, PROTO_TYPE_READY, 8);
	struct frame_reader reader = {0};
	bool condemned = false;
	frames_in(&reader, span_of(hostile, sizeof hostile), &condemned);
	assert_true(condemned);
	condemned = false;
	assert_int_equal(frames_in(&reader, span_of(good, sizeof good), &condemned), 0);
	assert_true(condemned);
	frame_reader_finish(&reader);
}

/* Every truncation of every type: neither a frame nor a fault, and the rest completes it. */
static void test_truncations_of_every_type(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 64; type++) {
		size_t max = proto_body_max(type);
		if (max == SIZE_MAX)
			continue;
		size_t len = FRAME_HEAD_BYTES + (max < 40 ? max : 40);
		uint8_t *bytes = calloc(1, len);
		assert_non_null(bytes);
		frame_head(bytes, type, len - FRAME_HEAD_BYTES);
		for (size_t cut = 0; cut < len; cut++) {
			struct frame_reader reader = {0};
			bool condemned = false;
			assert_int_equal(frames_in(&reader, span_of(bytes, cut), &condemned), 0);
			assert_int_equal(
			        frames_in(&reader, span_of(bytes + cut, len - cut), &condemned), 1);
			assert_false(condemned);
			frame_reader_finish(&reader);
		}
		free(bytes);
	}
}

static void test_nothing_in_nothing_out(void **state)
{
	(void)state;
	struct frame_reader reader = {0};
	bool condemned = false;
	assert_int_equal(frames_in(&reader, (struct span){0}, &condemned), 0);
	assert_false(condemned);
	frame_reader_finish(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_frames_split_at_every_byte),
	        cmocka_unit_test(test_hostile_frames_condemn),
	        cmocka_unit_test(test_ceiling_before_allocation),
	        cmocka_unit_test(test_condemned_stays_condemned),
	        cmocka_unit_test(test_truncations_of_every_type),
	        cmocka_unit_test(test_nothing_in_nothing_out),
	};
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
