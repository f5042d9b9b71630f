#include "worker-capture/page_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/machine_page.h"

/* Every step there is; every other cannot happen. */
static const struct {
	enum page_state from;
	enum page_life_event event;
	enum page_state to;
} allowed[] = {
        {PAGE_STARTING, PAGE_LIFE_ANSWERED, PAGE_EMPTY},
        {PAGE_STARTING, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_STARTING, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_EMPTY, PAGE_LIFE_CREATE, PAGE_CREATING},
        {PAGE_EMPTY, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_EMPTY, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_CREATING, PAGE_LIFE_CREATE, PAGE_CREATING},
        {PAGE_CREATING, PAGE_LIFE_REFUSED, PAGE_EMPTY},
        {PAGE_CREATING, PAGE_LIFE_ATTACHED, PAGE_SETTING_UP},
        {PAGE_CREATING, PAGE_LIFE_LOST, PAGE_EMPTY},
        {PAGE_CREATING, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_CREATING, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_SETTING_UP, PAGE_LIFE_CREATE, PAGE_CREATING},
        {PAGE_SETTING_UP, PAGE_LIFE_NAVIGATE, PAGE_GOING_HOME},
        {PAGE_SETTING_UP, PAGE_LIFE_ARRIVED, PAGE_SETTING_UP},
        {PAGE_SETTING_UP, PAGE_LIFE_LOST, PAGE_EMPTY},
        {PAGE_SETTING_UP, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_SETTING_UP, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_GOING_HOME, PAGE_LIFE_CREATE, PAGE_CREATING},
        {PAGE_GOING_HOME, PAGE_LIFE_NAVIGATE, PAGE_GOING_HOME},
        {PAGE_GOING_HOME, PAGE_LIFE_ARRIVED, PAGE_SHOWN},
        {PAGE_GOING_HOME, PAGE_LIFE_LOST, PAGE_EMPTY},
        {PAGE_GOING_HOME, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_GOING_HOME, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_SHOWN, PAGE_LIFE_CREATE, PAGE_CREATING},
        {PAGE_SHOWN, PAGE_LIFE_NAVIGATE, PAGE_GOING_HOME},
        {PAGE_SHOWN, PAGE_LIFE_ARRIVED, PAGE_SHOWN},
        {PAGE_SHOWN, PAGE_LIFE_LOST, PAGE_EMPTY},
        {PAGE_SHOWN, PAGE_LIFE_EXITED, PAGE_ENDED},
        {PAGE_SHOWN, PAGE_LIFE_CLOSE, PAGE_CLOSING},
        {PAGE_ENDED, PAGE_LIFE_CLOSE, PAGE_FINISHED},
        {PAGE_CLOSING, PAGE_LIFE_EXITED, PAGE_FINISHED},
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static void test_steps(void **state)
{
	size_t count = 0;
	(void)state;
	for (size_t i = 0; i < ALLOWED; i++)
		assert_int_equal(machine_step(&page_life, allowed[i].from, allowed[i].event),
		                 allowed[i].to);
	for (unsigned from = 0; from < PAGE_STATES; from++)
		for (unsigned event = 0; event < PAGE_LIFE_EVENTS; event++)
			count += machine_allows(&page_life, from, event);
	assert_int_equal(count, ALLOWED);
}

/* Its freeing rests on this: every way leads to the end, by one exit and one close. */
static void test_exit_and_close_in_any_order_finish_it(void **state)
{
	(void)state;
	for (unsigned from = PAGE_STARTING; from <= PAGE_SHOWN; from++) {
		unsigned closed = machine_step(&page_life, from, PAGE_LIFE_CLOSE);
		unsigned ended = machine_step(&page_life, from, PAGE_LIFE_EXITED);
		assert_int_equal(machine_step(&page_life, closed, PAGE_LIFE_EXITED), PAGE_FINISHED);
		assert_int_equal(machine_step(&page_life, ended, PAGE_LIFE_CLOSE), PAGE_FINISHED);
	}
}

static void test_kinds_of_states(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PAGE_STATES; i++) {
		enum page_state s = (enum page_state)i;
		assert_int_equal(page_life_has_browser(s), i >= PAGE_EMPTY && i <= PAGE_SHOWN);
		assert_int_equal(page_life_has_page(s), i >= PAGE_SETTING_UP && i <= PAGE_SHOWN);
		assert_int_equal(page_life_is_ending(s), i >= PAGE_CLOSING);
	}
}

static void test_docs_show_it(void **state)
{
	(void)state;
	machine_page_shows(&page_life, "docs/capture.md");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_steps),
	        cmocka_unit_test(test_exit_and_close_in_any_order_finish_it),
	        cmocka_unit_test(test_kinds_of_states),
	        cmocka_unit_test(test_docs_show_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
