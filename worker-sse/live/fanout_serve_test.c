/* What one reader gets at its turn, and when it is ended. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/doubles/fanout_bench.h"
#include "worker-sse/live/fanout_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ALL = 4 };

static struct fanout_bench *bench;
static struct listener listeners[ALL];

static void open_with(const char *const *settings)
{
	static const char *const names[ALL] = {"a", "b", "c", "d"};
	bench = fanout_bench_create(settings);
	for (int i = 0; i < ALL; i++)
		listeners[i] = (struct listener){.name = names[i]};
}

/* Whoever is left goes; each has left once, and is not written to behind its back. */
static void finish(void)
{
	for (int i = 0; i < ALL; i++) {
		struct listener *l = &listeners[i];
		if (l->sink.holder != NULL)
			sink_memory_go(&l->sink);
		assert_null(l->reader);
		assert_true(l->left <= 1);
		sink_memory_finish(&l->sink);
	}
	fanout_bench_destroy(bench);
}

static void append(const char *path, const char *text)
{
	store_bench_append_text(&bench->store, path, text);
}

static const char *text_of(int i)
{
	return sink_memory_text(&listeners[i].sink);
}

static void assert_ended(int i, enum sink_end how)
{
	assert_null(listeners[i].reader);
	assert_int_equal(listeners[i].left, 1);
	assert_true(listeners[i].sink.over);
	assert_int_equal(listeners[i].sink.end, how);
}

static void append_large(const char *path, size_t messages, size_t message_bytes)
{
	uint8_t *bytes = xmalloc(message_bytes);
	for (size_t i = 0; i < messages; i++) {
		memset(bytes, 'a' + (int)(i % 26), message_bytes);
		store_bench_append(&bench->store, path, span_of(bytes, message_bytes));
	}
	free(bytes);
}

/* Ranges follow one another without gap or overlap, from `from` to `to`. */
static void assert_whole(int i, unsigned from, unsigned to)
{
	const char *at = text_of(i);
	unsigned first, next;
	for (; (at = strchr(at, '<')) != NULL; at++) {
		assert_int_equal(sscanf(at, "<%u-%u ", &first, &next), 2);
		assert_int_equal(first, from);
		from = next;
	}
	assert_int_equal(from, to);
}

/* ---- sharing ---- */

static void readers_at_one_cursor_share_a_frame(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	for (int i = 0; i < 3; i++)
		assert_true(fanout_bench_join(bench, &listeners[i], &fanout_bench_shared, "/s", 0));
	append("/s", "abc");
	append("/s", "de");
	assert_string_equal(text_of(0), ""); /* nothing is sent within a change */
	fanout_bench_turn(bench);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(text_of(i), "<0-5 abcde>");
		assert_ptr_equal(listeners[i].sink.frames[0], listeners[0].sink.frames[0]);
	}
	assert_int_equal(listeners[0].sink.frames[0]->refs, 4); /* three sinks, and one kept */
	assert_int_equal(counter_get(&bench->counters, deliveries_total), 3);
	finish();
}

/* One who comes later, or who is not at the tail, still finds the frame that others had. */
static void readers_at_several_cursors_share_each_frame(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	append("/s", "abc");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 3);
	fanout_bench_join(bench, &listeners[2], &fanout_bench_shared, "/s", 0);
	assert_ptr_equal(listeners[2].sink.frames[0], listeners[0].sink.frames[0]);
	append("/s", "de");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-3 abc><3-5 de>");
	assert_string_equal(text_of(1), "<3-5 de>");
	assert_ptr_equal(listeners[1].sink.frames[0], listeners[0].sink.frames[1]);
	fanout_bench_join(bench, &listeners[3], &fanout_bench_shared, "/s", 3);
	assert_ptr_equal(listeners[3].sink.frames[0], listeners[0].sink.frames[1]);
	finish();
}

