#include "worker-sse/views/event_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PLACES = 4 };

static bool parse(const char *text, uint64_t *newest, struct event_place *places, size_t *count)
{
	return event_id_parse(span_of(text, strlen(text)), newest, places, PLACES, count);
}

static void assert_round_trip(uint64_t newest, const struct event_place *places, size_t count,
                              const char *text)
{
	char out[EVENT_ID_ROOM + PLACES * EVENT_ID_PLACE_ROOM + 1];
	struct event_place back[PLACES];
	uint64_t back_newest;
	size_t back_count;
	size_t len = event_id_print(newest, places, count, out);
	assert_true(len < sizeof out);
	out[len] = '\0';
	assert_string_equal(out, text);
	assert_true(parse(text, &back_newest, back, &back_count));
	assert_int_equal(back_count, count);
	assert_memory_equal(back, places, count * sizeof *places);
	if (newest != 0)
		assert_int_equal(back_newest, newest);
}

static void test_round_trips(void **state)
{
	(void)state;
	const struct event_place one[] = {{1, 0}}, two[] = {{36, 35}, {7, 1296}},
	                         large[] = {{UINT64_MAX, UINT64_MAX}};
	assert_round_trip(0, one, 1, "1.0");
	assert_round_trip(0, two, 2, "10.z-7.100");
	assert_round_trip(40, two, 2, "14-10.z-7.100");
	assert_round_trip(5, NULL, 0, "5-");
	assert_round_trip(UINT64_MAX, large, 1, "3w5e11264sgsf-3w5e11264sgsf.3w5e11264sgsf");
}

static void test_newest_is_the_highest_when_left_out(void **state)
{
	(void)state;
	struct event_place places[PLACES];
	uint64_t newest;
	size_t count;
	assert_true(parse("3.1-a.2-4.0", &newest, places, &count));
	assert_int_equal(newest, 10);
}

static void test_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {
	        "",
	        "-",
	        "1",
	        "1.",
	        ".1",
	        "0.1",
	        "1.1-",
	        "1.1.1",
	        "1.1--2.1",
	        "01.1",
	        "1.01",
	        "A.1",
	        "1.1 ",
	        " 1.1",
	        "1.1-1.2",
	        "-1.1",
	        "0-1.1",
	        "1.1-2",
	        "+1.1",
	        "1.1\n",
	        "12345",
	        "3w5e11264sgsg.0",
	        "1.3w5e11264sgsg",
	        "zzzzzzzzzzzzzz.0",
	        "1.1-2.1-3.1-4.1-5.1", /* more than PLACES */
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct event_place places[PLACES];
		uint64_t newest;
		size_t count;
		if (parse(bad[i], &newest, places, &count))
			fail_msg("accepted: \"%s\"", bad[i]);
	}
}

static void test_any_bytes(void **state)
{
	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		static const char alphabet[] = "0129az.-.-A ";
		char text[24];
		size_t len = (size_t)rand() % sizeof text;
		struct event_place places[PLACES];
		uint64_t newest;
		size_t count;
		for (size_t k = 0; k < len; k++)
			text[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
		if (!event_id_parse(span_of(text, len), &newest, places, PLACES, &count))
			continue;
		/* What is accepted is canonical: it prints as it was, with or without NEWEST. */
		char with[256], without[256];
		size_t with_len = event_id_print(newest, places, count, with);
		size_t without_len = count != 0 ? event_id_print(0, places, count, without) : 0;
		assert_true((with_len == len && memcmp(with, text, len) == 0) ||
		            (without_len == len && memcmp(without, text, len) == 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_round_trips),
	        cmocka_unit_test(test_newest_is_the_highest_when_left_out),
	        cmocka_unit_test(test_refuses),
	        cmocka_unit_test(test_any_bytes),
	};
	return cmocka_run_group_tests_name("event_id", tests, NULL, NULL);
}
