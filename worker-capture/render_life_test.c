#include "worker-capture/render_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/machine_page.h"

/* Every step there is; every other cannot happen. */
static const struct {
	enum render_state from;
	enum render_life_event event;
	enum render_state to;
} allowed[] = {
        {RENDER_ORDERED, RENDER_LIFE_END, RENDER_CANCELLED},
        {RENDER_ORDERED, RENDER_LIFE_WRITTEN, RENDER_OPEN},
        {RENDER_ORDERED, RENDER_LIFE_LOST, RENDER_GONE},
        {RENDER_OPEN, RENDER_LIFE_END, RENDER_ENDING},
        {RENDER_OPEN, RENDER_LIFE_WRITTEN, RENDER_OPEN},
        {RENDER_OPEN, RENDER_LIFE_UNWRITTEN, RENDER_OPEN},
        {RENDER_OPEN, RENDER_LIFE_LOST, RENDER_GONE},
        {RENDER_CANCELLED, RENDER_LIFE_WRITTEN, RENDER_ENDING},
        {RENDER_CANCELLED, RENDER_LIFE_LOST, RENDER_GONE},
        {RENDER_ENDING, RENDER_LIFE_LAST, RENDER_CLOSING},
        {RENDER_ENDING, RENDER_LIFE_WRITTEN, RENDER_ENDING},
        {RENDER_ENDING, RENDER_LIFE_UNWRITTEN, RENDER_ENDING},
        {RENDER_ENDING, RENDER_LIFE_LOST, RENDER_GONE},
        {RENDER_CLOSING, RENDER_LIFE_WRITTEN, RENDER_OVER},
        {RENDER_CLOSING, RENDER_LIFE_UNWRITTEN, RENDER_ENDING},
        {RENDER_CLOSING, RENDER_LIFE_LOST, RENDER_GONE},
        {RENDER_OVER, RENDER_LIFE_FORGET, RENDER_FORGETTING},
        {RENDER_FORGETTING, RENDER_LIFE_KEPT, RENDER_OVER},
        {RENDER_FORGETTING, RENDER_LIFE_FORGOTTEN, RENDER_GONE},
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static void test_steps(void **state)
{
	size_t count = 0;
	(void)state;
	for (size_t i = 0; i < ALLOWED; i++)
		assert_int_equal(machine_step(&render_life, allowed[i].from, allowed[i].event),
		                 allowed[i].to);
	for (unsigned from = 0; from < RENDER_STATES; from++)
		for (unsigned event = 0; event < RENDER_LIFE_EVENTS; event++)
			count += machine_allows(&render_life, from, event);
	assert_int_equal(count, ALLOWED);
}

static unsigned after(unsigned state, const enum render_life_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		state = machine_step(&render_life, state, events[i]);
	return state;
}

/* The end that could not be written is written again, and only a durable one is forgotten. */
static void test_an_end_is_durable_before_it_is_forgotten(void **state)
{
	static const enum render_life_event way[] = {
	        RENDER_LIFE_END,    RENDER_LIFE_WRITTEN,  RENDER_LIFE_LAST,   RENDER_LIFE_UNWRITTEN,
	        RENDER_LIFE_LAST,   RENDER_LIFE_WRITTEN,  RENDER_LIFE_FORGET, RENDER_LIFE_KEPT,
	        RENDER_LIFE_FORGET, RENDER_LIFE_FORGOTTEN};
	(void)state;
	assert_int_equal(after(RENDER_ORDERED, way, sizeof way / sizeof *way), RENDER_GONE);
	assert_int_equal(after(RENDER_OPEN, way, sizeof way / sizeof *way), RENDER_GONE);
	for (unsigned from = 0; from < RENDER_OVER; from++)
		assert_false(machine_allows(&render_life, from, RENDER_LIFE_FORGET));
}

/* It ends once: whoever is to end it asks first whether it lives. */
static void test_what_lives_may_end_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RENDER_STATES; i++)
		assert_int_equal(machine_allows(&render_life, i, RENDER_LIFE_END),
		                 render_life_lives((enum render_state)i));
}

/* Whatever may have a write under way hears of it. */
static void test_what_writes_hears_of_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RENDER_STATES; i++) {
		bool writes = render_life_writes((enum render_state)i) || i == RENDER_CLOSING;
		assert_int_equal(machine_allows(&render_life, i, RENDER_LIFE_WRITTEN), writes);
		assert_int_equal(machine_allows(&render_life, i, RENDER_LIFE_LOST), writes);
	}
}

static void test_kinds_of_states(void **state)
{
	(void)state;
	assert_int_equal(render_life_found(false), RENDER_OPEN);
	assert_int_equal(render_life_found(true), RENDER_OVER);
	for (unsigned i = 0; i < RENDER_STATES; i++) {
		enum render_state s = (enum render_state)i;
		assert_false(render_life_is_new(s) && render_life_is_known(s));
		assert_int_equal(render_life_is_new(s) || render_life_is_known(s),
		                 s < RENDER_FORGETTING);
	}
}

static void test_docs_show_it(void **state)
{
	(void)state;
	machine_page_shows(&render_life, "docs/sessions.md");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_steps),
	        cmocka_unit_test(test_an_end_is_durable_before_it_is_forgotten),
	        cmocka_unit_test(test_what_lives_may_end_and_nothing_else),
	        cmocka_unit_test(test_what_writes_hears_of_it),
	        cmocka_unit_test(test_kinds_of_states),
	        cmocka_unit_test(test_docs_show_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