static void other_views_and_variants_have_other_frames(void **state)
{
	struct fanout_view other = fanout_bench_shared;
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &other, "/s", 0);
	listeners[2].variant = 7;
	fanout_bench_join(bench, &listeners[2], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[3], &fanout_bench_own, "/s", 0);
	append("/s", "abc");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-3 abc>");
	assert_string_equal(text_of(1), "<0-3 abc>");
	assert_string_equal(text_of(2), "v7<0-3 abc>");
	assert_string_equal(text_of(3), "<d 0-3 abc>");
	assert_ptr_not_equal(listeners[0].sink.frames[0], listeners[1].sink.frames[0]);
	assert_int_equal(listeners[3].sink.frames[0]->refs, 1); /* kept by nobody but its sink */
	finish();
}

/* Such frames tell whether the stream is closed, and whether its tail is reached. */
static void a_frame_is_not_shared_across_the_end_of_its_stream(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	append("/s", "abc");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	store_bench_end_stream(&bench->store, "/s");
	assert_false(fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 0));
	assert_string_equal(text_of(1), "<0-3 abc>!2");
	assert_ptr_not_equal(listeners[0].sink.frames[0], listeners[1].sink.frames[0]);
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-3 abc>!2");
	assert_ended(0, SINK_WHOLE);
	assert_ended(1, SINK_WHOLE);
	finish();
}

/* ---- slow readers ---- */

static void a_slow_reader_gets_everything_when_it_drains(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 0);
	listeners[0].sink.blocks = true;
	append("/s", "a");
	fanout_bench_turn(bench);
	append("/s", "b");
	fanout_bench_turn(bench);
	append("/s", "c");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-1 a>");
	assert_string_equal(text_of(1), "<0-1 a><1-2 b><2-3 c>");
	sink_memory_drain(&listeners[0].sink);
	assert_string_equal(text_of(0), "<0-1 a><1-3 bc>");
	append("/s", "d");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-1 a><1-3 bc><3-4 d>");
	sink_memory_drain(&listeners[0].sink); /* there is nothing to say */
	assert_string_equal(text_of(0), "<0-1 a><1-3 bc><3-4 d>");
	finish();
}

/* Its stream may end meanwhile: first what it has not got. */
static void a_slow_reader_of_a_closed_stream_gets_it_whole(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	listeners[0].sink.blocks = true;
	append("/s", "a");
	fanout_bench_turn(bench);
	append("/s", "b");
	store_bench_end_stream(&bench->store, "/s");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-1 a>");
	assert_non_null(listeners[0].reader);
	sink_memory_drain(&listeners[0].sink);
	assert_string_equal(text_of(0), "<0-1 a><1-2 b>!2");
	assert_ended(0, SINK_WHOLE);
	finish();
}

static const char *const small_lag[] = {"limits.reader_lag_bytes=64k", NULL};

static void who_falls_too_far_behind_is_cut(void **state)
{
	(void)state;
	open_with(small_lag);
	store_bench_create(&bench->store, "/s", "text/plain");
	for (int i = 0; i < 2; i++)
		fanout_bench_join(bench, &listeners[i], &fanout_bench_shared, "/s", 0);
	listeners[0].sink.blocks = listeners[1].sink.blocks = true;
	append_large("/s", 1, 10000);
	fanout_bench_turn(bench);
	append_large("/s", 1, 65536);
	fanout_bench_turn(bench);
	sink_memory_drain(&listeners[1].sink); /* just so far */
	assert_whole(1, 0, 75536);
	append_large("/s", 1, 1);
	fanout_bench_turn(bench);
	assert_non_null(listeners[0].reader); /* it may be gone: nobody looks while it is blocked */
	sink_memory_forget(&listeners[0].sink);
	sink_memory_drain(&listeners[0].sink);
	assert_string_equal(text_of(0), "!5");
	assert_ended(0, SINK_CUT);
	assert_int_equal(counter_get(&bench->counters, readers_cut_total), 1);
	assert_whole(1, 0, 75537);
	finish();
}

