/* Frames as bytes, and what of a stream goes into them. */
#include "worker-sse/live/sse.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct span bare_of(const struct sse_frame *frame)
{
	return span_of(frame->chunk->bytes + frame->bare_from, frame->bare_len);
}

/* Both forms of the frame of what was put. */
static void assert_frame(struct sse_builder *b, const char *want)
{
	struct sse_frame frame = {0};
	char chunked[512];
	int len = snprintf(chunked, sizeof chunked, "%zx\r\n%s\r\n", strlen(want), want);
	sse_end(b, &frame);
	struct span bare = bare_of(&frame);
	if (!span_equal(bare, span_str(want)))
		fail_msg("got  \"%.*s\"\nwant \"%s\"", (int)bare.len, bare.at, want);
	assert_int_equal(frame.chunk->len, len);
	assert_memory_equal(frame.chunk->bytes, chunked, (size_t)len);
	assert_int_equal(frame.chunk->refs, 1);
	sse_frame_finish(&frame);
	assert_null(frame.chunk);
}

static void data_is_cut_into_lines(void **state)
{
	static const struct {
		const char *data, *lines;
	} rows[] = {
	        {"", "data:\n"},
	        {"a", "data:a\n"},
	        {"a\nb", "data:a\ndata:b\n"},
	        {"a\rb", "data:a\ndata:b\n"},
	        {"a\r\nb", "data:a\ndata:b\n"},
	        {"a\n\rb", "data:a\ndata:\ndata:b\n"},
	        {"a\r\r\nb", "data:a\ndata:\ndata:b\n"},
	        {"a\n\nb", "data:a\ndata:\ndata:b\n"},
	        {"a\n", "data:a\ndata:\n"},
	        {"a\r", "data:a\ndata:\n"},
	        {"a\r\n", "data:a\ndata:\n"},
	        {"\n", "data:\ndata:\n"},
	        {" a", "data:  a\n"}, /* a parser takes one away */
	        {"  a\n b", "data:   a\ndata:  b\n"},
	        {"a ", "data:a \n"},
	        {":a", "data::a\n"},
	        {"\ta", "data:\ta\n"},
	        {"id: 1\n\nevent: x", "data:id: 1\ndata:\ndata:event: x\n"},
	};
	struct sse_builder b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sse_begin(&b);
		sse_put_data(&b, span_str(rows[i].data));
		assert_frame(&b, rows[i].lines);
	}
	sse_builder_finish(&b);
}

/* A CR at the end of the span says nothing of what lies behind it. */
static void data_is_not_read_beyond_its_end(void **state)
{
	struct sse_builder b = {0};
	(void)state;
	sse_begin(&b);
	sse_put_data(&b, span_of("a\r\nb", 2));
	assert_frame(&b, "data:a\ndata:\n");
	sse_builder_finish(&b);
}

static void bytes_that_are_no_text_go_as_base64(void **state)
{
	static const struct {
		const char *bytes, *line;
	} rows[] = {{"", "data:\n"},        {"a", "data:YQ==\n"},  {"ab", "data:YWI=\n"},
	            {"abc", "data:YWJj\n"}, {"\n", "data:Cg==\n"}, {"\xff\xfe", "data://4=\n"}};
	struct sse_builder b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sse_begin(&b);
		sse_put_data_base64(&b, span_str(rows[i].bytes));
		assert_frame(&b, rows[i].line);
	}
	sse_builder_finish(&b);
}

/* One line, however long: a parser joins lines by LF. */
static void base64_of_a_long_message_is_one_line(void **state)
{
	static uint8_t bytes[30000];
	struct sse_builder b = {0};
	struct sse_frame frame = {0};
	(void)state;
	sse_begin(&b);
	sse_put_data_base64(&b, span_of(bytes, sizeof bytes));
	sse_end(&b, &frame);
	struct span bare = bare_of(&frame);
	assert_int_equal(bare.len, 5 + sizeof bytes / 3 * 4 + 1);
	assert_ptr_equal(memchr(bare.at, '\n', bare.len), bare.at + bare.len - 1);
	sse_frame_finish(&frame);
	sse_builder_finish(&b);
}

