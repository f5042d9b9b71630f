/* When a read renews a stream's life, in the store. */
#include "worker-sse/live/touch.h"
#include "common/base/log.h"
#include "tests/doubles/clock_by_hand.h"
#include "tests/doubles/store_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct store_bench bench;

static struct stream *create(const char *path, bool ttl_present)
{
	struct command c = {.kind = COMMAND_CREATE,
	                    .path = span_str(path),
	                    .content_type = SPAN("text/plain"),
	                    .ttl_present = ttl_present,
	                    .ttl_s = 10};
	store_bench_do(&bench, &c);
	assert_int_equal(c.verdict, VERDICT_CREATED);
	return store_bench_find(&bench, path);
}

/* What a touch at this time does, when all that was submitted is done. Is it renewed? */
static bool renews(struct stream *stream)
{
	uint64_t before_ms = stream->touched_ms;
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/no-such-stream")};
	touch_stream(bench.store, stream, clock_by_hand_ms());
	store_bench_do(&bench, &c);
	return stream->touched_ms != before_ms;
}

static void a_read_renews_at_most_every_interval(void **state)
{
	(void)state;
	store_bench_open(&bench);
	struct stream *stream = create("/a", true);
	stream->pins++;
	const uint64_t interval_ms = stream_touch_interval_ms(stream);
	assert_int_equal(interval_ms, 1000);
	assert_false(renews(stream));
	clock_by_hand_advance_ms(interval_ms - 1);
	assert_false(renews(stream));
	clock_by_hand_advance_ms(1);
	assert_true(renews(stream));
	assert_int_equal(stream->touched_ms, clock_by_hand_ms());
	assert_false(renews(stream));
	clock_by_hand_advance_ms(5 * interval_ms);
	assert_true(renews(stream));
	stream->pins--;
	store_bench_close(&bench);
}

/* Nothing is even asked of the log: its position stays. */
static void what_has_no_sliding_life_is_not_renewed(void **state)
{
	(void)state;
	store_bench_open(&bench);
	struct stream *stream = create("/a", false);
	uint64_t position = store_position(bench.store);
	stream->pins++;
	clock_by_hand_advance_ms(100000);
	touch_stream(bench.store, stream, clock_by_hand_ms());
	assert_int_equal(store_collect(bench.store), 0);
	assert_false(renews(stream));
	assert_int_equal(store_position(bench.store), position);
	stream->pins--;
	store_bench_close(&bench);
}

/* Its path is the command's own: the stream may be gone before the command is done. */
static void the_stream_may_go_meanwhile(void **state)
{
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/a")};
	(void)state;
	store_bench_open(&bench);
	struct stream *stream = create("/a", true);
	clock_by_hand_advance_ms(2000);
	touch_stream(bench.store, stream, clock_by_hand_ms());
	store_bench_do(&bench, &c);
	assert_int_equal(c.verdict, VERDICT_OK);
	store_bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_read_renews_at_most_every_interval),
	        cmocka_unit_test(what_has_no_sliding_life_is_not_renewed),
	        cmocka_unit_test(the_stream_may_go_meanwhile),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
