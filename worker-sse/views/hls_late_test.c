#include "worker-sse/views/hls_late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD(number)                                                                               \
	"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:" number        \
	"\n#EXT-X-INDEPENDENT-SEGMENTS\n"
#define SEGMENT(name) "#EXTINF:2.000000,\n" name "\n"

/* Old are those up to this name. */
static bool is_old(void *arg, struct span name)
{
	const char *newest = arg;
	assert_int_equal(name.len, strlen(newest));
	return memcmp(name.at, newest, name.len) <= 0;
}

static void expect(const char *playlist, size_t most, const char *newest, const char *expected)
{
	size_t len = 0;
	char newest_room[16];
	snprintf(newest_room, sizeof newest_room, "%s", newest);
	char *exact = malloc(strlen(playlist)); /* without a NUL: nothing is read behind it */
	memcpy(exact, playlist, strlen(playlist));
	char *text = hls_late(span_of(exact, strlen(playlist)), most, is_old, newest_room, &len);
	free(exact);
	if (expected == NULL) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
	free(text);
}

static void what_is_not_old_enough_is_not_listed(void **state)
{
	static const char now[] = HEAD("7") SEGMENT("7.ts") SEGMENT("8.ts") SEGMENT("9.ts");
	(void)state;
	expect(now, 6, "9.ts", now);
	expect(now, 6, "8.ts", HEAD("7") SEGMENT("7.ts") SEGMENT("8.ts"));
	expect(now, 6, "7.ts", HEAD("7") SEGMENT("7.ts"));
	expect(now, 6, "6.ts", NULL);
}

static void no_more_than_the_last_are_listed(void **state)
{
	static const char now[] = HEAD("7") SEGMENT("7.ts") SEGMENT("8.ts") SEGMENT("9.ts");
	(void)state;
	expect(now, 2, "9.ts", HEAD("8") SEGMENT("8.ts") SEGMENT("9.ts"));
	expect(now, 1, "8.ts", HEAD("8") SEGMENT("8.ts"));
}

/* An end of what is live is none of what was. */
static void what_belongs_to_a_segment_goes_with_it(void **state)
{
	static const char cut[] = "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-12-01\n";
	char now[512], then[512];
	(void)state;
	snprintf(now, sizeof now,
	         HEAD("99") SEGMENT("1.ts") "%s" SEGMENT("2.ts") "%s" SEGMENT(
	                 "3.ts") "#EXT-X-ENDLIST\n",
	         cut, cut);
	snprintf(then, sizeof then, HEAD("100") "%s" SEGMENT("2.ts"), cut);
	expect(now, 1, "2.ts", then);
	snprintf(then, sizeof then, HEAD("99") SEGMENT("1.ts"));
	expect(now, 9, "1.ts", then);
}

static void what_is_no_playlist(void **state)
{
	(void)state;
	expect("#EXTM3U\n", 6, "1.ts", NULL);
	expect("#EXTINF:2.0,\n", 6, "1.ts", NULL);
	expect("#EXTM3U\n#EXTINF:2,\n1.ts", 6, "1.ts", "#EXTM3U\n#EXTINF:2,\n1.ts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_not_old_enough_is_not_listed),
	        cmocka_unit_test(no_more_than_the_last_are_listed),
	        cmocka_unit_test(what_belongs_to_a_segment_goes_with_it),
	        cmocka_unit_test(what_is_no_playlist),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