/* Only who has been at the tail may not be far from it. */
static void who_begins_far_behind_may_be_slow(void **state)
{
	(void)state;
	open_with(small_lag);
	store_bench_create(&bench->store, "/s", "text/plain");
	append_large("/s", 30, 10000);
	listeners[0].sink.blocks = true;
	assert_true(fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0));
	fanout_bench_turn(bench);
	assert_whole(0, 0, 30000);
	append_large("/s", 10, 10000);
	fanout_bench_turn(bench);
	assert_whole(0, 0, 30000);
	sink_memory_drain(&listeners[0].sink);
	fanout_bench_turn(bench);
	assert_whole(0, 0, 400000);
	finish();
}

/* ---- catching up ---- */

static void who_is_far_behind_catches_up_in_pieces_while_others_are_served(void **state)
{
	enum { BACKLOG = 400000, TURNS = 11, PIECE_MAX = 32 * 1024 };
	size_t before = 0;
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/far", "text/plain");
	store_bench_create(&bench->store, "/near", "text/plain");
	append_large("/far", 40, 10000);
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/near", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/far", 0);
	assert_string_equal(text_of(1), ""); /* it waits for its turn */
	for (unsigned i = 0; i < TURNS; i++) {
		assert_true(fanout_bench_more(bench));
		append("/near", "x");
		fanout_turn(bench->fanout);
		assert_whole(0, 0, i + 1);
		assert_true(listeners[1].sink.text_len > before);
		assert_true(listeners[1].sink.text_len - before < PIECE_MAX + 100);
		before = listeners[1].sink.text_len;
	}
	assert_true(before < BACKLOG);
	fanout_bench_turn(bench);
	assert_whole(1, 0, BACKLOG);
	append("/far", "y");
	fanout_bench_turn(bench); /* live from now on: no pieces */
	assert_whole(1, 0, BACKLOG + 1);
	finish();
}

/* What is appended meanwhile is not sent ahead of what comes before it. */
static void who_catches_up_gets_appends_in_their_order(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	append_large("/s", 40, 10000);
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 400000);
	for (unsigned i = 0; i < 5; i++) {
		append("/s", "x");
		fanout_turn(bench->fanout);
	}
	assert_whole(1, 400000, 400005);
	fanout_bench_turn(bench);
	assert_whole(0, 0, 400005);
	finish();
}

/* One that goes, or is cancelled by the end of its stream, leaves the line. */
static void who_catches_up_may_go_at_any_time(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	store_bench_create(&bench->store, "/t", "text/plain");
	append_large("/s", 30, 10000);
	append_large("/t", 30, 10000);
	for (int i = 0; i < 3; i++)
		fanout_bench_join(bench, &listeners[i], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[3], &fanout_bench_shared, "/t", 0);
	fanout_turn(bench->fanout);
	sink_memory_go(&listeners[1].sink); /* in the middle of the line */
	sink_memory_go(&listeners[0].sink); /* at its end */
	fanout_turn(bench->fanout);
	store_bench_delete(&bench->store, "/t");
	fanout_bench_turn(bench);
	assert_ended(3, SINK_WHOLE);
	assert_whole(2, 0, 300000);
	finish();
}

/* A piece is as large as what waits for others leaves. */
static void pieces_are_smaller_when_much_waits(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	append_large("/s", 20, 1000);
	bench->waiting.in_bytes = bench->waiting.max;
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_turn(bench);
	assert_whole(0, 0, 20000);
	assert_int_equal(listeners[0].sink.count, 5); /* WAITING_PIECE_MIN */
	assert_int_equal(strncmp(text_of(0), "<0-4000 ", 8), 0);
	finish();
}

static void a_large_message_without_room_cuts_its_reader(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	append_large("/s", 1, 100000);
	bench->waiting.in_bytes = bench->waiting.max;
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "!5");
	assert_ended(0, SINK_CUT);
	finish();
}

