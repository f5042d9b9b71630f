/* How large the next piece may be, and what has room, by how much waits already. */
#include "worker-sse/live/waiting.h"
#include "common/base/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MAX = 8 << 20, LARGE = 1 << 20 };

static void pieces_shrink_as_more_waits(void **state)
{
	static const struct {
		size_t in_bytes, piece;
	} rows[] = {{0, LARGE},
	            {MAX / 2, LARGE / 2},
	            {MAX / 4 * 3, LARGE / 4},
	            {MAX - 65536, 8192},
	            {MAX - 8, WAITING_PIECE_MIN},
	            {MAX, WAITING_PIECE_MIN},
	            {MAX + 1, WAITING_PIECE_MIN}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct waiting w = {.max = MAX, .in_bytes = rows[i].in_bytes};
		assert_int_equal(waiting_piece(&w, LARGE), rows[i].piece);
	}
}

/* What waits in chunks counts like what has come and is not used yet. */
static void chunks_are_counted(void **state)
{
	struct waiting w = {.max = MAX};
	struct chunk *chunk = chunk_create(MAX / 2);
	(void)state;
	assert_int_equal(waiting_piece(&w, LARGE), LARGE / 4); /* of what is left, rounded down */
	w.in_bytes = MAX / 4;
	assert_int_equal(waiting_piece(&w, LARGE), LARGE / 8);
	chunk_unref(&chunk);
	w.in_bytes = 0;
	assert_int_equal(waiting_piece(&w, LARGE), LARGE);
}

static void the_small_and_the_setting_bound_the_room(void **state)
{
	struct waiting w = {.max = MAX, .in_bytes = MAX};
	(void)state;
	assert_int_equal(waiting_room(&w, 1000), 1000);
	assert_int_equal(waiting_room(&w, WAITING_SMALL), WAITING_SMALL);
	assert_int_equal(waiting_room(&w, LARGE), WAITING_SMALL);
	w.in_bytes = MAX / 2;
	assert_int_equal(waiting_room(&w, LARGE), LARGE / 2);
	w.in_bytes = 0;
	assert_int_equal(waiting_room(&w, LARGE), LARGE);
	assert_int_equal(waiting_room(&w, LARGE / 2), LARGE / 2);
}

static void what_comes_in_one_piece_fits_or_not(void **state)
{
	static const struct {
		size_t in_bytes, bytes;
		bool fits;
	} rows[] = {{MAX * 2, WAITING_SMALL, true}, /* small ones always */
	            {MAX * 2, WAITING_SMALL + 1, false},
	            {MAX - LARGE, LARGE, true},
	            {MAX - LARGE + 1, LARGE, false},
	            {MAX / 8, MAX * 4, true}, /* nearly nothing else waits */
	            {MAX / 8 + 1, MAX * 4, false}};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct waiting w = {.max = MAX, .in_bytes = rows[i].in_bytes};
		assert_int_equal(waiting_fits(&w, rows[i].bytes), rows[i].fits);
	}
}

static void the_ceiling_is_in_the_metrics(void **state)
{
	struct counters_slot counters = {0};
	struct waiting w = {.in_bytes = 5};
	struct chunk *chunk = chunk_create(7);
	size_t chunked = chunk_bytes();
	(void)state;
	waiting_set(&w, MAX, &counters);
	assert_int_equal(w.max, MAX);
	assert_true(chunked >= 7);
	assert_int_equal(counter_get(&counters, waiting_bytes_max), MAX);
	assert_int_equal(counter_get(&counters, waiting_bytes), 5 + chunked);
	chunk_unref(&chunk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(pieces_shrink_as_more_waits),
	        cmocka_unit_test(chunks_are_counted),
	        cmocka_unit_test(the_small_and_the_setting_bound_the_room),
	        cmocka_unit_test(what_comes_in_one_piece_fits_or_not),
	        cmocka_unit_test(the_ceiling_is_in_the_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
