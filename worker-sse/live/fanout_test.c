/* Turns, time, coming and going: who of the readers is next, who is told of what, who ends. */
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

enum { ALL = 40 };

static struct fanout_bench *bench;
static struct listener listeners[ALL];

static void open_with(const char *const *settings)
{
	bench = fanout_bench_create(settings);
	store_bench_create(&bench->store, "/s", "text/plain");
	for (int i = 0; i < ALL; i++)
		listeners[i] = (struct listener){.name = "x"};
}

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

static void append(const char *text)
{
	store_bench_append_text(&bench->store, "/s", text);
}

static void append_and_turn(const char *text)
{
	append(text);
	fanout_bench_turn(bench);
}

static const char *text_of(int i)
{
	return sink_memory_text(&listeners[i].sink);
}

static bool join(int i, const struct fanout_view *view)
{
	return fanout_bench_join(bench, &listeners[i], view, "/s",
	                         store_bench_find(&bench->store, "/s")->tail);
}

static void join_shared(int count)
{
	for (int i = 0; i < count; i++)
		assert_true(join(i, &fanout_bench_shared));
}

static int served(int from, int to, const char *text)
{
	int count = 0;
	for (int i = from; i < to; i++)
		count += strcmp(text_of(i), text) == 0;
	return count;
}

/* ---- turns ---- */

/* A slice of the readers at a turn; between two of them the loop looks for input. Those who wait
 * get what came meanwhile with it. */
static void turns_are_slices_in_the_order_of_coming(void **state)
{
	enum { SLICE = 16 };
	(void)state;
	open_with(NULL);
	join_shared(ALL);
	append("a");
	fanout_turn(bench->fanout);
	assert_int_equal(served(0, SLICE, "<0-1 a>"), SLICE);
	assert_int_equal(served(SLICE, ALL, ""), ALL - SLICE);
	assert_true(fanout_bench_more(bench));
	append("b");
	fanout_turn(bench->fanout);
	assert_int_equal(served(SLICE, 2 * SLICE, "<0-2 ab>"), SLICE);
	fanout_turn(bench->fanout);
	assert_int_equal(served(2 * SLICE, ALL, "<0-2 ab>"), ALL - 2 * SLICE);
	assert_int_equal(served(0, 2 * SLICE - ALL % SLICE, "<0-1 a><1-2 b>"), SLICE - ALL % SLICE);
	fanout_bench_turn(bench);
	assert_int_equal(served(0, SLICE, "<0-1 a><1-2 b>"), SLICE);
	assert_int_equal(served(SLICE, ALL, "<0-2 ab>"), ALL - SLICE);
	assert_false(fanout_bench_more(bench));
	finish();
}

/* One stream with many readers does not keep those of another waiting until all are served. */
static void streams_take_turns(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/t", "text/plain");
	join_shared(ALL - 1);
	assert_true(fanout_bench_join(bench, &listeners[ALL - 1], &fanout_bench_shared, "/t", 0));
	append("a");
	store_bench_append_text(&bench->store, "/t", "t");
	fanout_turn(bench->fanout);
	fanout_turn(bench->fanout);
	assert_string_equal(text_of(ALL - 1), "<0-1 t>");
	assert_string_equal(text_of(ALL - 2), "");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(ALL - 2), "<0-1 a>");
	finish();
}

/* While nobody says anything more of them are served before the loop looks again. */
static void slices_are_larger_while_nobody_speaks(void **state)
{
	(void)state;
	open_with(NULL);
	join_shared(ALL);
	for (int i = 0; i < 10; i++)
		fanout_turn(bench->fanout);
	append("a");
	fanout_turn(bench->fanout);
	assert_int_equal(served(0, ALL, "<0-1 a>"), ALL);
	counter_add(&bench->counters, bytes_in_total, 1);
	append("b");
	fanout_turn(bench->fanout);
	assert_true(served(0, ALL, "<0-1 a>") > 0);
	finish();
}

