#include "common/base/machine.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { OPEN, SHUT, BURNT, STATES };
enum { PUSHED, PULLED, LIT, EVENTS };

static const char *const states[] = {"open", "shut", "burnt"};
static const char *const events[] = {"pushed", "pulled", "lit"};
static const uint8_t steps[STATES][EVENTS] = {
        [OPEN] = {[PUSHED] = MACHINE_TO(SHUT), [PULLED] = MACHINE_TO(OPEN)},
        [SHUT] = {[PULLED] = MACHINE_TO(OPEN), [LIT] = MACHINE_TO(BURNT)},
};
static const struct machine door = {"door", states, events, STATES, EVENTS, *steps};

static void test_steps(void **state)
{
	(void)state;
	assert_int_equal(machine_step(&door, OPEN, PUSHED), SHUT);
	assert_int_equal(machine_step(&door, OPEN, PULLED), OPEN);
	assert_int_equal(machine_step(&door, SHUT, LIT), BURNT);
	assert_true(machine_allows(&door, SHUT, PULLED));
	assert_false(machine_allows(&door, SHUT, PUSHED));
	for (unsigned event = 0; event < EVENTS; event++)
		assert_false(machine_allows(&door, BURNT, event));
}

static void test_what_is_not_in_the_table_aborts(void **state)
{
	int status;
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		machine_step(&door, BURNT, PUSHED);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_steps),
	        cmocka_unit_test(test_what_is_not_in_the_table_aborts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