static bool frame_by_frame(struct sse_frame *frame, const struct frame_query *query)
{
	struct frame_query one = *query;
	one.to = query->from + 1;
	bool made = fanout_bench_shared.frame(frame, &one);
	frame->to = one.to;
	return made;
}

/* A view may say that its frame holds less: the rest comes in further turns. */
static void a_frame_may_end_sooner(void **state)
{
	struct fanout_view view = fanout_bench_shared;
	(void)state;
	view.frame = frame_by_frame;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	for (int i = 0; i < 2; i++)
		fanout_bench_join(bench, &listeners[i], &view, "/s", 0);
	append("/s", "abc");
	store_bench_end_stream(&bench->store, "/s");
	fanout_bench_turn(bench);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(text_of(i), "<0-1 a><1-2 b><2-3 c>!2");
		assert_ended(i, SINK_WHOLE);
		assert_ptr_equal(listeners[i].sink.frames[2], listeners[0].sink.frames[2]);
	}
	finish();
}

/* ---- what is lost ---- */

static void what_retention_took_is_said_or_cuts_the_reader(void **state)
{
	struct fanout_view goes_on = fanout_bench_shared;
	(void)state;
	goes_on.lost = fanout_bench_lost;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &goes_on, "/s", 0);
	fanout_bench_join(bench, &listeners[2], &fanout_bench_shared, "/s", 0);
	append("/s", "abc");
	append("/s", "de");
	store_bench_trim(&bench->store, "/s", 3);
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "!4");
	assert_ended(0, SINK_CUT);
	assert_ended(2, SINK_CUT);
	assert_string_equal(text_of(1), "?4 3 <3-5 de>");
	append("/s", "f");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(1), "?4 3 <3-5 de><5-6 f>");
	finish();
}

static bool broken_frame(struct sse_frame *frame, const struct frame_query *query)
{
	(void)frame;
	store_view(query->store)->unreadable = true;
	return false;
}

/* What cannot be read at present is not gone: it is to come back. */
static void what_cannot_be_read_sends_the_reader_away(void **state)
{
	struct fanout_view view = fanout_bench_shared;
	(void)state;
	view.frame = broken_frame;
	view.lost = fanout_bench_lost;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	for (int i = 0; i < 2; i++)
		fanout_bench_join(bench, &listeners[i], &view, "/s", 0);
	append("/s", "abc");
	fanout_bench_turn(bench);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(text_of(i), "!6");
		assert_ended(i, SINK_WHOLE);
	}
	finish();
}

static void a_stream_that_is_deleted_ends_its_readers(void **state)
{
	struct fanout_view goes_on = fanout_bench_shared;
	struct listener *b = &listeners[1];
	(void)state;
	goes_on.lost = fanout_bench_lost;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	fanout_bench_join(bench, b, &goes_on, "/s", 0);
	append("/s", "abc");
	fanout_bench_turn(bench);
	store_bench_delete(&bench->store, "/s");
	store_bench_create(&bench->store, "/s", "text/plain");
	append("/s", "other");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-3 abc>!3");
	assert_ended(0, SINK_WHOLE);
	assert_string_equal(text_of(1), "<0-3 abc>?3 3 ");
	/* It goes on, without the stream; another may take its place. */
	assert_true(fanout_add(b->reader, store_bench_find(&bench->store, "/s"), 0));
	assert_string_equal(text_of(1), "<0-3 abc>?3 3 <0-5 other>");
	finish();
}

static void a_blocked_reader_of_a_deleted_stream_ends_too(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/s", 0);
	listeners[0].sink.blocks = true;
	append("/s", "abc");
	fanout_bench_turn(bench);
	store_bench_delete(&bench->store, "/s");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<0-3 abc>!3");
	assert_ended(0, SINK_WHOLE);
	finish();
}

static bool frame_that_tells(struct sse_frame *frame, const struct frame_query *query)
{
	if (!fanout_bench_shared.frame(frame, query))
		return false;
	frame->closed = query->stream->closed && query->to == query->stream->tail;
	return true;
}