/* Live readers go first, but not for ever. */
static void who_catches_up_has_a_turn_in_eight(void **state)
{
	static char large[50000];
	int i = 0;
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/far", "text/plain");
	memset(large, 'x', sizeof large - 1);
	for (int n = 0; n < 6; n++)
		store_bench_append_text(&bench->store, "/far", large);
	join_shared(ALL - 1);
	append("a");
	fanout_turn(bench->fanout);
	fanout_bench_join(bench, &listeners[ALL - 1], &fanout_bench_shared, "/far", 0);
	for (; listeners[ALL - 1].sink.count == 0 && i < 20; i++) {
		append("b"); /* all are due once more */
		counter_add(&bench->counters, bytes_in_total, 1);
		fanout_turn(bench->fanout);
		assert_true(bench->fanout->ready != NULL);
	}
	assert_in_range(i, 2, 8);
	finish();
}

/* ---- leaving within a turn ---- */

static struct listener *goes, *comes;

static void let_go(struct sink_memory *memory)
{
	(void)memory;
	if (goes != NULL && goes->sink.holder != NULL)
		sink_memory_go(&goes->sink);
	if (comes != NULL && comes->reader == NULL && comes->left == 0)
		fanout_bench_join(bench, comes, &fanout_bench_shared, "/s",
		                  store_bench_find(&bench->store, "/s")->tail - 1);
}

/* Whoever it is: the one before, the next, the one after that, the last. */
static void a_sink_may_go_while_another_is_written_to(void **state)
{
	enum { COUNT = 5 };
	(void)state;
	for (int writer = 0; writer < COUNT; writer++)
		for (int goer = 0; goer < COUNT; goer++) {
			if (goer == writer)
				continue;
			open_with(NULL);
			join_shared(COUNT);
			listeners[writer].sink.on_write = let_go;
			goes = &listeners[goer];
			comes = NULL;
			append_and_turn("a");
			append_and_turn("b");
			for (int i = 0; i < COUNT; i++)
				if (i != goer)
					assert_string_equal(text_of(i), "<0-1 a><1-2 b>");
			assert_string_equal(text_of(goer), goer < writer ? "<0-1 a>" : "");
			finish();
		}
}

/* The last one goes while its stream is at its turn. */
static void nobody_may_be_left_after_a_turn(void **state)
{
	struct fanout_view view = fanout_bench_shared;
	(void)state;
	open_with(NULL);
	assert_true(join(0, &view));
	append("a");
	sink_memory_go(&listeners[0].sink);
	assert_int_equal(bench->readers, 0);
	fanout_bench_turn(bench);
	assert_true(join(1, &view));
	store_bench_end_stream(&bench->store, "/s");
	fanout_bench_turn(bench);
	assert_null(listeners[1].reader);
	assert_null(bench->fanout->all);
	assert_int_equal(store_bench_find(&bench->store, "/s")->pins, 0);
	finish();
}

/* A connection is taken over: one leaves and another comes, within one turn, at any place of it. */
static void one_may_leave_and_another_join_in_the_same_turn(void **state)
{
	enum { COUNT = 4 };
	(void)state;
	for (int goer = 1; goer < COUNT; goer++) {
		open_with(NULL);
		join_shared(COUNT);
		listeners[0].sink.on_write = let_go;
		goes = &listeners[goer];
		comes = &listeners[COUNT];
		append_and_turn("a");
		append_and_turn("b");
		for (int i = 0; i <= COUNT; i++)
			assert_string_equal(text_of(i), i == goer ? "" : "<0-1 a><1-2 b>");
		assert_int_equal(bench->readers, COUNT);
		finish();
	}
}

