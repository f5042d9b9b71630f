#include "worker-capture/session_life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/machine_page.h"

/* Every step there is; every other cannot happen. */
static const struct {
	enum session_state from;
	enum session_life_event event;
	enum session_state to;
} allowed[] = {
        {SESSION_STARTING, SESSION_LIFE_RUNS, SESSION_LIVE},
        {SESSION_STARTING, SESSION_LIFE_STEPS, SESSION_RECOVERING},
        {SESSION_STARTING, SESSION_LIFE_STARTS, SESSION_STARTING},
        {SESSION_STARTING, SESSION_LIFE_GIVES_UP, SESSION_FAILED},
        {SESSION_STARTING, SESSION_LIFE_CLOSE, SESSION_CLOSING},
        {SESSION_LIVE, SESSION_LIFE_RUNS, SESSION_LIVE},
        {SESSION_LIVE, SESSION_LIFE_STEPS, SESSION_RECOVERING},
        {SESSION_LIVE, SESSION_LIFE_STARTS_AGAIN, SESSION_RECOVERING},
        {SESSION_LIVE, SESSION_LIFE_GIVES_UP, SESSION_FAILED},
        {SESSION_LIVE, SESSION_LIFE_CLOSE, SESSION_CLOSING},
        {SESSION_RECOVERING, SESSION_LIFE_RUNS, SESSION_LIVE},
        {SESSION_RECOVERING, SESSION_LIFE_STEPS, SESSION_RECOVERING},
        {SESSION_RECOVERING, SESSION_LIFE_STARTS, SESSION_STARTING},
        {SESSION_RECOVERING, SESSION_LIFE_STARTS_AGAIN, SESSION_RECOVERING},
        {SESSION_RECOVERING, SESSION_LIFE_GIVES_UP, SESSION_FAILED},
        {SESSION_RECOVERING, SESSION_LIFE_CLOSE, SESSION_CLOSING},
        {SESSION_FAILED, SESSION_LIFE_STARTS, SESSION_STARTING},
        {SESSION_FAILED, SESSION_LIFE_STARTS_AGAIN, SESSION_RECOVERING},
        {SESSION_FAILED, SESSION_LIFE_CLOSE, SESSION_CLOSING},
        {SESSION_CLOSING, SESSION_LIFE_EMPTY, SESSION_RELEASED},
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static void test_steps(void **state)
{
	size_t count = 0;
	(void)state;
	for (size_t i = 0; i < ALLOWED; i++)
		assert_int_equal(machine_step(&session_life, allowed[i].from, allowed[i].event),
		                 allowed[i].to);
	for (unsigned from = 0; from < SESSION_STATES; from++)
		for (unsigned event = 0; event < SESSION_LIFE_EVENTS; event++)
			count += machine_allows(&session_life, from, event);
	assert_int_equal(count, ALLOWED);
}

/* Whatever is judged of one that is kept can happen to it, as far as `been_live` is true. */
static void test_every_judgement_has_a_step(void **state)
{
	(void)state;
	for (unsigned from = 0; from < SESSION_STATES; from++)
		for (int step = LADDER_NONE; step <= LADDER_GIVE_UP; step++)
			for (int reason = 0; reason < HEALTH_REASON_COUNT; reason++)
				for (int been = from == SESSION_LIVE; been < 2; been++) {
					if (!session_life_is_kept((enum session_state)from) ||
					    (from == SESSION_STARTING && been))
						continue;
					const struct ladder ladder = {
					        .step = (enum ladder_step)step};
					assert_true(machine_allows(
					        &session_life, from,
					        session_life_judged(&ladder,
					                            (enum health_reason)reason,
					                            been)));
				}
}

static void test_judged(void **state)
{
	struct ladder ladder = {.step = LADDER_NONE};
	(void)state;
	assert_int_equal(session_life_judged(&ladder, HEALTH_STARTING, false), SESSION_LIFE_STARTS);
	assert_int_equal(session_life_judged(&ladder, HEALTH_STARTING, true),
	                 SESSION_LIFE_STARTS_AGAIN);
	assert_int_equal(session_life_judged(&ladder, HEALTH_NONE, false), SESSION_LIFE_RUNS);
	assert_int_equal(session_life_judged(&ladder, HEALTH_FLAT_FRAME, true), SESSION_LIFE_RUNS);
	ladder.browser_due_ms = 7;
	assert_int_equal(session_life_judged(&ladder, HEALTH_BROWSER_EXIT, true),
	                 SESSION_LIFE_STEPS);
	ladder = (struct ladder){.step = LADDER_RELOAD};
	assert_int_equal(session_life_judged(&ladder, HEALTH_STARTING, true), SESSION_LIFE_STEPS);
	ladder.step = LADDER_GIVE_UP;
	assert_int_equal(session_life_judged(&ladder, HEALTH_BROWSER_MISSING, false),
	                 SESSION_LIFE_GIVES_UP);
}

static void test_kinds_of_states(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SESSION_STATES; i++) {
		enum session_state s = (enum session_state)i;
		assert_int_equal(session_life_is_kept(s), i <= SESSION_RECOVERING);
		assert_int_equal(session_life_is_ending(s), i >= SESSION_CLOSING);
	}
	assert_string_equal(session_state_name(SESSION_RECOVERING), "recovering");
	assert_string_equal(session_state_name(SESSION_RELEASED), "closing");
}

static void test_docs_show_it(void **state)
{
	(void)state;
	machine_page_shows(&session_life, "docs/capture.md");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_steps),
	        cmocka_unit_test(test_every_judgement_has_a_step),
	        cmocka_unit_test(test_judged),
	        cmocka_unit_test(test_kinds_of_states),
	        cmocka_unit_test(test_docs_show_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
