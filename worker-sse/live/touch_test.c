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

static void on_done(struct command *c)
{
	c->owner = NULL;
}

/* Touches it now; how many commands that was. */
static size_t touch(const struct stream *stream)
{
	struct command last = {
	        .kind = COMMAND_DELETE, .path = SPAN("/no-such-stream"), .done = on_done};
	size_t done = 0;
	last.owner = &last;
	touch_stream(bench.store, stream, clock_by_hand_ms());
	store_submit(bench.store, &last);
	while (last.owner != NULL)
		done += store_collect(bench.store);
	return done - 1;
}

/* Does a touch at this time renew it? */
static bool renews(const struct stream *stream)
{
	uint64_t before_ms = stream->touched_ms;
	touch(stream);
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
	assert_int_equal(touch(stream), 0);
	clock_by_hand_advance_ms(1);
	assert_true(renews(stream));
	assert_int_equal(stream->touched_ms, clock_by_hand_ms());
	assert_false(renews(stream));
	clock_by_hand_advance_ms(5 * interval_ms);
	assert_true(renews(stream));
	stream->pins--;
	store_bench_close(&bench);
}

/* Nothing is even asked. */
static void what_has_no_sliding_life_is_not_touched(void **state)
{
	(void)state;
	store_bench_open(&bench);
	struct stream *stream = create("/a", false);
	stream->pins++;
	clock_by_hand_advance_ms(100000);
	assert_int_equal(touch(stream), 0);
	stream->pins--;
	store_bench_close(&bench);
}

/* The stream may be gone before the command is done. */
static void the_path_is_the_command_s_own(void **state)
{
	char path[] = "/a";
	(void)state;
	store_bench_open(&bench);
	const struct stream *stream = create("/a", true);
	struct stream copy = *stream;
	struct command c = {.kind = COMMAND_DELETE, .path = SPAN("/no-such-stream")};
	copy.path = path;
	clock_by_hand_advance_ms(2000);
	touch_stream(bench.store, &copy, clock_by_hand_ms());
	path[1] = '?';
	store_bench_do(&bench, &c);
	assert_int_equal(store_bench_find(&bench, "/a")->touched_ms, clock_by_hand_ms());
	store_bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_read_renews_at_most_every_interval),
	        cmocka_unit_test(what_has_no_sliding_life_is_not_touched),
	        cmocka_unit_test(the_path_is_the_command_s_own),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