/* Whoever was told by the last frame is not told again; whoever was not is. */
static void the_end_of_a_stream_is_told_once(void **state)
{
	struct fanout_view tells = fanout_bench_shared;
	(void)state;
	tells.frame = frame_that_tells;
	open_with(NULL);
	store_bench_create(&bench->store, "/s", "text/plain");
	append("/s", "abc");
	fanout_bench_join(bench, &listeners[0], &tells, "/s", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 0);
	listeners[0].sink.blocks = true;
	append("/s", "d");
	fanout_bench_turn(bench);
	store_bench_end_stream(&bench->store, "/s");
	fanout_bench_turn(bench);
	assert_false(fanout_bench_join(bench, &listeners[2], &tells, "/s", 3));
	assert_string_equal(text_of(2), "<3-4 d>");
	assert_string_equal(text_of(1), "<0-3 abc><3-4 d>!2");
	sink_memory_drain(&listeners[0].sink);
	assert_string_equal(text_of(0), "<0-3 abc><3-4 d>!2");
	for (int i = 0; i < 3; i++)
		assert_ended(i, SINK_WHOLE);
	finish();
}

/* ---- several streams ---- */

static bool is_finished(void *owner, const struct stream *stream)
{
	(void)owner;
	return strcmp(stream->path, "/goes") == 0;
}

static void join_three(const struct fanout_view *view)
{
	static const char *const paths[] = {"/a", "/b", "/goes"};
	open_with(NULL);
	for (int i = 0; i < 3; i++) {
		store_bench_create(&bench->store, paths[i], "text/plain");
		if (i == 0)
			assert_true(fanout_bench_join(bench, &listeners[0], view, paths[i], 0));
		else
			assert_true(fanout_add(listeners[0].reader,
			                       store_bench_find(&bench->store, paths[i]), 0));
	}
}

static unsigned places_of(const struct live_reader *reader)
{
	unsigned count = 0;
	for (const struct live_cursor *c = &reader->cursor; c != NULL; c = c->sibling)
		count++;
	return count;
}

static void a_reader_of_several_streams_goes_on_without_those_that_go(void **state)
{
	struct fanout_view view = fanout_bench_own;
	(void)state;
	view.lost = fanout_bench_lost;
	view.finished = is_finished;
	join_three(&view);
	append("/a", "1");
	append("/b", "23");
	append("/goes", "456");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<a 0-1 1><a 0-2 23><a 0-3 456>");
	sink_memory_forget(&listeners[0].sink);
	store_bench_end_stream(&bench->store, "/goes");
	fanout_bench_turn(bench);
	store_bench_delete(&bench->store, "/a");
	fanout_bench_turn(bench);
	append("/b", "4");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "?3 1 <a 2-3 4>");
	/* Places that became free are taken again. */
	store_bench_create(&bench->store, "/new", "text/plain");
	append("/new", "n");
	assert_true(fanout_add(listeners[0].reader, store_bench_find(&bench->store, "/new"), 0));
	store_bench_create(&bench->store, "/quiet", "text/plain");
	assert_true(fanout_add(listeners[0].reader, store_bench_find(&bench->store, "/quiet"), 0));
	assert_int_equal(places_of(listeners[0].reader), 3);
	append("/new", "m");
	append("/b", "5");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "?3 1 <a 2-3 4><a 0-1 n><a 1-2 m><a 3-4 5>");
	finish();
}

/* Without finished() its answer ends when all of them are closed. */
static void an_answer_ends_when_all_its_streams_are_closed(void **state)
{
	(void)state;
	join_three(&fanout_bench_own);
	store_bench_end_stream(&bench->store, "/a");
	fanout_bench_turn(bench);
	store_bench_end_stream(&bench->store, "/goes");
	fanout_bench_turn(bench);
	append("/b", "x");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<a 0-1 x>");
	append("/b", "y");
	store_bench_end_stream(&bench->store, "/b");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<a 0-1 x><a 1-2 y>!2");
	assert_ended(0, SINK_WHOLE);
	finish();
}

