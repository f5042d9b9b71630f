#include "worker-bridge/past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void the_oldest_comes_first_whatever_the_order(void **state)
{
	struct past past = {0};
	(void)state;
	past_add(&past, "b", 20);
	past_add(&past, "d", 40);
	past_add(&past, "a", 10);
	past_add(&past, "c", 30);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(past_at(&past, i)->settled_ms, 10 * (i + 1));
		assert_int_equal(past_at(&past, i)->duel_id[0], 'a' + (int)i);
	}
	assert_null(past_at(&past, 4));
	past_finish(&past);
	assert_null(past_at(&past, 0));
}

static void one_in_the_middle_may_go_first(void **state)
{
	struct past past = {0};
	(void)state;
	past_add(&past, "a", 1);
	past_add(&past, "b", 2);
	past_add(&past, "c", 3);
	past_remove(&past, 1);
	assert_string_equal(past_at(&past, 0)->duel_id, "a");
	assert_string_equal(past_at(&past, 1)->duel_id, "c");
	past_remove(&past, 1);
	past_remove(&past, 0);
	assert_null(past_at(&past, 0));
	past_finish(&past);
}

static void ids_of_any_length(void **state)
{
	struct past past = {0};
	char id[PAST_ID_ROOM + 1];
	(void)state;
	memset(id, 'x', sizeof id);
	id[PAST_ID_ROOM] = '\0';
	past_add(&past, id, 1);
	assert_null(past_at(&past, 0));
	id[PAST_ID_ROOM - 1] = '\0';
	past_add(&past, id, 1);
	assert_string_equal(past_at(&past, 0)->duel_id, id);
	past_finish(&past);
}

/* What comes and goes for ever takes no more room than what is there at a time. */
static void room_is_used_again(void **state)
{
	struct past past = {0};
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		char id[16];
		snprintf(id, sizeof id, "%u", i);
		past_add(&past, id, i);
		if (i >= 100) {
			assert_int_equal(past_at(&past, 0)->settled_ms, i - 100);
			past_remove(&past, 0);
		}
	}
	assert_true(past.room <= 512);
	past_finish(&past);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_oldest_comes_first_whatever_the_order),
	        cmocka_unit_test(one_in_the_middle_may_go_first),
	        cmocka_unit_test(ids_of_any_length),
	        cmocka_unit_test(room_is_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