static void a_comment_is_a_block_of_its_own(void **state)
{
	struct sse_builder b = {0};
	(void)state;
	sse_begin(&b);
	sse_comment(&b, "%s", "");
	assert_frame(&b, ":\n\n");
	sse_begin(&b);
	SSE_PUT(&b, "event: a\n");
	sse_put_data(&b, SPAN("b"));
	sse_printf(&b, "id: %d\n\n", 7);
	sse_comment(&b, "%d of %d", 1, 2);
	assert_frame(&b, "event: a\ndata:b\nid: 7\n\n:1 of 2\n\n");
	sse_builder_finish(&b);
}

/* A chunk without bytes would end the answer. */
static void an_empty_frame_is_a_comment(void **state)
{
	struct sse_builder b = {0};
	(void)state;
	sse_begin(&b);
	assert_frame(&b, ":\n\n");
	SSE_PUT(&b, "left over");
	sse_begin(&b);
	assert_frame(&b, ":\n\n");
	sse_builder_finish(&b);
}

static void room_is_what_its_writer_says_he_used(void **state)
{
	struct sse_builder b = {0};
	(void)state;
	sse_begin(&b);
	memcpy(sse_room(&b, 100), "data:abcdef", 11);
	sse_written(&b, 8);
	SSE_PUT(&b, "\n");
	assert_frame(&b, "data:abc\n");
	sse_builder_finish(&b);
}

/* The frame made anew lets go of what it held; its other fields begin anew. */
static void a_frame_that_is_made_again_drops_its_bytes(void **state)
{
	struct sse_builder b = {0};
	struct sse_frame frame = {.to = 9, .closed = true};
	(void)state;
	sse_begin(&b);
	sse_put_data(&b, SPAN("old"));
	sse_end(&b, &frame);
	assert_int_equal(frame.to, 0);
	assert_false(frame.closed);
	struct chunk *old = chunk_ref(frame.chunk);
	sse_begin(&b);
	sse_put_data(&b, SPAN("new"));
	sse_end(&b, &frame);
	assert_int_equal(old->refs, 1);
	assert_memory_equal(old->bytes + 3, "data:old\n", 9);
	chunk_unref(&old);
	assert_memory_equal(bare_of(&frame).at, "data:new\n", 9);
	sse_frame_finish(&frame);
	sse_builder_finish(&b);
	assert_int_equal(chunk_bytes(), 0);
}

static void room_is_kept_unless_it_was_large(void **state)
{
	static uint8_t large[2 << 20];
	struct sse_builder b = {0};
	struct sse_frame frame = {0};
	(void)state;
	sse_begin(&b);
	sse_put_data(&b, SPAN("small"));
	sse_end(&b, &frame);
	assert_non_null(b.at);
	memset(large, 'x', sizeof large);
	sse_begin(&b);
	sse_put_data(&b, span_of(large, sizeof large));
	sse_end(&b, &frame);
	assert_null(b.at);
	assert_int_equal(b.room, 0);
	assert_int_equal(frame.bare_len, 5 + sizeof large + 1);
	assert_int_equal(frame.bare_from, strlen("200006\r\n"));
	sse_frame_finish(&frame);
	sse_begin(&b);
	sse_put_data(&b, SPAN("again"));
	assert_frame(&b, "data:again\n");
	sse_builder_finish(&b);
}

static void put_and_end(struct sse_builder *b, size_t len, struct sse_frame *frame,
                        struct chunk **spare)
{
	sse_begin(b);
	memset(sse_room(b, len), 'x', len);
	sse_written(b, len);
	sse_end_in(b, frame, spare);
	assert_int_equal(frame->bare_len, len);
	assert_int_equal(frame->chunk->len, frame->bare_from + len + 2);
}

/* Nobody's bytes change under him, and no small frame holds the room of a large one. */
static void a_chunk_is_used_again_when_nobody_has_it(void **state)
{
	struct sse_builder b = {0};
	struct chunk *spare = NULL;
	struct sse_frame first = {0}, second = {0};
	(void)state;
	put_and_end(&b, 100, &first, &spare);
	const struct chunk *chunk = first.chunk;
	sse_frame_finish(&first);
	put_and_end(&b, 90, &first, &spare);
	assert_ptr_equal(first.chunk, chunk);
	put_and_end(&b, 90, &second, &spare); /* the first is on its way */
	assert_ptr_not_equal(second.chunk, chunk);
	sse_frame_finish(&second);
	put_and_end(&b, 20, &second, &spare);
	assert_true(second.chunk->room < 90);
	sse_frame_finish(&second);
	put_and_end(&b, 5000, &second, &spare);
	assert_memory_equal(second.chunk->bytes, "1388\r\nxxx", 9);
	sse_frame_finish(&first);
	sse_frame_finish(&second);
	assert_int_equal(spare->refs, 1);
	chunk_unref(&spare);
	sse_builder_finish(&b);
}

