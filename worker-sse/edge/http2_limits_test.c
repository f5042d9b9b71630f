#include "worker-sse/edge/http2_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void so_many_within_a_window(void **state)
{
	const struct settings settings = {.http2_pings = 3, .http2_resets = 1};
	struct http2_limits limits = {0};
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(http2_limits_take(&limits, &settings, HTTP2_PINGS, 50000));
	assert_false(http2_limits_take(&limits, &settings, HTTP2_PINGS, 50001));
	assert_true(http2_limits_take(&limits, &settings, HTTP2_RESETS, 50001));
	assert_false(
	        http2_limits_take(&limits, &settings, HTTP2_RESETS, 50000 + HTTP2_WINDOW_MS - 1));
	assert_true(http2_limits_take(&limits, &settings, HTTP2_PINGS, 50000 + HTTP2_WINDOW_MS));
}

static void what_was_done_pays_for_some(void **state)
{
	const struct settings settings = {.http2_window_updates = 2};
	struct http2_limits limits = {0};
	(void)state;
	http2_limits_give(&limits, HTTP2_WINDOW_UPDATES, 2); /* not in advance */
	for (int i = 0; i < 20; i++) {
		assert_true(http2_limits_take(&limits, &settings, HTTP2_WINDOW_UPDATES, 20000));
		assert_true(http2_limits_take(&limits, &settings, HTTP2_WINDOW_UPDATES, 20000));
		http2_limits_give(&limits, HTTP2_WINDOW_UPDATES, 2);
	}
}

static void each_has_a_name_and_a_count(void **state)
{
	static struct counters_slot slot;
	(void)state;
	http2_limit_count(&slot, HTTP2_RESETS);
	assert_int_equal(slot.calmed_resets, 1);
	assert_int_equal(slot.calmed_pings, 0);
	assert_string_equal(http2_limit_key(HTTP2_TINY_WINDOWS), "http2.tiny_windows");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(so_many_within_a_window),
	        cmocka_unit_test(what_was_done_pays_for_some),
	        cmocka_unit_test(each_has_a_name_and_a_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