/* ... and between a change and the turn that follows it. */
static void one_who_takes_over_gets_each_message_once(void **state)
{
	(void)state;
	open_with(NULL);
	join_shared(1);
	append_and_turn("a");
	append("b");
	sink_memory_go(&listeners[0].sink);
	assert_true(fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/s", 1));
	assert_string_equal(text_of(1), "<1-2 b>"); /* at once */
	append_and_turn("c");
	assert_string_equal(text_of(0), "<0-1 a>");
	assert_string_equal(text_of(1), "<1-2 b><2-3 c>");
	finish();
}

/* ---- time ---- */

/* Others of the stream are served on; it may be followed again, from elsewhere. */
static void one_that_is_dropped_is_followed_no_more(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/t", "text/plain");
	assert_true(join(0, &fanout_bench_own) && join(1, &fanout_bench_own));
	struct stream *s = store_bench_find(&bench->store, "/s"),
	              *t = store_bench_find(&bench->store, "/t");
	assert_true(fanout_add(listeners[0].reader, t, 0));
	append_and_turn("a");
	fanout_drop(listeners[0].reader, s);
	fanout_drop(listeners[0].reader, s);
	append_and_turn("b");
	store_bench_append_text(&bench->store, "/t", "t");
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<x 0-1 a><x 0-1 t>");
	assert_string_equal(text_of(1), "<x 0-1 a><x 1-2 b>");
	assert_true(fanout_add(listeners[0].reader, s, 1));
	fanout_bench_turn(bench);
	assert_string_equal(text_of(0), "<x 0-1 a><x 0-1 t><x 1-2 b>");
	fanout_drop(listeners[0].reader, t);
	fanout_drop(listeners[0].reader, s);
	append_and_turn("c");
	assert_string_equal(text_of(0), "<x 0-1 a><x 0-1 t><x 1-2 b>");
	finish();
}

static void an_answer_ends_at_its_time(void **state)
{
	(void)state;
	open_with(NULL);
	listeners[0].end_ms = clock_by_hand_ms() + 2000;
	join_shared(2);
	append_and_turn("a");
	fanout_bench_wait(bench, 1950);
	assert_string_equal(text_of(0), "<0-1 a>");
	fanout_bench_wait(bench, 150);
	assert_string_equal(text_of(0), "<0-1 a>!0");
	assert_true(listeners[0].sink.over);
	assert_int_equal(listeners[0].sink.end, SINK_WHOLE);
	assert_int_equal(listeners[0].left, 1);
	assert_string_equal(text_of(1), "<0-1 a>");
	finish();
}

/* One that follows nothing yet has its time, too. */
static void who_follows_nothing_ends_at_its_time(void **state)
{
	struct listener *l = &listeners[0];
	(void)state;
	open_with(NULL);
	l->reader = fanout_join(bench->fanout, sink_memory_of(&l->sink), &fanout_bench_own, l, 0,
	                        clock_by_hand_ms() + 1000);
	fanout_bench_wait(bench, 1100);
	assert_string_equal(text_of(0), "!0");
	assert_true(l->sink.over);
	finish();
}

static const char *const beats[] = {"http.sse_keepalive=1s", NULL};

static void who_may_no_longer_is_told_so(void **state)
{
	(void)state;
	open_with(NULL);
	listeners[0].end_ms = clock_by_hand_ms() + 10000;
	listeners[1].end_ms = clock_by_hand_ms() + 1000;
	join_shared(2);
	fanout_expire_at(listeners[0].reader, clock_by_hand_ms() + 2000);
	fanout_expire_at(listeners[1].reader, clock_by_hand_ms() + 2000); /* ends sooner */
	fanout_bench_wait(bench, 1500);
	assert_string_equal(text_of(0), "");
	assert_string_equal(text_of(1), "!0");
	fanout_bench_wait(bench, 1000);
	assert_string_equal(text_of(0), "!7");
	assert_int_equal(listeners[0].sink.end, SINK_WHOLE);
	finish();
}

static void a_credential_of_very_many_ends_some_at_a_time(void **state)
{
	enum { MANY = 600 };
	struct listener *many = calloc(MANY, sizeof *many);
	(void)state;
	open_with(NULL);
	for (size_t i = 0; i < MANY; i++) {
		many[i] = (struct listener){.name = "x", .end_ms = clock_by_hand_ms() + 100000};
		assert_true(fanout_bench_join(bench, &many[i], &fanout_bench_own, "/s", 0));
		fanout_expire_at(many[i].reader, clock_by_hand_ms() + 1000);
	}
	fanout_bench_wait(bench, 950);
	assert_int_equal(bench->readers, MANY);
	unsigned ticks = 0;
	for (int before = bench->readers; before > 0; before = bench->readers) {
		fanout_bench_wait(bench, WHEEL_TICK_MS);
		assert_true(before - bench->readers <= MANY - 1);
		ticks++;
		assert_true(ticks < 10);
	}
	assert_true(ticks >= 2);
	for (size_t i = 0; i < MANY; i++) {
		assert_string_equal(sink_memory_text(&many[i].sink), "!7");
		sink_memory_finish(&many[i].sink);
	}
	free(many);
	finish();
}

static void silence_is_broken_by_a_heartbeat(void **state)
{
	struct settings slower;
	char reason[SETTINGS_REASON_MAX];
	(void)state;
	open_with(beats);
	join_shared(2);
	fanout_bench_wait(bench, 600);
	append_and_turn("a"); /* it begins anew */
	fanout_bench_wait(bench, 900);
	assert_string_equal(text_of(0), "<0-1 a>");
	fanout_bench_wait(bench, 200);
	assert_string_equal(text_of(0), "<0-1 a>~");
	fanout_bench_wait(bench, 2200);
	assert_string_equal(text_of(0), "<0-1 a>~~~");
	/* After a reload. */
	settings_init(&slower);
	assert_true(settings_set(&slower, SPAN("http.sse_keepalive"), SPAN("5s"), reason));
	fanout_use(bench->fanout, &slower);
	fanout_bench_wait(bench, 3500);
	assert_string_equal(text_of(0), "<0-1 a>~~~");
	fanout_use(bench->fanout, &bench->settings);
	settings_finish(&slower);
	finish();
}

static void who_takes_nothing_gets_no_heartbeat(void **state)
{
	unsigned woken = 0;
	(void)state;
	open_with(beats);
	join_shared(1);
	listeners[0].sink.blocks = true;
	append_and_turn("a");
	for (int i = 0; i < 60; i++) {
		fanout_bench_wait(bench, 50);
		woken += listeners[0].reader->timer.due_ms <= bench->wheel.now_ms + 50;
	}
	assert_string_equal(text_of(0), "<0-1 a>");
	assert_in_range(woken, 0, 9); /* not at each tick */
	sink_memory_drain(&listeners[0].sink);
	fanout_bench_wait(bench, 1100);
	assert_string_equal(text_of(0), "<0-1 a>~");
	finish();
}

static void a_lifetime_is_spread_by_a_quarter(void **state)
{
	uint64_t least = UINT64_MAX, most = 0, now_ms;
	(void)state;
	open_with((const char *const[]){"http.sse_lifetime=100s", NULL});
	now_ms = bench->wheel.now_ms;
	for (int i = 0; i < 500; i++) {
		uint64_t end_ms = fanout_lifetime_end(bench->fanout) - now_ms;
		least = end_ms < least ? end_ms : least;
		most = end_ms > most ? end_ms : most;
	}
	assert_in_range(least, 100000, 110000);
	assert_in_range(most, 115000, 125000);
	finish();
}

static enum verdict expire(const char *path)
{
	struct command c = {.kind = COMMAND_EXPIRE,
	                    .stream_id = store_bench_find(&bench->store, path)->id};
	store_bench_do(&bench->store, &c);
	return c.verdict;
}

/* A stream is kept by whoever reads it, and no longer. */
static void a_short_life_is_renewed_while_somebody_reads(void **state)
{
	struct command c = {.kind = COMMAND_CREATE,
	                    .path = SPAN("/short"),
	                    .content_type = SPAN("text/plain"),
	                    .ttl_present = true,
	                    .ttl_s = 2};
	(void)state;
	open_with(NULL);
	store_bench_do(&bench->store, &c);
	fanout_bench_join(bench, &listeners[0], &fanout_bench_shared, "/short", 0);
	fanout_bench_join(bench, &listeners[1], &fanout_bench_shared, "/short", 0);
	fanout_bench_wait(bench, 10000);
	assert_int_equal(expire("/short"), VERDICT_NOT_FOUND);
	sink_memory_go(&listeners[0].sink);
	fanout_bench_wait(bench, 10000);
	assert_int_equal(expire("/short"), VERDICT_NOT_FOUND);
	sink_memory_forget(&listeners[1].sink);
	clock_by_hand_advance_ms(10000); /* nobody looks */
	assert_int_equal(expire("/short"), VERDICT_OK);
	fanout_bench_turn(bench);
	assert_string_equal(text_of(1), "!3");
	assert_true(listeners[1].sink.over);
	finish();
}

/* ---- who waits for news ---- */

static void assert_told(int i, enum fanout_news news, uint64_t position)
{
	assert_int_equal(listeners[i].told, 1);
	assert_int_equal(listeners[i].news, news);
	assert_int_equal(listeners[i].position, position);
	assert_int_equal(listeners[i].left, 1);
}

static void who_waits_is_told_once(void **state)
{
	(void)state;
	open_with(NULL);
	append("a");
	listeners[0].variant = 9;
	for (int i = 0; i < 2; i++)
		assert_true(join(i, &fanout_bench_news));
	fanout_cancel(listeners[1].reader);
	fanout_bench_turn(bench);
	assert_int_equal(listeners[0].told, 0);
	append_and_turn("b");
	assert_told(0, FANOUT_NEWS_DATA, 1);
	assert_int_equal(listeners[1].told, 0);
	assert_int_equal(listeners[1].left, 1);
	append_and_turn("c");
	assert_told(0, FANOUT_NEWS_DATA, 1);
	finish();
}

static void who_waits_is_told_of_every_end(void **state)
{
	(void)state;
	open_with(NULL);
	store_bench_create(&bench->store, "/t", "text/plain");
	append("ab");
	assert_true(join(0, &fanout_bench_news));
	assert_true(fanout_bench_join(bench, &listeners[1], &fanout_bench_news, "/t", 0));
	listeners[2].end_ms = clock_by_hand_ms() + 1000;
	assert_true(join(2, &fanout_bench_news));
	fanout_bench_wait(bench, 1100);
	assert_told(2, FANOUT_NEWS_NONE, 2);
	assert_int_equal(listeners[0].told, 0);
	store_bench_end_stream(&bench->store, "/s");
	store_bench_delete(&bench->store, "/t");
	fanout_bench_turn(bench);
	assert_told(0, FANOUT_NEWS_CLOSED, 2);
	assert_told(1, FANOUT_NEWS_GONE, 0);
	finish();
}

/* Whoever waits has looked itself: only what changes from then on is told. */
static void who_begins_to_wait_is_not_told_at_once(void **state)
{
	(void)state;
	open_with(NULL);
	append_and_turn("a");
	assert_true(fanout_bench_join(bench, &listeners[0], &fanout_bench_news, "/s", 0));
	assert_int_equal(listeners[0].told, 0);
	append_and_turn("b");
	assert_told(0, FANOUT_NEWS_DATA, 0);
	finish();
}

/* What there is to read goes before the end. */
static void news_of_data_goes_before_that_of_the_end(void **state)
{
	(void)state;
	open_with(NULL);
	assert_true(join(0, &fanout_bench_news));
	append("a");
	store_bench_end_stream(&bench->store, "/s");
	fanout_bench_turn(bench);
	assert_told(0, FANOUT_NEWS_DATA, 0);
	finish();
}

/* ---- drain ---- */

static void a_drain_ends_everybody_and_nobody_joins_any_more(void **state)
{
	(void)state;
	open_with(NULL);
	join_shared(3);
	assert_true(join(3, &fanout_bench_news));
	listeners[1].sink.blocks = true;
	append("a"); /* not yet sent */
	assert_false(fanout_draining(bench->fanout));
	fanout_drain(bench->fanout);
	assert_true(fanout_draining(bench->fanout));
	for (int i = 0; i < 3; i++) {
		assert_string_equal(text_of(i), "!1");
		assert_true(listeners[i].sink.over);
		assert_int_equal(listeners[i].sink.end, SINK_WHOLE);
	}
	assert_told(3, FANOUT_NEWS_NONE, 0);
	assert_int_equal(bench->readers, 0);
	assert_false(join(4, &fanout_bench_shared));
	assert_string_equal(text_of(4), "!1");
	assert_false(join(5, &fanout_bench_news));
	assert_told(5, FANOUT_NEWS_NONE, 1);
	finish();
}

/* ---- observers ---- */

static char observed[512];

static void observe(const char *what, const struct stream *stream)
{
	size_t len = strlen(observed);
	snprintf(observed + len, sizeof observed - len, "%s %s\n", what,
	         stream != NULL ? stream->path : "all");
}

static void on_created(void *context, struct stream *stream)
{
	assert_ptr_equal(context, bench);
	assert_true(stream == NULL || stream->pins > 0);
	observe("1 created", stream);
}

static void on_changed(void *context, const struct stream *stream)
{
	assert_ptr_equal(context, bench);
	observe("1 changed", stream);
}

static void on_created_too(void *context, struct stream *stream)
{
	(void)context;
	observe("2 created", stream);
}

static void on_changed_too(void *context, const struct stream *stream)
{
	(void)context;
	observe("3 changed", stream);
}

static void assert_observed(const char *want)
{
	assert_string_equal(observed, want);
	*observed = '\0';
}

static void observers_see_what_is_created_and_changed(void **state)
{
	struct fanout_observer both = {.created = on_created, .changed = on_changed},
	                       creations = {.created = on_created_too},
	                       changes = {.changed = on_changed_too};
	(void)state;
	open_with(NULL);
	*observed = '\0';
	store_bench_create(&bench->store, "/before", "text/plain");
	fanout_bench_turn(bench);
	fanout_observe(bench->fanout, &changes);
	fanout_observe(bench->fanout, &creations);
	fanout_observe(bench->fanout, &both);
	fanout_bench_turn(bench);
	assert_observed("");
	store_bench_create(&bench->store, "/new", "text/plain");
	assert_observed("1 changed /new\n3 changed /new\n");
	append("a");
	assert_observed("1 changed /s\n3 changed /s\n");
	fanout_bench_turn(bench); /* within a change nothing may be read */
	assert_observed("1 created /new\n2 created /new\n");
	fanout_bench_turn(bench);
	assert_observed("");
	/* What is gone by then was never there. */
	store_bench_create(&bench->store, "/short", "text/plain");
	store_bench_delete(&bench->store, "/short");
	store_bench_create(&bench->store, "/long", "text/plain");
	*observed = '\0';
	fanout_bench_turn(bench);
	assert_observed("1 created /long\n2 created /long\n");
	finish();
}

static void on_row(void *context, struct span key, bool there)
{
	assert_ptr_equal(context, bench);
	size_t len = strlen(observed);
	snprintf(observed + len, sizeof observed - len, "%.*s %s\n", (int)key.len,
	         key.at != NULL ? (const char *)key.at : "", there ? "there" : "gone");
}

static void observers_hear_of_small_values(void **state)
{
	struct fanout_observer rows = {.row = on_row};
	(void)state;
	open_with(NULL);
	fanout_observe(bench->fanout, &rows);
	*observed = '\0';
	struct command put = {.kind = COMMAND_KV, .key = SPAN("a"), .value = SPAN("1")};
	struct command again = {.kind = COMMAND_KV, .key = SPAN("a"), .value = SPAN("")};
	struct command removed = {.kind = COMMAND_KV, .key = SPAN("a")};
	store_bench_do(&bench->store, &put);
	store_bench_do(&bench->store, &again);
	assert_observed("a there\na there\n");
	store_bench_do(&bench->store, &removed);
	assert_observed("a gone\n");
	append("a");
	assert_observed("");
	finish();
}

/* Whoever was lapped by the log looks at everything: observers are told, readers served. */
static void who_was_lapped_looks_at_everything(void **state)
{
	struct fanout_observer both = {.created = on_created, .changed = on_changed},
	                       creations = {.created = on_created_too};
	(void)state;
	open_with((const char *const[]){"limits.reader_lag_bytes=64k", NULL});
	store_bench_create(&bench->store, "/load", "text/plain");
	join_shared(2);
	fanout_bench_join(bench, &listeners[2], &fanout_bench_shared, "/load", 0);
	append_and_turn("a");
	fanout_observe(bench->fanout, &creations);
	fanout_observe(bench->fanout, &both);
	*observed = '\0';
	store_bench_overrun(&bench->store, "/load");
	while (store_collect(bench->store.store) > 0)
		;
	assert_observed("1 changed all\n");
	fanout_bench_turn(bench);
	assert_observed("1 created all\n2 created all\n");
	assert_string_equal(text_of(2), "!5"); /* it was looked at, and is too far behind */
	append_and_turn("b");
	assert_string_equal(text_of(0), "<0-1 a><1-2 b>");
	finish();
}

/* Bytes of the view's own, between frames. */
static void a_view_may_send_of_itself(void **state)
{
	struct sse_frame frame = {0};
	struct sse_builder *b;
	(void)state;
	open_with(NULL);
	join_shared(1);
	append_and_turn("a");
	b = fanout_builder(bench->fanout);
	sse_begin(b);
	SSE_PUT(b, "hello");
	sse_end(b, &frame);
	fanout_send(listeners[0].reader, &frame);
	sse_frame_finish(&frame);
	append_and_turn("b");
	assert_string_equal(text_of(0), "<0-1 a>hello<1-2 b>");
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(turns_are_slices_in_the_order_of_coming),
	        cmocka_unit_test(streams_take_turns),
	        cmocka_unit_test(slices_are_larger_while_nobody_speaks),
	        cmocka_unit_test(who_catches_up_has_a_turn_in_eight),
	        cmocka_unit_test(a_sink_may_go_while_another_is_written_to),
	        cmocka_unit_test(nobody_may_be_left_after_a_turn),
	        cmocka_unit_test(one_may_leave_and_another_join_in_the_same_turn),
	        cmocka_unit_test(one_who_takes_over_gets_each_message_once),
	        cmocka_unit_test(one_that_is_dropped_is_followed_no_more),
	        cmocka_unit_test(an_answer_ends_at_its_time),
	        cmocka_unit_test(who_follows_nothing_ends_at_its_time),
	        cmocka_unit_test(who_may_no_longer_is_told_so),
	        cmocka_unit_test(a_credential_of_very_many_ends_some_at_a_time),
	        cmocka_unit_test(silence_is_broken_by_a_heartbeat),
	        cmocka_unit_test(who_takes_nothing_gets_no_heartbeat),
	        cmocka_unit_test(a_lifetime_is_spread_by_a_quarter),
	        cmocka_unit_test(a_short_life_is_renewed_while_somebody_reads),
	        cmocka_unit_test(who_waits_is_told_once),
	        cmocka_unit_test(who_waits_is_told_of_every_end),
	        cmocka_unit_test(who_begins_to_wait_is_not_told_at_once),
	        cmocka_unit_test(news_of_data_goes_before_that_of_the_end),
	        cmocka_unit_test(a_drain_ends_everybody_and_nobody_joins_any_more),
	        cmocka_unit_test(observers_see_what_is_created_and_changed),
	        cmocka_unit_test(observers_hear_of_small_values),
	        cmocka_unit_test(who_was_lapped_looks_at_everything),
	        cmocka_unit_test(a_view_may_send_of_itself),
	};
	log_set_level(LOG_LEVEL_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