static void text_and_json_need_no_base64(void **state)
{
	static const struct {
		const char *type;
		bool json, base64;
	} rows[] = {{"text/plain", false, false},
	            {"TEXT/html; charset=utf-8", false, false},
	            {"application/json", true, false},
	            {"application/octet-stream", false, true},
	            {"text", false, true},
	            {"text;x", false, true},
	            {"textual/x", false, true}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct stream stream = {.content_type = (char *)(uintptr_t)rows[i].type,
		                              .content_type_len = (uint16_t)strlen(rows[i].type),
		                              .json = rows[i].json};
		assert_int_equal(sse_needs_base64(&stream), rows[i].base64);
	}
}

/* ---- payload ---- */

static char letter_of(uint64_t at)
{
	return (char)('a' + at % 23);
}

enum { MESSAGES = 63, MESSAGE_BYTES = 40000, ALL = MESSAGES * MESSAGE_BYTES };

/* So that a read goes from rows of LMDB to the ring, by several slices. */
static void fill(struct store_bench *bench)
{
	static uint8_t bytes[MESSAGE_BYTES];
	char reason[256];
	store_bench_create(bench, "/a", "text/plain");
	for (uint64_t i = 0; i < MESSAGES; i++) {
		for (uint64_t at = 0; at < MESSAGE_BYTES; at++)
			bytes[at] = (uint8_t)letter_of(i * MESSAGE_BYTES + at);
		store_bench_append(bench, "/a", span_of(bytes, MESSAGE_BYTES));
		if (i % 10 == 9)
			assert_int_equal(store_checkpoint(bench->store, reason), 0);
	}
}

static void assert_reads(struct sse_builder *b, struct store_bench *bench, uint64_t from,
                         uint64_t to)
{
	struct span payload;
	assert_true(sse_read(b, bench->store, store_bench_find(bench, "/a"), from, to, &payload));
	assert_int_equal(payload.len, to - from);
	for (uint64_t at = from; at < to; at++)
		if (payload.at[at - from] != letter_of(at))
			fail_msg("at %llu", (unsigned long long)at);
	/* One writable byte before and behind. */
	uint8_t *bytes = (uint8_t *)(uintptr_t)payload.at;
	bytes[-1] = '[';
	bytes[payload.len] = ']';
}

static void a_payload_is_read_over_several_slices(void **state)
{
	static const uint64_t ranges[][2] = {{0, ALL},
	                                     {0, MESSAGE_BYTES},
	                                     {MESSAGE_BYTES, ALL},
	                                     {ALL - MESSAGE_BYTES, ALL},
	                                     {5 * MESSAGE_BYTES, 62 * MESSAGE_BYTES},
	                                     {MESSAGE_BYTES, MESSAGE_BYTES}};
	struct store_bench bench = {0};
	struct sse_builder b = {0};
	struct store_slice slice;
	(void)state;
	store_bench_open(&bench);
	fill(&bench);
	assert_int_equal(
	        store_read(bench.store, store_bench_find(&bench, "/a"), 0, ALL, 1 << 20, &slice),
	        STORE_READ_OK);
	assert_true(slice.to < ALL); /* or this shows nothing */
	store_slice_release(bench.store, &slice);
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		assert_reads(&b, &bench, ranges[i][0], ranges[i][1]);
	sse_builder_finish(&b);
	store_bench_close(&bench);
}

static void a_payload_that_retention_took_is_not_read(void **state)
{
	struct store_bench bench = {0};
	struct sse_builder b = {0};
	struct span payload;
	(void)state;
	store_bench_open(&bench);
	const struct stream *stream = store_bench_create(&bench, "/a", "text/plain");
	store_bench_append_text(&bench, "/a", "abc");
	store_bench_append_text(&bench, "/a", "defg");
	store_bench_trim(&bench, "/a", 3);
	assert_false(sse_read(&b, bench.store, stream, 0, 7, &payload));
	assert_true(sse_read(&b, bench.store, stream, 3, 7, &payload));
	assert_true(span_equal(payload, SPAN("defg")));
	sse_builder_finish(&b);
	store_bench_close(&bench);
}

