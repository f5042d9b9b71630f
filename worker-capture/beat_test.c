#include "worker-capture/beat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static bool take(const char *text, struct beat_counts *counts, struct health_signals *s,
                 uint64_t now_ms)
{
	json_t *beat = json_loads(text, 0, NULL);
	assert_non_null(beat);
	bool taken = beat_take(beat, counts, s, now_ms, 5000 + now_ms);
	json_decref(beat);
	return taken;
}

static void counters_that_move_are_noted(void **state)
{
	struct beat_counts counts = {0};
	struct health_signals s = {0};
	(void)state;
	assert_true(take("{\"pulses\":0,\"draws\":0}", &counts, &s, 100));
	assert_int_equal(s.first_beat_ms, 100);
	assert_int_equal(s.pulse_ms, 0);
	assert_int_equal(s.drawn_ms, 0);
	assert_true(take("{\"pulses\":1,\"draws\":9}", &counts, &s, 200));
	assert_true(take("{\"pulses\":2,\"draws\":9}", &counts, &s, 300));
	assert_int_equal(s.first_beat_ms, 100);
	assert_int_equal(s.beat_ms, 300);
	assert_int_equal(s.pulse_ms, 300);
	assert_int_equal(s.drawn_ms, 200);
}

static void the_pages_word_is_taken_and_bounded(void **state)
{
	struct beat_counts counts = {0};
	struct health_signals s = {0};
	(void)state;
	assert_true(
	        take("{\"pulses\":1,\"draws\":1,\"lost\":2,\"restored\":1,\"canvas\":true,"
	             "\"health\":{\"ready\":false,\"reason\":\"world\\nnot ready\",\"duel\":\"d\","
	             "\"phase\":\"A_PHASE_MUCH_LONGER_THAN_ANY_PHASE_EVER_IS\"}}",
	             &counts, &s, 100));
	assert_true(s.reports);
	assert_false(s.ready);
	assert_int_equal(s.contexts_lost, 1);
	assert_string_equal(s.reason, "world not ready");
	assert_int_equal(strlen(s.page.phase), HEALTH_PHASE_MAX);
	assert_int_equal(s.page.at_ms, 5100);
	/* What it says no more is not kept. */
	assert_true(take("{\"pulses\":2,\"draws\":2,\"boot\":\"error:http\"}", &counts, &s, 200));
	assert_false(s.reports);
	assert_true(s.broken);
	assert_string_equal(s.reason, "error:http");
	assert_string_equal(s.page.duel_id, "");
	assert_true(take("{\"pulses\":3,\"draws\":2,\"flag\":true}", &counts, &s, 300));
	assert_true(s.ready);
	assert_false(s.broken);
}

static void what_is_no_beat_changes_nothing(void **state)
{
	static const char *const texts[] = {"{}", "[]", "{\"pulses\":1}",
	                                    "{\"pulses\":\"1\",\"draws\":1}"};
	struct beat_counts counts = {0};
	struct health_signals s = {0};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_false(take(texts[i], &counts, &s, 100));
	assert_int_equal(s.beat_ms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(counters_that_move_are_noted),
	        cmocka_unit_test(the_pages_word_is_taken_and_bounded),
	        cmocka_unit_test(what_is_no_beat_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
