#include "worker-sse/views/hls_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void ranges_are_as_rfc_9110_says(void **state)
{
	static const struct {
		const char *header;
		uint64_t size;
		enum hls_range_result result;
		uint64_t from, len;
	} cases[] = {
	        {"bytes=0-0", 10, HLS_RANGE_PART, 0, 1},
	        {"bytes=2-5", 10, HLS_RANGE_PART, 2, 4},
	        {"Bytes=2-", 10, HLS_RANGE_PART, 2, 8},
	        {"bytes=2-99", 10, HLS_RANGE_PART, 2, 8},
	        {"bytes=-3", 10, HLS_RANGE_PART, 7, 3},
	        {"bytes=-30", 10, HLS_RANGE_PART, 0, 10},
	        {"bytes=9-9", 10, HLS_RANGE_PART, 9, 1},
	        {"bytes=10-", 10, HLS_RANGE_OUTSIDE, 0, 0},
	        {"bytes=-0", 10, HLS_RANGE_OUTSIDE, 0, 0},
	        {"bytes=0-", 0, HLS_RANGE_OUTSIDE, 0, 0},
	        {"bytes=-1", 0, HLS_RANGE_OUTSIDE, 0, 0},
	        {"bytes=5-2", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=0-1,3-4", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=-", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=a-b", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=1-2x", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=1", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"bytes=99999999999999999999-", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"lines=1-2", 10, HLS_RANGE_WHOLE, 0, 10},
	        {"", 10, HLS_RANGE_WHOLE, 0, 10},
	};
	uint64_t from, len;
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(hls_range(span_str(cases[i].header), cases[i].size, &from, &len),
		                 cases[i].result);
		if (cases[i].result == HLS_RANGE_OUTSIDE)
			continue;
		assert_int_equal(from, cases[i].from);
		assert_int_equal(len, cases[i].len);
	}
	assert_int_equal(hls_range((struct span){0}, 7, &from, &len), HLS_RANGE_WHOLE);
	assert_int_equal(len, 7);
}

static void only_names_of_ours_are_files(void **state)
{
	static const char *const good[] = {"index.m3u8", "000000000.ts", "1234567890.ts"};
	static const char *const bad[] = {"",
	                                  "index.m3u",
	                                  "index.m3u8/",
	                                  "../index.m3u8",
	                                  "..",
	                                  "00000000.ts",
	                                  "000000000.tsx",
	                                  "000000000ts",
	                                  "00000000a.ts",
	                                  "000000000.ts.tmp",
	                                  "0000000000000000000.ts",
	                                  "%69ndex.m3u8",
	                                  "INDEX.M3U8"};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(hls_name_valid(span_str(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(hls_name_valid(span_str(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ranges_are_as_rfc_9110_says),
	        cmocka_unit_test(only_names_of_ours_are_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