/* One of many, without lost(): the answer ends, for what it would miss. */
static void an_answer_ends_with_one_stream_that_is_gone(void **state)
{
	(void)state;
	join_three(&fanout_bench_own);
	store_bench_delete(&bench->store, "/b");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "!3");
	assert_ended(0, SINK_WHOLE);
	finish();
}

static void a_drained_reader_is_served_of_all_its_streams(void **state)
{
	(void)state;
	join_three(&fanout_bench_own);
	listeners[0].sink.blocks = true;
	append("/a", "1");
	fanout_bench_turn(bench);
	append("/b", "2");
	append("/goes", "3");
	append("/a", "4");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<a 0-1 1>");
	sink_memory_drain(&listeners[0].sink);
	assert_string_equal(text_of(0), "<a 0-1 1><a 1-2 4><a 0-1 2><a 0-1 3>");
	finish();
}

/* What is said of streams that come and go does not pile up before one who takes nothing. */
static void who_takes_nothing_is_not_told_for_ever(void **state)
{
	struct fanout_view view = fanout_bench_own;
	(void)state;
	view.lost = fanout_bench_lost;
	join_three(&view);
	listeners[0].sink.blocks = true;
	append("/a", "1");
	fanout_bench_turn(bench);
	listeners[0].sink.pending = bench->settings.limits_reader_lag_bytes;
	store_bench_delete(&bench->store, "/b");
	fanout_bench_turn(bench);
	assert_ended(0, SINK_CUT);
	assert_string_equal(text_of(0), "<a 0-1 1>!5");
	finish();

	join_three(&view);
	listeners[0].sink.blocks = true;
	append("/a", "1");
	fanout_bench_turn(bench);
	listeners[0].sink.pending = bench->settings.limits_reader_lag_bytes;
	assert_false(fanout_add(listeners[0].reader,
	                        store_bench_create(&bench->store, "/new", "text/plain"), 0));
	assert_ended(0, SINK_CUT);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(readers_at_one_cursor_share_a_frame),
	        cmocka_unit_test(readers_at_several_cursors_share_each_frame),
	        cmocka_unit_test(other_views_and_variants_have_other_frames),
	        cmocka_unit_test(a_frame_is_not_shared_across_the_end_of_its_stream),
	        cmocka_unit_test(a_slow_reader_gets_everything_when_it_drains),
	        cmocka_unit_test(a_slow_reader_of_a_closed_stream_gets_it_whole),
	        cmocka_unit_test(who_falls_too_far_behind_is_cut),
	        cmocka_unit_test(who_begins_far_behind_may_be_slow),
	        cmocka_unit_test(who_is_far_behind_catches_up_in_pieces_while_others_are_served),
	        cmocka_unit_test(who_catches_up_gets_appends_in_their_order),
	        cmocka_unit_test(who_catches_up_may_go_at_any_time),
	        cmocka_unit_test(pieces_are_smaller_when_much_waits),
	        cmocka_unit_test(a_large_message_without_room_cuts_its_reader),
	        cmocka_unit_test(a_frame_may_end_sooner),
	        cmocka_unit_test(what_retention_took_is_said_or_cuts_the_reader),
	        cmocka_unit_test(what_cannot_be_read_sends_the_reader_away),
	        cmocka_unit_test(a_stream_that_is_deleted_ends_its_readers),
	        cmocka_unit_test(a_blocked_reader_of_a_deleted_stream_ends_too),
	        cmocka_unit_test(the_end_of_a_stream_is_told_once),
	        cmocka_unit_test(a_reader_of_several_streams_goes_on_without_those_that_go),
	        cmocka_unit_test(an_answer_ends_when_all_its_streams_are_closed),
	        cmocka_unit_test(an_answer_ends_with_one_stream_that_is_gone),
	        cmocka_unit_test(a_drained_reader_is_served_of_all_its_streams),
	        cmocka_unit_test(who_takes_nothing_is_not_told_for_ever),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
