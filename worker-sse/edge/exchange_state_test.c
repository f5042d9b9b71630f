#include "worker-sse/edge/exchange_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Every step there could be: '+' it may be taken. */
static void only_these_steps_are_taken(void **state)
{
	static const char *const allowed[EXCHANGE_STATES] = {
	        [EXCHANGE_READING] = "-+---+",   [EXCHANGE_WORKING] = "--+++-",
	        [EXCHANGE_STREAMING] = "----+-", [EXCHANGE_UPGRADED] = "----+-",
	        [EXCHANGE_ANSWERED] = "------",  [EXCHANGE_REFUSED] = "------"};
	(void)state;
	for (unsigned from = 0; from < EXCHANGE_STATES; from++)
		for (unsigned to = 0; to < EXCHANGE_STATES; to++)
			assert_int_equal(exchange_state_follows(from, to),
			                 allowed[from][to] == '+');
}

/* Whoever is over owes nothing, and whoever nobody was asked for owes nothing yet. */
static void what_is_over_is_not_worked_on(void **state)
{
	(void)state;
	for (unsigned s = 0; s < EXCHANGE_STATES; s++) {
		assert_false(exchange_state_over(s) && exchange_state_works(s));
		bool ends = false;
		for (unsigned to = 0; to < EXCHANGE_STATES; to++)
			ends |= exchange_state_follows(s, to);
		assert_int_equal(exchange_state_over(s), !ends);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_these_steps_are_taken),
	        cmocka_unit_test(what_is_over_is_not_worked_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