static void assert_headed(struct sse_tail *tail, const char *head, const char *behind,
                          struct sse_frame *frame)
{
	char want[512], chunked[600];
	int len = snprintf(want, sizeof want, "%s%s", head, behind);
	int chunked_len = snprintf(chunked, sizeof chunked, "%x\r\n%s\r\n", (unsigned)len, want);
	sse_tail_frame(tail, span_str(head), frame);
	assert_true(span_equal(bare_of(frame), span_str(want)));
	assert_true(span_equal(span_of(frame->chunk->bytes + frame->chunked_from,
	                               sse_chunked_end(frame) - frame->chunked_from),
	                       span_of(chunked, (size_t)chunked_len)));
	assert_true(sse_chunked_end(frame) <= frame->chunk->len);
}

/* Whoever has written a frame pays nothing for the next one's; whoever has not keeps his bytes. */
static void a_tail_is_behind_the_head_of_each(void **state)
{
	struct sse_builder b = {0};
	struct sse_tail tail = {0};
	struct sse_frame first = {0}, second = {0};
	char most[SSE_HEAD_MAX + 1];
	(void)state;
	memset(most, 'h', SSE_HEAD_MAX);
	most[SSE_HEAD_MAX] = '\0';
	sse_begin(&b);
	SSE_PUT(&b, "data: x\n\n");
	sse_end_tail(&b, &tail);
	assert_headed(&tail, "id: 1.2\n", "data: x\n\n", &first);
	const struct chunk *chunk = first.chunk;
	sse_frame_finish(&first);
	assert_headed(&tail, most, "data: x\n\n", &first);
	assert_ptr_equal(first.chunk, chunk);
	assert_headed(&tail, "id: 30.4\n", "data: x\n\n", &second); /* the first is on its way */
	assert_ptr_not_equal(second.chunk, chunk);
	assert_int_equal(bare_of(&first).at[0], 'h');
	chunk = second.chunk;
	sse_frame_finish(&second);
	assert_headed(&tail, "", "data: x\n\n", &second);
	assert_ptr_equal(second.chunk, chunk);
	sse_frame_finish(&first);
	sse_frame_finish(&second);
	assert_int_equal(tail.chunk->refs, 1);
	sse_tail_finish(&tail);
	assert_null(tail.chunk);
	sse_builder_finish(&b);
	assert_int_equal(chunk_bytes(), 0);
}

/* Without a head of its own it is one frame for all, whether it has left or not. */
static void a_tail_without_heads_is_one_frame(void **state)
{
	struct sse_builder b = {0};
	struct sse_tail tail = {0};
	struct sse_frame first = {0}, second = {0}, third = {0};
	(void)state;
	sse_begin(&b);
	SSE_PUT(&b, "x");
	sse_end_tail(&b, &tail);
	assert_headed(&tail, "", "x", &first);
	assert_headed(&tail, "", "x", &second);
	assert_ptr_equal(second.chunk, first.chunk);
	assert_headed(&tail, "id: 1\n", "x", &third);
	assert_ptr_not_equal(third.chunk, first.chunk);
	assert_headed(&tail, "", "x", &second);
	assert_memory_equal(bare_of(&third).at, "id: 1\nx", 7);
	assert_memory_equal(bare_of(&first).at, "x", 1);
	sse_frame_finish(&first);
	sse_frame_finish(&second);
	sse_frame_finish(&third);
	sse_tail_finish(&tail);
	sse_builder_finish(&b);
	assert_int_equal(chunk_bytes(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(data_is_cut_into_lines),
	        cmocka_unit_test(data_is_not_read_beyond_its_end),
	        cmocka_unit_test(bytes_that_are_no_text_go_as_base64),
	        cmocka_unit_test(base64_of_a_long_message_is_one_line),
	        cmocka_unit_test(a_comment_is_a_block_of_its_own),
	        cmocka_unit_test(an_empty_frame_is_a_comment),
	        cmocka_unit_test(room_is_what_its_writer_says_he_used),
	        cmocka_unit_test(a_frame_that_is_made_again_drops_its_bytes),
	        cmocka_unit_test(room_is_kept_unless_it_was_large),
	        cmocka_unit_test(a_chunk_is_used_again_when_nobody_has_it),
	        cmocka_unit_test(a_tail_is_behind_the_head_of_each),
	        cmocka_unit_test(a_tail_without_heads_is_one_frame),
	        cmocka_unit_test(text_and_json_need_no_base64),
	        cmocka_unit_test(a_payload_is_read_over_several_slices),
	        cmocka_unit_test(a_payload_that_retention_took_is_not_read),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
